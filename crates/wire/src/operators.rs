//! What operators did, as the ledger keeps it.

use model::{
    Action, AdminAction, CertificateDigest, LedgerRead, Operator, Reading, RevisionId,
    SegmentRemoved, Timestamp,
};

use crate::evidence::{EvidenceError, fixed, text, text_of, wrong};
use crate::generated::evidence as pb;

pub(crate) fn from_read(read: &LedgerRead) -> pb::LedgerRead {
    pb::LedgerRead {
        time_us: read.time.as_micros(),
        operator: Some(from_operator(&read.operator)),
        reading: match read.reading {
            Reading::Search => pb::Reading::Search,
            Reading::Subject => pb::Reading::Subject,
            Reading::Acts => pb::Reading::Acts,
            Reading::Export => pb::Reading::Export,
        }
        .into(),
        criteria: read.criteria.to_string(),
        why: read.why.to_string(),
        results: read.results,
    }
}

pub(crate) fn to_read(message: pb::LedgerRead) -> Result<LedgerRead, EvidenceError> {
    Ok(LedgerRead {
        time: Timestamp::from_micros(message.time_us),
        reading: match message.reading() {
            pb::Reading::Search => Reading::Search,
            pb::Reading::Subject => Reading::Subject,
            pb::Reading::Acts => Reading::Acts,
            pb::Reading::Export => Reading::Export,
            pb::Reading::Unspecified => return Err(wrong("reading", "is missing or unknown")),
        },
        operator: to_operator(message.operator)?,
        criteria: message.criteria.into(),
        why: message.why.into(),
        results: message.results,
    })
}

pub(crate) fn from_action(action: &AdminAction) -> pb::AdminAction {
    pb::AdminAction {
        time_us: action.time.as_micros(),
        operator: Some(from_operator(&action.operator)),
        action: match action.action {
            Action::Apply => pb::Action::Apply,
        }
        .into(),
        revision: action.revision.0,
    }
}

pub(crate) fn to_action(message: pb::AdminAction) -> Result<AdminAction, EvidenceError> {
    Ok(AdminAction {
        time: Timestamp::from_micros(message.time_us),
        action: match message.action() {
            pb::Action::Apply => Action::Apply,
            pb::Action::Unspecified => return Err(wrong("action", "is missing or unknown")),
        },
        operator: to_operator(message.operator)?,
        revision: RevisionId(message.revision),
    })
}

pub(crate) fn from_removal(removed: &SegmentRemoved) -> pb::SegmentRemoved {
    pb::SegmentRemoved {
        time_us: removed.time.as_micros(),
        operator: Some(from_operator(&removed.operator)),
        segment: removed.segment,
        first_index: removed.first,
        count: removed.count,
        root_hash: removed.root_hash.to_vec(),
        keep_until_us: removed.keep_until.as_micros(),
        why: removed.why.to_string(),
    }
}

pub(crate) fn to_removal(message: pb::SegmentRemoved) -> Result<SegmentRemoved, EvidenceError> {
    Ok(SegmentRemoved {
        time: Timestamp::from_micros(message.time_us),
        operator: to_operator(message.operator)?,
        segment: message.segment,
        first: message.first_index,
        count: message.count,
        root_hash: fixed("root_hash", &message.root_hash)?,
        keep_until: Timestamp::from_micros(message.keep_until_us),
        why: message.why.into(),
    })
}

fn from_operator(operator: &Operator) -> pb::Operator {
    pb::Operator {
        certificate_sha256: operator.certificate.0.to_vec(),
        name: text_of(operator.name.as_deref()),
    }
}

fn to_operator(message: Option<pb::Operator>) -> Result<Operator, EvidenceError> {
    let message = message.ok_or_else(|| wrong("operator", "is missing"))?;
    let certificate = fixed("certificate_sha256", &message.certificate_sha256)?;
    Ok(Operator { certificate: CertificateDigest(certificate), name: text(message.name) })
}
