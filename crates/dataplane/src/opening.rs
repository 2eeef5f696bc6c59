//! How a call gets its place in the ledger: first it is read whom it is about, where the contract of
//! its method says so.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use h2::RecvStream;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use model::{PersonNumber, Reason, Refusal};
use policy::{Caller, Decision, Destination, Route};

use crate::account::Account;
use crate::admit::Admitted;
use crate::body::{Body, Unread};
use crate::concerns::{Concerns, ask};
use crate::evidence::Sequenced;
use crate::gateway::{Shared, Worker};
use crate::head::is_protobuf;
use crate::lens::{Reading, Treatment, Way};
use crate::upload;

/// A request that has not passed yet, and how what is answered will be read.
pub(crate) struct Opening {
    pub(crate) body: Body,
    pub(crate) answers: Option<Reading>,
    /// Whether messages are what can be read.
    is_protobuf: bool,
}

impl Opening {
    /// Chooses how the messages of a call are read, if they are.
    pub(crate) fn of(
        worker: &Worker,
        route: &Route<'_>,
        decision: &Decision<'_>,
        headers: &HeaderMap,
        stream: RecvStream,
        account: &mut Account,
    ) -> Self {
        let agreement = decision.agreement;
        let counts = worker.shared.persons.are_recorded() || agreement.subjects().is_some();
        let watched = |watch: Option<&Arc<mask::Watch>>| {
            watch.filter(|_| counts).map(|watch| Treatment::Watch(watch.clone()))
        };
        let masked = |mask: Option<&Arc<mask::Mask>>| mask.cloned().map(Treatment::Mask);
        let request =
            masked(agreement.request_mask(route)).or_else(|| watched(route.request_watch()));
        let answer = masked(agreement.answer_mask(route)).or_else(|| watched(route.answer_watch()));
        let limits = route.limits;
        let request = request.map(|treatment| {
            Reading::new(Way::Request, treatment, limits.request_bytes_max, worker)
        });
        let answers = answer
            .map(|treatment| Reading::new(Way::Answer, treatment, limits.answer_bytes_max, worker));
        account.read_by(
            request.as_ref().map(Reading::withheld),
            answers.as_ref().map(Reading::withheld),
        );
        let is_protobuf = headers.get(CONTENT_TYPE).is_some_and(is_protobuf);
        let body = Body::new(stream, request.map(|reading| reading.lens()));
        Self { body, answers, is_protobuf }
    }

    /// Gives the call its place in the ledger, with the persons whom its first message names.
    pub(crate) async fn admit(
        &mut self,
        shared: &Arc<Shared>,
        caller: &Caller<'_>,
        route: &Route<'_>,
        destination: &Destination<'_>,
        admitted: &Admitted<'_>,
        account: &mut Account,
    ) -> Result<Sequenced, Refusal> {
        if (self.body.is_read() || self.answers.is_some()) && !self.is_protobuf {
            let refusal = Refusal::new(Reason::Malformed).with("part", "content-type");
            return Err(refusal.with("expected", "application/grpc or application/grpc+proto"));
        }
        let persons = self.persons().await?;
        let agreement = admitted.decision().agreement;
        if let Some(budget) = agreement.subjects().filter(|_| !persons.is_empty()) {
            ask(shared, agreement.id(), &caller.system.id, &budget, &persons)?;
        }
        let subject = persons.first().and_then(|person| shared.persons.subject(person));
        let known = subject.iter().map(|subject| subject.pseudonym).collect();
        let sequenced = account.admit(caller, route, destination, admitted, subject)?;
        if self.body.lens().is_none() && self.answers.is_none() {
            return Ok(sequenced);
        }
        let concerns = Rc::new(Concerns {
            shared: shared.clone(),
            exchange: account.exchange(),
            admitted: sequenced.index(),
            agreement: agreement.id().clone(),
            system: caller.system.id.clone(),
            budget: agreement.subjects(),
            known: RefCell::new(known),
            last: RefCell::new(None),
        });
        if let Some(recording) = concerns.record(persons)? {
            recording.await?;
        }
        if let Some(lens) = self.body.lens() {
            lens.concerning(&concerns);
        }
        self.answers = self.answers.take().map(|answers| answers.concerning(&concerns));
        Ok(sequenced)
    }

    /// The persons whom the first message names.
    async fn persons(&mut self) -> Result<Vec<PersonNumber>, Refusal> {
        self.body.open().await.map_err(|unread| match unread {
            Unread::Stream(error) => upload::gone(error),
            Unread::Message(refusal) => refusal,
        })?;
        Ok(self.body.lens().map(|lens| lens.persons().to_vec()).unwrap_or_default())
    }
}
