//! Whether a program did all of the work and did it right, so that nobody wins by doing nothing.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::inputs::pokemon;
use crate::process::Run;

/// Looks at a run and the file with its results.
pub(crate) type Check = Box<dyn Fn(&Run, &Path) -> Result<()>>;

/// One line of `poolmap run`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcome<T> {
    index: usize,
    value: T,
}

/// poolmap's outcomes, in any order: each index once, with the value that `is_right` for it.
pub(crate) fn outcomes<T: DeserializeOwned>(
    count: usize,
    is_right: impl Fn(usize, &T) -> bool + 'static,
) -> Check {
    Box::new(move |_, out| {
        let mut seen = vec![false; count];
        for_each_line(out, |line| {
            let outcome: Outcome<T> = serde_json::from_str(line)?;
            let seen = seen.get_mut(outcome.index).context("an index past the last task")?;
            ensure!(!std::mem::replace(seen, true), "a second outcome of task {}", outcome.index);
            ensure!(is_right(outcome.index, &outcome.value), "a wrong value");
            Ok(())
        })?;
        let missing = seen.iter().filter(|&&seen| !seen).count();
        ensure!(missing == 0, "{missing} of {count} tasks have no outcome");
        Ok(())
    })
}

/// A peer's values, one JSON text a line, in input order.
pub(crate) fn values<T: DeserializeOwned>(
    count: usize,
    is_right: impl Fn(usize, &T) -> bool + 'static,
) -> Check {
    Box::new(move |_, out| {
        let mut index = 0;
        for_each_line(out, |line| {
            ensure!(is_right(index, &serde_json::from_str(line)?), "a wrong value");
            index += 1;
            Ok(())
        })?;
        ensure!(index == count, "{index} results of {count} tasks");
        Ok(())
    })
}

/// Exactly these lines, in any order.
pub(crate) fn lines(expected: impl IntoIterator<Item = String>) -> Check {
    let mut expected: Vec<String> = expected.into_iter().collect();
    expected.sort_unstable();
    Box::new(move |_, out| {
        let mut found = Vec::with_capacity(expected.len());
        for_each_line(out, |line| {
            found.push(line.to_owned());
            Ok(())
        })?;
        found.sort_unstable();
        ensure!(
            found == expected,
            "{} lines, which are not the {} expected ones",
            found.len(),
            expected.len()
        );
        Ok(())
    })
}

/// Results of `do_work` of the first `count` tuples, as poolmap writes them.
pub(crate) fn pokemon_outcomes(count: usize) -> Check {
    outcomes(count, |index, value: &String| *value == pokemon(index))
}

/// The same as a peer writes them.
pub(crate) fn pokemon_values(count: usize) -> Check {
    values(count, |index, value: &String| *value == pokemon(index))
}

/// `count` lines, each the id of the child that ran the task; with `per_child`, no child ran more.
pub(crate) fn pids(count: usize, per_child: Option<usize>) -> Check {
    Box::new(move |_, out| {
        let mut tasks: HashMap<i32, usize> = HashMap::new();
        for_each_line(out, |line| {
            let pid = match serde_json::from_str(line) {
                Ok(Outcome { value, .. }) => value,
                Err(_) => line.parse()?,
            };
            *tasks.entry(pid).or_default() += 1;
            Ok(())
        })?;
        let done: usize = tasks.values().sum();
        ensure!(done == count, "{done} results of {count} tasks");
        if let (Some(limit), Some(&most)) = (per_child, tasks.values().max()) {
            ensure!(most <= limit, "a child ran {most} tasks instead of {limit}");
        }
        Ok(())
    })
}

/// Enough CPU time for so many commands: less than a tenth of a millisecond each is not possible.
pub(crate) fn cpu_time_of_commands(count: usize) -> Check {
    Box::new(move |run, _| {
        let least = count as f64 * 1e-4;
        ensure!(run.cpu_s >= least, "{:.3} s of CPU time are too little for {count} commands", run.cpu_s);
        Ok(())
    })
}

fn for_each_line(path: &Path, mut with: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path).context("it wrote no results")?);
    let mut line = String::new();
    for number in 1_u64.. {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            break;
        }
        if !line.ends_with('\n') {
            bail!("line {number} is cut short");
        }
        with(line.trim_end()).with_context(|| format!("line {number}: {:.80}", line.trim_end()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(check: &Check, results: &str) -> Result<()> {
        let out = tempfile::NamedTempFile::new()?;
        std::fs::write(&out, results)?;
        check(&Run::default(), out.path())
    }

    fn outcome(index: usize, value: &str) -> String {
        format!("{{\"index\":{index},\"value\":\"{value}\"}}\n")
    }

    #[test]
    fn outcomes_may_come_in_any_order() -> Result<()> {
        verdict(&pokemon_outcomes(2), &(outcome(1, "Pokemon#123") + &outcome(0, "Pokemon#012")))
    }

    #[test]
    fn an_outcome_that_is_missing_wrong_or_there_twice_is_found() {
        let right = outcome(0, "Pokemon#012");
        assert!(verdict(&pokemon_outcomes(2), &right).is_err());
        assert!(verdict(&pokemon_outcomes(1), &right.repeat(2)).is_err());
        assert!(verdict(&pokemon_outcomes(1), &outcome(0, "Pokemon#")).is_err());
        assert!(verdict(&pokemon_outcomes(1), right.trim_end()).is_err());
    }

    #[test]
    fn a_child_that_ran_more_than_its_share_is_found() {
        let results = "7\n7\n8\n";
        assert!(verdict(&pids(3, Some(2)), results).is_ok());
        assert!(verdict(&pids(3, Some(1)), results).is_err());
        assert!(verdict(&pids(4, None), results).is_err());
    }
}
