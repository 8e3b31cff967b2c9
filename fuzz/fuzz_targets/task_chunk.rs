//! What a client sends as tasks.
#![no_main]

libfuzzer_sys::fuzz_target!(|request: &[u8]| poolmap_coordinator::fuzzing::task_chunk(request));
