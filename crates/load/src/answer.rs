//! One call: the request goes out, the answer is read to its end and given a name.

use std::time::Duration;

use bytes::{Buf, Bytes};
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, StatusCode};

use crate::prepared::Prepared;

/// How a call ended, and what came with it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) ending: Ending,
    pub(crate) messages: u64,
    /// Bytes of DATA frames, gRPC prefixes included.
    pub(crate) body_bytes: u64,
    pub(crate) sample: Option<Sample>,
}

/// A gRPC status, or why there is none.
#[derive(Debug)]
pub(crate) enum Ending {
    Status { code: u32, message: Option<String> },
    Failed { kind: String, detail: String },
}

/// Headers and trailers of one answer, for instance to look at its receipt.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Headers of the answer.
    pub headers: HeaderMap,
    /// Its trailers; empty where the status stood in the headers.
    pub trailers: HeaderMap,
}

impl Ending {
    fn failed(kind: impl Into<String>) -> Ending {
        let kind = kind.into();
        Ending::Failed { detail: kind.clone(), kind }
    }

    fn error(error: &h2::Error) -> Ending {
        Ending::Failed { kind: kind_of(error), detail: error.to_string() }
    }
}

/// A short name for a transport error, the same for all errors of that kind.
pub(crate) fn kind_of(error: &h2::Error) -> String {
    let reason = error.reason();
    let reason = || reason.map_or_else(|| "unknown".to_owned(), |reason| format!("{reason:?}"));
    let by = if error.is_remote() { "by the server" } else { "here" };
    if error.is_reset() {
        format!("stream reset {by}: {}", reason())
    } else if error.is_go_away() {
        format!("connection ended {by}: {}", reason())
    } else if let Some(io) = error.get_io() {
        format!("connection lost: {}", io.kind())
    } else {
        "HTTP/2 error".to_owned()
    }
}

/// Hands the request to the connection. After an error nothing was sent.
pub(crate) fn send(
    prepared: &Prepared,
    connection: &mut SendRequest<Bytes>,
) -> Result<ResponseFuture, h2::Error> {
    let (response, mut stream) = connection.send_request(prepared.head.clone(), false)?;
    // Only a stream that is closed already declines data, and its response tells why.
    let _ = stream.send_data(prepared.body.clone(), true);
    Ok(response)
}

/// Reads the answer to its end, or as long as the plan has patience.
pub(crate) async fn receive(prepared: &Prepared, response: ResponseFuture) -> Answer {
    let mut answer = Answer {
        ending: Ending::failed("no answer in time"),
        messages: 0,
        body_bytes: 0,
        sample: None,
    };
    match prepared.patience {
        None => read(prepared, response, &mut answer).await,
        // On a timeout the ending above stands, and dropping the response resets the stream.
        Some(patience) => patiently(patience, read(prepared, response, &mut answer)).await,
    }
    answer
}

async fn patiently(patience: Duration, reading: impl Future<Output = ()>) {
    let _: Result<(), tokio::time::error::Elapsed> = tokio::time::timeout(patience, reading).await;
}

async fn read(prepared: &Prepared, response: ResponseFuture, answer: &mut Answer) {
    answer.ending = match try_read(prepared, response, answer).await {
        Ok(ending) => ending,
        Err(error) => Ending::error(&error),
    };
}

async fn try_read(
    prepared: &Prepared,
    response: ResponseFuture,
    answer: &mut Answer,
) -> Result<Ending, h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    if head.status != StatusCode::OK {
        return Ok(Ending::failed(format!("HTTP status {}", head.status.as_u16())));
    }
    let mut frames = Frames::default();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        answer.body_bytes += chunk.len() as u64;
        frames.feed(chunk);
        answer.messages = frames.messages;
    }
    let trailers = body.trailers().await?;
    let ending = ending(&head.headers, trailers.as_ref(), frames.within_message());
    if prepared.keep_sample {
        let trailers = trailers.unwrap_or_default();
        answer.sample = Some(Sample { headers: head.headers, trailers });
    }
    Ok(ending)
}

