//! The one place that writes results.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;

use poolmap_proto::v1::OutcomeRun;

use super::counts::Counts;
use super::error::OutputError;
use super::outcome::{Outcome, check, outcomes};
use super::pages::{Pages, Stream};
use super::progress::Progress;
use super::reorder::Reorder;
use super::{Form, Style, Subject, json, text};

/// Bytes from which results are written although more are at hand.
const FULL_BYTES: usize = 256 << 10;

/// Where results go.
pub struct Destination {
    name: String,
    sink: Box<dyn Write + Send>,
    /// The progress line must make way for results.
    is_terminal: bool,
}

impl Destination {
    /// A file, or standard output if there is none.
    pub fn open(path: Option<&Path>) -> Result<Self, OutputError> {
        path.map_or_else(Self::stdout, Self::file)
    }

    /// Standard output, without a buffer of its own. It is this destination's alone: what else this process prints from
    /// here on, say a native function that runs in it, goes to standard error.
    pub fn stdout() -> Result<Self, OutputError> {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let owned = stdout.as_fd().try_clone_to_owned();
        let owned = owned
            .and_then(|owned| nix::unistd::dup2_stdout(io::stderr()).map(|()| owned).map_err(Into::into));
        let name = "standard output".to_owned();
        match owned {
            Ok(owned) => Ok(Self { name, sink: Box::new(File::from(owned)), is_terminal }),
            Err(source) => Err(OutputError::Write { name, source }),
        }
    }

    /// A file, made anew.
    pub fn file(path: &Path) -> Result<Self, OutputError> {
        let name = path.display().to_string();
        match File::create(path) {
            Ok(file) => Ok(Self { name, is_terminal: file.is_terminal(), sink: Box::new(file) }),
            Err(source) => Err(OutputError::Create { name, source }),
        }
    }

    #[cfg(test)]
    pub(super) fn of(sink: impl Write + Send + 'static) -> Self {
        Self { name: "here".to_owned(), sink: Box::new(sink), is_terminal: false }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        self.sink.write_all(bytes).map_err(|source| match source.kind() {
            ErrorKind::BrokenPipe => OutputError::Closed,
            _ => OutputError::Write { name: self.name.clone(), source },
        })
    }
}

/// Writes the results of one job.
pub struct Writer {
    destination: Destination,
    /// Standard error.
    notes: Box<dyn Write + Send>,
    style: Style,
    /// Present if results are wanted in input order.
    order: Option<Reorder>,
    pages: Pages,
    counts: Counts,
    progress: Arc<Progress>,
}

impl Writer {
    /// A writer of results as they come, or with `keeps_order` in input order. What tasks wrote to their standard
    /// error goes to that of this process.
    #[must_use]
    pub fn new(destination: Destination, style: Style, keeps_order: bool, progress: Arc<Progress>) -> Self {
        Self {
            destination,
            notes: Box::new(io::stderr()),
            style,
            order: keeps_order.then(Reorder::default),
            pages: Pages::default(),
            counts: Counts::default(),
            progress,
        }
    }

    #[cfg(test)]
    pub(super) fn with_notes(mut self, notes: impl Write + Send + 'static) -> Self {
        self.notes = Box::new(notes);
        self
    }

    /// Takes outcomes. They are written now only if the buffer is full: call [`flush`](Self::flush) when no more are
    /// at hand.
    pub fn write(&mut self, run: OutcomeRun) -> Result<(), OutputError> {
        check(&run)?;
        self.counts.add(&run);
        self.progress.show(&self.counts);
        let Some(order) = &mut self.order else { return self.append(&run) };
        order.push(run)?;
        while let Some(run) = self.order.as_mut().and_then(Reorder::take_next) {
            self.append(&run)?;
        }
        Ok(())
    }

    /// Writes all results that are in the buffer.
    pub fn flush(&mut self) -> Result<(), OutputError> {
        if self.pages.len() == 0 {
            return Ok(());
        }
        let has_notes = self.pages.parts().any(|(stream, _)| stream == Stream::Notes);
        let disturbs_progress = has_notes || self.destination.is_terminal;
        let mut write = || write_parts(&mut self.destination, &mut self.notes, &self.pages);
        let written = if disturbs_progress { self.progress.suspend(write) } else { write() };
        self.pages.clear();
        written
    }

    /// Writes everything, also what waited for tasks that have no outcome: for the end of a job, stopped or not.
    pub fn finish(&mut self) -> Result<(), OutputError> {
        while let Some(run) = self.order.as_mut().and_then(Reorder::take_first) {
            self.append(&run)?;
        }
        self.flush()
    }

    /// Bytes of outcomes that wait for those of earlier tasks, about. While it is large, input should not be read.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.order.as_ref().map_or(0, Reorder::held_bytes)
    }

    /// The outcomes taken so far, those that wait included.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    fn append(&mut self, run: &OutcomeRun) -> Result<(), OutputError> {
        self.style.append(run, &mut self.pages);
        if self.pages.len() >= FULL_BYTES { self.flush() } else { Ok(()) }
    }
}

/// Writes parts in order. Nobody can be told that standard error is gone, so that is no reason to stop.
fn write_parts(
    destination: &mut Destination,
    notes: &mut dyn Write,
    pages: &Pages,
) -> Result<(), OutputError> {
    for (stream, part) in pages.parts() {
        match stream {
            Stream::Results => destination.write(part)?,
            Stream::Notes => drop(notes.write_all(part)),
        }
    }
    Ok(())
}

impl Style {
    fn append(&self, run: &OutcomeRun, pages: &mut Pages) {
        match (self.form, self.subject) {
            (Form::Json, Subject::Function) => self.append_json(run, pages.to(Stream::Results)),
            (Form::Json, Subject::Command) => {
                self.append_json(run, pages.to(Stream::Results));
                if !self.has_details {
                    append_stderr(run, pages.to(Stream::Notes));
                }
            }
            (Form::Value | Form::Text, Subject::Function) => {
                outcomes(run).for_each(|outcome| text::append_value(outcome, pages));
            }
            (form, Subject::Command) => {
                let tells_exits = form == Form::Value;
                outcomes(run).for_each(|outcome| {
                    text::append_output(outcome, tells_exits, self.tags.as_deref(), pages);
                });
            }
        }
    }

    fn append_json(&self, run: &OutcomeRun, out: &mut Vec<u8>) {
        let worker = self.has_details.then_some(run.worker.as_str());
        outcomes(run).for_each(|outcome| json::append(outcome, self.subject, worker, out));
    }
}

/// What commands wrote to their standard error, where the results do not tell it.
fn append_stderr(run: &OutcomeRun, out: &mut Vec<u8>) {
    let stderr = outcomes(run).filter_map(|outcome: Outcome<'_>| outcome.detail);
    stderr.for_each(|detail| out.extend_from_slice(&detail.stderr));
}
