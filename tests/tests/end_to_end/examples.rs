//! The examples, run as their first lines say.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;

use poolmap_tests::language::{Line, poolmap, program};
use poolmap_tests::programs::{has_numpy, root};
use serde_json::{Value, json};

/// A script of the shell, in the project's top folder, with `poolmap` on the search path.
fn shell(script: &str) -> Line {
    program("sh").arg("-c").arg(script).current_dir(root())
}

/// The lines of an example's header that are indented: what to type.
fn instructions(example: &str) -> String {
    let text = std::fs::read_to_string(root().join("examples").join(example)).unwrap();
    let header = text.split("\"\"\"").nth(1).unwrap();
    let lines = header.lines().filter_map(|line| line.strip_prefix("    "));
    lines.map(|line| format!("{line}\n")).collect::<Vec<_>>().concat()
}

#[test]
fn pokemon() {
    let ran = shell(&instructions("pokemon.py")).run().succeeds();
    assert_eq!(ran.values(), ["Pokemon#245", "Pokemon#250", "Pokemon#380", "Pokemon#381"]);
}

#[test]
fn wordcount() {
    let ran = shell(&instructions("wordcount.py")).run().succeeds();
    let lines = ran.lines();
    let counts: Vec<u32> =
        lines.iter().map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect();
    assert_eq!(counts.len(), 20);
    assert!(counts.is_sorted_by(|one, next| one >= next) && counts[0] > 100, "{lines:?}");
    assert!(lines.iter().any(|line| line.ends_with(" the")), "{lines:?}");
}

#[test]
fn sweep() {
    if !has_numpy() {
        return;
    }
    let ran = shell(&instructions("sweep.py")).run().succeeds();
    let values = ran.values();
    let exponent =
        |r: f64| values.iter().find(|value| value["r"] == r).unwrap()["exponent"].as_f64().unwrap();
    assert_eq!(values.len(), 300);
    assert!(exponent(2.5) < 0.0, "it settles");
    assert!((exponent(4.0) - std::f64::consts::LN_2).abs() < 0.02, "it is chaotic, with exponent ln 2");
}

#[test]
fn fetch() {
    let server_line =
        program("python3").words("-u -m http.server --bind 127.0.0.1 0").file("small", "x".repeat(10));
    let mut server = server_line.start();
    let mut said = String::new();
    BufReader::new(server.stdout()).read_line(&mut said).unwrap();
    let port = said.split_whitespace().find_map(|word| word.parse::<u16>().ok()).unwrap();
    let tasks = std::fs::read_to_string(root().join("examples/fetch.jsonl")).unwrap();
    assert!(tasks.contains("127.0.0.1:8000") || tasks.contains("localhost:8000"), "{tasks}");
    let mut tasks = tasks.replace(":8000", &format!(":{port}"));
    let count = tasks.lines().count();
    tasks += &json!([format!("http://127.0.0.1:{port}/small"), format!("http://127.0.0.1:{port}/none")])
        .to_string();
    let job = poolmap("run").arg(root().join("examples/fetch.py:fetch")).stdin(tasks);
    let values = job.run().succeeds().values();
    assert_eq!(values.len(), count + 1);
    let last: Vec<_> = values[count].as_array().unwrap().iter().map(|page| page["status"].clone()).collect();
    assert_eq!((last, &values[count][0]["bytes"]), (vec![json!(200), json!(404)], &json!(10)));
    server.send(nix::sys::signal::Signal::SIGKILL);
    server.ends();
}

#[test]
fn convert() {
    let names = ["one.txt", "two words.txt", "it's.txt"];
    let mut line = program(root().join("examples/convert.sh"));
    for name in names {
        line = line.file(name, "many words, many words\n".repeat(100)).arg(name);
    }
    let folder: PathBuf = line.folder().to_owned();
    let ran = line.run().succeeds();
    let lines = ran.lines();
    assert_eq!(lines.len(), 3);
    for (line, name) in lines.iter().zip(names) {
        let size = std::fs::metadata(folder.join(format!("{name}.gz"))).unwrap().len();
        assert_eq!(*line, format!("{name}\t{size} {name}.gz"));
        assert!(folder.join(name).exists() && folder.join(format!("{name}.level1.gz")).exists());
    }
}

#[test]
fn readme() {
    let text = std::fs::read_to_string(root().join("examples/README.md")).unwrap();
    let shown: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let ran = poolmap("run examples/pokemon.py:do_work examples/pokemon.jsonl")
        .current_dir(root())
        .run()
        .succeeds();
    assert_eq!(ran.results(), shown);
}
