//! A command with replacement strings, and values.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| poolmap_worker::fuzzing::template(input));
