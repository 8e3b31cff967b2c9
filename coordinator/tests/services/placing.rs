//! Which workers get which jobs, and what operators ask about workers.

use poolmap_coordinator::Config;
use poolmap_proto::v1::cluster_client::ClusterClient;
use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::{
    Begun, DrainWorkerRequest, Hello, JobRejected, JobSpec, ListWorkersRequest, WorkerState, WorkerStatus,
};
use tonic::Code;

use poolmap_proto::transport::{GrpcService, Transport};

use crate::model::{Cluster, Worker, eventually, hello, soon, spec};

fn labelled(name: &str, labels: &[&str]) -> Hello {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    Hello { labels, host: format!("host-of-{name}"), ..hello(name, 1) }
}

fn only_on(labels: &[&str]) -> JobSpec {
    JobSpec { labels: labels.iter().map(|label| (*label).to_owned()).collect(), ..spec() }
}

fn operator(cluster: &Cluster) -> ClusterClient<GrpcService> {
    ClusterClient::new(Transport::in_process(cluster.coordinator.cluster()).into_service())
}

async fn list(cluster: &Cluster) -> Vec<WorkerStatus> {
    soon(operator(cluster).list_workers(ListWorkersRequest {})).await.unwrap().into_inner().workers
}

async fn reject(worker: &Worker, job_id: u64, error: &str) {
    worker.say(Report::JobRejected(JobRejected { job_id, error: error.to_owned() })).await;
}

#[tokio::test]
async fn a_job_runs_on_workers_that_have_its_labels_and_no_others() {
    let cluster = Cluster::start(Config::default());
    let mut plain = cluster.attach(labelled("plain", &["big"])).await.unwrap();
    let mut job = cluster.submit(only_on(&["gpu", "big"])).await;
    job.add(&["a", "b"]).await;
    job.close().await;
    assert_eq!(job.status().await.waits_for, "no attached worker has the labels gpu, big");
    let mut able = cluster.attach(labelled("able", &["big", "gpu", "fast"])).await.unwrap();
    able.echo_until_job_ends().await;
    assert_eq!(job.finish().await.values(), ["a", "b"]);
    assert!(plain.try_next().await.is_none(), "it heard nothing of that job");
}

#[tokio::test]
async fn a_job_that_waits_for_labels_does_not_hold_up_others() {
    let cluster = Cluster::start(Config::default());
    let mut waiting = cluster.submit(JobSpec { priority: 5, ..only_on(&["gpu"]) }).await;
    waiting.add(&["a"]).await;
    let mut job = cluster.job_of(&["b", "c"]).await;
    cluster.worker("one", 1).await.echo_until_job_ends().await;
    assert_eq!(job.finish().await.values(), ["b", "c"]);
    assert_eq!(waiting.status().await.waits_for, "no worker is attached");
}

#[tokio::test]
async fn a_job_that_one_worker_cannot_run_runs_on_the_others() {
    let cluster = Cluster::start(Config::default());
    let mut lacking = cluster.attach(labelled("lacking", &[])).await.unwrap();
    let mut able = cluster.attach(labelled("able", &[])).await.unwrap();
    let tasks: Vec<String> = (0..20).map(|task| task.to_string()).collect();
    let mut job = cluster.submit(spec()).await;
    job.add(&tasks).await;
    job.close().await;
    lacking.batch().await;
    reject(&lacking, job.id, "no module").await;
    while !matches!(lacking.next().await, Kind::JobEnded(_)) {}
    able.echo_until_job_ends().await;
    let finished = job.finish().await;
    assert_eq!((finished.end.error.as_str(), finished.values().len()), ("", 20));
    let mut next = cluster.job_of(&["x", "y"]).await;
    let (one, other) = (lacking.batch().await, able.batch().await);
    lacking.echo(&one).await;
    able.echo(&other).await;
    able.echo_until_job_ends().await;
    assert_eq!(next.finish().await.values(), ["x", "y"], "the next job is another matter");
}

