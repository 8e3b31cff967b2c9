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

    /// Notes that the next `count` tasks were reported.
    pub(crate) fn report(&mut self, count: u32) {
        self.reported += count;
    }

    /// Place in the batch of the first task that was not reported.
    pub(crate) fn reported(&self) -> u32 {
        self.reported
    }
}
