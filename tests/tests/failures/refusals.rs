//! Limits that make no sense are refused before anything runs, naming the option.

use poolmap_tests::language::python;

/// Fails unless this is refused with all these words, and nothing ran.
fn refused(words: &str, naming: &[&str]) {
    let source = "def f(task): open('ran', 'w').write('yes')";
    let ran = python(source, "f.py:f").words(words).file("ran", "no").tasks(3).run().exits(2);
    let said = ran.stderr();
    for word in naming {
        assert!(said.contains(word), "{words}: {word} is not in: {said}");
    }
    assert_eq!((ran.stdout(), ran.file("ran").as_str()), ("", "no"), "{words}");
}

#[test]
fn times_that_are_none_are_refused() {
    for option in ["--timeout", "--job-timeout", "--worker-timeout", "--retry-delay"] {
        for value in ["abc", "0", "0s", "-1", "-1s", "1x", "1e999", "nan", "inf"] {
            refused(&format!("--retries 1 {option} {value}"), &[option]);
        }
    }
}

#[test]
fn numbers_that_are_none_are_refused() {
    for (option, values) in [
        ("--crash-limit", &["0", "-1", "abc", "1.5", "99999999999"][..]),
        ("--retries", &["-1", "abc", "1.5", "99999999999"]),
        ("--halt", &["0", "0%", "-1", "101%", "second", "1.5", "%"]),
        ("--max-tasks-per-child", &["0", "-1", "abc"]),
        ("--max-child-rss", &["0", "-1", "abc", "0MB"]),
        ("--workers", &["0", "-1", "abc"]),
    ] {
        for value in values {
            refused(&format!("{option} {value}"), &[option]);
        }
    }
}

#[test]
fn contradictions_name_the_options() {
    refused("--backend inline --timeout 1s", &["--timeout", "--backend"]);
    refused("--backend thread --timeout 1s", &["--timeout", "--backend"]);
    refused("--job-timeout 1s --timeout 2s", &["--job-timeout", "--timeout"]);
    refused("--retry-delay 1s", &["--retry-delay", "--retries"]);
    refused("--retries 0 --retry-delay 1s", &["--retry-delay", "--retries"]);
    refused("--backend inline --workers 2", &["--workers", "--backend"]);
    refused("--backend thread --max-tasks-per-child 5", &["--max-tasks-per-child", "--backend"]);
}
