//! A job before it is submitted: what the arguments ask for, checked, with its input and output open.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use poolmap_client::{Backend, JobSpec, function};
use poolmap_worker::runtime::command::template::{Template, values};

use super::args::JobArgs;
use super::function::Target;
use crate::exit::Failure;
use crate::input::{self, TaskReader};
use crate::output::{Destination, Style, Tags};

/// A job ready to be submitted.
pub(crate) struct Plan {
    /// The function as the user named it.
    pub(crate) name: String,
    pub(crate) spec: JobSpec,
    pub(crate) tasks: TaskReader,
    pub(crate) output: Output,
}

/// Where the tasks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On this machine: what they need can be looked at.
    Here,
    /// On machines that have files of their own.
    Elsewhere,
}

/// Where results go, and what they look like.
pub(crate) struct Output {
    pub(crate) destination: Destination,
    pub(crate) style: Style,
    pub(crate) keeps_order: bool,
}

impl Plan {
    /// Opens input and output.
    pub(crate) fn new(
        args: &JobArgs,
        target: Target,
        backend: Backend,
        place: Place,
    ) -> Result<Self, Failure> {
        let (spec, tasks) = open(args, target.clone(), backend, place)?;
        let style = Style {
            form: args.form(),
            subject: target.subject(),
            has_details: args.has_details(),
            tags: args.has_tags().then(|| Arc::new(Tags::default())),
        };
        let output = Output {
            destination: Destination::open(args.output_file())?,
            style,
            keeps_order: args.keeps_order(),
        };
        Ok(Self { name: target.name, spec, tasks, output })
    }
}

/// What is to be submitted, and the input of its tasks.
pub(crate) fn open(
    args: &JobArgs,
    target: Target,
    backend: Backend,
    place: Place,
) -> Result<(JobSpec, TaskReader), Failure> {
    let tasks = open_tasks(args, &target)?;
    let spec = args.limits().apply(JobSpec {
        name: target.name.clone(),
        function: Some(target.into_message(tasks.columns())),
        child: Some(args.child_options(backend, place)?),
        details: args.has_details(),
        ..JobSpec::default()
    });
    Ok((spec, tasks))
}

fn open_tasks(args: &JobArgs, target: &Target) -> Result<TaskReader, Failure> {
    Ok(if target.is_command() {
        input::command_tasks(&args.value_form(), args.value_input()?)?
    } else {
        input::function_tasks(args.function_form(), args.inputs())?
    })
}

/// Prints what would be run, one task a line, and runs nothing.
pub(crate) fn dry_run(args: &JobArgs) -> Result<ExitCode, Failure> {
    let target = args.target()?;
    args.check(&target)?;
    let mut tasks = open_tasks(args, &target)?;
    let function = target.clone().into_message(tasks.columns());
    let template = match &function.kind {
        Some(function::Kind::Command(command)) => {
            Some(Template::new(command).map_err(|error| Failure::Usage(error.to_string()))?)
        }
        _ => None,
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut task_number = 0;
    while let Some(chunk) = tasks.next_chunk()? {
        let mut payloads = chunk.payloads.as_ref();
        for length in &chunk.lengths {
            let (payload, rest) = payloads.split_at_checked(*length as usize).unwrap_or((payloads, &[]));
            payloads = rest;
            task_number += 1;
            if let Some(template) = &template {
                out.write_all(&template.dry_run_line(&values(payload), task_number, 1))?;
            } else {
                write!(out, "{} ", target.name)?;
                out.write_all(payload)?;
            }
            out.write_all(b"\n")?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
