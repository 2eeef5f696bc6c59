//! The node of the general national database.

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::database::Database;
use crate::proto::generaldata::v1 as wire;
use wire::general_data_service_server::{GeneralDataService, GeneralDataServiceServer};

mod batch;
mod reconcile;
pub(crate) mod store;
mod synchronise;

/// A payload of 1 MiB and everything around it.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024 + 4096;

pub(crate) fn service(database: Database) -> GeneralDataServiceServer<GeneralData> {
    GeneralDataServiceServer::new(GeneralData { database })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
}

pub(crate) struct GeneralData {
    database: Database,
}

#[tonic::async_trait]
impl GeneralDataService for GeneralData {
    async fn synchronise(
        &self,
        request: Request<Streaming<wire::Record>>,
    ) -> Result<Response<wire::SynchroniseResponse>, Status> {
        let summary = synchronise::run(&self.database, request.into_inner()).await?;
        Ok(Response::new(summary))
    }

    type ReconcileStream = ReceiverStream<Result<wire::ReconcileResponse, Status>>;

    async fn reconcile(
        &self,
        request: Request<Streaming<wire::ReconcileRequest>>,
    ) -> Result<Response<Self::ReconcileStream>, Status> {
        let answers = reconcile::start(self.database.clone(), request.into_inner());
        Ok(Response::new(answers))
    }
}

/// Lower-case letters, digits, `-` and `.`, at most 64.
fn is_data_set(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    (1..=64).contains(&text.len()) && text.bytes().all(letter)
}

fn is_key(text: &str) -> bool {
    (1..=128).contains(&text.len()) && !text.chars().any(char::is_control)
}
