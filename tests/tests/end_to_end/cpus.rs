//! `poolmap cpus`: how a pool is sized.

use poolmap_tests::language::poolmap;
use serde_json::Value;

#[test]
fn every_row_of_the_vectors_holds() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../worker/tests/vectors/calibration.json")).unwrap();
    let rows = vectors["rows"].as_array().unwrap();
    assert!(rows.len() > 200);
    for row in rows {
        let version: Vec<_> = row[1].as_array().unwrap().iter().map(Value::to_string).collect();
        let limit = match (row[5] == true, row[6] == true) {
            (true, _) => "off",
            (false, true) => "strict",
            (false, false) => "auto",
        };
        let machine = format!("cpus={},os={},python={}", row[2], row[0].as_str().unwrap(), version.join("."));
        let words = format!(
            "cpus --json --divisor {} --max-slots {} --platform-limit {limit} --as-if {machine}",
            row[3], row[4]
        );
        let line = poolmap(&words);
        if row[7] == "error" {
            line.run().exits(2);
        } else {
            let report: Value = serde_json::from_str(line.run().succeeds().stdout()).unwrap();
            assert_eq!((&report["slots"], &report["cpus"]), (&row[7], &row[2]), "{words}");
        }
    }
}

#[test]
fn this_machine_is_explained_in_one_line() {
    let ran = poolmap("cpus --divisor 1").run().succeeds();
    assert_eq!(ran.lines().len(), 1);
    let report: Value =
        serde_json::from_str(poolmap("cpus --json --divisor 1").run().succeeds().stdout()).unwrap();
    assert!(ran.stdout().starts_with(&format!("{} logical processor", report["cpus"])), "{}", ran.stdout());
}

#[test]
fn the_pool_of_a_run_has_the_size_that_is_told() {
    let report: Value =
        serde_json::from_str(poolmap("cpus --json --divisor 1").run().succeeds().stdout()).unwrap();
    let slots = report["slots"].as_u64().unwrap().min(3);
    let script = "sleep 0.1; echo {%}";
    let line =
        poolmap("run --divisor 1 --max-slots 3 -- sh -c").args([script, ":::"]).words("1 2 3 4 5 6 7 8 9");
    let ran = line.run().succeeds();
    assert_eq!(ran.sorted_lines().last(), Some(&slots.to_string().as_str()));
}
