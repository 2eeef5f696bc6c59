//! Copies of queries for a node on trial: its answers are compared with the node's and dropped.
//!
//! A copy leaves when the whole request has passed, as a task of its own. Whatever becomes of it,
//! the consumer's call does not wait for it and does not learn of it.

use std::future::{Future, pending, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::ResponseFuture;
use http::HeaderMap;
use model::{Code, Effect, Reason, Refusal};
use policy::{Destination, Route};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::admit::Slot;
use crate::attempt::service;
use crate::body::{Body, Unread};
use crate::forward::{check_head, failed};
use crate::gateway::Worker;
use crate::head::{self, grpc_status};
use crate::lens::{Lens, Reading};
use crate::meter::{Meter, Salt};
use crate::pump::{Stalled, Stalls};
use crate::upstream::Pool;

/// Copies in flight, for each worker.
const COPIES_MAX: usize = 256;
/// How long a copy may take, however long its call may.
const COPY_TIME_MAX: Duration = Duration::from_secs(30);

/// A place for the copy of a call.
pub(crate) struct Reserved {
    pool: Arc<Pool>,
    slot: Slot,
    outcome: Outcome,
}

/// The copy of a call, ready to leave.
pub(crate) struct Copy {
    reserved: Reserved,
    path: Box<str>,
    metadata: HeaderMap,
    salt: Salt,
    deadline: Instant,
    /// How its answer is read, so that it is compared as the node's is.
    reading: Option<Reading>,
    original: oneshot::Receiver<Answer>,
}

/// Where the copy is told what the call was answered.
pub(crate) struct Original(oneshot::Sender<Answer>);

/// What two answers are compared by.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    code: Code,
    digest: [u8; 32],
}

/// What became of a copy; counted once, when it is dropped.
struct Outcome {
    service: String,
    result: &'static str,
}

/// Takes a place for a copy of the call, if one is due. A destination without a place for it has
/// no shadow any more.
pub(crate) fn reserve<'a>(
    worker: &Worker,
    route: &Route<'_>,
    destination: Destination<'a>,
) -> (Destination<'a>, Option<Reserved>) {
    let Destination { node, shadow } = destination;
    let Some(shadow) = shadow.filter(|_| route.effect == Effect::Query) else {
        return (Destination { node, shadow: None }, None);
    };
    let mut outcome = Outcome { service: service(route).to_owned(), result: "dropped" };
    let Some(slot) = Slot::take(&worker.shadows, COPIES_MAX) else {
        return (Destination { node, shadow: None }, None);
    };
    match worker.upstreams.pool(shadow) {
        Ok(pool) => {
            (Destination { node, shadow: Some(shadow) }, Some(Reserved { pool, slot, outcome }))
        }
        Err(refusal) => {
            outcome.failed(&refusal);
            (Destination { node, shadow: None }, None)
        }
    }
}

impl Reserved {
    /// The copy of a call with this `metadata`, and where to tell it the call's answer.
    pub(crate) fn copy(
        self,
        path: &str,
        metadata: HeaderMap,
        salt: Salt,
        deadline: Instant,
        reading: Option<Reading>,
    ) -> (Copy, Original) {
        let (tell, original) = oneshot::channel();
        let path = path.into();
        let copy = Copy { reserved: self, path, metadata, salt, deadline, reading, original };
        (copy, Original(tell))
    }
}

impl Original {
    /// The call was answered.
    pub(crate) fn answered(self, code: Code, digest: [u8; 32]) {
        // A copy that has ended by now was counted.
        drop(self.0.send(Answer { code, digest }));
    }
}

impl Copy {
    /// Sends the copy on its way. Without `frames` the request was too large to keep.
    pub(crate) fn leave(self, frames: Option<Vec<Bytes>>) {
        if let Some(frames) = frames {
            tokio::task::spawn_local(self.run(frames));
        }
    }

