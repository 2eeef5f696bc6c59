//! The way back to the consumer: a head, bytes, trailers, in that order and each at most once.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Response};
use model::{ExchangeId, Reason, Refusal, RevisionId};

use crate::account::Way;
use crate::evidence::Recorded;
use crate::forward::failed;
use crate::pump::{Broken, Pump};
use crate::respond;

pub(crate) struct Reply {
    exchange: ExchangeId,
    stage: Stage,
}

enum Stage {
    Head(SendResponse<Bytes>),
    Body(SendStream<Bytes>),
    Ended,
}

impl Reply {
    pub(crate) fn new(respond: SendResponse<Bytes>, exchange: ExchangeId) -> Self {
        Self { exchange, stage: Stage::Head(respond) }
    }

    /// Releases the head of an answer. Needs the evidence that the call's entry is durable.
    pub(crate) fn head(
        &mut self,
        _evidence: &Recorded,
        response: Response<()>,
        end: bool,
    ) -> Result<(), Refusal> {
        self.send_head(response, end)
    }

    fn send_head(&mut self, response: Response<()>, end: bool) -> Result<(), Refusal> {
        let Stage::Head(respond) = &mut self.stage else { return Err(gone("a second head")) };
        let stream = respond.send_response(response, end).map_err(gone)?;
        self.stage = if end { Stage::Ended } else { Stage::Body(stream) };
        Ok(())
    }

    /// Passes the bytes of the answer on, as fast as the consumer takes them.
    pub(crate) async fn pump(
        &mut self,
        body: &mut RecvStream,
        way: Way<'_>,
        bytes_max: Option<u64>,
    ) -> Result<(), Refusal> {
        let Stage::Body(stream) = &mut self.stage else { return Err(gone("bytes before a head")) };
        match Pump::new(body, stream, way).at_most(bytes_max).run().await {
            Ok(_open) => Ok(()),
            Err(Broken::Source(error)) => Err(failed(error)),
            Err(Broken::Sink(error)) => Err(gone(error)),
            Err(Broken::TooLarge(most)) => {
                Err(Refusal::new(Reason::AnswerTooLarge).with("bytes_max", most))
            }
        }
    }

    /// Ends the answer.
    pub(crate) fn trailers(&mut self, trailers: HeaderMap) -> Result<(), Refusal> {
        let Stage::Body(stream) = &mut self.stage else { return Err(gone("trailers twice")) };
        stream.send_trailers(trailers).map_err(gone)?;
        self.stage = Stage::Ended;
        Ok(())
    }

    /// Whether any part of an answer has been released.
    pub(crate) fn is_released(&self) -> bool {
        !matches!(self.stage, Stage::Head(_))
    }

    /// Tells the consumer that the call is declined, in the form that the stage allows.
    pub(crate) fn refuse(
        &mut self,
        refusal: &Refusal,
        revision: RevisionId,
        evidence: Option<&Recorded>,
    ) -> Result<(), Refusal> {
        let mut trailers = respond::trailers(refusal, revision);
        if let Some(recorded) = evidence {
            respond::insert_receipt(&mut trailers, &recorded.receipt());
        }
        match self.stage {
            Stage::Head(_) => {
                let mut head = respond::head(Some(self.exchange));
                *head.status_mut() = respond::http_status(refusal);
                head.headers_mut().extend(trailers);
                self.send_head(head, true)
            }
            Stage::Body(_) => self.trailers(trailers),
            Stage::Ended => Ok(()),
        }
    }

    /// Waits for `work`, unless the consumer resets the call first.
    pub(crate) async fn unless_reset<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, Refusal> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            let reset = match &mut self.stage {
                Stage::Head(respond) => respond.poll_reset(cx),
                Stage::Body(stream) => stream.poll_reset(cx),
                Stage::Ended => Poll::Pending,
            };
            reset.map(|reason| {
                Err(match reason {
                    Ok(reason) => gone(reason),
                    Err(error) => gone(error),
                })
            })
        })
        .await
    }
}

/// The consumer is no longer there to take the answer.
fn gone(cause: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Cancelled).because(cause)
}
