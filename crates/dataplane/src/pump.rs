//! Moving bytes from one HTTP/2 stream to another, with flow control from end to end.
//!
//! A byte is given back to the sender's window only once the receiver's side has taken it, so a
//! slow reader slows the writer and nothing piles up here beyond one stream window. Frames that
//! come while the receiver does not take any are joined: a few large pieces cost less memory
//! than the many small frames that a sender may cut them into.

use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::{Reason, SendStream};
use model::Refusal;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::account::Way;
use crate::body::{Body, Unread};
use crate::kept::Kept;

/// Which side ended the move before its time.
pub(crate) enum Broken {
    /// The stream that bytes come from.
    Source(h2::Error),
    /// The stream that bytes go to.
    Sink(h2::Error),
    /// There are more bytes of messages, with their prefixes, than may pass.
    TooLarge(u64),
    /// A message may not pass.
    Message(Refusal),
}

impl From<Unread> for Broken {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Stream(error) => Self::Source(error),
            Unread::Message(refusal) => Self::Message(refusal),
        }
    }
}

/// From this long on a sink that takes nothing counts as standing still; shorter waits are the
/// ordinary work of flow control.
const STANDS_STILL_AFTER: Duration = Duration::from_millis(50);

/// How many pumps hold bytes that their sinks do not take, shared by those it concerns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stalls(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    pumps: usize,
    /// Since when there has been one all the time.
    since: Option<Instant>,
}

impl Stalls {
    /// Whether something stands still.
    pub(crate) fn any(&self) -> bool {
        self.0.lock().since.is_some_and(|since| since.elapsed() >= STANDS_STILL_AFTER)
    }
}

/// One pump among the stalled, as long as it lives.
pub(crate) struct Stalled(Stalls);

impl Stalled {
    pub(crate) fn among(stalls: &Stalls) -> Self {
        let mut waiting = stalls.0.lock();
        waiting.pumps += 1;
        waiting.since.get_or_insert_with(Instant::now);
        Self(stalls.clone())
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        let mut waiting = self.0.0.lock();
        waiting.pumps -= 1;
        if waiting.pumps == 0 {
            waiting.since = None;
        }
    }
}

/// One direction of a call.
pub(crate) struct Pump<'a> {
    source: &'a mut Body,
    sink: &'a mut SendStream<Bytes>,
    way: Way<'a>,
    /// Taken from the source and not yet by the sink; still charged to the sender's window, but
    /// for those at its beginning that are sent again.
    held: BytesMut,
    sent_again: usize,
    /// Most bytes of messages, with their prefixes, that may pass.
    bytes_max: u64,
    /// Where what passes is kept, to be sent again or elsewhere.
    kept: Option<&'a RefCell<Kept>>,
    /// Whether the last bytes carry the end of the stream, for want of trailers.
    ends_sink: bool,
    /// Where it is told that the sink takes nothing, and that it does so now.
    stalls: Option<&'a Stalls>,
    stalled: Option<Stalled>,
}

impl<'a> Pump<'a> {
    /// Moves all bytes of `source` and leaves `sink` open, for trailers.
    pub(crate) fn new(source: &'a mut Body, sink: &'a mut SendStream<Bytes>, way: Way<'a>) -> Self {
        Self {
            source,
            sink,
            way,
            held: BytesMut::new(),
            sent_again: 0,
            bytes_max: u64::MAX,
            kept: None,
            ends_sink: false,
            stalls: None,
            stalled: None,
        }
    }

    /// Lets at most so many bytes of messages pass, with their prefixes.
    pub(crate) fn at_most(mut self, bytes_max: Option<u64>) -> Self {
        self.bytes_max = bytes_max.unwrap_or(u64::MAX);
        self
    }

    /// Keeps what passes, and sends first what was kept before.
    pub(crate) fn keeping(mut self, kept: &'a RefCell<Kept>) -> Self {
        self.held = kept.borrow().joined();
        self.sent_again = self.held.len();
        self.kept = Some(kept);
        self
    }

