//! What is read from a run: one number with its unit, and which way is better.

use serde::{Deserialize, Serialize};

use crate::memory;
use crate::process::Run;

const MB: f64 = 1e6;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    Higher,
    Lower,
}

impl Better {
    /// How many times better `ours` is than `theirs`: above 1 is better, whichever way this metric counts.
    pub(crate) fn ratio(self, ours: f64, theirs: f64) -> f64 {
        match self {
            Self::Higher => ours / theirs,
            Self::Lower => theirs / ours,
        }
    }
}

type Read = Box<dyn Fn(&Run) -> Option<f64>>;

/// One number of a run; none where the run does not tell it.
pub(crate) struct Metric {
    pub(crate) label: &'static str,
    pub(crate) better: Better,
    read: Read,
}

impl Metric {
    fn new(label: &'static str, better: Better, read: impl Fn(&Run) -> Option<f64> + 'static) -> Self {
        Self { label, better, read: Box::new(read) }
    }

    pub(crate) fn read(&self, run: &Run) -> Option<f64> {
        (self.read)(run)
    }

    /// `amount` of anything over the time of the whole command.
    pub(crate) fn per_second(label: &'static str, amount: f64) -> Self {
        Self::new(label, Better::Higher, move |run| Some(amount / run.wall_s))
    }

    /// `amount` over the time of the pool's call alone, which only peers tell: without interpreter, imports, files and, mostly, the pool's start.
    pub(crate) fn per_second_of_call(label: &'static str, amount: f64) -> Self {
        Self::new(label, Better::Higher, move |run| Some(amount / run.reported.get("call_s")?))
    }

    /// Results per second from the first to the last, as they came out of a pipe.
    pub(crate) fn results_per_second() -> Self {
        Self::new("tasks/s, first to last result", Better::Higher, |run| run.lines_per_s)
    }

    pub(crate) fn milliseconds() -> Self {
        Self::new("ms", Better::Lower, |run| Some(run.wall_s * 1e3))
    }

    /// A time or a size that the program measured and told itself.
    pub(crate) fn reported(label: &'static str, key: &'static str) -> Self {
        Self::new(label, Better::Lower, |run| run.reported.get(key).copied())
    }

    /// A rate that the program measured and told itself.
    pub(crate) fn reported_rate(label: &'static str, key: &'static str) -> Self {
        Self::new(label, Better::Higher, move |run| run.reported.get(key).copied())
    }

    pub(crate) fn peak_rss() -> Self {
        Self::new("MB", Better::Lower, |run| Some(run.memory.last()?.peak_rss_bytes as f64 / MB))
    }

    pub(crate) fn rss_growth() -> Self {
        Self::new("MB growth", Better::Lower, |run| Some(memory::growth_bytes(&run.memory)? / MB))
    }
}
