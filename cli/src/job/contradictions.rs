//! Options of a job that contradict each other: refused before anything runs, naming the options.

use super::args::{BackendFlag, JobArgs};
use super::function::Target;
use crate::input::ListOrigin;
use crate::output::Form;

/// The first contradiction, in words for the user.
pub(crate) fn first(args: &JobArgs, target: &Target) -> Option<&'static str> {
    of_children(args, target).or_else(|| of_input_and_output(args, target))
}

fn of_children(args: &JobArgs, target: &Target) -> Option<&'static str> {
    let child = &args.child;
    let (is_thread, is_inline) =
        (child.backend == Some(BackendFlag::Thread), child.backend == Some(BackendFlag::Inline));
    let (recycles, has_timeout) = (args.recycles(), args.limits.timeout().is_some());
    first_true([
        (
            target.is_command() && is_thread,
            "--backend thread is for functions: a command always runs in a process of its own",
        ),
        (
            target.is_command() && recycles,
            "--max-tasks-per-child and --max-child-rss are for functions: a command's process ends with its task",
        ),
        (
            is_thread && recycles,
            "--max-tasks-per-child and --max-child-rss need children that can be replaced one by one: use --backend process",
        ),
        (
            target.is_native() && is_inline && recycles,
            "--backend inline starts no child, so none can be replaced: leave out --max-tasks-per-child and --max-child-rss",
        ),
        (
            (is_thread || is_inline) && has_timeout,
            "--timeout needs a task that can be stopped alone: use --backend process",
        ),
        (
            !target.is_python() && !child.preload.is_empty(),
            "--preload names Python modules: it is for Python functions",
        ),
        (!target.is_python() && child.python.is_some(), "--python is for Python functions"),
    ])
}

fn of_input_and_output(args: &JobArgs, target: &Target) -> Option<&'static str> {
    let input = &args.input;
    let is_table = input.csv || input.tsv;
    let names_columns = is_table || input.colsep.is_some() || target.is_command();
    let is_stdin = |origin: &ListOrigin| *origin == ListOrigin::File("-".into());
    let reads_stdin_twice = args.words().1.iter().filter(|list| is_stdin(&list.origin)).count() > 1;
    first_true([
        (input.header && !names_columns, "--header needs columns: add --csv or --tsv"),
        (target.is_command() && input.lines, "--lines is for functions: a command's values are lines anyway"),
        (
            args.has_details() && args.form() != Form::Json,
            "--details are a part of JSON results: add --output json",
        ),
        (reads_stdin_twice, "only one list of values can come from standard input (:::: -)"),
    ])
}

fn first_true<const N: usize>(rules: [(bool, &'static str); N]) -> Option<&'static str> {
    rules.into_iter().find_map(|(is_contradiction, text)| is_contradiction.then_some(text))
}
