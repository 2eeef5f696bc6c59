//! The calls that a sandbox makes, in the order in which it makes them.

mod benefits;
mod general;
mod refusals;
mod residence;
mod servants;

use anyhow::Result;
use tonic::{Response, Status, Streaming};

use super::cast::Cast;
use super::consumers::Consumers;

pub(super) use residence::{VERIFY_PERSON, verify_person};

/// The case in which a commune asks, of which every call of that case carries the number.
const RESIDENCE_DOSSIER: &str = "000.00.26.H26-261121-0001";
const BENEFIT_DOSSIER: &str = "000.00.26.H26-261121-0002";

/// Makes all calls.
///
/// # Errors
///
/// Fails if a call could not even be made; what came of calls is in the tally.
pub(super) async fn make_all(consumers: &mut Consumers<'_>, cast: &Cast) -> Result<()> {
    residence::verify(consumers, cast).await?;
    refusals::all(consumers, cast).await?;
    residence::look_up(consumers, cast).await?;
    let changed = servants::change_and_watch(consumers, cast).await?;
    benefits::all(consumers, cast).await?;
    match changed {
        Some(changed) => general::synchronise_and_reconcile(consumers, &changed).await,
        None => {
            consumers.skip("synchronise records");
            Ok(())
        }
    }
}

/// The line, if the answer is as it should be; else an error with the same line.
fn must(as_expected: bool, line: String) -> Result<String, String> {
    if as_expected { Ok(line) } else { Err(line) }
}

/// A whole stream of answers as one answer, with its trailers among the metadata as with a single
/// one.
async fn collect<A>(response: Response<Streaming<A>>) -> Result<Response<Vec<A>>, Status> {
    let (metadata, mut stream, extensions) = response.into_parts();
    let mut answers = Vec::new();
    while let Some(answer) = stream.message().await? {
        answers.push(answer);
    }
    let mut headers = metadata.into_headers();
    if let Some(trailers) = stream.trailers().await? {
        headers.extend(trailers.into_headers());
    }
    let metadata = tonic::metadata::MetadataMap::from_headers(headers);
    Ok(Response::from_parts(metadata, answers, extensions))
}
