//! What any gRPC client may ask of a coordinator.

use std::os::unix::net::UnixDatagram;

use nix::sys::signal::Signal;
use poolmap_client::Chunk;
use poolmap_proto::access::Role;
use poolmap_proto::transport::Route;
use poolmap_tests::language::{Line, SOON, eventually};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::scene::{Cluster, Workers, native, poolmap};

#[tokio::test]
async fn either_role_may_ask_whether_it_serves_and_what() {
    let cluster = Cluster::start();
    for role in Role::ALL {
        let route = Route::tls(&cluster.access(role)).unwrap();
        let service = route.connect().await.unwrap().into_service();
        let request = HealthCheckRequest { service: String::new() };
        let health = HealthClient::new(service.clone()).check(request).await.unwrap().into_inner();
        assert_eq!(health.status, ServingStatus::Serving as i32);
        let list = MessageRequest::ListServices(String::new());
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(list) };
        let mut answers = ServerReflectionClient::new(service)
            .server_reflection_info(tokio_stream::once(request))
            .await
            .unwrap()
            .into_inner();
        let names = services(answers.message().await.unwrap().unwrap());
        for name in ["poolmap.v1.Jobs", "poolmap.v1.Cluster", "poolmap.v1.Workers", "grpc.health.v1.Health"] {
            assert!(names.iter().any(|served| served == name), "{names:?}");
        }
    }
    cluster.stop();
}

fn services(answer: ServerReflectionResponse) -> Vec<String> {
    match answer.message_response {
        Some(MessageResponse::ListServicesResponse(list)) => {
            list.service.into_iter().map(|service| service.name).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_coordinator_that_drains_says_so_to_those_who_ask_after_its_health() {
    let cluster = Cluster::start();
    let workers = Workers::start([cluster.worker("-j1")]);
    let route = Route::tls(&cluster.access(Role::Client)).unwrap();
    let mut health = HealthClient::new(route.connect().await.unwrap().into_service());
    let whole = HealthCheckRequest { service: String::new() };
    let mut told = health.watch(whole.clone()).await.unwrap().into_inner();
    assert_eq!(told.message().await.unwrap().unwrap().status, ServingStatus::Serving as i32);
    let job = cluster.client().await.submit(native("sleep_ms")).await.unwrap();
    let mut tasks = job.add_tasks();
    tasks.send(["[1]", "[1000]"].into_iter().collect::<Chunk>()).await.unwrap();
    tasks.finish().await.unwrap();
    let mut outcomes = job.outcomes();
    outcomes.next().await.unwrap().unwrap();
    cluster.coordinator().send(Signal::SIGTERM);
    // It still serves those who are there, and says that it takes nothing new.
    assert_eq!(told.message().await.unwrap().unwrap().status, ServingStatus::NotServing as i32);
    let asked = health.check(whole).await.unwrap().into_inner();
    assert_eq!(asked.status, ServingStatus::NotServing as i32);
    while outcomes.next().await.unwrap().is_some() {}
    cluster.ends().exits(0);
    workers.leave();
}

/// What systemd would hear of a service.
struct Systemd(UnixDatagram);

impl Systemd {
    /// A command line that tells it.
    fn hears(line: Line) -> (Self, Line) {
        let path = line.folder().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        (Self(socket), line.env("NOTIFY_SOCKET", &path))
    }

    fn eventually_hears(&self, word: &str) {
        let mut heard = [0; 100];
        eventually(word, SOON, || {
            let length = self.0.recv(&mut heard).ok()?;
            assert_eq!(std::str::from_utf8(&heard[..length]).unwrap().trim_end(), word);
            Some(())
        });
    }

    fn has_heard_all(&self) {
        self.0.recv(&mut [0; 100]).unwrap_err();
    }
}

#[test]
fn systemd_hears_when_a_coordinator_listens_and_when_it_stops() {
    let folder = tempfile::TempDir::new().unwrap();
    let line = poolmap("coordinator --listen 127.0.0.1:0 --folder").arg(folder.path().join("state"));
    let (systemd, line) = Systemd::hears(line);
    let cluster = Cluster::serve(line, folder);
    systemd.eventually_hears("READY=1");
    systemd.has_heard_all();
    cluster.coordinator().send(Signal::SIGTERM);
    systemd.eventually_hears("STOPPING=1");
    cluster.ends().exits(0);
    systemd.has_heard_all();
}

#[test]
fn systemd_hears_when_a_worker_has_reached_its_coordinator_and_when_it_leaves() {
    let cluster = Cluster::start();
    let (systemd, line) = Systemd::hears(cluster.worker("-j1"));
    let workers = Workers::start([line]);
    systemd.eventually_hears("READY=1");
    workers.0[0].send(Signal::SIGTERM);
    systemd.eventually_hears("STOPPING=1");
    workers.leave();
    systemd.has_heard_all();
    cluster.stop();
}

#[test]
fn a_worker_that_reaches_nobody_is_not_ready() {
    let cluster = Cluster::start();
    let access = cluster.path("worker.access");
    cluster.access(Role::Worker).write(&access).unwrap();
    let (systemd, line) = Systemd::hears(poolmap("worker -j1 --connect-timeout 0 --access").arg(&access));
    let _kept = cluster.into_folder();
    line.run().exits(3);
    systemd.has_heard_all();
}
