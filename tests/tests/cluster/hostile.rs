//! Peers that mean harm, or are badly broken: an honest job goes on beside them, and the coordinator's memory stays bounded.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use poolmap_proto::access::{Access, COORDINATOR_NAME, Role};
use poolmap_proto::transport::{GrpcService, Route};
use poolmap_proto::v1::files_client::FilesClient;
use poolmap_proto::v1::jobs_client::JobsClient;
use poolmap_proto::v1::worker_message::Kind;
use poolmap_proto::v1::workers_client::WorkersClient;
use poolmap_proto::v1::{
    AddTasksRequest, GetRequest, Hello, MissingRequest, OutcomesRequest, PutRequest, SubmitRequest,
    TaskChunk, WorkerMessage,
};
use poolmap_tests::processes::peak_rss_bytes;
use rand::RngCore as _;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_stream::StreamExt as _;
use tonic::Code;

use crate::scene::{Cluster, Workers, native, run};

/// What a coordinator may need, whatever its peers do: far above what it needs for honest ones, far below what harms.
const MEMORY_BYTES: u64 = 256 << 20;
const IDLE: usize = 10_000;

/// An honest job with its own worker and connection; fails unless it is as if nobody else were there.
async fn an_honest_job_goes_through(cluster: &Cluster) {
    let workers = Workers::start([cluster.worker("--name honest -j1")]);
    let job = cluster.client().await.submit(native("do_work")).await.unwrap();
    let (failed, values) = run(&job, vec!["[1,2,3]".to_owned(); 500]).await;
    assert_eq!((failed, values.len()), (0, 500));
    workers.0[0].send(nix::sys::signal::Signal::SIGTERM);
    workers.leave();
    let peak = peak_rss_bytes(cluster.coordinator().process_id()).unwrap();
    assert!(peak < MEMORY_BYTES, "the coordinator has used {peak} bytes");
}

async fn service(access: &Access) -> GrpcService {
    Route::tls(access).unwrap().connect().await.unwrap().into_service()
}

#[tokio::test]
async fn strangers_get_nothing_and_are_told_in_the_log() {
    let cluster = Cluster::start();
    let mut noise = [0; 4096];
    rand::rng().fill_bytes(&mut noise);
    // A first byte that no TLS begins with, lest it should wait for the rest of a record.
    noise[0] = b'?';
    for _ in 0..10 {
        assert_eq!(answer_in_the_clear(cluster.address, &noise), 0);
        assert_eq!(answer_in_the_clear(cluster.address, b"GET / HTTP/1.1\r\nHost: poolmap\r\n\r\n"), 0);
        without_certificate(&cluster).await;
    }
    an_honest_job_goes_through(&cluster).await;
    let said = cluster.stop().stderr();
    for (words, times) in [("it does not speak TLS", 20), ("it has no access file", 10)] {
        assert_eq!(said.matches(words).count(), times, "{said}");
    }
}

/// How much a coordinator says to this that is not a TLS alert.
fn answer_in_the_clear(address: SocketAddr, words: &[u8]) -> usize {
    const ALERT: u8 = 21;
    let mut stream = TcpStream::connect(address).unwrap();
    // It may hang up before it has read everything.
    let _hung_up = stream.write_all(words);
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer);
    if answer.first() == Some(&ALERT) { 0 } else { answer.len() }
}

/// TLS with the right authority, and no certificate of its own.
async fn without_certificate(cluster: &Cluster) {
    let authority = cluster.access(Role::Client).authority;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(cluster.address).await.unwrap();
    let name = ServerName::try_from(COORDINATOR_NAME).unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let said = tokio::io::AsyncReadExt::read(&mut stream, &mut [0]).await;
    assert!(said.unwrap_err().to_string().contains("CertificateRequired"));
}

