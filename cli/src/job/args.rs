//! The words that describe a job, and what they mean.

use std::ffi::OsString;
use std::num::{NonZeroU64, NonZeroUsize};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use poolmap_client::{Backend, ChildOptions, EnvironmentVariable};

use super::contradictions;
use super::function::Target;
use super::limits::{LimitFlags, millis};
use super::plan::Place;
use crate::exit::Failure;
use crate::input::{self, FunctionForm, RowForm, Split, ValueForm, ValueInput, ValueList};
use crate::output::{Form, ProgressMode, Subject};
use crate::quantity::parse_size;
use crate::reason::reason;

/// A job as it is described on the command line.
#[derive(Args, Clone, Debug)]
pub(crate) struct JobArgs {
    /// FILE.py:NAME, package.module:NAME, or native:NAME
    #[arg(value_name = "FUNCTION", required_unless_present = "command", conflicts_with = "command")]
    function: Option<String>,

    /// Files with one task a line; - is standard input [default: -]
    #[arg(value_name = "INPUT", conflicts_with = "command")]
    inputs: Vec<PathBuf>,

    /// A command, its arguments, and lists of values after ::: :::+ (or of files after :::: ::::+)
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,

    #[command(flatten)]
    pub(super) input: InputFlags,

    #[command(flatten)]
    output: OutputFlags,

    #[command(flatten)]
    pub(super) child: ChildFlags,

    #[command(flatten)]
    pub(super) limits: LimitFlags,

    /// Print the commands and run nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Input")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that a user may type")]
pub(super) struct InputFlags {
    /// Each line is the one argument, a string
    #[arg(long, group = "form")]
    pub(super) lines: bool,

    /// Rows of comma-separated values
    #[arg(long, group = "form")]
    pub(super) csv: bool,

    /// Rows of tab-separated values
    #[arg(long, group = "form")]
    pub(super) tsv: bool,

    /// Each line is a JSON array (for functions: or an object with args, kwargs, function) [default for functions]
    #[arg(long, group = "form")]
    jsonl: bool,

    /// The first line names the columns: keyword arguments, or {name} in a command
    #[arg(long)]
    pub(super) header: bool,

    /// Read a command's values from FILE instead of standard input
    #[arg(long, value_name = "FILE", conflicts_with = "function")]
    input: Option<PathBuf>,

    /// A command's values end with NUL instead of a line end
    #[arg(short = '0', long, conflicts_with_all = ["function", "form"])]
    null: bool,

    /// Split each line of a command's input into columns at matches of RE
    #[arg(long, value_name = "RE", conflicts_with_all = ["function", "form"])]
    pub(super) colsep: Option<regex::bytes::Regex>,

    /// Give N lines of input to each run of a command
    #[arg(short = 'n', value_name = "N", conflicts_with = "function", value_parser = parse_count::<NonZeroUsize>, allow_negative_numbers = true)]
    rows_per_task: Option<NonZeroUsize>,

    /// Use STR instead of {} in a command
    #[arg(
        short = 'I',
        value_name = "STR",
        conflicts_with = "function",
        default_value = "{}",
        hide_default_value = true
    )]
    replacement: OsString,

    /// Give the command to /bin/sh as one line, each value quoted
    #[arg(long, conflicts_with = "function")]
    shell: bool,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Output")]
struct OutputFlags {
    /// Form of the results [default: json for functions, text for commands]
    #[arg(long, value_enum, value_name = "FORM")]
    output: Option<OutputForm>,

    /// Write the results to FILE
    #[arg(short = 'o', long, value_name = "FILE")]
    output_file: Option<PathBuf>,

    /// Give results in input order
    #[arg(short = 'k', long)]
    keep_order: bool,

    /// Add attempts, worker, seconds, stdout and stderr to each JSON result
    #[arg(long)]
    details: bool,

    /// Put the input before each line of a command's output
    #[arg(long, conflicts_with = "function")]
    tag: bool,

    /// Show a progress line on standard error
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    progress: ProgressMode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    /// One JSON object a line
    Json,
    /// The bare values, one a line; failures on standard error
    Value,
    /// What each task wrote, whole
    Text,
}

impl From<OutputForm> for Form {
    fn from(form: OutputForm) -> Self {
        match form {
            OutputForm::Json => Self::Json,
            OutputForm::Value => Self::Value,
            OutputForm::Text => Self::Text,
        }
    }
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Children")]
pub(super) struct ChildFlags {
    /// What a slot is [default: process; inline for a native function with one slot]
    #[arg(long, value_enum, value_name = "KIND")]
    pub(super) backend: Option<BackendFlag>,

    /// Replace a child after N tasks
    #[arg(long, value_name = "N", value_parser = parse_count::<NonZeroU64>, allow_negative_numbers = true)]
    max_tasks_per_child: Option<NonZeroU64>,

    /// Replace a child between tasks once its resident memory has passed SIZE, such as 500MB
    #[arg(long, value_name = "SIZE", value_parser = parse_size, allow_negative_numbers = true)]
    max_child_rss: Option<ByteSize>,

    /// Import these modules once and fork children from there
    #[arg(long, value_name = "MODULE,...", value_delimiter = ',')]
    pub(super) preload: Vec<String>,

    /// Python to run [default: that of the active virtual environment, or python3]
    #[arg(long, value_name = "PATH")]
    pub(super) python: Option<String>,

    /// Set an environment variable for the tasks
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_variable)]
    env: Vec<(String, String)>,

    /// Run the tasks in this folder
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum BackendFlag {
    /// A child process
    Process,
    /// A thread of one child, or of the worker
    Thread,
    /// This process: one slot, no worker
    Inline,
}

impl JobArgs {
    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    pub(crate) fn limits(&self) -> &LimitFlags {
        &self.limits
    }

