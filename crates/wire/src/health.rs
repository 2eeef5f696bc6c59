//! Messages of `grpc.health.v1` (grpc/doc/health-checking.md), framed.

use prost::Message;

/// What a health call asks about; an empty name means the whole server.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct HealthCheckRequest {
    /// Full name of a service.
    #[prost(string, tag = "1")]
    pub service: String,
}

/// How a service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ServingStatus {
    /// Not known.
    Unknown = 0,
    /// It takes calls.
    Serving = 1,
    /// It takes none.
    NotServing = 2,
    /// There is no such service.
    ServiceUnknown = 3,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct HealthCheckResponse {
    #[prost(enumeration = "ServingStatus", tag = "1")]
    status: i32,
}

impl HealthCheckRequest {
    /// Reads the one uncompressed message that `frames` must hold.
    pub fn from_frame(frames: &[u8]) -> Option<Self> {
        let (prefix, message) = frames.split_first_chunk::<5>()?;
        let [compressed, length @ ..] = *prefix;
        let whole = u32::from_be_bytes(length) as usize == message.len();
        if compressed != 0 || !whole {
            return None;
        }
        Self::decode(message).ok()
    }
}

/// An answer with `status`, as one message frame.
pub fn frame(status: ServingStatus) -> Vec<u8> {
    let message = HealthCheckResponse { status: status.into() }.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or_default();
    [&[0], length.to_be_bytes().as_slice(), &message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_as_the_protocol_has_them() {
        assert_eq!(frame(ServingStatus::Serving), [0, 0, 0, 0, 2, 8, 1]);
        let asked = HealthCheckRequest::from_frame(&[0, 0, 0, 0, 3, 10, 1, b'x']);
        assert_eq!(asked, Some(HealthCheckRequest { service: "x".into() }));
        for bad in [&[][..], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 1], &[0, 0, 0, 0, 0, 9]] {
            assert_eq!(HealthCheckRequest::from_frame(bad), None, "{bad:?}");
        }
    }
}
