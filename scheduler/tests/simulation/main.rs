//! The scheduler in a cluster that exists only in numbers: a virtual clock, workers with slots, connections
//! with delays, and everything that goes wrong. After every event all invariants hold and a record for every
//! task (the ledger) agrees with what the scheduler said.
//!
//! A failing schedule prints its seed. `POOLMAP_SIM_SEED=N` runs one seed, `POOLMAP_SIM_SEEDS=N` runs so
//! many.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed check is a failed test"
)]

mod against_model;
mod cluster;
mod faults;
mod ledger;
mod makespan;
mod node;
mod random_schedules;
mod rng;
