//! Jobs for which time alone will change something, by when that is.

use std::collections::BTreeSet;

use crate::event::{JobId, Time};

/// At most one moment for each job. The job keeps a copy of it, by which it is found again.
#[derive(Debug, Default)]
pub(crate) struct Alarms(BTreeSet<(Time, JobId)>);

impl Alarms {
    /// Moves a job's alarm from where it was, `alarm`, to where it should be.
    pub(crate) fn set(&mut self, job: JobId, alarm: &mut Option<Time>, to: Option<Time>) {
        if *alarm == to {
            return;
        }
        if let Some(at) = alarm.take() {
            self.0.remove(&(at, job));
        }
        self.0.extend(to.map(|at| (at, job)));
        *alarm = to;
    }

    /// When the first goes off.
    pub(crate) fn next(&self) -> Option<Time> {
        self.0.first().map(|&(at, _)| at)
    }

    /// A job whose alarm has gone off.
    pub(crate) fn due(&self, now: Time) -> Option<JobId> {
        self.0.first().filter(|(at, _)| *at <= now).map(|&(_, job)| job)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
