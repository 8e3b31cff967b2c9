//! What a slot has to do: one batch, and which of its tasks lie with the runner. Pure bookkeeping.
//!
//! A batch's tasks are in one of three ranges, in this order: *reported* (their outcomes went to the coordinator),
//! *sent* (in a frame that the runner has not confirmed), and *unsent*. What is unsent can be given back at any time.

use std::sync::Arc;

use bytes::Bytes;
use poolmap_proto::v1::Batch;

use crate::job::Job;

/// A batch in a slot.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) batch_id: u64,
    pub(crate) job: Arc<Job>,
    pub(crate) attempt: u32,
    /// More work waits for the slots behind this batch.
    pub(crate) has_followers: bool,
    /// The coordinator knows that it has begun.
    pub(crate) is_begun: bool,
    first_index: u64,
    lengths: Vec<u32>,
    payloads: Bytes,
    /// Bytes of the payloads before the first unsent task.
    sent_bytes: usize,
    /// Tasks that are (still) to be run, those that have ended included.
    length: u32,
    sent: u32,
    reported: u32,
    frame: Option<SentFrame>,
}

/// Tasks that lie with the runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SentFrame {
    /// Sequence number of its first task.
    pub(crate) sequence: u64,
    /// Sequence number after its last task, as it was sent.
    pub(crate) sent_end: u64,
    /// Sequence number after the last task that the runner may still run.
    pub(crate) end: u64,
    /// Place in the batch of its first task.
    offset: u32,
}

/// The next tasks for the runner.
#[derive(Debug)]
pub(crate) struct NextTasks<'a> {
    pub(crate) job: &'a Job,
    pub(crate) attempt: u32,
    /// Index in the job of the first of them.
    pub(crate) index: u64,
    pub(crate) lengths: &'a [u32],
    pub(crate) payloads: Bytes,
}

impl Work {
    /// A batch as it came from the coordinator.
    pub(crate) fn new(batch: Batch, job: Arc<Job>) -> Self {
        let tasks = batch.tasks.unwrap_or_default();
        Self {
            batch_id: batch.batch_id,
            job,
            attempt: batch.attempt,
            has_followers: false,
            is_begun: false,
            first_index: tasks.first_index,
            length: tasks.lengths.len() as u32,
            lengths: tasks.lengths,
            payloads: tasks.payloads,
            sent_bytes: 0,
            sent: 0,
            reported: 0,
            frame: None,
        }
    }

    /// Tasks the batch has, those that have ended included.
    pub(crate) fn length(&self) -> u32 {
        self.length
    }

    /// What lies with the runner.
    pub(crate) fn frame(&self) -> Option<SentFrame> {
        self.frame
    }

    /// Whether every task of it has been reported.
    pub(crate) fn is_finished(&self) -> bool {
        self.reported >= self.length
    }

    /// Whether tasks wait for a runner.
    pub(crate) fn has_unsent(&self) -> bool {
        self.sent < self.length
    }

    /// Gives back at most `count` tasks that are not sent; returns how many it could not.
    pub(crate) fn give_back_unsent(&mut self, count: u32) -> u32 {
        let given = count.min(self.length - self.sent);
        self.length -= given;
        count - given
    }

