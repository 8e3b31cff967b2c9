//! What a pool sends to a runner written in Rust.
#![no_main]

libfuzzer_sys::fuzz_target!(|sent: &[u8]| poolmap_worker::fuzzing::serve_bytes(sent));
