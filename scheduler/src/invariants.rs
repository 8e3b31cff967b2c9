//! What must hold of the scheduler's state after every event. Tests check it after every step; nothing else
//! does, since it looks at everything.

use std::collections::BTreeSet;

use crate::batch::Question;
use crate::event::{BatchId, JobId};
use crate::job::{Job, TaskCounts};
use crate::scheduler::Scheduler;

type Check = Result<(), String>;

impl Scheduler {
    /// Checks the whole state and names the first invariant that does not hold. For tests; its cost grows
    /// with the state.
    #[doc(hidden)]
    pub fn check_invariants(&self) -> Check {
        self.each_task_is_in_one_place()?;
        self.totals_are_the_sums_of_jobs()?;
        self.batches_are_where_they_are_listed()?;
        self.no_worker_holds_more_than_its_capacity()?;
        self.no_slot_idles_while_a_job_is_ready()?;
        self.ready_jobs_are_those_with_a_turn()?;
        self.finished_jobs_are_forgotten()?;
        self.candidates_are_in_their_places()?;
        self.questions_are_counted()
    }

    fn each_task_is_in_one_place(&self) -> Check {
        self.jobs.iter().try_for_each(|(&id, job)| {
            let (queued, running) = (queued_spans(job), self.running_spans(id));
            let counts = TaskCounts {
                queued: length(&queued),
                running: length(&running),
                done: job.added - length(&queued) - length(&running),
            };
            ensure(counts == job.counts, || format!("{id:?}: {:?} counted, {counts:?} found", job.counts))?;
            let mut spans = [queued, running].concat();
            spans.sort_unstable();
            ensure(spans.iter().all(|&(first, end)| first < end && end <= job.added), || {
                format!("{id:?}: a range is empty or beyond the job: {spans:?}")
            })?;
            ensure(
                spans.windows(2).all(|pair| matches!(pair, [(_, end), (first, _)] if end <= first)),
                || format!("{id:?}: a task is in two places: {spans:?}"),
            )
        })
    }

    fn totals_are_the_sums_of_jobs(&self) -> Check {
        let sum = |of: fn(&TaskCounts) -> u64| self.jobs.values().map(|job| of(&job.counts)).sum::<u64>();
        ensure(self.counts.queued == sum(|counts| counts.queued), || "queued total is wrong".into())?;
        ensure(self.counts.running == sum(|counts| counts.running), || "running total is wrong".into())
    }

    fn batches_are_where_they_are_listed(&self) -> Check {
        let by_job: BTreeSet<(JobId, BatchId)> = self
            .jobs
            .iter()
            .flat_map(|(&id, job)| job.batches.iter().map(move |&batch| (id, batch)))
            .collect();
        let by_worker: BTreeSet<_> = self
            .workers
            .iter()
            .flat_map(|(id, _, batches)| batches.iter().map(move |&batch| (id, batch)))
            .collect();
        ensure(by_job == self.batches.iter().map(|(&id, batch)| (batch.job, id)).collect(), || {
            "jobs and batches disagree".into()
        })?;
        ensure(by_worker == self.batches.iter().map(|(&id, batch)| (batch.worker, id)).collect(), || {
            "workers and batches disagree".into()
        })?;
        self.batches.iter().try_for_each(|(id, batch)| {
            ensure(batch.remaining() > 0, || format!("{id:?} is finished and not forgotten"))?;
            ensure(id.0 <= self.last_batch, || format!("{id:?} was never handed out"))?;
            ensure(batch.tries.attempt == 1 || batch.range.count == 1, || {
                format!("{id:?} retries several tasks")
            })
        })
    }

    fn no_worker_holds_more_than_its_capacity(&self) -> Check {
        self.workers.iter().try_for_each(|(id, slots, batches)| {
            let capacity = u64::from(slots) * (1 + u64::from(self.config.lookahead_batches));
            ensure(batches.len() as u64 <= capacity, || format!("{id:?} holds more than {capacity} batches"))
        })
    }

    fn no_slot_idles_while_a_job_is_ready(&self) -> Check {
        let idle: u64 = self
            .workers
            .iter()
            .map(|(_, slots, batches)| u64::from(slots).saturating_sub(batches.len() as u64))
            .sum();
        ensure(idle == self.workers.idle_slots(), || format!("{idle} slots idle, not as counted"))?;
        ensure(idle == 0 || self.fairness.first().is_none(), || {
            format!("{idle} slots idle while a job waits")
        })
    }

    fn ready_jobs_are_those_with_a_turn(&self) -> Check {
        let ready = self.jobs.values().filter(|job| job.is_ready()).count();
        ensure(ready == self.fairness.ready_jobs(), || format!("{ready} jobs are ready, not as listed"))?;
        self.jobs.iter().try_for_each(|(id, job)| {
            ensure(job.is_ready() == job.share.is_ready(), || {
                format!("{id:?} is ready without a turn or the reverse")
            })?;
            ensure(!job.is_cancelled || job.backlog.is_empty(), || {
                format!("{id:?} is cancelled and still queues")
            })
        })
    }

    fn finished_jobs_are_forgotten(&self) -> Check {
        self.jobs
            .iter()
            .try_for_each(|(id, job)| ensure(!job.is_done(), || format!("{id:?} is done and not forgotten")))
    }

    fn candidates_are_in_their_places(&self) -> Check {
        let placed = self.batches.values().filter(|batch| batch.place.is_some()).count();
        ensure(placed == self.candidates.len(), || {
            format!("{placed} batches are candidates, not as listed")
        })?;
        self.batches.iter().try_for_each(|(id, batch)| {
            let movable = self.jobs.get(&batch.job).is_some_and(Job::is_movable);
            let expected = batch.surplus() > 0 && batch.question == Question::None && movable;
            ensure(batch.place.is_some() == expected, || format!("{id:?} should be a candidate: {expected}"))
        })
    }

    fn questions_are_counted(&self) -> Check {
        let asked = self.batches.values().filter(|batch| batch.question == Question::Open).count() as u64;
        ensure(asked == self.candidates.asked, || format!("{asked} questions are open, not as counted"))
    }

    fn running_spans(&self, id: JobId) -> Vec<(u64, u64)> {
        let batches = self.batches.values().filter(|batch| batch.job == id);
        batches.map(|batch| (batch.rest().first, batch.rest().end())).collect()
    }
}

fn queued_spans(job: &Job) -> Vec<(u64, u64)> {
    job.backlog.iter().map(|range| (range.first, range.end())).collect()
}

fn length(spans: &[(u64, u64)]) -> u64 {
    spans.iter().map(|(first, end)| end - first).sum()
}

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(message()) }
}
