//! What must hold of the scheduler's state after every event. Tests check it after every step; nothing else
//! does, since it looks at everything.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::batch::{Batch, Question};
use crate::event::{BatchId, JobId};
use crate::isolation::may_claim;
use crate::job::{Job, TaskCounts};
use crate::scheduler::Scheduler;
use crate::speculation::may_become_late;
use crate::worker::{Intake, Worker};

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
        self.every_batch_is_with_a_worker_that_may_run_it()?;
        self.jobs_are_in_the_lanes_of_their_classes()?;
        self.who_needs_a_worker_alone_has_it()?;
        self.workers_are_reserved_only_for_a_reason()?;
        self.twins_are_the_same_task_twice()?;
        self.alarms_are_set()?;
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
            .flat_map(|(id, _, worker)| worker.batches.iter().map(move |&batch| (id, batch)))
            .collect();
        let wanted = self.batches.iter().filter(|(_, batch)| !batch.is_void);
        ensure(by_job == wanted.map(|(&id, batch)| (batch.job, id)).collect(), || {
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
        self.workers.iter().try_for_each(|(id, slots, worker)| {
            let capacity = u64::from(slots) * (1 + u64::from(self.config.lookahead_batches));
            ensure(worker.batches.len() as u64 <= capacity, || {
                format!("{id:?} holds more than {capacity} batches")
            })
        })
    }

    fn no_slot_idles_while_a_job_is_ready(&self) -> Check {
        self.lanes.iter().try_for_each(|(id, lane)| {
            let open = self.workers.iter().filter(|(_, _, worker)| worker.intake == Intake::Open);
            let usable = open.filter(|(_, _, worker)| lane.classes.include(worker.class));
            let idle =
                usable.map(|(_, slots, worker)| u64::from(slots).saturating_sub(worker.batches.len() as u64));
            let idle: u64 = idle.sum();
            ensure(idle == self.workers.idle_slots(&lane.classes), || {
                format!("{idle} slots idle, not as counted")
            })?;
            ensure(idle == 0 || lane.fairness.first().is_none(), || {
                format!("{idle} slots idle while a job of {id:?} waits")
            })
        })
    }

    fn every_batch_is_with_a_worker_that_may_run_it(&self) -> Check {
        self.batches.iter().filter(|(_, batch)| !batch.is_void).try_for_each(|(id, batch)| {
            let class = self.workers.class(batch.worker);
            let job = self.jobs.get(&batch.job);
            let may = job.zip(class).is_some_and(|(job, class)| job.options.classes.include(class));
            ensure(may, || format!("{id:?} is with {:?}, which may not run it", batch.worker))
        })
    }

    fn jobs_are_in_the_lanes_of_their_classes(&self) -> Check {
        self.jobs.iter().try_for_each(|(id, job)| {
            let classes = self.lanes.get(job.lane).map(|lane| &lane.classes);
            ensure(classes == Some(&job.options.classes), || format!("{id:?} is in the wrong lane"))
        })?;
        let lanes: BTreeSet<_> = self.jobs.values().map(|job| job.lane).collect();
        ensure(self.lanes.iter().skip(1).all(|(id, _)| lanes.contains(&id)), || "a lane is empty".into())
    }

    fn who_needs_a_worker_alone_has_it(&self) -> Check {
        self.batches.iter().filter(|(_, batch)| batch.tries.is_alone()).try_for_each(|(id, batch)| {
            let held = self.workers.batches(batch.worker).unwrap_or_default();
            ensure(held == [*id], || format!("{id:?} shares {:?}", batch.worker))
        })?;
        self.workers.iter().filter(|(_, _, worker)| worker.intake == Intake::Alone).try_for_each(
            |(id, _, worker)| ensure(worker.batches.len() == 1, || format!("{id:?} is closed for nothing")),
        )
    }

    fn workers_are_reserved_only_for_a_reason(&self) -> Check {
        let is_reserved = |worker: &Worker| worker.intake == Intake::Reserved;
        let reserved: Vec<_> = self.workers.iter().filter(|(_, _, worker)| is_reserved(worker)).collect();
        ensure(reserved.len() == self.workers.reserved(), || "reserved workers, not as listed".into())?;
        reserved.into_iter().try_for_each(|(id, _, worker)| {
            let claims = self.lanes.iter().filter_map(|(id, lane)| Some((id, lane.alone.first()?.0.0)));
            let is_claimed = claims.into_iter().any(|claim| may_claim(&self.lanes, claim, worker.class));
            ensure(is_claimed, || format!("{id:?} is reserved for nobody"))?;
            ensure(!worker.batches.is_empty(), || format!("{id:?} is reserved and empty"))
        })
    }

    fn twins_are_the_same_task_twice(&self) -> Check {
        self.batches.iter().try_for_each(|(&id, batch)| {
            let Some(twin) = batch.twin.and_then(|twin| self.batches.get(&twin)) else {
                return ensure(batch.twin.is_none(), || format!("{id:?} has a twin that is over"));
            };
            let is_same = (twin.job, twin.rest().first) == (batch.job, batch.rest().first);
            let are_single = twin.remaining() == 1 && batch.remaining() == 1;
            let are_marked = batch.was_copied && !batch.is_void && twin.twin == Some(id);
            ensure(is_same && are_single && are_marked, || format!("{id:?} and its twin differ"))
        })
    }

    fn alarms_are_set(&self) -> Check {
        let delayed = self.jobs.values().filter(|job| job.due_at.is_some()).count();
        let late = self.jobs.values().filter(|job| job.late_at.is_some()).count();
        let listed: usize = self.lanes.iter().map(|(_, lane)| lane.late.len()).sum();
        ensure((delayed, late) == (self.delays.len(), listed), || "alarms of nobody".into())?;
        self.jobs.iter().try_for_each(|(id, job)| {
            ensure(job.due_at == job.backlog.next_due(), || format!("{id:?} would oversleep its retry"))?;
            let of_job = self.batches.values().filter(|batch| batch.job == *id);
            let watched = of_job.filter(|batch| may_become_late(batch, job)).count();
            ensure(watched == job.watched.len(), || format!("{id:?} has {watched} tasks to watch"))?;
            let place = (Reverse(job.share.priority()), *id);
            let listed = self.lanes.get(job.lane).is_some_and(|lane| lane.alone.contains(&place));
            ensure(listed == job.is_ready_alone(), || format!("{id:?} waits for an empty worker or not"))
        })
    }

    fn ready_jobs_are_those_with_a_turn(&self) -> Check {
        let ready = self.jobs.values().filter(|job| job.is_ready()).count();
        let listed: usize = self.lanes.iter().map(|(_, lane)| lane.fairness.ready_jobs()).sum();
        ensure(ready == listed, || format!("{ready} jobs are ready, not as listed"))?;
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
        let listed: usize = self.lanes.iter().map(|(_, lane)| lane.candidates.len()).sum();
        ensure(placed == listed, || format!("{placed} batches are candidates, not as listed"))?;
        self.batches.iter().try_for_each(|(id, batch)| {
            let movable = self.jobs.get(&batch.job).is_some_and(Job::is_movable);
            let expected = batch.surplus() > 0 && batch.question == Question::None && movable;
            ensure(batch.place.is_some() == expected, || format!("{id:?} should be a candidate: {expected}"))
        })
    }

    fn questions_are_counted(&self) -> Check {
        self.lanes.iter().try_for_each(|(id, lane)| {
            let of_lane = |batch: &Batch| self.jobs.get(&batch.job).is_some_and(|job| job.lane == id);
            let open = self.batches.values().filter(|batch| batch.question == Question::Open);
            let asked = open.filter(|batch| of_lane(batch)).count() as u64;
            ensure(asked == lane.candidates.asked, || format!("{asked} questions are open, not as counted"))
        })
    }

    fn running_spans(&self, id: JobId) -> Vec<(u64, u64)> {
        // Of twins, the older one stands for both.
        let is_copy = |own: BatchId, twin: Option<BatchId>| twin.is_some_and(|twin| twin < own);
        let batches = self.batches.iter().filter(|(_, batch)| batch.job == id && !batch.is_void);
        let batches = batches.filter(|&(&own, batch)| !is_copy(own, batch.twin)).map(|(_, batch)| batch);
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
