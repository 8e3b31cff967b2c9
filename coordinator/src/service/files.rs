//! How contents of files come from clients and go to workers.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::try_unfold;
use poolmap_proto::files::{Digest, PIECE_BYTES_MAX};
use poolmap_proto::v1::files_server::Files as FilesProtocol;
use poolmap_proto::v1::{GetRequest, GetResponse, MissingRequest, MissingResponse, PutRequest, PutResponse};
use tonic::{Request, Response, Status, Streaming};

use super::Responses;
use crate::files::{self, Files};

/// Time that a client has to send the next piece of a content.
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);

/// The `Files` service.
#[derive(Clone, Debug)]
pub struct FilesService {
    files: Files,
}

impl FilesService {
    pub(crate) fn new(files: Files) -> Self {
        Self { files }
    }

    /// Takes the pieces of a content that is not here, and keeps it if it is what it was announced as.
    async fn take(
        &self,
        digest: Digest,
        mut piece: Bytes,
        pieces: &mut Streaming<PutRequest>,
    ) -> Result<(), Status> {
        let (mut arrival, mut room) = (self.files.arrival().await?, self.files.room());
        loop {
            if piece.len() > PIECE_BYTES_MAX {
                let bytes = piece.len();
                return Err(Status::invalid_argument(format!(
                    "a piece of a content has {bytes} bytes; {PIECE_BYTES_MAX} are allowed"
                )));
            }
            room.grow(piece.len()).await?;
            arrival = files::blocking_io(move || {
                arrival.write(&piece)?;
                Ok(arrival)
            })
            .await?;
            piece = match next(pieces).await? {
                None => break,
                Some(PutRequest { sha256, piece }) if sha256.is_empty() => piece,
                Some(_) => return Err(Status::invalid_argument("a call brings one content")),
            };
        }
        let path = arrival.finish(digest).map_err(|wrong| Status::invalid_argument(wrong.to_string()))?;
        self.files.add(digest, path, room);
        Ok(())
    }
}

#[tonic::async_trait]
impl FilesProtocol for FilesService {
    async fn missing(&self, request: Request<MissingRequest>) -> Result<Response<MissingResponse>, Status> {
        let digests = request.into_inner().sha256;
        let digests = digests.iter().map(|digest| parse(digest)).collect::<Result<Vec<_>, _>>()?;
        let sha256 = self.files.missing(digests).into_iter().map(Digest::to_bytes).collect();
        Ok(Response::new(MissingResponse { sha256 }))
    }

    async fn put(&self, request: Request<Streaming<PutRequest>>) -> Result<Response<PutResponse>, Status> {
        let mut pieces = request.into_inner();
        let first = next(&mut pieces).await?;
        let PutRequest { sha256, piece } =
            first.ok_or_else(|| Status::invalid_argument("a content begins with its name"))?;
        let digest = parse(&sha256)?;
        if !self.files.missing([digest]).is_empty() {
            self.take(digest, piece, &mut pieces).await?;
        }
        Ok(Response::new(PutResponse {}))
    }

    type GetStream = Responses<GetResponse>;

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Self::GetStream>, Status> {
        let file = self.files.open(parse(&request.into_inner().sha256)?).await?;
        let pieces = try_unfold(file, |file| async {
            Ok(files::next_piece(file).await?.map(|(piece, file)| (GetResponse { piece }, file)))
        });
        Ok(Response::new(Box::pin(pieces)))
    }
}

async fn next(pieces: &mut Streaming<PutRequest>) -> Result<Option<PutRequest>, Status> {
    let next = tokio::time::timeout(PIECE_TIMEOUT, pieces.message()).await;
    next.map_err(|_elapsed| Status::deadline_exceeded("the rest of a content did not come"))?
}

fn parse(digest: &[u8]) -> Result<Digest, Status> {
    Digest::try_from(digest).map_err(|error| Status::invalid_argument(error.to_string()))
}
