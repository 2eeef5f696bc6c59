//! The bytes of a request or an answer as they may pass: as they come, or read message by message.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use model::Refusal;

use crate::lens::Lens;

/// Why there are no further bytes.
pub(crate) enum Unread {
    /// The stream ended before its time.
    Stream(h2::Error),
    /// What came may not pass.
    Message(Refusal),
}

/// A stream of bytes on its way.
pub(crate) struct Body {
    stream: RecvStream,
    lens: Option<Box<Lens>>,
    /// A message that was read before anybody asked for it.
    ready: Option<Bytes>,
}

impl Body {
    /// Bytes that pass as they come, or through a lens.
    pub(crate) fn new(stream: RecvStream, lens: Option<Lens>) -> Self {
        Self { stream, lens: lens.map(Box::new), ready: None }
    }

    pub(crate) fn lens(&mut self) -> Option<&mut Lens> {
        self.lens.as_deref_mut()
    }

    /// Whether messages are read on the way.
    pub(crate) fn is_read(&self) -> bool {
        self.lens.is_some()
    }

    /// Reads the first message, if there is a lens to read it with.
    pub(crate) async fn open(&mut self) -> Result<(), Unread> {
        if self.lens.is_some() && self.ready.is_none() {
            self.ready = poll_fn(|cx| self.poll_data(cx)).await.transpose()?;
        }
        Ok(())
    }

    /// The next bytes that may pass.
    pub(crate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Unread>>> {
        if let Some(message) = self.ready.take() {
            return Poll::Ready(Some(Ok(message)));
        }
        let Some(lens) = &mut self.lens else {
            return self.stream.poll_data(cx).map_err(Unread::Stream);
        };
        loop {
            match ready!(lens.poll_message(cx)) {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Ok(None) => {}
                Err(refusal) => return Poll::Ready(Some(Err(Unread::Message(refusal)))),
            }
            match ready!(self.stream.poll_data(cx)) {
                Some(data) => {
                    let gathered = data.map_err(Unread::Stream).and_then(|data| {
                        lens.gather(&data).map_err(Unread::Message)?;
                        // All of a message is needed, so the sender's window must not end within.
                        let window = self.stream.flow_control();
                        window.release_capacity(data.len()).map_err(Unread::Stream)
                    });
                    if let Err(error) = gathered {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                None if lens.is_within_a_message() => {
                    return Poll::Ready(Some(Err(Unread::Message(lens.cut_short()))));
                }
                None => return Poll::Ready(None),
            }
        }
    }

    /// Gives bytes back to the sender's window, which were taken on by the receiver.
    pub(crate) fn release(&mut self, bytes: usize) -> Result<(), h2::Error> {
        match self.lens {
            None => self.stream.flow_control().release_capacity(bytes),
            // They were, when they were gathered.
            Some(_) => Ok(()),
        }
    }

    /// Whether nothing more will come, trailers aside.
    pub(crate) fn is_end_stream(&self) -> bool {
        let in_lens = self.lens.as_ref().is_some_and(|lens| lens.is_within_a_message());
        self.ready.is_none() && !in_lens && self.stream.is_end_stream()
    }

    pub(crate) async fn trailers(&mut self) -> Result<Option<HeaderMap>, h2::Error> {
        self.stream.trailers().await
    }
}
