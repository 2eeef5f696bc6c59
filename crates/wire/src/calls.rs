//! How admitted calls went on and ended, as the ledger keeps it.

use model::{
    CONCERNED_MAX, Code, Concerned, Finished, MASKED_FIELDS_MAX, Masked, Passed, Pseudonym, Reason,
    Timestamp, Traffic,
};

use crate::evidence::{EvidenceError, exchange, fixed, id, reason, wrong};
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
        request_masked: finished.request_masked.as_ref().map(from_masked),
        response_masked: finished.response_masked.as_ref().map(from_masked),
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
        request_masked: message.request_masked.map(to_masked).transpose()?,
        response_masked: message.response_masked.map(to_masked).transpose()?,
    })
}

fn from_masked(masked: &Masked) -> pb::Masked {
    pb::Masked {
        mask_sha256: masked.mask.to_vec(),
        withheld: masked.withheld,
        fields: masked.fields.iter().copied().map(u32::from).collect(),
    }
}

fn to_masked(message: pb::Masked) -> Result<Masked, EvidenceError> {
    let pb::Masked { mask_sha256, withheld, fields } = message;
    let fields: Result<Vec<u16>, _> = fields.into_iter().map(u16::try_from).collect();
    let fields = fields.map_err(|_| wrong("fields", "has an id above 65535"))?;
    if fields.len() > MASKED_FIELDS_MAX || !fields.is_sorted_by(|a, b| a < b) {
        let problem = format!("is not an ascending list of at most {MASKED_FIELDS_MAX} ids");
        return Err(wrong("fields", problem));
    }
    Ok(Masked { mask: fixed("mask_sha256", &mask_sha256)?, withheld, fields })
}

pub(crate) fn from_concerned(concerned: &Concerned) -> pb::Concerned {
    pb::Concerned {
        exchange_id: concerned.exchange.as_bytes().to_vec(),
        admitted_index: concerned.admitted,
        time_us: concerned.time.as_micros(),
        period: concerned.period.to_string(),
        pseudonyms: concerned.pseudonyms.iter().flat_map(|pseudonym| pseudonym.0).collect(),
    }
}

pub(crate) fn to_concerned(message: pb::Concerned) -> Result<Concerned, EvidenceError> {
    let (pseudonyms, rest) = message.pseudonyms.as_chunks::<16>();
    if !rest.is_empty() || !(1..=CONCERNED_MAX).contains(&pseudonyms.len()) {
        let problem = format!("is not 1 to {CONCERNED_MAX} pseudonyms of 16 bytes");
        return Err(wrong("pseudonyms", problem));
    }
    Ok(Concerned {
        exchange: exchange(&message.exchange_id)?,
        admitted: message.admitted_index,
        time: Timestamp::from_micros(message.time_us),
        period: id("period", &message.period)?,
        pseudonyms: pseudonyms.iter().copied().map(Pseudonym).collect(),
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
