//! The life of one call, from its head to its last entry.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;
use model::{Code, Reason, Refusal};
use policy::{Context, Selection};
use tokio::time::{Instant, timeout_at};

use crate::account::Account;
use crate::admit::admit;
use crate::attempt::Outgoing;
use crate::bearer;
use crate::connection::Peer;
use crate::gateway::Worker;
use crate::head::Call;
use crate::opening::Opening;
use crate::reply::Reply;
use crate::ruling::decide;
use crate::shadow;

/// Carries one call and sees to it that whatever happens is answered and recorded.
pub(crate) async fn handle(
    worker: Rc<Worker>,
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
    let revision = shared.live.revision(); // one for the whole call
    let snapshot = &*revision.snapshot;
    account.decided_by(snapshot.revision());
    account.asked(request.uri().path());
    let caller = snapshot.identify(&peer.certificate, now)?;
    account.identified(&caller);
    let (head, body) = request.into_parts();
    let Call { path, terms, timeout } = Call::parse(&head, shared.limits.header_bytes_max)?;
    account.stated(terms);
    let route = snapshot.route(path)?;
    let token = bearer::token(worker, &revision, &route, &head.headers, now)?;
    let (terms, source, token) = (account.terms(), peer.source, token.as_deref());
    let context = Context { terms, source, token, now };
    let decision = decide(worker, snapshot, &caller, &route, &context)?;
    let admitted = admit(shared, decision, &route, now)?;
    let header = |name: &str| head.headers.get(name)?.to_str().ok();
    let draw = policy::draw(&account.exchange());
    let selection = Selection { source, header: &header, draw };
    let destination = snapshot.destination(&caller, &route, &selection);
    let (destination, copy) = shadow::reserve(worker, &route, destination);
    let mut opening =
        Opening::of(worker, &route, admitted.decision(), &head.headers, body, account);

    let most = route.limits.deadline_max.unwrap_or(shared.limits.deadline_max);
    let deadline = begun + timeout.map_or(most, |stated| stated.min(most));
    let exchange = async {
        let sequenced =
            opening.admit(shared, &caller, &route, &destination, &admitted, account).await?;
        let cleared = sequenced.clear(route.effect).await?; // an update waits for its evidence
        let pool = worker.upstreams.pool(destination.node)?;
        let Opening { body, answers, .. } = opening;
        let outgoing = Outgoing { head: &head, route: &route, pool, cleared, deadline, answers };
        outgoing.carry(body, copy, reply, account).await
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
