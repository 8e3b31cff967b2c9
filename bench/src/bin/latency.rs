//! One task at a time through the client library, as a program with one call after another would use it: a coordinator in
//! this process, a worker of two slots beside it.
//!
//!     latency --python PYTHON FILE.py:NAME COUNT
//!
//! Each result goes to stdout, for the tuples `[i, i + 1, i + 2]`; the last line on stderr is
//! `{"p50_us": …, "p99_us": …}` over all calls but the first hundred.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

use anyhow::{Context as _, Result};
use clap::Parser;
use poolmap_client::{
    ChildOptions, Client, Function, Job, JobSpec, PythonFunction, SourceFile, Transport, function,
};
use poolmap_coordinator::{Config, Coordinator};
use poolmap_proto::transport;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;

/// Calls before the clock counts.
const WARM_UP: usize = 100;

#[derive(Parser)]
struct Args {
    #[arg(long)]
    python: String,
    /// `FILE.py:NAME`
    function: String,
    /// Calls that count
    count: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    let config = Config { is_local: true, reconnect_grace: Duration::ZERO, ..Config::default() };
    let coordinator = Coordinator::start(config);
    let mut worker = start_worker(&coordinator, folder.path().join("socket"))?;
    let client = Client::new(Transport::in_process(coordinator.jobs()));
    let times = call_one_by_one(&client.submit(spec(&args)?).await?, args.count).await;
    coordinator.stop().await;
    worker.wait().await?;
    let mut times = times?;
    times.sort_unstable();
    let quantile =
        |share: usize| times.get(times.len() * share / 100).map_or(f64::NAN, |t| t.as_secs_f64() * 1e6);
    let quantiles = serde_json::json!({ "p50_us": quantile(50), "p99_us": quantile(99) });
    writeln!(std::io::stderr(), "{quantiles}")?;
    Ok(())
}

fn start_worker(coordinator: &Coordinator, socket: PathBuf) -> Result<Child> {
    let server = transport::server().add_service(coordinator.workers());
    let listener = UnixListenerStream::new(UnixListener::bind(&socket)?);
    tokio::spawn(server.serve_with_incoming(listener));
    let poolmap = std::env::current_exe()?.with_file_name("poolmap");
    let words = ["worker", "--name", "bench", "--slots", "2", "--socket"];
    Command::new(&poolmap)
        .args(words)
        .arg(socket)
        .spawn()
        .with_context(|| format!("starting {}", poolmap.display()))
}

fn spec(args: &Args) -> Result<JobSpec> {
    let (path, name) = args.function.rsplit_once(':').context("a function is FILE.py:NAME")?;
    let path = std::path::absolute(path)?;
    let content = std::fs::read(&path)?.into();
    let module = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let source = Some(SourceFile { path: path.to_string_lossy().into_owned(), content });
    let kind = function::Kind::Python(PythonFunction { module, name: name.to_owned(), source });
    Ok(JobSpec {
        function: Some(Function { kind: Some(kind) }),
        child: Some(ChildOptions { python: args.python.clone(), ..ChildOptions::default() }),
        ..JobSpec::default()
    })
}

async fn call_one_by_one(job: &Job, count: usize) -> Result<Vec<Duration>> {
    let (mut tasks, mut outcomes) = (job.add_tasks(), job.outcomes());
    let mut times = Vec::with_capacity(count);
    let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
    for call in 0..WARM_UP + count {
        let i = call.saturating_sub(WARM_UP);
        let started = Instant::now();
        tasks.send([format!("[{i},{},{}]", i + 1, i + 2)].into_iter().collect()).await?;
        let run = outcomes.next().await?.context("the job ended early")?;
        let elapsed = started.elapsed();
        if call >= WARM_UP {
            let value: String = serde_json::from_slice(&run.values).context("the task failed")?;
            writeln!(stdout, "{value}")?;
            times.push(elapsed);
        }
    }
    tasks.finish().await?;
    while outcomes.next().await?.is_some() {}
    stdout.flush()?;
    Ok(times)
}
