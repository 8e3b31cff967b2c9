//! Workers that have nothing to do: what they cost their coordinator, and how soon a job reaches them. They are models, in this process.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use poolmap_client::{Client, JobSpec};
use poolmap_proto::PROTOCOL_VERSION;
use poolmap_proto::access::{Access, Role};
use poolmap_proto::transport::Route;
use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::workers_client::WorkersClient;
use poolmap_proto::v1::{
    BatchOutcomes, Function, Heartbeat, Hello, NativeFunction, OutcomeRun, WorkerMessage, function,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{Bench, cpu_seconds, median, resident_bytes};

/// Time for which the coordinator of idle workers is watched.
const WATCHED: Duration = Duration::from_secs(20);

impl Bench {
    /// What workers that have nothing to do cost their coordinator, and how soon a job reaches them all.
    pub(crate) async fn idle_workers(&self, table: &mut String) -> Result<()> {
        let folder = "idle";
        let coordinator = self.coordinator(folder, "")?;
        let access = |role: Role| Access::read(&self.path(folder).join(role.file_name()), role);
        let route = Route::tls(&access(Role::Worker)?)?;
        let (begun, mut beginnings) = mpsc::channel(self.args.workers);
        for number in 0..self.args.workers {
            attach(&route, number, begun.clone()).await?;
        }
        let id = coordinator.0.id();
        let cpu = cpu_seconds(id)?;
        tokio::time::sleep(WATCHED).await;
        let share = (cpu_seconds(id)? - cpu) / WATCHED.as_secs_f64();
        let resident = resident_bytes(id)?;
        let client = Client::new(Route::tls(&access(Role::Client)?)?.connect().await?);
        let mut times = Vec::new();
        for _ in 0..self.args.runs {
            let native = NativeFunction { name: "any".to_owned() };
            let function = Some(Function { kind: Some(function::Kind::Native(native)) });
            let submitted = Instant::now();
            let job = client.submit(JobSpec { function, ..JobSpec::default() }).await?;
            let mut tasks = job.add_tasks();
            tasks.send((0..self.args.workers).map(|_| "[]").collect()).await?;
            tasks.finish().await?;
            let mut last = submitted;
            for _ in 0..self.args.workers {
                last = beginnings.recv().await.context("the workers are gone")?;
            }
            times.push((last - submitted).as_secs_f64() * 1e3);
            let mut outcomes = job.outcomes();
            while outcomes.next().await?.is_some() {}
        }
        let (workers, resident) = (self.args.workers, resident as f64 / 1e6);
        writeln!(
            table,
            "| {workers} idle workers: memory of the coordinator | ≤ 150 MB | {resident:.0} MB |"
        )?;
        writeln!(
            table,
            "| {workers} idle workers: CPU time of the coordinator | ≤ 5 % of a core | {:.1} % |",
            share * 100.0
        )?;
        writeln!(
            table,
            "| a job of {workers} tasks: from submitting it to the last of {workers} idle workers having one | ≤ 100 ms | {:.0} ms |",
            median(times)
        )?;
        Ok(())
    }
}

/// Attaches a worker of one slot that reports each task as done at once, and tells when it got one.
async fn attach(route: &Route, number: usize, begun: mpsc::Sender<Instant>) -> Result<()> {
    let mut stub = WorkersClient::new(route.connect().await?.into_service());
    let (reports, outgoing) = mpsc::channel(16);
    let say = move |kind: Report, received: u64| {
        let reports = reports.clone();
        async move { reports.send(WorkerMessage { received, kind: Some(kind) }).await }
    };
    let name = format!("idle-{number}");
    let hello = Hello { protocol: PROTOCOL_VERSION, name, slots: 1, ..Hello::default() };
    say(Report::Hello(hello), 0).await?;
    let mut messages = stub.attach(ReceiverStream::new(outgoing)).await?.into_inner();
    let welcome = messages.message().await?.and_then(|message| message.kind);
    let Some(Kind::Welcome(welcome)) = welcome else { anyhow::bail!("no welcome but {welcome:?}") };
    tokio::spawn(async move {
        let mut heartbeat =
            tokio::time::interval(Duration::from_millis(welcome.heartbeat_interval_ms.into()));
        let mut received = 0;
        loop {
            tokio::select! {
                _ = heartbeat.tick() => {
                    if say(Report::Heartbeat(Heartbeat {}), received).await.is_err() { return; }
                }
                message = messages.message() => {
                    let Ok(Some(message)) = message else { return };
                    received += 1;
                    let Some(Kind::Batch(batch)) = message.kind else { continue };
                    let count = batch.tasks.map_or(0, |tasks| tasks.lengths.len());
                    let run = OutcomeRun { lengths: vec![0; count], ..OutcomeRun::default() };
                    for _ in 0..count {
                        if begun.send(Instant::now()).await.is_err() { return; }
                    }
                    let ended = BatchOutcomes { batch_id: batch.batch_id, run: Some(run), busy_ns: 1_000_000 };
                    if say(Report::Outcomes(ended), received).await.is_err() { return; }
                }
            }
        }
    });
    Ok(())
}
