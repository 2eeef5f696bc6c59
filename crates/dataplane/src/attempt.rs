//! Sending a call, and sending it again where that cannot be told from sending it once.
//!
//! A query is sent again while the node has answered nothing and all that was read of the request
//! is still held; an update only if nothing of it was sent. Both within a budget for each node.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use model::{Code, Effect, MethodPath, Reason, Refusal};
use policy::Route;
use tokio::time::{Instant, sleep};

use crate::account::Account;
use crate::body::Body;
use crate::evidence::Cleared;
use crate::forward::forward;
use crate::head;
use crate::lens::Reading;
use crate::reply::Reply;
use crate::shadow::{Copy, Original, Reserved};
use crate::upload::Upload;
use crate::upstream::{LEAVE_ALONE, Pool};

/// A call on its way out: what stays the same however often it is sent.
pub(crate) struct Outgoing<'a> {
    pub(crate) head: &'a Parts,
    pub(crate) route: &'a Route<'a>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) cleared: Cleared,
    pub(crate) deadline: Instant,
    /// How answers are read on the way, if they are.
    pub(crate) answers: Option<Reading>,
}

/// How an attempt to send a call failed.
pub(crate) enum Failed {
    /// For good.
    Over(Refusal),
    /// Before any answer.
    Early(Refusal, Sent),
    /// With an answer that is not passed on, since leave was given to send the call again.
    Again,
}

/// What a failed attempt has sent of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Nothing, since no endpoint could be reached.
    Unreached,
    /// Nothing, since the connection was at its end.
    Nothing,
    /// Perhaps all of it, without an answer.
    Unanswered,
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Over(refusal)
    }
}

impl Outgoing<'_> {
    /// Sends the call as often as it takes and may, and passes the answer back.
    pub(crate) async fn carry(
        &self,
        body: Body,
        copy: Option<Reserved>,
        reply: &mut Reply,
        account: &Account,
    ) -> Result<Code, Refusal> {
        let prepared = copy.map(|reserved| self.copy(reserved, account)).transpose()?;
        let (copy, original) = prepared.unzip();
        let limits = self.route.limits;
        let again = limits.retries_max > 0 && self.route.effect == Effect::Query;
        let mut upload = Upload::new(body, limits.request_bytes_max, again, copy);
        let ended = self.persist(&mut upload, reply, account).await;
        if let (Some(original), Ok(code)) = (original, &ended) {
            original.answered(*code, account.response_digest());
        }
        ended
    }

    /// Takes from a node's metadata what may not go on to the consumer.
    pub(crate) fn bare(&self, headers: &mut HeaderMap) {
        head::strip_vouched(headers);
        if self.answers.as_ref().is_some_and(Reading::is_mask) {
            head::keep_status_alone(headers);
        }
    }

    fn copy(&self, reserved: Reserved, account: &Account) -> Result<(Copy, Original), Refusal> {
        let mut metadata =
            head::metadata(&self.head.headers, self.route, account, self.answers.is_some())?;
        // The token is for the node that answers; a node on trial could act in its bearer's name.
        metadata.remove(AUTHORIZATION);
        let reading = self.answers.as_ref().map(Reading::silent);
        Ok(reserved.copy(self.route.path, metadata, account.salt(), self.deadline, reading))
    }

    async fn persist(
        &self,
        upload: &mut Upload,
        reply: &mut Reply,
        account: &Account,
    ) -> Result<Code, Refusal> {
        let mut retries = Retries::new(self);
        let mut again = false;
        loop {
            let ended = self.attempt(upload, &mut retries, reply, account).await;
            if std::mem::replace(&mut again, true) {
                retries.tell(if ended.is_ok() { "answered" } else { "failed" });
            }
            match ended {
                Ok(code) => return Ok(code),
                Err(Failed::Over(refusal)) => return Err(refusal),
                Err(Failed::Again) => {}
                Err(Failed::Early(refusal, sent)) => {
                    let held = upload.keeping().is_held();
                    let Some(pause) = retries.grant(sent, held) else { return Err(refusal) };
                    if !pause.is_zero() {
                        reply.unless_reset(sleep(pause)).await?;
                    }
                }
            }
        }
    }

    async fn attempt(
        &self,
        upload: &mut Upload,
        retries: &mut Retries<'_>,
        reply: &mut Reply,
        account: &Account,
    ) -> Result<Code, Failed> {
        let checkout = reply.unless_reset(self.pool.checkout(retries.last)).await?;
        let connection = checkout.map_err(|refusal| match refusal.reason() {
            Reason::UpstreamUnreachable => Failed::Early(refusal, Sent::Unreached),
            _ => Failed::Over(refusal),
        })?;
        retries.last = Some(connection.endpoint);
        let metadata =
            head::metadata(&self.head.headers, self.route, account, self.answers.is_some())?;
        let remaining = self.deadline.duration_since(Instant::now());
        let head = head::upstream(metadata, self.route.path, &connection, remaining)?;
        forward(self, connection, head, upload, retries, reply, account).await
    }
}

/// The service of a route, as a label.
pub(crate) fn service<'a>(route: &Route<'a>) -> &'a str {
    MethodPath::parse(route.path).map(|path| path.service()).unwrap_or_default()
}

/// How often a call may still be sent again.
pub(crate) struct Retries<'a> {
    outgoing: &'a Outgoing<'a>,
    left: u8,
    /// The endpoint that the last attempt went to.
    last: Option<usize>,
}

impl<'a> Retries<'a> {
    fn new(outgoing: &'a Outgoing<'a>) -> Self {
        let left = outgoing.route.limits.retries_max;
        if left > 0 {
            outgoing.pool.retries.lock().call();
        }
        Self { outgoing, left, last: None }
    }

    /// Whether the call will not be sent again.
    pub(crate) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Gives leave to send the call again, after a pause. `held` says whether all that was read
    /// of the request can be sent again.
    pub(crate) fn grant(&mut self, sent: Sent, held: bool) -> Option<Duration> {
        let query = self.outgoing.route.effect == Effect::Query;
        if self.left == 0 || (sent == Sent::Unanswered && !query) {
            return None;
        }
        let pause = match sent {
            // Until then the node's endpoints are left alone.
            Sent::Unreached => LEAVE_ALONE,
            Sent::Nothing | Sent::Unanswered => Duration::ZERO,
        };
        let now = Instant::now();
        // Of an update that gets here nothing has been read.
        let possible = (held || !query) && now + pause < self.outgoing.deadline;
        if !possible || !self.outgoing.pool.retries.lock().take(now) {
            self.tell("withheld");
            return None;
        }
        self.left -= 1;
        Some(pause)
    }

    fn tell(&self, result: &'static str) {
        let service = service(self.outgoing.route).to_owned();
        metrics::counter!("gw_retries_total", "service" => service, "result" => result)
            .increment(1);
    }
}
