//! An explanation as scripts read it.

use cedar::{Effect, PolicyInfo};
use model::{Entry, Language, Refusal};
use policy::source::{Consumer, Node, Share};
use policy::{Candidate, Decision, Missing, WhatIf};
use serde_json::{Value, json};

use super::Told;
use super::finding::{Finding, Routed};
use super::recorded::Recorded;
use super::words::Words;

/// What the ledger does not say of a call, and what is taken as absent.
const NOT_RECORDED: [&str; 3] = ["token", "fields", "metadata"];

/// The whole explanation. Keys stay as they are; texts are in the language asked for.
pub(super) fn told(words: &Words, told: &Told<'_>) -> Value {
    let mut value = told.finding.as_ref().map_or_else(|| json!({}), |it| finding(words, it));
    if let (Value::Object(object), Some(recorded)) = (&mut value, &told.recorded) {
        let changed = told
            .changed
            .as_ref()
            .map(|changed| json!({ "file": changed.file, "time": changed.time.to_string() }));
        let agrees = told.finding.as_ref().map(|finding| recorded.agrees(finding));
        object.insert("recorded".to_owned(), record(recorded));
        object.insert("not_recorded".to_owned(), json!(NOT_RECORDED));
        object.insert("system_gone".to_owned(), json!(told.gone));
        object.insert("changed_since".to_owned(), json!(changed));
        object.insert("decided_as_recorded".to_owned(), json!(agrees));
    }
    value
}

fn finding<'a>(words: &Words, finding: &Finding<'a>) -> Value {
    let Finding { asked, caller, zone, routed, config } = finding;
    let terms = &asked.terms;
    let mut value = json!({
        "system": caller.system.id.as_str(),
        "member": caller.member.id.as_str(),
        "method": asked.method,
        "purpose": terms.purpose.as_ref().map(ToString::to_string),
        "dossier": terms.dossier,
        "procedure": terms.procedure,
        "agreement": terms.agreement.as_ref().map(ToString::to_string),
        "fields": terms.fields,
        "source": asked.source.to_string(),
        "zone": zone.map(|zone| zone.id.as_str()),
        "time": asked.now.to_string(),
        "decision": match finding.decided() {
            Ok(decision) => allowed(&decision),
            Err(refusal) => refused(words.0, &refusal),
        },
    });
    if let (Value::Object(object), Ok(routed)) = (&mut value, routed) {
        let explanation = &routed.explanation;
        let governing = finding.governing();
        let text = governing.and_then(|it| config.snapshot.agreement_text(it.id().as_str()));
        let policies =
            |policies: &[&'a PolicyInfo]| policies.iter().map(|it| policy(finding, it)).collect();
        let candidates: Vec<Value> = explanation.candidates.iter().map(candidate).collect();
        let changes: Vec<Value> = explanation.changes.iter().map(|it| change(words, it)).collect();
        object.insert("route".to_owned(), route(routed));
        object.insert("governing".to_owned(), json!(governing.map(|it| it.id().as_str())));
        object.insert("agreement_text".to_owned(), json!(text));
        object.insert("policies".to_owned(), policies(&explanation.determining));
        object.insert("policies_erring".to_owned(), policies(&explanation.erring));
        object.insert("candidates".to_owned(), candidates.into());
        object.insert("changes".to_owned(), changes.into());
    }
    value
}

fn allowed(decision: &Decision<'_>) -> Value {
    json!({
        "allowed": true,
        "agreement": decision.agreement.id().as_str(),
        "purpose": decision.purpose.as_str(),
        "legal_basis": decision.agreement.legal_basis(),
    })
}

fn refused(language: Language, refusal: &Refusal) -> Value {
    let facts =
        refusal.facts().iter().map(|(key, value)| ((*key).to_owned(), value.clone().into()));
    json!({
        "allowed": false,
        "reason": refusal.reason().name(),
        "agreement": refusal.agreement().map(ToString::to_string),
        "facts": Value::Object(facts.collect()),
        "message": refusal.message(language),
    })
}

fn route(routed: &Routed<'_>) -> Value {
    let nodes = |nodes: &[(&Node, Share)]| -> Vec<Value> {
        let node = |(node, share): &(&Node, Share)| {
            json!({
                "node": node.id.as_str(),
                "share_percent": f64::from(share.hundredths()) / 100.0,
            })
        };
        nodes.iter().map(node).collect()
    };
    let limits = routed.route.limits;
    json!({
        "authoritative_node": routed.route.node.id.as_str(),
        "effect": routed.route.effect.as_str(),
        "nodes": nodes(&routed.nodes),
        "shadows": nodes(&routed.shadows),
        "deadline_ms_max": limits.deadline_max.map(|time| time.as_secs_f64() * 1000.0),
        "retries_max": limits.retries_max,
        "request_bytes_max": limits.request_bytes_max,
        "answer_bytes_max": limits.answer_bytes_max,
        "pass_authorization": limits.pass_authorization,
    })
}

fn policy<'a>(finding: &Finding<'a>, policy: &'a PolicyInfo) -> Value {
    let place = finding.place(policy);
    json!({
        "id": policy.id,
        "effect": match policy.effect {
            Effect::Permit => "permit",
            Effect::Forbid => "forbid",
        },
        "file": place.map(|place| &place.file),
        "line": place.map(|place| place.line),
        "text": *policy.text,
    })
}

