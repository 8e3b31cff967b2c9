//! What the coordinator does not take.

use poolmap_client::ShippedFile;
use poolmap_proto::files::{Digest, PIECE_BYTES_MAX};
use poolmap_proto::v1::files_client::FilesClient;
use poolmap_proto::v1::{GetRequest, MissingRequest, PutRequest};
use tonic::{Code, Status};

use crate::cluster::{Cluster, python, soon};

fn digest(content: &[u8]) -> Digest {
    Digest::of(content).unwrap().0
}

async fn put(cluster: &Cluster, requests: Vec<PutRequest>) -> Result<(), Status> {
    let mut stub = FilesClient::new(cluster.transport().await.into_service());
    soon(stub.put(tokio_stream::iter(requests))).await.map(drop)
}

fn request(sha256: &[u8], piece: &[u8]) -> PutRequest {
    PutRequest { sha256: sha256.to_vec().into(), piece: piece.to_vec().into() }
}

#[tokio::test]
async fn a_content_that_is_not_what_it_is_called_is_refused_and_not_kept() {
    let cluster = Cluster::start(0).await;
    let name = digest(b"right").to_bytes();
    let refused = put(&cluster, vec![request(&name, b"wro"), request(&[], b"ng")]).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains(&digest(b"wrong").to_string()), "{refused}");
    let mut stub = FilesClient::new(cluster.transport().await.into_service());
    let missing = stub.missing(MissingRequest { sha256: vec![name.clone()] }).await.unwrap().into_inner();
    assert_eq!(missing.sha256.first(), Some(&name));
    assert_eq!(stub.get(GetRequest { sha256: name.clone() }).await.unwrap_err().code(), Code::NotFound);
    put(&cluster, vec![request(&name, b"ri"), request(&[], b"ght")]).await.unwrap();
    assert!(
        stub.missing(MissingRequest { sha256: vec![name] }).await.unwrap().into_inner().sha256.is_empty()
    );
    cluster.stop().await;
}

#[tokio::test]
async fn calls_that_make_no_sense_are_refused() {
    let cluster = Cluster::start(0).await;
    let name = digest(b"right").to_bytes();
    let large = vec![0; PIECE_BYTES_MAX + 1];
    let calls = [
        vec![],
        vec![request(b"short", b"")],
        vec![request(&name, &large)],
        vec![request(&name, b"ri"), request(&digest(b"other").to_bytes(), b"ght")],
    ];
    for call in calls {
        assert_eq!(put(&cluster, call).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let mut stub = FilesClient::new(cluster.transport().await.into_service());
    let nameless = MissingRequest { sha256: vec![b"x".as_slice().into()] };
    assert_eq!(stub.missing(nameless).await.unwrap_err().code(), Code::InvalidArgument);
    cluster.stop().await;
}

#[tokio::test]
async fn a_job_whose_files_cannot_be_is_refused_with_the_file() {
    let cluster = Cluster::start(0).await;
    let here = ShippedFile {
        path: "here".to_owned(),
        sha256: digest(b"here").to_bytes(),
        bytes: 4,
        executable: false,
    };
    put(&cluster, vec![request(&here.sha256, b"here")]).await.unwrap();
    let elsewhere =
        ShippedFile { path: "lib/gone.py".to_owned(), sha256: digest(b"gone").to_bytes(), ..here.clone() };
    let outside = ShippedFile { path: "../outside".to_owned(), ..here.clone() };
    let absolute = ShippedFile { path: "/etc/passwd".to_owned(), ..here.clone() };
    let longer = ShippedFile { bytes: 5, ..here.clone() };
    let refusals = [
        (vec![here.clone(), elsewhere], "lib/gone.py"),
        (vec![outside], "../outside"),
        (vec![absolute], "/etc/passwd"),
        (vec![longer], "5 bytes"),
        (vec![here.clone(), here.clone()], "\"here\""),
    ];
    for (files, named) in refusals {
        let refused = soon(cluster.client.submit(python("", files))).await.unwrap_err().to_string();
        assert!(refused.starts_with("the coordinator refused: ") && refused.contains(named), "{refused}");
    }
    soon(cluster.client.submit(python("", vec![here]))).await.unwrap();
    cluster.stop().await;
}