#[tokio::test]
async fn a_job_that_no_worker_can_run_fails_with_the_reasons_of_some() {
    let cluster = Cluster::start(Config::default());
    let mut job = cluster.submit(spec()).await;
    job.add(&["a", "b", "c", "d", "e"]).await;
    let mut workers = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        workers.push(cluster.attach(labelled(name, &[])).await.unwrap());
    }
    for (place, worker) in workers.iter().enumerate() {
        assert!(job.status().await.end.is_none());
        reject(worker, job.id, &format!("reason {place}")).await;
        reject(worker, job.id, "said again").await;
    }
    let error = job.finish().await.end.error;
    let expected = "a on host-of-a: reason 0\nb on host-of-b: reason 1\nc on host-of-c: reason 2\nand 2 more";
    assert_eq!(error, expected);
}

#[tokio::test]
async fn on_one_machine_a_reason_is_said_once_and_without_names() {
    let cluster = Cluster::start(Config { is_local: true, ..Config::default() });
    let mut job = cluster.submit(spec()).await;
    job.add(&["a"]).await;
    let (one, other) = (cluster.worker("one", 1).await, cluster.worker("other", 1).await);
    reject(&one, job.id, "no module").await;
    reject(&other, job.id, "no module").await;
    assert_eq!(job.finish().await.end.error, "no module");
}

#[tokio::test]
async fn a_refusal_leaves_other_jobs_of_that_worker_alone() {
    let cluster = Cluster::start(Config::default());
    let mut worker = cluster.attach(Hello { slots: 2, ..labelled("able", &["gpu"]) }).await.unwrap();
    let _other = cluster.attach(labelled("other", &[])).await.unwrap();
    let mut labelled_job = cluster.submit(only_on(&["gpu"])).await;
    labelled_job.add(&["a"]).await;
    labelled_job.close().await;
    let running = worker.batch().await;
    worker.say(Report::Begun(Begun { batch_id: running.batch_id })).await;
    let mut refused = cluster.submit(spec()).await;
    refused.add(&["x", "y", "z"]).await;
    reject(&worker, refused.id, "no module").await;
    eventually(async || refused.status().await.running < 3).await;
    worker.echo(&running).await;
    assert_eq!(labelled_job.finish().await.values(), ["a"], "what ran went on");
}

#[tokio::test]
async fn workers_are_listed_with_what_they_are_and_do() {
    let cluster = Cluster::start(Config::default());
    assert!(list(&cluster).await.is_empty());
    let mut worker = cluster.attach(labelled("one", &["gpu"])).await.unwrap();
    let _idle = cluster.worker("two", 7).await;
    let _job = cluster.job_of(&["a"]).await;
    worker.batch().await;
    let workers = list(&cluster).await;
    let [one, two] = &workers[..] else { panic!("{workers:?}") };
    assert_eq!((one.name.as_str(), one.host.as_str(), one.tasks, one.slots), ("one", "host-of-one", 1, 1));
    assert_eq!((&one.labels[..], one.state()), (&["gpu".to_owned()][..], WorkerState::Ready));
    assert!(one.attached_ms > 0 && one.silent_ms < 60_000 && two.worker_id > one.worker_id);
    assert_eq!((two.slots, two.tasks), (7, 0));
    drop(worker);
    eventually(async || list(&cluster).await.len() == 1).await;
}

#[tokio::test]
async fn a_worker_is_drained_by_its_name() {
    let cluster = Cluster::start(Config::default());
    let mut leaving = cluster.worker("leaving", 1).await;
    let drain = |worker: &str| DrainWorkerRequest { worker: worker.to_owned() };
    soon(operator(&cluster).drain_worker(drain("leaving"))).await.unwrap();
    assert!(matches!(leaving.next().await, Kind::Drain(_)));
    let mut job = cluster.job_of(&["a"]).await;
    assert_eq!(job.status().await.waits_for, "every attached worker is about to leave");
    assert_eq!(list(&cluster).await[0].state(), WorkerState::Draining);
    cluster.worker("staying", 1).await.echo_until_job_ends().await;
    assert_eq!(job.finish().await.values(), ["a"]);
    let unknown = soon(operator(&cluster).drain_worker(drain("nobody"))).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert!(
        unknown.message().starts_with("no worker nobody is attached; attached are: leaving (1)"),
        "{unknown}"
    );
}