    /// At most `limit` unsent tasks, with the sequence number of the first; they count as sent from here on.
    pub(crate) fn send(&mut self, limit: u32, sequence: u64) -> Option<NextTasks<'_>> {
        let (offset, count) = (self.sent, limit.min(self.length - self.sent));
        let lengths = self.lengths.get(offset as usize..(offset + count) as usize)?;
        let bytes: usize = lengths.iter().map(|length| *length as usize).sum();
        let payloads = self.payloads.get(self.sent_bytes..self.sent_bytes + bytes)?;
        let payloads = self.payloads.slice_ref(payloads);
        let end = sequence + u64::from(count);
        self.frame = Some(SentFrame { sequence, sent_end: end, end, offset });
        self.sent += count;
        self.sent_bytes += bytes;
        let index = self.first_index + u64::from(offset);
        Some(NextTasks { job: &self.job, attempt: self.attempt, index, lengths, payloads })
    }

    /// The runner has confirmed its frame up to `sequence`; what it did not run is unsent again.
    pub(crate) fn confirm(&mut self, sequence: u64) {
        self.void_from(sequence);
        self.frame = None;
    }

    /// The runner is gone: what was not reported of its frame is unsent again.
    pub(crate) fn abandon(&mut self) {
        self.confirm(0);
    }

    /// The runner will run no task from `sequence` on: they are unsent again, but for those that were reported.
    pub(crate) fn void_from(&mut self, sequence: u64) {
        let Some(frame) = &mut self.frame else { return };
        let unreported = frame.sequence + u64::from(self.reported.saturating_sub(frame.offset));
        frame.end = frame.end.min(sequence.max(unreported));
        let kept = frame.offset + (frame.end - frame.sequence) as u32;
        let void = self.lengths.get(kept as usize..self.sent as usize).unwrap_or_default();
        self.sent_bytes -= void.iter().map(|length| *length as usize).sum::<usize>();
        self.sent = kept;
    }

    /// Sequence number of the task at `offset`, if it lies with the runner.
    pub(crate) fn sequence_of(&self, offset: u32) -> Option<u64> {
        let frame = self.frame.filter(|frame| offset >= frame.offset)?;
        let sequence = frame.sequence + u64::from(offset - frame.offset);
        (sequence < frame.end).then_some(sequence)
    }

    /// Notes that the next `count` tasks were reported, which says that the batch has begun.
    pub(crate) fn report(&mut self, count: u32) {
        self.reported += count;
        self.is_begun = true;
    }

    /// Place in the batch of the first task that was not reported.
    pub(crate) fn reported(&self) -> u32 {
        self.reported
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use poolmap_proto::v1::function::Kind;
    use poolmap_proto::v1::{Backend, ChildOptions, Function, JobStarted, NativeFunction, TaskChunk};
    use proptest::prelude::*;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::connect::{ConnectError, Connector};
    use crate::files::Fetcher;
    use crate::launch::{self, Ground};
    use crate::runtime::native::Registry;
    use crate::runtime::python::RunnerFiles;
    use crate::stderr::Stderr;

    /// Any job at all: the bookkeeping does not look into it.
    static JOB: LazyLock<Option<Arc<Job>>> = LazyLock::new(|| {
        let tasks = TaskTracker::new();
        let nowhere = Connector::new(|| std::future::ready(Err(ConnectError::Refused(String::new()))));
        let ground = Ground {
            slots: 1,
            registry: Registry::new(),
            python: String::new(),
            environment: Vec::new(),
            runner_files: RunnerFiles::write(None).ok()?,
            stderr: Stderr::new(std::io::sink(), tasks.clone()),
            tasks,
            fetcher: Fetcher::new(nowhere, std::time::Duration::ZERO, None),
        };
        let function = Some(Function { kind: Some(Kind::Native(NativeFunction::default())) });
        let child = Some(ChildOptions { backend: Backend::Thread.into(), ..ChildOptions::default() });
        let announced = JobStarted { job_id: 1, function, child, ..JobStarted::default() };
        launch::prepare(announced, &ground).ok().map(Arc::new)
    });

    /// What may happen to a batch.
    #[derive(Clone, Debug)]
    enum Step {
        /// The runner is sent so many tasks, if it has none.
        Send(u32),
        /// So many of the tasks that lie with the runner are reported.
        Report(u32),
        /// The runner confirms its frame after it has run so many tasks more.
        Confirm(u32),
        /// A fence stands so many tasks after the last one reported.
        Void(u32),
        GiveBack(u32),
        /// The runner is dead.
        Reset,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0..6_u32).prop_map(Step::Send),
            3 => (0..4_u32).prop_map(Step::Report),
            2 => (0..6_u32).prop_map(Step::Confirm),
            1 => (0..6_u32).prop_map(Step::Void),
            1 => (0..6_u32).prop_map(Step::GiveBack),
            1 => Just(Step::Reset),
        ];
        proptest::collection::vec(step, 0..60)
    }

    /// Where one task is: the naive model has one of these for each.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Place {
        Unsent,
        /// With the runner, under this number.
        Sent(u64),
        Reported,
        GivenBack,
    }

    fn work(lengths: &[u32]) -> Option<Work> {
        let payloads: Vec<u8> =
            (0_u8..).zip(lengths).flat_map(|(task, length)| vec![task; *length as usize]).collect();
        let tasks = TaskChunk { first_index: 100, lengths: lengths.to_vec(), payloads: payloads.into() };
        let batch = Batch { batch_id: 1, job_id: 1, attempt: 1, tasks: Some(tasks) };
        Some(Work::new(batch, JOB.clone()?))
    }

    struct Model {
        work: Work,
        places: Vec<Place>,
        next_sequence: u64,
    }

    impl Model {
        fn first(&self, is_it: impl Fn(Place) -> bool) -> usize {
            self.places.iter().position(|place| is_it(*place)).unwrap_or(self.places.len())
        }

        fn count(&self, is_it: impl Fn(Place) -> bool) -> usize {
            self.places.iter().filter(|place| is_it(**place)).count()
        }

        fn void(&mut self, keep: impl Fn(u64) -> bool) {
            for place in &mut self.places {
                if matches!(place, Place::Sent(sequence) if !keep(*sequence)) {
                    *place = Place::Unsent;
                }
            }
        }

        fn apply(&mut self, step: &Step) -> Result<(), TestCaseError> {
            match *step {
                Step::Send(limit) if self.work.frame().is_none() => self.send(limit)?,
                Step::Send(_) => {}
                Step::Report(count) => self.report(count),
                Step::Confirm(ran) => {
                    if let Some(frame) = self.work.frame() {
                        self.report(ran);
                        let next = self.places.iter().filter_map(|place| match place {
                            Place::Sent(sequence) => Some(*sequence),
                            _ => None,
                        });
                        self.work.confirm(next.min().unwrap_or(frame.end));
                        self.void(|_| false);
                    }
                }
                Step::Void(after) => self.fence(after),
                Step::GiveBack(count) => {
                    let unsent = self.count(|place| place == Place::Unsent);
                    let given = (count as usize).min(unsent);
                    prop_assert_eq!(self.work.give_back_unsent(count), count - given as u32);
                    let unsent = self.places.iter_mut().rev().filter(|place| **place == Place::Unsent);
                    unsent.take(given).for_each(|place| *place = Place::GivenBack);
                }
                // What the runner had ended was reported before.
                Step::Reset => {
                    self.work.abandon();
                    self.void(|_| false);
                }
            }
            Ok(())
        }

        fn first_sent(&self) -> u64 {
            let sent = self.places.iter().find_map(|place| match place {
                Place::Sent(sequence) => Some(*sequence),
                _ => None,
            });
            sent.unwrap_or(u64::MAX)
        }

        fn send(&mut self, limit: u32) -> Result<(), TestCaseError> {
            let (first, sequence) = (self.first(|place| place == Place::Unsent), self.next_sequence);
            let unsent = self.count(|place| place == Place::Unsent);
            let count = unsent.min(limit as usize);
            let sent = self.work.send(limit, sequence);
            let sent = sent.ok_or_else(|| TestCaseError::fail("its payloads are there"))?;
            prop_assert_eq!(sent.lengths.len(), count);
            if count > 0 {
                prop_assert_eq!(sent.index, 100 + first as u64);
            }
            let expected: Vec<u8> = (first as u8..)
                .zip(sent.lengths)
                .flat_map(|(task, length)| vec![task; *length as usize])
                .collect();
            prop_assert_eq!(sent.payloads, expected, "each task has its own payload");
            for place in self.places.iter_mut().skip(first).take(count) {
                *place = Place::Sent(self.next_sequence);
                self.next_sequence += 1;
            }
            Ok(())
        }

        fn report(&mut self, count: u32) {
            let sent = self.places.iter_mut().filter(|place| matches!(place, Place::Sent(_)));
            let reported = sent.take(count as usize).map(|place| *place = Place::Reported).count();
            self.work.report(reported as u32);
        }

        fn fence(&mut self, after: u32) {
            let first = self.first_sent();
            if first < u64::MAX {
                let sequence = first + u64::from(after);
                self.work.void_from(sequence);
                self.void(|sent| sent < sequence);
            }
        }

        fn check(&self) -> Result<(), TestCaseError> {
            let reported = self.count(|place| place == Place::Reported);
            let length = self.count(|place| place != Place::GivenBack);
            let unsent = self.count(|place| place == Place::Unsent);
            prop_assert_eq!(self.work.reported() as usize, reported);
            prop_assert_eq!(self.work.length() as usize, length);
            prop_assert_eq!(self.work.has_unsent(), unsent > 0);
            prop_assert_eq!(self.work.is_finished(), reported == length);
            for (offset, place) in (0_u32..).zip(&self.places) {
                match place {
                    Place::Sent(sequence) => prop_assert_eq!(self.work.sequence_of(offset), Some(*sequence)),
                    Place::Unsent | Place::GivenBack => prop_assert_eq!(self.work.sequence_of(offset), None),
                    Place::Reported => {}
                }
            }
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn the_three_ranges_say_of_each_task_where_it_is(
            lengths in proptest::collection::vec(0..5_u32, 0..20), steps in steps(),
        ) {
            let places = vec![Place::Unsent; lengths.len()];
            let work = work(&lengths).ok_or_else(|| TestCaseError::fail("a job can be made up"))?;
            let mut model = Model { work, places, next_sequence: 1 };
            for step in &steps {
                model.apply(step)?;
                model.check()?;
            }
        }
    }
}