    async fn run(self, frames: Vec<Bytes>) {
        let Self { reserved, path, metadata, salt, deadline, reading, original } = self;
        let Reserved { pool, slot, mut outcome } = reserved;
        let deadline = deadline.min(Instant::now() + COPY_TIME_MAX);
        let lens = reading.map(|reading| reading.lens());
        let receive = |response| receive(response, salt, lens);
        let asking = ask(&pool, &path, metadata, frames, receive, deadline);
        let answer = match timeout_at(deadline, asking).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(refusal)) => return outcome.failed(&refusal),
            Err(_elapsed) => return outcome.failed(&Refusal::new(Reason::DeadlineExceeded)),
        };
        // The place is for the copy's own time, not for that of a slow original.
        drop(slot);
        outcome.result = match original.await {
            Ok(original) if original == answer => "same",
            Ok(_) => "different",
            Err(_unanswered) => "dropped",
        };
    }
}

impl Outcome {
    fn failed(&mut self, refusal: &Refusal) {
        let reason = refusal.reason().name();
        tracing::debug!(service = %self.service, reason, cause = refusal.inward(), "copy failed");
        self.result = "failed";
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        let service = std::mem::take(&mut self.service);
        metrics::counter!("gw_shadow_answers_total", "service" => service, "result" => self.result)
            .increment(1);
    }
}

/// Calls the node with a whole request and reads its answer to the end.
async fn ask<F: Future<Output = Result<Answer, Refusal>>>(
    pool: &Arc<Pool>,
    path: &str,
    metadata: HeaderMap,
    frames: Vec<Bytes>,
    receive: impl FnOnce(ResponseFuture) -> F,
    deadline: Instant,
) -> Result<Answer, Refusal> {
    let mut connection = pool.checkout(None).await?;
    let remaining = deadline.duration_since(Instant::now());
    let head = head::upstream(metadata, path, &connection, remaining)?;
    let ends_at_once = frames.is_empty();
    let (response, stream) =
        connection.requests.send_request(head, ends_at_once).map_err(failed)?;
    let sending = async {
        if !ends_at_once {
            // What the node answers decides, even if it does not take the request.
            drop(send(frames, stream, &connection.stalls).await);
        }
        pending().await
    };
    tokio::select! {
        biased;
        answer = receive(response) => answer,
        never = sending => never,
    }
}

async fn send(
    frames: Vec<Bytes>,
    mut stream: SendStream<Bytes>,
    stalls: &Stalls,
) -> Result<(), h2::Error> {
    for mut frame in frames {
        while !frame.is_empty() {
            stream.reserve_capacity(frame.len());
            let stalled = Stalled::among(stalls);
            while stream.capacity() == 0 {
                match poll_fn(|cx| stream.poll_capacity(cx)).await {
                    Some(granted) => drop(granted?),
                    None => return Ok(()),
                }
            }
            drop(stalled);
            let taken = stream.capacity().min(frame.len());
            stream.send_data(frame.split_to(taken), false)?;
        }
    }
    stream.send_data(Bytes::new(), true)
}

async fn receive(
    response: ResponseFuture,
    salt: Salt,
    lens: Option<Lens>,
) -> Result<Answer, Refusal> {
    let (parts, stream) = response.await.map_err(failed)?.into_parts();
    check_head(&parts)?;
    let (mut meter, mut body) = (Meter::new(salt), Body::new(stream, lens));
    drain(&mut body, &mut meter).await?;
    let trailers = body.trailers().await.map_err(failed)?;
    let status = grpc_status(trailers.as_ref().unwrap_or(&parts.headers));
    let code = status.map(Code::from_number);
    let code = code.ok_or_else(|| Refusal::new(Reason::UpstreamProtocol))?;
    Ok(Answer { code, digest: meter.traffic().digest })
}

async fn drain(body: &mut Body, meter: &mut Meter) -> Result<(), Refusal> {
    while let Some(data) = poll_fn(|cx| body.poll_data(cx)).await {
        let data = data.map_err(|unread| match unread {
            Unread::Stream(error) => failed(error),
            Unread::Message(refusal) => refusal,
        })?;
        meter.add(&data);
        body.release(data.len()).map_err(failed)?;
    }
    Ok(())
}
