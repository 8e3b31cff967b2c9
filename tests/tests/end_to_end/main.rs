//! The real binaries, as a user runs them: each test is a command line, its input, and what comes of it.
//!
//! [`poolmap_tests::language`] holds the few words that the tests are written in. Every test has a folder and processes of its
//! own, and fails if one of them outlives the command.
#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]
#![expect(clippy::indexing_slicing, reason = "what a JSON value lacks is null, and fails its comparison")]

mod bad_input;
mod children;
mod commands;
mod cpus;
mod ends;
mod examples;
mod functions;
mod help;
mod inputs;
mod interpreters;
mod native;
mod order;
mod outputs;
