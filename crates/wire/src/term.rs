//! What the term of an entry hangs on: the service that a call asked for. Read without the rest,
//! since it is asked of every entry when a segment is sealed.

use model::ExchangeId;
use prost::Message;

/// What an entry says of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concerns {
    /// A call that was admitted, with the full name of its service.
    Begun(ExchangeId, String),
    /// What went on during a call. Names its admission instead of a service.
    During {
        /// The call.
        exchange: ExchangeId,
        /// Index of its admission.
        admitted: u64,
    },
    /// The end of a call, which names its admission instead of a service.
    Ended {
        /// The call.
        exchange: ExchangeId,
        /// Index of its admission.
        admitted: u64,
    },
    /// A refused call that asked for this service.
    Service(String),
    /// None: an entry of operators or of the ledger itself, or one that cannot be read.
    Nothing,
}

/// The parts of `Entry` that are looked at; decoding passes over the others.
#[derive(Clone, PartialEq, Message)]
struct Glance {
    #[prost(message, optional, tag = "2")]
    admitted: Option<Admitted>,
    #[prost(message, optional, tag = "3")]
    refused: Option<Refused>,
    #[prost(message, optional, tag = "4")]
    finished: Option<OfCall>,
    #[prost(message, optional, tag = "8")]
    passed: Option<OfCall>,
    #[prost(message, optional, tag = "9")]
    concerned: Option<OfCall>,
}

#[derive(Clone, PartialEq, Message)]
struct Admitted {
    #[prost(bytes = "vec", tag = "1")]
    exchange_id: Vec<u8>,
    #[prost(string, tag = "7")]
    method: String,
}

#[derive(Clone, PartialEq, Message)]
struct Refused {
    #[prost(string, tag = "7")]
    method: String,
}

#[derive(Clone, PartialEq, Message)]
struct OfCall {
    #[prost(bytes = "vec", tag = "1")]
    exchange_id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    admitted_index: u64,
}

/// What an entry, in its canonical encoding, says of a service.
pub fn concerns(entry: &[u8]) -> Concerns {
    let exchange = |bytes: Vec<u8>| bytes.try_into().ok().map(ExchangeId::from_bytes);
    let concerns = match Glance::decode(entry) {
        Ok(Glance { admitted: Some(call), .. }) => service(&call.method)
            .and_then(|service| Some(Concerns::Begun(exchange(call.exchange_id)?, service))),
        Ok(Glance { refused: Some(call), .. }) => service(&call.method).map(Concerns::Service),
        Ok(Glance { finished: Some(call), .. }) => exchange(call.exchange_id)
            .map(|exchange| Concerns::Ended { exchange, admitted: call.admitted_index }),
        Ok(Glance { passed: Some(call), .. } | Glance { concerned: Some(call), .. }) => {
            exchange(call.exchange_id)
                .map(|exchange| Concerns::During { exchange, admitted: call.admitted_index })
        }
        _ => None,
    };
    concerns.unwrap_or(Concerns::Nothing)
}

/// The service of a method path, `/package.Service/Method`.
fn service(method: &str) -> Option<String> {
    let (service, _) = method.strip_prefix('/')?.split_once('/')?;
    Some(service.to_owned())
}

#[cfg(test)]
mod tests {
    use model::{Code, Entry, Opened, Timestamp, Traffic};

    use super::*;
    use crate::evidence::encode_entry;

    #[test]
    fn ends_and_others_are_told_apart() {
        let exchange = ExchangeId::from_bytes([7; 16]);
        let traffic = Traffic::default();
        let time = Timestamp::from_secs(1);
        let finished = Entry::Finished(model::Finished {
            exchange,
            admitted: 41,
            time,
            code: Code::Ok,
            reason: None,
            request: traffic,
            response: traffic,
            request_masked: None,
            response_masked: None,
        });
        let expected = Concerns::Ended { exchange, admitted: 41 };
        assert_eq!(concerns(&encode_entry(&finished)), expected);
        let opened = Opened { time, version: "1".into(), discarded_bytes: 0 };
        assert_eq!(concerns(&encode_entry(&Entry::Opened(opened))), Concerns::Nothing);
        assert_eq!(concerns(b"no entry"), Concerns::Nothing);
    }

    #[test]
    fn a_service_is_the_first_part_of_a_path() {
        let check = |method: &str, expected: Option<&str>| {
            assert_eq!(service(method).as_deref(), expected, "{method}");
        };
        check(
            "/vn.population.v1.PopulationService/VerifyPerson",
            Some("vn.population.v1.PopulationService"),
        );
        check("/a.B/", Some("a.B"));
        check("a.B/C", None);
        check("/a.B", None);
    }
}
