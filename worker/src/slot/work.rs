//! What a slot has to do: batches in order, and which of their tasks lie with the runner. Pure bookkeeping.
//!
//! A batch's tasks are in one of three ranges, in this order: *reported* (their outcomes went to the coordinator),
//! *sent* (in frames that the runner has not confirmed), and *unsent*. What is unsent can be given back at any time.

use std::collections::VecDeque;
use std::sync::Arc;

use poolmap_proto::v1::Batch;

use crate::job::Job;

/// One batch of a slot.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) batch_id: u64,
    pub(crate) job: Arc<Job>,
    pub(crate) attempt: u32,
    first_index: u64,
    lengths: Vec<u32>,
    payloads: bytes::Bytes,
    /// Bytes of the payloads before the first unsent task.
    sent_bytes: usize,
    /// Tasks that are (still) to be run, those that have ended included.
    length: u32,
    sent: u32,
    reported: u32,
    /// The coordinator knows that it has begun.
    is_begun: bool,
}

/// Tasks that lie with the runner in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SentFrame {
    pub(crate) batch_id: u64,
    /// Sequence number of its first task.
    pub(crate) sequence: u64,
    /// Place in the batch of its first task.
    pub(crate) offset: u32,
    /// Tasks the runner was given.
    pub(crate) sent_count: u32,
    /// Tasks of these that it will run, as far as is known.
    pub(crate) count: u32,
}

impl SentFrame {
    /// Sequence number after its last task.
    pub(crate) fn end(&self) -> u64 {
        self.sequence + u64::from(self.count)
    }

    /// Place in the batch of the task with this sequence number, which must not lie before the frame.
    pub(crate) fn offset_of(&self, sequence: u64) -> u32 {
        self.offset + (sequence.saturating_sub(self.sequence).min(u64::from(self.count))) as u32
    }
}

/// The next tasks for the runner.
#[derive(Debug)]
pub(crate) struct NextTasks<'a> {
    pub(crate) batch_id: u64,
    pub(crate) job: &'a Arc<Job>,
    pub(crate) attempt: u32,
    /// Place in the batch of the first of them.
    pub(crate) offset: u32,
    /// Index in the job of the first of them.
    pub(crate) index: u64,
    pub(crate) lengths: &'a [u32],
    pub(crate) payloads: &'a [u8],
}

impl Work {
    /// A batch as it came from the coordinator.
    pub(crate) fn new(batch: Batch, job: Arc<Job>) -> Self {
        let tasks = batch.tasks.unwrap_or_default();
        Self {
            batch_id: batch.batch_id,
            job,
            attempt: batch.attempt,
            first_index: tasks.first_index,
            length: tasks.lengths.len() as u32,
            lengths: tasks.lengths,
            payloads: tasks.payloads,
            sent_bytes: 0,
            sent: 0,
            reported: 0,
            is_begun: false,
        }
    }

    /// Tasks the batch has, those that have ended included.
    pub(crate) fn length(&self) -> u32 {
        self.length
    }

    /// Whether every task of it has been reported.
    pub(crate) fn is_finished(&self) -> bool {
        self.reported >= self.length
    }

    /// Gives back at most `count` tasks that are not sent; returns how many it could not.
    pub(crate) fn give_back_unsent(&mut self, count: u32) -> u32 {
        let given = count.min(self.length - self.sent);
        self.length -= given;
        count - given
    }

    /// Tasks from `offset` on do not lie with the runner after all.
    pub(crate) fn unsend_from(&mut self, offset: u32) {
        while self.sent > offset.max(self.reported) {
            self.sent -= 1;
            self.sent_bytes -= self.lengths.get(self.sent as usize).map_or(0, |length| *length as usize);
        }
    }

    /// At most `limit` unsent tasks; `None` if there are none.
    fn next_tasks(&self, limit: u32) -> Option<NextTasks<'_>> {
        let count = limit.min(self.length - self.sent);
        let lengths = self.lengths.get(self.sent as usize..(self.sent + count) as usize)?;
        let bytes: usize = lengths.iter().map(|length| *length as usize).sum();
        let payloads = self.payloads.get(self.sent_bytes..self.sent_bytes + bytes)?;
        (count > 0).then_some(NextTasks {
            batch_id: self.batch_id,
            job: &self.job,
            attempt: self.attempt,
            offset: self.sent,
            index: self.first_index + u64::from(self.sent),
            lengths,
            payloads,
        })
    }
}

/// The batches of a slot, oldest first, and the frames that its runner has not confirmed.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    works: VecDeque<Work>,
    frames: VecDeque<SentFrame>,
}

