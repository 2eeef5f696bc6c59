//! How admitted calls went on and ended, as the ledger keeps it.

use model::{Code, Finished, Passed, Reason, Timestamp, Traffic};

use crate::evidence::{EvidenceError, exchange, fixed, reason, wrong};
use crate::generated::evidence as pb;

pub(crate) fn from_finished(finished: &Finished) -> pb::Finished {
    pb::Finished {
        exchange_id: finished.exchange.as_bytes().to_vec(),
        admitted_index: finished.admitted,
        time_us: finished.time.as_micros(),
        code: finished.code.number(),
        reason: finished.reason.map(Reason::number).unwrap_or_default(),
        request: Some(from_traffic(&finished.request)),
        response: Some(from_traffic(&finished.response)),
    }
}

pub(crate) fn to_finished(message: pb::Finished) -> Result<Finished, EvidenceError> {
    Ok(Finished {
        exchange: exchange(&message.exchange_id)?,
        admitted: message.admitted_index,
        time: Timestamp::from_micros(message.time_us),
        code: Code::from_number(message.code),
        reason: match message.reason {
            0 => None,
            number => Some(reason(number)?),
        },
        request: to_traffic("request", message.request)?,
        response: to_traffic("response", message.response)?,
    })
}

pub(crate) fn from_passed(passed: &Passed) -> pb::Passed {
    pb::Passed {
        exchange_id: passed.exchange.as_bytes().to_vec(),
        admitted_index: passed.admitted,
        time_us: passed.time.as_micros(),
        request: Some(from_traffic(&passed.request)),
        response: Some(from_traffic(&passed.response)),
    }
}

pub(crate) fn to_passed(message: pb::Passed) -> Result<Passed, EvidenceError> {
    Ok(Passed {
        exchange: exchange(&message.exchange_id)?,
        admitted: message.admitted_index,
        time: Timestamp::from_micros(message.time_us),
        request: to_traffic("request", message.request)?,
        response: to_traffic("response", message.response)?,
    })
}

fn from_traffic(traffic: &Traffic) -> pb::Traffic {
    pb::Traffic {
        messages: traffic.messages,
        bytes: traffic.bytes,
        sha256: traffic.digest.to_vec(),
    }
}

fn to_traffic(field: &'static str, traffic: Option<pb::Traffic>) -> Result<Traffic, EvidenceError> {
    let traffic = traffic.ok_or_else(|| wrong(field, "is missing"))?;
    let (messages, bytes) = (traffic.messages, traffic.bytes);
    Ok(Traffic { messages, bytes, digest: fixed(field, &traffic.sha256)? })
}
