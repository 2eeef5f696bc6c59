//! Taking messages off a stream in batches, without waiting for a batch to fill.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use tokio_stream::Stream;
use tonic::{Status, Streaming};

const MESSAGES_MAX: usize = 256;
/// Batches of large records are cut earlier.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Waits for one message and takes those that have arrived with it. Empty at the end of the
/// stream.
///
/// Each batch costs one trip to the database, so a fast source pays for few and a slow one does
/// not wait.
pub(super) async fn next<T>(
    stream: &mut Streaming<T>,
    bytes: impl Fn(&T) -> usize,
) -> Result<Vec<T>, Status> {
    let Some(first) = stream.message().await? else { return Ok(vec![]) };
    let mut size = bytes(&first);
    let mut batch = vec![first];
    while batch.len() < MESSAGES_MAX && size < BYTES_MAX {
        let ready = poll_fn(|context| {
            let polled = Pin::new(&mut *stream).poll_next(context);
            Poll::Ready(match polled {
                Poll::Ready(message) => message,
                Poll::Pending => None,
            })
        });
        // The end of the stream comes again at the next call, an error ends the stream now.
        let Some(message) = ready.await.transpose()? else { break };
        size += bytes(&message);
        batch.push(message);
    }
    Ok(batch)
}
