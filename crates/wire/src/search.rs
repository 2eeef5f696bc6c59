//! What is asked of the ledger through the admin API.

use model::{ActCriteria, ActKind, Criteria, Decided, PersonNumber, Reason, Timestamp};

use crate::evidence::{EvidenceError, exchange, optional, reason, text, text_of, wrong};
use crate::generated::admin as pb;

/// Longest text that criteria may hold, in bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// The message for `criteria`, without subjects: persons travel by their number.
pub fn encode_criteria(criteria: &Criteria) -> pb::Criteria {
    let micros = |time: Option<Timestamp>| time.map(Timestamp::as_micros).unwrap_or_default();
    pb::Criteria {
        from_us: micros(criteria.from),
        until_us: micros(criteria.until),
        member: text_of(criteria.member.as_ref().map(|id| id.as_str())),
        system: text_of(criteria.system.as_ref().map(|id| id.as_str())),
        node: text_of(criteria.node.as_ref().map(|id| id.as_str())),
        method: text_of(criteria.method.as_deref()),
        agreement: text_of(criteria.agreement.as_ref().map(|id| id.as_str())),
        purpose: text_of(criteria.purpose.as_ref().map(|id| id.as_str())),
        dossier: text_of(criteria.dossier.as_deref()),
        decided: match criteria.decided {
            None => pb::Decided::Unspecified,
            Some(Decided::Admitted) => pb::Decided::Admitted,
            Some(Decided::Refused) => pb::Decided::Refused,
        }
        .into(),
        reason: criteria.reason.map(Reason::number).unwrap_or_default(),
        exchange_id: criteria.exchange.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
    }
}

/// Reads criteria.
///
/// # Errors
///
/// Fails if a field does not hold what it should.
pub fn decode_criteria(message: pb::Criteria) -> Result<Criteria, EvidenceError> {
    let moment = |micros: u64| (micros != 0).then(|| Timestamp::from_micros(micros));
    let bounded = |field: &'static str, value: String| match value.len() > TEXT_BYTES_MAX {
        true => Err(wrong(field, format!("has more than {TEXT_BYTES_MAX} bytes"))),
        false => Ok(text(value)),
    };
    Ok(Criteria {
        from: moment(message.from_us),
        until: moment(message.until_us),
        member: optional("member", &message.member)?,
        system: optional("system", &message.system)?,
        node: optional("node", &message.node)?,
        agreement: optional("agreement", &message.agreement)?,
        purpose: optional("purpose", &message.purpose)?,
        decided: match pb::Decided::try_from(message.decided) {
            Ok(pb::Decided::Unspecified) => None,
            Ok(pb::Decided::Admitted) => Some(Decided::Admitted),
            Ok(pb::Decided::Refused) => Some(Decided::Refused),
            Err(_) => return Err(wrong("decided", "is unknown")),
        },
        reason: match message.reason {
            0 => None,
            number => Some(reason(number)?),
        },
        exchange: match message.exchange_id.as_slice() {
            [] => None,
            bytes => Some(exchange(bytes)?),
        },
        method: bounded("method", message.method)?,
        dossier: bounded("dossier", message.dossier)?,
        subjects: Vec::new(),
    })
}

/// Reads what of the doings of operators is asked for; the person aside.
///
/// # Errors
///
/// Fails if a field does not hold what it should.
pub fn decode_act_criteria(message: pb::SearchActsRequest) -> Result<ActCriteria, EvidenceError> {
    let moment = |micros: u64| (micros != 0).then(|| Timestamp::from_micros(micros));
    if message.operator.len() > TEXT_BYTES_MAX {
        return Err(wrong("operator", format!("has more than {TEXT_BYTES_MAX} bytes")));
    }
    Ok(ActCriteria {
        from: moment(message.from_us),
        until: moment(message.until_us),
        kind: match pb::ActKind::try_from(message.kind) {
            Ok(pb::ActKind::Unspecified) => None,
            Ok(pb::ActKind::Read) => Some(ActKind::Read),
            Ok(pb::ActKind::Apply) => Some(ActKind::Apply),
            Ok(pb::ActKind::Remove) => Some(ActKind::Remove),
            Err(_) => return Err(wrong("kind", "is unknown")),
        },
        operator: text(message.operator),
        subjects: Vec::new(),
    })
}

/// Reads the number of a person. What is wrong with it is told without repeating it.
///
/// # Errors
///
/// Fails if it is no such number.
pub fn decode_person(message: &pb::Person) -> Result<PersonNumber, EvidenceError> {
    let or = |text: &str, default: &'static str| match text {
        "" => default.to_owned(),
        text => text.to_owned(),
    };
    let country = or(&message.country, PersonNumber::VIETNAM);
    let kind = or(&message.kind, PersonNumber::PERSONAL);
    if (country.as_str(), kind.as_str()) == (PersonNumber::VIETNAM, PersonNumber::OTHER) {
        return Ok(PersonNumber::other(&message.number));
    }
    PersonNumber::new(&country, &kind, &message.number)
        .map_err(|error| wrong("person", format!("is no number of a person: {error}")))
}

#[cfg(test)]
mod tests {
    use model::ExchangeId;

    use super::*;

    #[test]
    fn criteria_come_back() {
        let criteria = Criteria {
            from: Some(Timestamp::from_secs(1)),
            until: Some(Timestamp::from_secs(2)),
            member: Some("H26".parse().unwrap()),
            system: Some("sys".parse().unwrap()),
            node: Some("population".parse().unwrap()),
            method: Some("/a.B/C".into()),
            agreement: Some("agreement".parse().unwrap()),
            purpose: Some("residence".parse().unwrap()),
            dossier: Some("000.1".into()),
            subjects: Vec::new(),
            decided: Some(Decided::Refused),
            reason: Some(Reason::AgreementMissing),
            exchange: Some(ExchangeId::from_bytes([7; 16])),
        };
        assert_eq!(decode_criteria(encode_criteria(&criteria)), Ok(criteria));
        let nothing = Criteria::default();
        assert_eq!(decode_criteria(encode_criteria(&nothing)), Ok(nothing));
    }

    #[test]
    fn criteria_that_cannot_be_are_told() {
        let check = |message: pb::Criteria, expected: &str| {
            assert_eq!(decode_criteria(message).unwrap_err().to_string(), expected);
        };
        let long = pb::Criteria { dossier: "a".repeat(1025), ..Default::default() };
        check(long, "field `dossier` has more than 1024 bytes");
        let short = pb::Criteria { exchange_id: vec![1], ..Default::default() };
        check(short, "field `exchange_id` has 1 bytes instead of 16");
        check(pb::Criteria { decided: 9, ..Default::default() }, "field `decided` is unknown");
        let person = pb::Person { number: "90000000001".into(), ..Default::default() };
        let wrong = decode_person(&person).unwrap_err().to_string();
        assert!(wrong.ends_with("found 11 characters") && !wrong.contains("9000"), "{wrong}");
    }
}