    /// What is to be run.
    pub(crate) fn target(&self) -> Result<Target, Failure> {
        match &self.function {
            Some(function) => Target::function(function),
            None => Ok(Target::command(self.words().0, self.input.shell, &self.input.replacement)),
        }
    }

    /// The words of the command, and the lists of values after it.
    pub(super) fn words(&self) -> (Vec<OsString>, Vec<ValueList>) {
        input::split_command(&self.command)
    }

    /// The files that tasks of a function are read from.
    pub(crate) fn inputs(&self) -> Vec<PathBuf> {
        if self.inputs.is_empty() { vec!["-".into()] } else { self.inputs.clone() }
    }

    pub(crate) fn function_form(&self) -> FunctionForm {
        let flags = &self.input;
        match (flags.lines, self.separator()) {
            (true, _) => FunctionForm::Lines,
            (false, Some(separator)) => FunctionForm::Table { separator, header: flags.header },
            (false, None) => FunctionForm::JsonLines,
        }
    }

    pub(crate) fn value_form(&self) -> ValueForm {
        let flags = &self.input;
        let split = match (&flags.colsep, flags.jsonl) {
            (Some(separator), _) => Split::Columns(separator.clone()),
            (None, true) => Split::Json,
            (None, false) => Split::Whole,
        };
        let records = RowForm::Records { is_nul_separated: flags.null, split };
        ValueForm {
            rows: self.separator().map_or(records, |separator| RowForm::Table { separator }),
            has_header: flags.header,
            rows_per_task: flags.rows_per_task.unwrap_or(NonZeroUsize::MIN),
        }
    }

    pub(crate) fn value_input(&self) -> Result<ValueInput, Failure> {
        let lists = self.words().1;
        match (&self.input.input, lists.is_empty()) {
            (Some(_), false) => Err(Failure::Usage(
                "the values come either from --input or from lists after the command (:::), not from both"
                    .to_owned(),
            )),
            (Some(path), true) => Ok(ValueInput::Path(path.clone())),
            (None, false) => Ok(ValueInput::Lists(lists)),
            (None, true) => Ok(ValueInput::Path("-".into())),
        }
    }

    fn separator(&self) -> Option<u8> {
        match (self.input.csv, self.input.tsv) {
            (true, _) => Some(b','),
            (_, true) => Some(b'\t'),
            _ => None,
        }
    }

    pub(crate) fn form(&self) -> Form {
        let subject = if self.function.is_some() { Subject::Function } else { Subject::Command };
        self.output.output.map_or_else(|| Form::usual(subject), Form::from)
    }

    pub(crate) fn output_file(&self) -> Option<&Path> {
        self.output.output_file.as_deref()
    }

    pub(crate) fn keeps_order(&self) -> bool {
        self.output.keep_order
    }

    pub(crate) fn has_details(&self) -> bool {
        self.output.details
    }

    pub(crate) fn has_tags(&self) -> bool {
        self.output.tag
    }

    pub(crate) fn progress(&self) -> ProgressMode {
        self.output.progress
    }

    /// Refuses what contradicts itself, before anything is started.
    pub(crate) fn check(&self, target: &Target) -> Result<(), Failure> {
        target.check()?;
        let contradiction = contradictions::first(self, target);
        contradiction.map_or_else(|| self.limits.check(), |text| Err(Failure::Usage(text.to_owned())))
    }

    /// Whether children are replaced.
    pub(crate) fn recycles(&self) -> bool {
        self.child.max_tasks_per_child.is_some() || self.child.max_child_rss.is_some()
    }

    /// The backend, where it is asked for.
    pub(crate) fn backend(&self) -> Option<Backend> {
        self.child.backend.map(|backend| match backend {
            BackendFlag::Process => Backend::Process,
            BackendFlag::Thread => Backend::Thread,
            BackendFlag::Inline => Backend::Inline,
        })
    }

    /// How children are started, limited and replaced.
    pub(crate) fn child_options(&self, backend: Backend, place: Place) -> Result<ChildOptions, Failure> {
        let child = &self.child;
        let environment = child.env.iter().map(|(name, value)| EnvironmentVariable {
            name: name.clone().into(),
            value: value.clone().into(),
        });
        Ok(ChildOptions {
            backend: backend.into(),
            max_tasks_per_child: child.max_tasks_per_child.map_or(0, NonZeroU64::get),
            max_child_rss_bytes: child.max_child_rss.map_or(0, |size| size.as_u64()),
            python: child.python.clone().unwrap_or_default(),
            preload: child.preload.clone(),
            environment: environment.collect(),
            working_directory: self.working_directory(place)?.into(),
            timeout_ms: self.limits.timeout().map_or(0, millis),
        })
    }

    fn working_directory(&self, place: Place) -> Result<Vec<u8>, Failure> {
        let Some(folder) = &self.child.cwd else { return Ok(Vec::new()) };
        if place == Place::Elsewhere {
            let folder =
                std::path::absolute(folder).map_err(Failure::system("finding the folder of --cwd"))?;
            return Ok(folder.into_os_string().into_vec());
        }
        let refused = |why: &str| Failure::Usage(format!("cannot run tasks in {}: {why}", folder.display()));
        let folder = folder.canonicalize().map_err(|error| refused(&reason(&error)))?;
        if !folder.is_dir() {
            return Err(refused("it is not a folder"));
        }
        Ok(folder.into_os_string().into_vec())
    }
}

/// For `value_parser`: a number that says how many.
pub(crate) fn parse_count<N: FromStr>(text: &str) -> Result<N, &'static str> {
    text.parse().map_err(|_| "not a whole number of at least 1")
}

fn parse_variable(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("not NAME=VALUE"),
    }
}