    /// Lets the last bytes end the sink where the source ends without trailers.
    pub(crate) fn ending_sink(mut self) -> Self {
        self.ends_sink = true;
        self
    }

    /// Tells `stalls` while the sink takes nothing.
    pub(crate) fn telling(mut self, stalls: &'a Stalls) -> Self {
        self.stalls = Some(stalls);
        self
    }

    /// Moves until the source has ended and the sink has taken everything. Says whether the sink
    /// was ended too.
    pub(crate) async fn run(mut self) -> Result<bool, Broken> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Broken>> {
        loop {
            let drained = self.poll_send(cx)?.is_ready();
            self.tell(!drained);
            // Messages that are read on the way have left the sender's window: what holds the sender
            // back is that nothing more is taken while the sink takes nothing.
            if !drained && self.source.is_read() {
                let reset = self.sink.poll_reset(cx).map_err(Broken::Sink)?;
                return reset.map(|reason| Err(Broken::Sink(reason.into())));
            }
            match self.source.poll_data(cx) {
                Poll::Ready(Some(data)) => {
                    let data = data.map_err(Broken::from)?;
                    if self.way.add(&data) > self.bytes_max {
                        return Poll::Ready(Err(Broken::TooLarge(self.bytes_max)));
                    }
                    if let Some(kept) = self.kept {
                        kept.borrow_mut().keep(&data);
                    }
                    if self.take(data)? {
                        return Poll::Ready(Ok(true));
                    }
                }
                Poll::Ready(None) if drained => return Poll::Ready(Ok(false)),
                Poll::Ready(None) => return Poll::Pending,
                Poll::Pending => {
                    let reset = self.sink.poll_reset(cx).map_err(Broken::Sink)?;
                    return reset.map(|reason| Err(Broken::Sink(reason.into())));
                }
            }
        }
    }

    fn tell(&mut self, stalled: bool) {
        if stalled != self.stalled.is_some() {
            self.stalled = self.stalls.filter(|_| stalled).map(Stalled::among);
        }
    }

    /// Sends new bytes as they are if the sink takes them at once, else holds them. Says whether
    /// they ended the sink.
    fn take(&mut self, data: Bytes) -> Result<bool, Broken> {
        let end = self.ends_sink && self.source.is_end_stream();
        if self.held.is_empty() && !data.is_empty() {
            self.sink.reserve_capacity(data.len());
            if self.sink.capacity() >= data.len() {
                self.send(data, end)?;
                return Ok(end);
            }
        }
        self.held.extend_from_slice(&data);
        Ok(false)
    }

    /// Sends what is held, as far as the sink takes it. Ready when nothing is held any more.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while !self.held.is_empty() {
            self.sink.reserve_capacity(self.held.len());
            // Reserving inside this loop would wake it again and again.
            while self.sink.capacity() == 0 {
                match ready!(self.sink.poll_capacity(cx)) {
                    Some(granted) => drop(granted.map_err(Broken::Sink)?),
                    None => return Poll::Ready(Err(Broken::Sink(Reason::CANCEL.into()))),
                }
            }
            let taken = self.sink.capacity().min(self.held.len());
            let chunk = self.held.split_to(taken).freeze();
            self.send(chunk, false)?;
        }
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, data: Bytes, end: bool) -> Result<(), Broken> {
        let free = data.len().min(self.sent_again);
        let charged = data.len() - free;
        self.sink.send_data(data, end).map_err(Broken::Sink)?;
        self.sent_again -= free;
        self.source.release(charged).map_err(Broken::Source)
    }
}

/// What is held goes with the pump, and may be sent again from where it was kept: it no longer
/// counts against the sender.
impl Drop for Pump<'_> {
    fn drop(&mut self) {
        let charged = self.held.len().saturating_sub(self.sent_again);
        if charged > 0 {
            // A source that has ended in the meantime has no window.
            drop(self.source.release(charged));
        }
    }
}