fn candidate(candidate: &Candidate<'_>) -> Value {
    let Candidate { agreement, consumer, valid_from, valid_until, missing } = candidate;
    let consumer = match consumer {
        Consumer::System(id) => json!({ "system": id.as_str() }),
        Consumer::Member(id) => json!({ "member": id.as_str() }),
        Consumer::Class(id) => json!({ "class": id.as_str() }),
    };
    let missing: Vec<&str> = missing.iter().map(|it| lacks(*it)).collect();
    json!({
        "agreement": agreement.id().as_str(),
        "consumer": consumer,
        "valid_from": valid_from.to_string(),
        "valid_until": valid_until.to_string(),
        "missing": missing,
    })
}

fn lacks(missing: Missing) -> &'static str {
    match missing {
        Missing::Method => "METHOD",
        Missing::Purpose => "PURPOSE",
        Missing::Force(reason) => reason.name(),
        Missing::Name => "NAME",
    }
}

fn change(words: &Words, change: &WhatIf) -> Value {
    let (kind, value) = match change {
        WhatIf::Purpose(code) => ("purpose", json!(code.as_str())),
        WhatIf::PurposeAndDossier(code) => ("purpose_and_dossier", json!(code.as_str())),
        WhatIf::NoAgreementNamed => ("agreement", Value::Null),
        WhatIf::Dossier => ("dossier", Value::Null),
        WhatIf::Procedure => ("procedure", Value::Null),
        WhatIf::NoFields => ("fields", Value::Null),
        WhatIf::TokenLevel(level) => ("token_level", json!(level)),
        WhatIf::Zone(zone) => ("zone", json!(zone.as_str())),
        WhatIf::Time(time) => ("time", json!(time.to_string())),
    };
    json!({ "change": kind, "value": value, "text": words.change(change) })
}

fn record(recorded: &Recorded) -> Value {
    let Recorded { exchange, index, entry, finished, .. } = recorded;
    let (time, reason) = match entry {
        Entry::Admitted(call) => (Some(call.time), None),
        Entry::Refused(call) => (Some(call.time), Some(call.reason.name())),
        _ => (None, None),
    };
    let (node, shadow, purpose) = match entry {
        Entry::Admitted(call) => (Some(&call.node), call.shadow_node.as_ref(), Some(&call.purpose)),
        Entry::Refused(call) => (None, None, call.purpose.as_ref()),
        _ => (None, None, None),
    };
    json!({
        "exchange": exchange.to_string(),
        "entry": index,
        "time": time.map(|time| time.to_string()),
        "allowed": recorded.is_admitted(),
        "reason": reason,
        "agreement": recorded.agreement().map(ToString::to_string),
        "purpose": purpose.map(ToString::to_string),
        "node": node.map(ToString::to_string),
        "shadow_node": shadow.map(ToString::to_string),
        "revision": recorded.revision().0,
        "ended": finished.as_ref().map(|end| json!({
            "time": end.time.to_string(),
            "status": end.code.name(),
            "reason": end.reason.map(|reason| reason.name()),
        })),
    })
}
