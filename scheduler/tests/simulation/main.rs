//! The scheduler in a cluster that exists only in numbers: a virtual clock, workers with slots, connections
//! with delays, and everything that goes wrong. After every event all invariants hold and a record for every
//! task (the ledger) agrees with what the scheduler said.
//!
//! A failing schedule prints how to run it again. Tens of thousands of schedules:
//!
//! ```text
//! POOLMAP_SIM_SEEDS=50000 cargo test -p poolmap-scheduler --test simulation schedule -- --nocapture
//! ```
//!
//! It prints how often each kind of fault was tried. `POOLMAP_SIM_SEED=N` runs one schedule.
//!
//! Between the workers and the coordinator there may be relays (`relay`, `tree`), as `docs/scaling.md` describes them: each a
//! scheduler beside a ledger of its own. `POOLMAP_TREE_SEEDS` and `POOLMAP_TREE_SEED` are for them.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed check is a failed test"
)]

mod against_model;
mod checked;
mod cluster;
mod faults;
mod hosts;
mod ledger;
mod legality;
mod makespan;
mod node;
mod parents_batch;
mod random_schedules;
mod records;
mod relay;
mod rng;
mod tree;
mod tree_schedules;
mod trouble;
