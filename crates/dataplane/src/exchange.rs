//! The life of one call, from its head to its last entry.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;
use model::{Code, Reason, Refusal};
use tokio::time::{Instant, timeout_at};

use crate::account::Account;
use crate::admit::admit;
use crate::connection::Peer;
use crate::forward::forward;
use crate::gateway::Worker;
use crate::head::{self, Call};
use crate::reply::Reply;

/// Carries one call and sees to it that whatever happens is answered and recorded.
pub(crate) async fn handle(
    worker: Arc<Worker>,
    peer: Arc<Peer>,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let shared = &worker.shared;
    let mut account = Account::open(shared, &peer, shared.clock.now());
    let mut reply = Reply::new(respond, account.exchange());
    let ended = unless_cut(&worker, run(&worker, &peer, request, &mut reply, &mut account)).await;
    match ended {
        Ok(code) => account.finish(code),
        Err(refusal) => decline(refusal, &mut account, &mut reply).await,
    }
}

/// The path of a call. Each step takes what only the step before can give.
async fn run(
    worker: &Worker,
    peer: &Peer,
    request: Request<RecvStream>,
    reply: &mut Reply,
    account: &mut Account,
) -> Result<Code, Refusal> {
    let shared = &worker.shared;
    let (begun, now) = (Instant::now(), shared.clock.now());
    let snapshot = shared.live.snapshot(); // one revision for the whole call
    account.decided_by(snapshot.revision());
    account.asked(request.uri().path());
    let caller = snapshot.identify(&peer.certificate, now)?;
    account.identified(&caller);
    let call = Call::parse(&request, shared.limits.header_bytes_max)?;
    account.stated(&call);
    let route = snapshot.route(call.path)?;
    let decision = snapshot.decide(&caller, &route, &call.terms, now)?;
    let admitted = admit(shared, decision, now)?;
    let sequenced = account.admit(&caller, &route, &admitted)?;

    let most = route.deadline_max.unwrap_or(shared.limits.deadline_max);
    let deadline = begun + call.timeout.map_or(most, |stated| stated.min(most));
    let exchange = async {
        let cleared = sequenced.clear(route.effect).await?; // an update waits for its evidence
        let connection = reply.unless_reset(worker.upstreams.checkout(route.node)).await??;
        let remaining = deadline.duration_since(Instant::now());
        let head = head::upstream(&request, &route, &connection, remaining, account)?;
        forward(cleared, connection, head, request.into_body(), deadline, reply, account).await
    };
    match timeout_at(deadline, exchange).await {
        Ok(ended) => ended,
        Err(_elapsed) => Err(Refusal::new(Reason::DeadlineExceeded)),
    }
}

/// Answers and records a call that was declined or cut.
async fn decline(refusal: Refusal, account: &mut Account, reply: &mut Reply) {
    if !refusal.inward().is_empty() {
        let reason = refusal.reason().name();
        tracing::debug!(exchange = %account.exchange(), reason, cause = refusal.inward(), "declined");
    }
    let recorded = account.decline(&refusal).await;
    let revision = account.revision();
    let told = match &recorded {
        Ok(recorded) => reply.refuse(&refusal, revision, recorded.as_ref()),
        // Nothing is answered without a record, not even another refusal, but that it is missing.
        Err(unrecorded) if !reply.is_released() => reply.refuse(unrecorded, revision, None),
        Err(_) => reply.refuse(&refusal, revision, None),
    };
    if told.is_err() {
        tracing::trace!(exchange = %account.exchange(), "the consumer went away before the refusal");
    }
}

/// Cuts `call` when the time that a drain allows is over.
async fn unless_cut(
    worker: &Worker,
    call: impl Future<Output = Result<Code, Refusal>>,
) -> Result<Code, Refusal> {
    let mut phase = worker.shared.phase.subscribe();
    tokio::select! {
        biased;
        ended = call => ended,
        _ = phase.wait_for(|phase| phase.is_over()) => Err(Refusal::new(Reason::Draining)),
    }
}