#[tokio::test]
async fn a_role_does_not_do_for_another_ones_calls() {
    let cluster = Cluster::start();
    let mut as_worker = WorkersClient::new(service(&cluster.access(Role::Client)).await);
    let hello = Hello { protocol: poolmap_proto::PROTOCOL_VERSION, slots: 1, ..Hello::default() };
    let hello = WorkerMessage { received: 0, kind: Some(Kind::Hello(hello)) };
    let refused = as_worker.attach(tokio_stream::once(hello)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("needs the access file of a worker"), "{refused}");
    let mut as_client = JobsClient::new(service(&cluster.access(Role::Worker)).await);
    let refused = as_client.submit(SubmitRequest { spec: Some(native("do_work")) }).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("needs the access file of a client"), "{refused}");
    let mut files = FilesClient::new(service(&cluster.access(Role::Worker)).await);
    let sha256 = bytes::Bytes::from(vec![0; 32]);
    let piece = PutRequest { sha256: sha256.clone(), piece: "content".into() };
    let put = files.put(tokio_stream::once(piece)).await.map(drop);
    let missing = files.missing(MissingRequest { sha256: vec![sha256.clone()] }).await.map(drop);
    let mut files = FilesClient::new(service(&cluster.access(Role::Client)).await);
    let got = files.get(GetRequest { sha256 }).await.map(drop);
    for (refused, wanted) in [(put, "a client"), (missing, "a client"), (got, "a worker")] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert!(refused.message().contains(&format!("needs the access file of {wanted}")), "{refused}");
    }
    an_honest_job_goes_through(&cluster).await;
    let said = cluster.stop().stderr();
    assert_eq!(said.matches("access does not do for").count(), 5, "{said}");
}

#[tokio::test]
async fn ten_thousand_idle_connections_keep_nobody_out() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(most > IDLE as u64 + 100, "this test needs {IDLE} file descriptors; the system allows {most}");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let cluster = Cluster::start();
    let mut idle = Vec::new();
    for number in 0..IDLE {
        let mut stream = TcpStream::connect(cluster.address).unwrap();
        if number % 2 == 0 {
            // The head of a record that never comes.
            let _hung_up = stream.write_all(&[22, 3, 1, 0x40, 0]);
        }
        idle.push(stream);
    }
    an_honest_job_goes_through(&cluster).await;
    drop(idle);
    let said = cluster.stop().stderr();
    assert!(said.contains("too many others came before it had introduced itself"), "{said}");
    assert!(said.lines().count() < 1000, "the log is flooded: {} lines", said.lines().count());
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_its_call_alone() {
    let cluster = Cluster::start_with("--max-message-size 2MiB");
    let mut jobs = JobsClient::new(service(&cluster.access(Role::Client)).await);
    let submitted = jobs.submit(SubmitRequest { spec: Some(native("do_work")) }).await.unwrap().into_inner();
    assert_eq!(submitted.max_message_bytes, 2 << 20);
    let (lengths, payloads) = (vec![8 << 20], vec![b' '; 8 << 20].into());
    let chunk = Some(TaskChunk { first_index: 0, lengths, payloads });
    let large = AddTasksRequest { job_id: submitted.job_id, chunk, ..AddTasksRequest::default() };
    let answers = jobs.add_tasks(tokio_stream::once(large)).await;
    let refused = async { answers?.into_inner().message().await };
    assert_eq!(refused.await.unwrap_err().code(), Code::OutOfRange);
    an_honest_job_goes_through(&cluster).await;
    cluster.stop();
}

#[tokio::test]
async fn endless_streams_wait_for_their_turn() {
    let cluster = Cluster::start_with("--drain-timeout 0");
    let mut streams = JoinSet::new();
    // Calls that never end, more than a connection may have.
    let mut jobs = JobsClient::new(service(&cluster.access(Role::Client)).await);
    let job_id =
        jobs.submit(SubmitRequest { spec: Some(native("do_work")) }).await.unwrap().into_inner().job_id;
    for _ in 0..3000 {
        let mut jobs = jobs.clone();
        streams.spawn(async move {
            let request = OutcomesRequest { job_id, cursor: 0 };
            if let Ok(answers) = jobs.outcomes(tokio_stream::once(request)).await {
                let _ended = answers.into_inner().message().await;
            }
        });
    }
    // Tasks without end, for a job whose outcomes nobody reads.
    let mut adding = JobsClient::new(service(&cluster.access(Role::Client)).await);
    let payloads = bytes::Bytes::from(vec![b'1'; 1 << 20]);
    let chunks = tokio_stream::iter(0..).map(move |number| AddTasksRequest {
        job_id,
        chunk: Some(TaskChunk { first_index: number, lengths: vec![1 << 20], payloads: payloads.clone() }),
        last: false,
        functions: None,
    });
    streams.spawn(async move {
        if let Ok(answers) = adding.add_tasks(chunks).await {
            let _ended = answers.into_inner().message().await;
        }
    });
    an_honest_job_goes_through(&cluster).await;
    streams.shutdown().await;
    cluster.stop();
}
