//! What workers say to a coordinator.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| poolmap_coordinator::fuzzing::worker_message(script));
