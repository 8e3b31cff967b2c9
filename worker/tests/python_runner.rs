//! Runs the Python runner's own tests, which speak the slot protocol from the pool's side.

use std::process::Command;

#[test]
fn the_python_runner_keeps_the_slot_protocol() -> std::io::Result<()> {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/test_runner.py");
    let output = Command::new("python3").arg(tests).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    Ok(())
}
