//! The units for systemd.

use std::fs;

use poolmap_tests::programs;

use crate::yard::{Yard, has_programs, project};

#[test]
fn systemd_understands_the_units() {
    if !has_programs(&["systemd-analyze"]) {
        return;
    }
    let yard = Yard::new();
    for unit in ["poolmap-coordinator.service", "poolmap-worker.service"] {
        let text = fs::read_to_string(project("examples/systemd").join(unit)).unwrap();
        let installed = "/usr/local/bin/poolmap";
        assert!(text.contains(installed), "{unit}");
        // What it starts must be there.
        let text = text.replace(installed, &programs::built().poolmap.display().to_string());
        let path = yard.write(unit, &text);
        let output = yard.command("systemd-analyze").arg("verify").arg(path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // Unknown keys are only warned of.
        assert!(output.status.success() && said.is_empty(), "{unit}: {said}");
    }
}
