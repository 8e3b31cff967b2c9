//! The main job under every Python on this machine that a version manager has put there.

use std::path::PathBuf;

use poolmap_tests::language::python;

const WORK: &str = "
import asyncio, sys
def do_work(a, b, c): return f'Pokemon#{a}{b}{c}'
async def later(x):
    await asyncio.sleep(0)
    return list(sys.version_info[:2])
def fail(x): raise ValueError(x)
";

/// Interpreters with their versions.
fn interpreters() -> Vec<(u32, PathBuf)> {
    let home = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")));
    let entries =
        home.and_then(|home| std::fs::read_dir(home.join("versions")).ok()).into_iter().flatten().flatten();
    let minor = |name: &str| name.strip_prefix("3.")?.split('.').next()?.parse().ok();
    entries
        .filter_map(|entry| Some((minor(entry.file_name().to_str()?)?, entry.path().join("bin/python3"))))
        .collect()
}

#[test]
fn every_python_from_3_9_on_runs_the_main_job() {
    let input = "[2,4,5]\n{\"function\":\"later\",\"args\":[1]}\n{\"function\":\"fail\",\"args\":[\"x\"]}\n";
    for (minor, interpreter) in interpreters().into_iter().filter(|(minor, _)| *minor >= 9) {
        for words in ["", "--preload json --max-tasks-per-child 2", "--backend thread -j2"] {
            let job =
                python(WORK, "f.py:do_work").words(words).arg("--python").arg(&interpreter).stdin(input);
            let results = job.run().exits(1).results();
            assert_eq!(results[0]["value"], "Pokemon#245", "3.{minor} {words}");
            assert_eq!(results[1]["value"], serde_json::json!([3, minor]));
            assert_eq!(results[2]["error"]["message"], "x");
        }
    }
}

#[test]
fn an_older_python_is_refused_by_name() {
    for (minor, interpreter) in interpreters().into_iter().filter(|(minor, _)| *minor < 9) {
        let job = python(WORK, "f.py:do_work").arg("--python").arg(&interpreter).stdin("[1,2,3]");
        let said = job.run().exits(2).stderr();
        assert!(said.contains("3.9 or newer") && said.contains(&format!("3.{minor}")), "{said}");
        assert!(!said.contains("Traceback"), "{said}");
    }
}
