//! What any gRPC client may ask of a coordinator.

use poolmap_proto::access::Role;
use poolmap_proto::transport::Route;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::scene::Cluster;

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
        for name in ["poolmap.v1.Jobs", "poolmap.v1.Workers", "grpc.health.v1.Health"] {
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
