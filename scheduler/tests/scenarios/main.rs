//! One rule of the scheduler per test, told as a story: what was given, what happened, and exactly what was
//! done about it.

#![expect(clippy::indexing_slicing, reason = "an action that is missing is a failed test")]

mod batches;
mod cancelling;
mod crashes;
mod draining;
mod eligibility;
mod evictions;
mod failures;
mod fairness;
mod speculation;
mod story;
mod strangers;
mod taking_back;
mod withdrawing;