fn ending(headers: &HeaderMap, trailers: Option<&HeaderMap>, truncated: bool) -> Ending {
    let from = trailers.unwrap_or(headers);
    let Some(status) = from.get("grpc-status") else {
        return Ending::failed("no gRPC status");
    };
    match status.to_str().ok().and_then(|text| text.parse().ok()) {
        Some(0) if truncated => Ending::failed("last message cut short"),
        Some(code) => {
            let message = from.get("grpc-message").filter(|_| code != 0);
            let message = message.map(|text| readable(text.as_bytes()));
            Ending::Status { code, message }
        }
        None => Ending::failed("gRPC status is not a number"),
    }
}

/// Undoes the percent-encoding of `grpc-message`; at most 200 characters, without control ones.
fn readable(encoded: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.first_chunk::<2>().filter(|_| first == b'%');
        let decoded = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(decoded.unwrap_or(first));
        rest = match decoded {
            Some(_) => tail.get(2..).unwrap_or_default(),
            None => tail,
        };
    }
    let text = String::from_utf8_lossy(&bytes);
    text.chars().filter(|char| !char.is_control()).take(200).collect()
}

/// Counts length-prefixed messages in a body that arrives in pieces cut anywhere.
#[derive(Debug, Default)]
struct Frames {
    prefix: [u8; 5],
    prefix_bytes: usize,
    /// Bytes of the current message still to come.
    message_bytes: u64,
    messages: u64,
}

impl Frames {
    fn feed(&mut self, mut chunk: Bytes) {
        while chunk.has_remaining() {
            if self.message_bytes > 0 {
                let step = self.message_bytes.min(chunk.remaining() as u64);
                self.message_bytes -= step;
                chunk.advance(step as usize);
                self.messages += u64::from(self.message_bytes == 0);
                continue;
            }
            if let Some(place) = self.prefix.get_mut(self.prefix_bytes) {
                *place = chunk.get_u8();
                self.prefix_bytes += 1;
            }
            if self.prefix_bytes == self.prefix.len() {
                let [_, length @ ..] = self.prefix;
                self.message_bytes = u64::from(u32::from_be_bytes(length));
                self.prefix_bytes = 0;
                self.messages += u64::from(self.message_bytes == 0);
            }
        }
    }

    fn within_message(&self) -> bool {
        self.prefix_bytes > 0 || self.message_bytes > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_wherever_the_body_is_cut() {
        let body = b"\0\0\0\0\x03abc\0\0\0\0\0\0\0\0\0\x01z";
        for size in 1..=body.len() {
            let mut frames = Frames::default();
            for chunk in body.chunks(size) {
                frames.feed(Bytes::copy_from_slice(chunk));
            }
            assert_eq!((frames.messages, frames.within_message()), (3, false), "pieces of {size}");
        }
        let mut frames = Frames::default();
        frames.feed(Bytes::from_static(b"\0\0\0\0\x03ab"));
        assert_eq!((frames.messages, frames.within_message()), (0, true));
    }

    #[test]
    fn status_messages_are_decoded() {
        assert_eq!(readable(b"thi%E1%BA%BFu m%e1%bb%a5c"), "thiếu mục");
        assert_eq!(readable(b"100% sure%"), "100% sure%");
        assert_eq!(readable(b"%zz%0a"), "%zz");
    }

    #[test]
    fn answers_without_status_are_failures() {
        let check = |trailers: &[(&'static str, &'static str)], truncated, expected: &str| {
            let pairs = trailers.iter().map(|(key, value)| {
                (http::HeaderName::from_static(key), http::HeaderValue::from_static(value))
            });
            let trailers = pairs.collect::<HeaderMap>();
            let found = match ending(&HeaderMap::new(), Some(&trailers), truncated) {
                Ending::Status { code, message } => format!("{code} {message:?}"),
                Ending::Failed { kind, .. } => kind,
            };
            assert_eq!(found, expected);
        };
        check(&[("grpc-status", "0")], false, "0 None");
        check(&[("grpc-status", "0")], true, "last message cut short");
        check(&[("grpc-status", "7"), ("grpc-message", "no")], true, "7 Some(\"no\")");
        check(&[("grpc-status", "x")], false, "gRPC status is not a number");
        check(&[], false, "no gRPC status");
    }
}
