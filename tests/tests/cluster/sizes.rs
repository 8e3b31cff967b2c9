//! What is larger than a message may be: it is refused by its name, and everything else goes on.

use crate::scene::{Cluster, Workers};

const MIB: usize = 1 << 20;

fn cluster() -> (Cluster, Workers) {
    Cluster::with_worker_of("--max-message-size 2MiB", "--name small")
}

/// Fails unless the worker that was there first is the only one there ever was.
fn its_worker_has_stayed(cluster: &Cluster) {
    let workers = cluster.json("workers --json");
    assert_eq!((workers.len(), &workers[0]["id"]), (1, &1.into()), "{workers:?}");
}

#[test]
fn an_outcome_that_is_too_large_is_a_failure_of_its_task_alone() {
    let (cluster, workers) = cluster();
    let lengths = [10, 4 * MIB, 2 * MIB - 2048, 2 * MIB, 10];
    let tasks = lengths.map(|length| format!("[{length}]\n")).concat();
    let ran = cluster.command("submit --details native:letters").stdin(tasks).run().exits(1);
    let results = ran.results();
    for (result, length) in results.iter().zip(lengths) {
        assert_eq!(result["attempts"], 1);
        if length < 2 * MIB {
            assert_eq!(result["value"].as_str().unwrap().len(), length);
            continue;
        }
        assert_eq!(
            (&result["error"]["kind"], &result["error"]["type"]),
            (&"exception".into(), &"OutcomeTooLarge".into())
        );
        let said = result["error"]["message"].as_str().unwrap();
        assert!(said.contains("at most 2.0 MiB") && said.contains("--max-message-size"), "{said}");
    }
    assert!(ran.error(1)["message"].as_str().unwrap().contains("takes 4.0 MiB"), "{}", ran.error(1));
    let printed = cluster.command("submit -- head -c {} /dev/zero ::: 3000000").run().exits(1);
    assert!(printed.stderr().contains("--max-message-size"), "{}", printed.stderr());
    its_worker_has_stayed(&cluster);
    cluster.stop();
    workers.leave();
}

#[test]
fn a_task_that_is_too_large_is_refused_by_its_number_and_what_came_before_it_runs() {
    let (cluster, workers) = cluster();
    // Chunks of their own.
    let word = |length: usize| format!("[\"{}\"]\n", "7".repeat(length));
    let tasks = [word(MIB), word(MIB), word(3 * MIB), word(1)].concat();
    let refused = |words: &str| {
        let ran = cluster.command("submit").words(words).arg("native:parse").stdin(&tasks).run().exits(2);
        let said = ran.stderr();
        assert!(said.contains("task 2 takes 3.0 MiB") && said.contains("(at most 2.0 MiB)"), "{said}");
        assert!(said.contains("with a larger --max-message-size"), "{said}");
        ran
    };
    assert_eq!(refused("").results().len(), 2);
    let job = refused("--detach").stdout().trim().to_owned();
    // Both are no numbers that fit.
    cluster.command("wait").arg(&job).run().exits(1);
    assert_eq!(cluster.command("results").arg(&job).run().exits(1).results().len(), 2);
    its_worker_has_stayed(&cluster);
    cluster.stop();
    workers.leave();
}

#[test]
fn a_function_that_is_too_large_is_refused_and_the_next_job_runs() {
    let (cluster, workers) = cluster();
    let file = format!("def f(x): return x\n# {}\n", "x".repeat(3 * MIB));
    let said = cluster.command("submit f.py:f").file("f.py", file).tasks(1).run().exits(2).stderr();
    assert!(said.contains("the job with its function takes 3.0 MiB"), "{said}");
    assert!(said.contains("with a larger --max-message-size"), "{said}");
    let ran = cluster.command("submit f.py:f").file("f.py", "def f(x): return x\n").tasks(3).run();
    assert_eq!(ran.succeeds().values().len(), 3);
    its_worker_has_stayed(&cluster);
    cluster.stop();
    workers.leave();
}

#[test]
fn a_limit_that_is_out_of_reason_is_refused() {
    let cluster = Cluster::start();
    for size in ["1MiB", "2GiB", "0"] {
        let said = cluster.operator("--max-message-size").arg(size).run().exits(2).stderr();
        assert!(said.contains("--max-message-size"), "{said}");
    }
    cluster.stop();
}

#[test]
fn files_for_which_a_coordinator_has_no_room_are_refused_with_the_option_that_makes_some() {
    let (cluster, workers) = Cluster::with_worker_of("--max-files-size 1MiB", "");
    let submit = |length: usize| {
        let line = cluster.command("submit --ship data -- cat {} ::: data");
        line.file("data", vec![b'7'; length]).run()
    };
    let said = submit(MIB + 1).exits(2).stderr();
    assert!(said.contains("may take 1.0 MiB") && said.contains("a larger --max-files-size"), "{said}");
    assert_eq!(submit(MIB).succeeds().bytes().len(), MIB);
    cluster.stop();
    workers.leave();
}
