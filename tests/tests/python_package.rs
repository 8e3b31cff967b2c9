//! The Python package as its users get it: the wheel is built, installed into a virtual environment of its own, and there it
//! passes its tests. Everything else about it is in `python/tests`.

use std::io;
use std::path::Path;
use std::process::Command;

#[test]
fn the_wheel_is_built_and_passes_its_tests() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(root.join("python/build")).args(["--dev", "--test"]).output()?;
    let (printed, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "python/build --dev --test: {}\n{printed}\n{errors}", output.status);
    Ok(())
}
