//! What a runner claims, writes into its map and sends on its socket.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| poolmap_worker::fuzzing::runner_bytes(script));
