//! The consumer's request on its way to a node, and what of it may have to be sent again.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::HeaderMap;
use model::{Reason, Refusal};

use crate::account::Way;
use crate::kept::Kept;
use crate::pump::{Broken, Pump, Stalls};
use crate::shadow::Copy;

/// A request. Outlives the attempts to send it.
pub(crate) struct Upload {
    body: RecvStream,
    bytes_max: Option<u64>,
    kept: Option<Rc<RefCell<Kept>>>,
    /// The trailers of a request that has ended, if it has any.
    ended: Option<Option<HeaderMap>>,
    /// The copy that leaves once the request has ended.
    copy: Option<Copy>,
}

impl Upload {
    /// A request of at most `bytes_max`, kept as far as it may be sent `again` or copied.
    pub(crate) fn new(
        body: RecvStream,
        bytes_max: Option<u64>,
        again: bool,
        copy: Option<Copy>,
    ) -> Self {
        let needed = again || copy.is_some();
        let kept = needed.then(|| Rc::new(RefCell::new(Kept::new(again, copy.is_some()))));
        Self { body, bytes_max, kept, ended: None, copy }
    }

    /// Whether the request has no bytes, so that its head is all of it.
    pub(crate) fn is_head_alone(&self) -> bool {
        let nothing_kept = self.kept.as_ref().is_none_or(|kept| kept.borrow().is_empty());
        let has_trailers = matches!(self.ended, Some(Some(_)));
        nothing_kept && self.body.is_end_stream() && !has_trailers
    }

    /// A handle to what is kept.
    pub(crate) fn keeping(&self) -> Keeping {
        Keeping(self.kept.clone())
    }

    /// Passes the request on to a node, from its beginning. It is not kept for another attempt if
    /// this is the `last`.
    pub(crate) async fn send(
        &mut self,
        mut stream: SendStream<Bytes>,
        way: Way<'_>,
        stalls: &Stalls,
        last: bool,
    ) -> Result<(), Refusal> {
        let (kept, keeping) = (self.kept.clone(), self.keeping());
        let mut pump = Pump::new(&mut self.body, &mut stream, way)
            .ending_sink()
            .telling(stalls)
            .at_most(self.bytes_max);
        if let Some(kept) = &kept {
            pump = pump.keeping(kept);
        }
        if last {
            // The pump has its own of what was kept until now.
            keeping.end();
        }
        match pump.run().await {
            Ok(true) => {
                self.end(None);
                return Ok(());
            }
            Ok(false) => {}
            Err(Broken::Source(error)) => return Err(gone(error)),
            // The node takes no more; what it answers decides the call.
            Err(Broken::Sink(_)) => return Ok(()),
            Err(Broken::TooLarge(most)) => {
                return Err(Refusal::new(Reason::RequestTooLarge).with("bytes_max", most));
            }
        }
        if self.ended.is_none() {
            let trailers = self.body.trailers().await.map_err(gone)?;
            self.end(trailers);
        }
        let ended = match self.ended.clone().flatten() {
            Some(trailers) => stream.send_trailers(trailers),
            None => stream.send_data(Bytes::new(), true),
        };
        // As above: the answer decides.
        drop(ended);
        Ok(())
    }

    /// Notes that the request has ended, and lets its copy leave.
    pub(crate) fn end(&mut self, trailers: Option<HeaderMap>) {
        self.ended = Some(trailers);
        if let Some(copy) = self.copy.take() {
            copy.leave(self.kept.as_ref().and_then(|kept| kept.borrow_mut().leave()));
        }
    }
}

/// A handle to what is kept of a request, beside the one who sends it.
pub(crate) struct Keeping(Option<Rc<RefCell<Kept>>>);

impl Keeping {
    /// Whether all that was read of the request can be sent again.
    pub(crate) fn is_held(&self) -> bool {
        self.0.as_ref().is_some_and(|kept| kept.borrow().is_held())
    }

    /// Lets go of it, since the request will not be sent again. What a copy needs stays until the
    /// copy leaves.
    pub(crate) fn end(&self) {
        if let Some(kept) = &self.0 {
            kept.borrow_mut().not_again();
        }
    }
}

fn gone(error: h2::Error) -> Refusal {
    Refusal::new(Reason::Cancelled).because(error)
}
