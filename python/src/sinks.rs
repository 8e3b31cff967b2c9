//! Who waits for which outcome: the sinks of all chunks that were sent and have tasks without an outcome.

use std::collections::BTreeMap;
use std::sync::Arc;

use poolmap_client::OutcomeRun;
use pyo3::{Py, PyAny};

use crate::intake::Sink;
use crate::results::Shared;

/// Sinks by the index of their first task.
#[derive(Debug, Default)]
pub(crate) struct Sinks(BTreeMap<u64, Entry>);

#[derive(Debug)]
struct Entry {
    tasks: u64,
    undone: u64,
    sink: Sink,
}

/// Outcomes with those who wait for them.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// Futures of the tasks of a run; `None` for one that nobody waits for any more.
    Futures(Vec<Option<Py<PyAny>>>, OutcomeRun),
    /// A run for an iterator, in which its first task has this place.
    Results(Arc<Shared>, u64, OutcomeRun),
}

impl Sinks {
    /// Notes that the outcomes of so many tasks from an index on go to a sink.
    pub(crate) fn add(&mut self, first_index: u64, tasks: u64, sink: Sink) {
        self.0.insert(first_index, Entry { tasks, undone: tasks, sink });
    }

    /// Finds who waits for a run. Only one of cancelled tasks may reach over several chunks.
    pub(crate) fn take(&mut self, run: OutcomeRun, mut deliver: impl FnMut(Delivery)) {
        let tasks = run.lengths.len() as u64 + run.cancelled;
        let (mut index, end) = (run.first_index, run.first_index + tasks);
        let mut run = Some(run);
        while index < end {
            let Some((&first, entry)) = self.0.range_mut(..=index).next_back() else { return };
            let here = end.min(first + entry.tasks).saturating_sub(index);
            let Some(part) = (if here == tasks { run.take() } else { Some(cancelled(index, here)) }) else {
                return;
            };
            if here == 0 {
                return;
            }
            deliver(entry.deliver(index - first, here, part));
            entry.undone = entry.undone.saturating_sub(here);
            if entry.undone == 0 {
                self.0.remove(&first);
            }
            index += here;
        }
    }

    /// All that still wait.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Sink> + use<> {
        std::mem::take(&mut self.0).into_values().map(|entry| entry.sink)
    }
}

impl Entry {
    fn deliver(&mut self, offset: u64, count: u64, run: OutcomeRun) -> Delivery {
        match &mut self.sink {
            Sink::Futures(futures) => {
                let (from, count) = (offset as usize, count as usize);
                let waiting = futures.get_mut(from..from + count).unwrap_or_default();
                Delivery::Futures(waiting.iter_mut().map(Option::take).collect(), run)
            }
            Sink::Results { shared, place } => Delivery::Results(shared.clone(), *place + offset, run),
        }
    }
}

fn cancelled(first_index: u64, count: u64) -> OutcomeRun {
    OutcomeRun { first_index, cancelled: count, ..OutcomeRun::default() }
}
