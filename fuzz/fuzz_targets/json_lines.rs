//! What a user gives as input.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| poolmap::input::fuzzing::json_lines(input));