impl Queue {
    pub(crate) fn push(&mut self, work: Work) {
        self.works.push_back(work);
    }

    pub(crate) fn get_mut(&mut self, batch_id: u64) -> Option<&mut Work> {
        self.works.iter_mut().find(|work| work.batch_id == batch_id)
    }

    pub(crate) fn get(&self, batch_id: u64) -> Option<&Work> {
        self.works.iter().find(|work| work.batch_id == batch_id)
    }

    /// Forgets a batch: it is finished, or it ended with its runner.
    pub(crate) fn remove(&mut self, batch_id: u64) -> Option<Work> {
        let place = self.works.iter().position(|work| work.batch_id == batch_id)?;
        self.works.remove(place)
    }

    /// The batches of a job.
    pub(crate) fn batches_of(&self, job_id: u64) -> Vec<u64> {
        self.works.iter().filter(|work| work.job.id == job_id).map(|work| work.batch_id).collect()
    }

    /// Sequence number of the task at `offset` of a batch, if it lies with the runner.
    pub(crate) fn sequence_of(&self, batch_id: u64, offset: u32) -> Option<u64> {
        let holds = |frame: &&SentFrame| {
            frame.batch_id == batch_id && (frame.offset..frame.offset + frame.count).contains(&offset)
        };
        self.frames.iter().find(holds).map(|frame| frame.sequence + u64::from(offset - frame.offset))
    }

    /// Frames that the runner has not confirmed, oldest first.
    pub(crate) fn frames(&self) -> &VecDeque<SentFrame> {
        &self.frames
    }

    /// The job of the next tasks to send, if there are any.
    pub(crate) fn next_job(&self) -> Option<&Arc<Job>> {
        self.works.iter().find(|work| work.sent < work.length).map(|work| &work.job)
    }

    /// Moves at most `limit` tasks of one batch to the runner: `frame` gets them before they count as sent.
    pub(crate) fn send(&mut self, limit: u32, sequence: u64, frame: impl FnOnce(&NextTasks<'_>)) -> Option<SentFrame> {
        let work = self.works.iter_mut().find(|work| work.sent < work.length)?;
        let tasks = work.next_tasks(limit)?;
        frame(&tasks);
        let count = tasks.lengths.len() as u32;
        let sent = SentFrame { batch_id: tasks.batch_id, sequence, offset: tasks.offset, sent_count: count, count };
        let bytes = tasks.payloads.len();
        work.sent += count;
        work.sent_bytes += bytes;
        self.frames.push_back(sent);
        Some(sent)
    }

    /// The runner has confirmed its oldest frame up to `sequence`; what it did not run counts as unsent.
    pub(crate) fn confirm(&mut self, sequence: u64) -> Option<SentFrame> {
        let frame = self.frames.pop_front()?;
        if sequence < frame.end() {
            self.unsend(&frame, sequence);
        }
        Some(frame)
    }

    /// Tasks of all frames from `sequence` on will not be run by this runner: they count as unsent.
    pub(crate) fn void_from(&mut self, sequence: u64) {
        for place in (0..self.frames.len()).rev() {
            let Some(frame) = self.frames.get(place).copied() else { continue };
            if frame.end() > sequence {
                self.unsend(&frame, sequence);
                if let Some(frame) = self.frames.get_mut(place) {
                    frame.count = sequence.saturating_sub(frame.sequence) as u32;
                }
            }
        }
    }

    /// The runner is gone: nothing lies with it any more.
    pub(crate) fn void_all(&mut self) {
        while let Some(frame) = self.frames.pop_back() {
            self.unsend(&frame, 0);
        }
    }

    fn unsend(&mut self, frame: &SentFrame, sequence: u64) {
        if let Some(work) = self.get_mut(frame.batch_id) {
            work.unsend_from(frame.offset_of(sequence));
        }
    }

    /// Notes that the next `count` tasks of a batch were reported.
    pub(crate) fn report(&mut self, batch_id: u64, count: u32) {
        if let Some(work) = self.get_mut(batch_id) {
            work.reported += count;
        }
    }

    /// The oldest batch of which a task below or at `begun` was sent and that is not yet known to have begun.
    pub(crate) fn newly_begun(&mut self, begun: u64) -> Option<u64> {
        for place in 0..self.frames.len() {
            let frame = self.frames.get(place).copied()?;
            if frame.sequence > begun {
                return None;
            }
            if let Some(work) = self.get_mut(frame.batch_id)
                && !std::mem::replace(&mut work.is_begun, true)
            {
                return Some(frame.batch_id);
            }
        }
        None
    }
}
