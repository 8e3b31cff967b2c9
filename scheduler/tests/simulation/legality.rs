//! Where the scheduler has a choice: what it may do, whatever its policy is.

use poolmap_scheduler::{Action, BatchId, WorkerId};

use crate::ledger::Ledger;
use crate::records::{Batch, Place, is_plain};

impl Ledger {
    /// Checks that an action is legal and notes what it does.
    pub(crate) fn obey(&mut self, action: &Action, capacity_factor: u32) {
        match *action {
            Action::Assign { worker, batch, job, first, count, attempt } => {
                assert_eq!(batch.0, self.last_batch + 1, "batch ids come from a counter");
                self.last_batch = batch.0;
                let new = Batch {
                    job,
                    worker,
                    first,
                    length: count,
                    done: 0,
                    attempt,
                    has_begun: false,
                    twin: None,
                    was_copied: false,
                    is_void: false,
                };
                self.a_worker_gets_what_it_has_room_for(&new, capacity_factor);
                match self.jobs[&job].tasks[first as usize].place {
                    Place::InFlight(older) => self.copy(batch, new, older),
                    _ => self.assign(batch, new),
                }
            }
            Action::TakeBack { worker, batch, count } => {
                let asked = self.known(worker, batch).expect("only batches in flight are asked for");
                assert!((1..=asked.length - asked.done).contains(&count), "asks for {count} of {asked:?}");
            }
            Action::Stop { worker, batch } => {
                // One that is where it may not be is over at once; which are stopped is told beforehand.
                let is_with_another = self.batches.get(&batch).is_some_and(|batch| batch.worker != worker);
                assert!(!is_with_another, "{batch:?} is not with {worker:?}");
            }
            _ => {}
        }
    }

    fn a_worker_gets_what_it_has_room_for(&self, new: &Batch, capacity_factor: u32) {
        let worker = self.workers.get(&new.worker).expect("the worker is attached");
        let held: Vec<_> = self.batches.values().filter(|batch| batch.worker == new.worker).collect();
        let room = worker.slots * capacity_factor;
        assert!(held.len() < room as usize, "{:?} holds {} batches", new.worker, held.len());
        assert!(self.may_run(new), "no task goes to a worker that may not run it");
        assert!(!worker.is_draining, "a draining worker gets nothing");
        assert!(!held.iter().any(|batch| self.is_alone(batch)), "nothing joins a task that runs alone");
        assert!(held.is_empty() || !self.is_alone(new), "an evicted task joins nothing");
    }

    /// Whether a batch is a task that was evicted before.
    pub(crate) fn is_alone(&self, batch: &Batch) -> bool {
        let job = self.jobs.get(&batch.job).filter(|_| !batch.is_void && batch.length == 1);
        job.is_some_and(|job| job.tasks[batch.first as usize].evictions > 0)
    }

    fn assign(&mut self, id: BatchId, batch: Batch) {
        self.nobody_more_urgent_waits(&batch);
        let now = self.now;
        let job = self.jobs.get_mut(&batch.job).expect("the job is known");
        assert!(!job.is_held && !job.is_cancelled, "nothing of a held or cancelled job is handed out");
        assert!(
            batch.length > 0 && (batch.length == 1 || batch.attempt == 1),
            "retries run by themselves: {batch:?}"
        );
        let tasks = &mut job.tasks[batch.first as usize..(batch.first + u64::from(batch.length)) as usize];
        let chunk = tasks[0].chunk;
        for task in tasks {
            assert_eq!(task.place, Place::Queued, "only what waits is handed out: {batch:?}");
            assert_eq!(task.chunk, chunk, "no batch spans two chunks: {batch:?}");
            assert_eq!(task.next_attempt, batch.attempt, "attempts are counted: {batch:?}");
            assert!(task.not_before <= now, "a retry waits for its time: {batch:?}");
            job.ready -= u64::from(is_plain(task));
            task.place = Place::InFlight(id);
            task.last_attempt = batch.attempt;
            task.not_before = 0;
        }
        job.counts.queued -= u64::from(batch.length);
        job.counts.running += u64::from(batch.length);
        self.batches.insert(id, batch);
    }

    fn nobody_more_urgent_waits(&self, batch: &Batch) {
        let priority = self.jobs[&batch.job].options.priority;
        for (id, other) in &self.jobs {
            let class = self.workers[&batch.worker].class;
            let is_ready = other.ready > 0 && !other.is_held && other.options.classes.include(class);
            let waits = is_ready && other.options.priority > priority;
            assert!(!waits, "{batch:?} before the more urgent {id:?}");
        }
    }

    fn copy(&mut self, id: BatchId, mut copy: Batch, older_id: BatchId) {
        self.there_is_an_idle_slot(copy.worker);
        let job = self.jobs.get_mut(&copy.job).expect("the job is known");
        assert!(job.options.speculate && !job.is_held && !job.is_cancelled, "no copy was asked for");
        assert!(job.ready == 0, "a copy while {} tasks wait", job.ready);
        let task = &mut job.tasks[copy.first as usize];
        assert_eq!(
            (copy.length, copy.attempt),
            (1, task.last_attempt + 1),
            "a copy is an attempt of one task"
        );
        task.last_attempt = copy.attempt;
        *self.causes.entry((copy.job, copy.first)).or_default() += 1;
        let older = self.batches.get_mut(&older_id).expect("the older one is in flight");
        assert!(
            older.has_begun && older.length - older.done == 1,
            "only a task that runs is copied: {older:?}"
        );
        assert!(!older.was_copied, "one copy is enough: {older:?}");
        (older.twin, older.was_copied) = (Some(id), true);
        (copy.twin, copy.was_copied) = (Some(older_id), true);
        self.batches.insert(id, copy);
    }

    fn there_is_an_idle_slot(&self, id: WorkerId) {
        let held = self.batches.values().filter(|batch| batch.worker == id).count();
        assert!(held < self.workers[&id].slots as usize, "a copy where no slot idles");
    }
}
