//! The commands that submit, see and steer jobs and workers.

use poolmap_proto::access::Role;
use poolmap_tests::language::{Line, SOON, eventually};
use serde_json::Value;

use crate::scene::{Cluster, Workers, poolmap};

impl Cluster {
    /// A client's command line.
    pub(crate) fn command(&self, words: &str) -> Line {
        poolmap(words).env("POOLMAP_ACCESS", self.access_file(Role::Client))
    }

    /// What a command with `--json` prints.
    pub(crate) fn json(&self, words: &str) -> Vec<Value> {
        let ran = self.command(words).run().succeeds();
        ran.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn one(&self, words: &str) -> Value {
        let [only] = <[Value; 1]>::try_from(self.json(words)).unwrap();
        only
    }

    /// Submits so many tasks that take so long, and returns the job's number.
    pub(crate) fn detached(&self, words: &str, tasks: usize, ms: u32) -> String {
        let lines = format!("[{ms}]\n").repeat(tasks);
        let line = self.command("submit --detach native:sleep_ms").words(words).stdin(lines);
        line.run().succeeds().stdout().trim().to_owned()
    }

    /// Waits until a job is in some state.
    pub(crate) fn eventually(&self, job: &str, state: &str) -> Value {
        eventually(&format!("job {job} is {state}"), SOON, || {
            let status = self.one(&format!("show {job} --json"));
            (status["state"] == state).then_some(status)
        })
    }

    /// A cluster with one worker of two slots.
    fn with_worker(words: &str) -> (Self, Workers) {
        Self::with_worker_of("", &format!("--name one {words}"))
    }

    /// The same with flags for both.
    pub(crate) fn with_worker_of(coordinator: &str, worker: &str) -> (Self, Workers) {
        let cluster = Self::start_with(coordinator);
        let workers = Workers::start([cluster.worker(&format!("-j2 {worker}"))]);
        eventually("the worker has joined", SOON, || {
            (!cluster.json("workers --json").is_empty()).then_some(())
        });
        (cluster, workers)
    }
}

const PYTHON: &str = "
def mixed(x):
    print('printed')
    if x == 2: raise ValueError('two')
    return x * x
";

#[test]
fn submit_reads_writes_and_exits_as_run_does() {
    let (cluster, workers) = Cluster::with_worker("");
    let function = |words: &str| cluster.command("submit f.py:mixed").words(words).file("f.py", PYTHON);
    let all = function("-k").tasks(4).run().exits(1);
    assert_eq!(all.results()[3]["value"], 9);
    assert_eq!(all.error(2)["type"], "ValueError");
    let bare = function("-k --output value").tasks(2).run().succeeds();
    assert_eq!(bare.stdout(), "0\n1\n");
    let details = function("--details").tasks(1).run().succeeds();
    assert_eq!(
        (&details.results()[0]["worker"], &details.results()[0]["stdout"]),
        (&"one".into(), &"printed\n".into())
    );
    let command = cluster.command("submit -k -- echo {1}-{2} ::: a b ::: 1 2").run().succeeds();
    assert_eq!(command.stdout(), "a-1\na-2\nb-1\nb-2\n");
    function("").stdin("[1]\nno JSON\n").run().exits(2);
    cluster.command("submit f.py:missing").file("f.py", PYTHON).tasks(1).run().exits(2);
    cluster.command("submit --backend inline native:do_work").tasks(1).run().exits(2);
    cluster.stop();
    workers.leave();
}

#[test]
fn results_of_a_detached_job_are_there_for_everybody_and_again() {
    let (cluster, workers) = Cluster::with_worker("");
    let job = cluster.detached("--name nightly --priority 3", 20, 1);
    cluster.command("wait").arg(&job).run().succeeds();
    for _ in 0..2 {
        assert_eq!(cluster.command("results").arg(&job).run().succeeds().values().len(), 20);
    }
    assert_eq!(cluster.command("results --from 15").arg(&job).run().succeeds().lines().len(), 5);
    let status = cluster.one(&format!("show {job} --json"));
    let told =
        ["name", "state", "tasks", "done", "failed", "priority", "detached"].map(|key| status[key].clone());
    assert_eq!(Value::from(told.to_vec()), serde_json::json!(["nightly", "done", 20, 20, 0, 3, true]));
    assert!(cluster.command("jobs").run().succeeds().stdout().contains("nightly"));
    cluster.stop();
    workers.leave();
}

#[test]
fn results_stream_while_the_job_runs_and_a_job_that_was_paused_goes_on() {
    let (cluster, workers) = Cluster::with_worker("");
    let job = cluster.detached("", 100, 20);
    cluster.command("pause").arg(&job).run().succeeds();
    let paused = cluster.eventually(&job, "paused");
    assert!(paused["done"].as_u64() < Some(100), "{paused}");
    let reader = cluster.command("results").arg(&job).start();
    cluster.command("resume").arg(&job).run().succeeds();
    reader.ends().exits(0);
    cluster.eventually(&job, "done");
    cluster.stop();
    workers.leave();
}

#[test]
fn a_job_that_is_cancelled_says_so_and_its_waiter_exits_with_1() {
    let (cluster, workers) = Cluster::with_worker("");
    let job = cluster.detached("", 1000, 3_600_000);
    cluster.eventually(&job, "running");
    let waiter = cluster.command("wait").arg(&job).start();
    cluster.command("cancel").arg(&job).run().succeeds();
    let said = waiter.ends().exits(1).stderr();
    assert!(said.contains("it was cancelled"), "{said}");
    cluster.eventually(&job, "stopped");
    let next = cluster.detached("", 2, 1);
    cluster.command("wait").arg(&next).run().succeeds();
    cluster.stop();
    workers.leave();
}

#[test]
fn tasks_run_only_where_the_labels_are() {
    let (cluster, workers) = Cluster::with_worker("");
    let job = cluster.detached("--label gpu", 3, 1);
    let waiting = cluster.eventually(&job, "waiting");
    assert!(waiting["waits_for"].as_str().unwrap().contains("gpu"), "{waiting}");
    let more = Workers::start([cluster.worker("--name two -j1 --label gpu --label big")]);
    cluster.command("wait").arg(&job).run().succeeds();
    let labels: Vec<_> =
        cluster.json("workers --json").iter().map(|worker| worker["labels"].clone()).collect();
    assert_eq!(Value::from(labels), serde_json::json!([[], ["gpu", "big"]]));
    cluster.stop();
    workers.leave();
    more.leave();
}

#[test]
fn a_worker_that_is_drained_leaves_when_its_tasks_have_ended() {
    let (cluster, workers) = Cluster::with_worker("");
    let job = cluster.detached("", 2, 300);
    cluster.eventually(&job, "running");
    cluster.command("drain one").run().succeeds();
    workers.leave();
    cluster.eventually(&job, "done");
    let missing = cluster.command("drain nobody").run().exits(2);
    assert!(missing.stderr().contains("nobody"), "{}", missing.stderr());
    cluster.stop();
}

#[test]
fn no_job_has_the_number_of_one_that_an_earlier_coordinator_had() {
    let (cluster, workers) = Cluster::with_worker("");
    let first = cluster.detached("", 1, 1);
    cluster.command("wait").arg(&first).run().succeeds();
    let mut folder = cluster.into_folder();
    workers.leave();
    let mut known = vec![first];
    for _ in 0..2 {
        let cluster = Cluster::start_in(folder, "");
        for command in ["show", "results"] {
            for job in &known {
                let said = cluster.command(command).arg(job).run().exits(2).stderr();
                assert_eq!(
                    said,
                    format!(
                        "poolmap: there is no job {job} any more: the coordinator was restarted since, and jobs do not outlive it\n"
                    )
                );
            }
        }
        let next = cluster.detached("", 1, 1);
        assert!(!known.contains(&next), "{next} is one of {known:?}");
        cluster.one(&format!("show {next} --json"));
        known.push(next);
        folder = cluster.kill();
    }
}

#[test]
fn a_job_that_is_not_there_is_a_mistake_and_a_coordinator_that_is_not_there_a_loss() {
    let cluster = Cluster::start();
    for command in ["show", "results", "wait", "cancel", "pause", "resume"] {
        let ran = cluster.command(command).arg("77").run().exits(2);
        assert_eq!(ran.stderr(), "poolmap: there is no job 77, nor ever was\n");
    }
    let access = std::fs::read(cluster.access_file(Role::Client)).unwrap();
    cluster.stop();
    let gone = poolmap("jobs").file("a", access).env("POOLMAP_ACCESS", "a");
    std::fs::set_permissions(gone.folder().join("a"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    gone.run().exits(3);
}

#[test]
fn files_do_not_travel_with_native_functions_that_have_no_process_of_their_own() {
    let (cluster, workers) = Cluster::with_worker("");
    let submit = |backend: &str| {
        let line = cluster.command("submit --ship data native:do_work --backend").arg(backend);
        line.file("data", "content").stdin("[1,2,3]\n").run()
    };
    let said = submit("thread").exits(2).stderr();
    assert!(said.contains("they need --backend process"), "{said}");
    submit("process").succeeds();
    cluster.stop();
    workers.leave();
}

#[test]
fn outcomes_that_were_dropped_are_not_there_any_more_and_it_is_said_why() {
    let (cluster, workers) = Cluster::with_worker("");
    let job = {
        // Read to its end by its own client, and not detached.
        let ran = cluster.command("submit native:do_work").stdin("[1,2,3]\n").run().succeeds();
        assert_eq!(ran.values().len(), 1);
        "1"
    };
    for command in ["results", "show", "wait"] {
        let said = cluster.command(command).arg(job).run().exits(2).stderr();
        assert_eq!(said, "poolmap: job 1 has ended and was forgotten: all its outcomes were read\n");
    }
    cluster.stop();
    workers.leave();
}

#[test]
fn a_module_that_a_host_lacks_is_told_with_the_name_of_the_worker_and_of_its_host() {
    let (cluster, workers) = Cluster::with_worker("");
    let said = cluster.command("submit no_such_module:f").tasks(3).run().exits(2).stderr();
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    assert!(said.contains(&format!("one on {host}: ")), "{said}");
    assert!(said.contains("no_such_module"), "{said}");
    // A module that is missed only when a task runs is the task's own failure, and names its worker with --details.
    let file = "def f(x):\n    import no_such_module\n";
    let ran = cluster.command("submit --details f.py:f").file("f.py", file).tasks(1).run().exits(1);
    assert_eq!(ran.error(0)["type"], "ModuleNotFoundError");
    assert_eq!(ran.results()[0]["worker"], "one");
    cluster.stop();
    workers.leave();
}
