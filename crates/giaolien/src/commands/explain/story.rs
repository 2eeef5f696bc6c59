//! An explanation as people read it.

use std::time::Duration;

use cedar::{Effect as Says, PolicyInfo};
use model::{Entry, Reason, Refusal};
use policy::source::{Fields, Node, Share};
use policy::{Agreement, Candidate, Explanation, Limits};

use super::Told;
use super::finding::{Finding, Routed};
use super::page::{Page, indented};
use super::recorded::{Changed, Recorded};
use super::words::Words;

/// Most agreements that are listed.
const CANDIDATES_SHOWN: usize = 10;

/// The whole explanation.
pub(super) fn tell(words: &Words, told: &Told<'_>) -> String {
    let mut page = Page::default();
    if let Some(recorded) = &told.recorded {
        page.block(words.say("recorded", "đã ghi"), record(words, recorded));
        if let Some(finding) = &told.finding {
            let lines = compared(words, recorded, finding, told.changed.as_ref());
            page.block(words.say("now", "hiện nay"), lines);
        }
        if let Some(system) = &told.gone {
            page.block(
                words.say("now", "hiện nay"),
                [format!(
                    "{} `{system}` {}",
                    words.say("system", "hệ thống"),
                    words.say(
                        "is no longer registered, so that the call cannot be decided again",
                        "không còn được đăng ký nên không thể quyết định lại lời gọi",
                    )
                )],
            );
        }
    }
    if let Some(finding) = &told.finding {
        page.block(words.say("call", "lời gọi"), call(words, finding));
        if let Ok(routed) = &finding.routed {
            page.block(words.say("route", "tuyến"), route(words, routed));
        }
        page.block(words.say("decision", "quyết định"), decision(words, finding));
        if let Ok(routed) = &finding.routed {
            reasons(words, finding, &routed.explanation, &mut page);
        }
    }
    page.text()
}

fn record(words: &Words, recorded: &Recorded) -> Vec<String> {
    let Recorded { exchange, index, entry, finished, .. } = recorded;
    let first = format!("{} {index}, {exchange}", words.say("entry", "mục"));
    let mut lines = vec![first];
    match entry {
        Entry::Admitted(call) => {
            lines.push(format!(
                "{} {} {} {}, {} {}",
                words.say("allowed under", "được phép theo"),
                call.agreement,
                words.say("for", "cho mục đích"),
                call.purpose,
                words.say("to node", "đến nút"),
                call.node,
            ));
            lines.extend(
                call.shadow_node.iter().map(|node| {
                    format!("{} {node}", words.say("a copy went to", "một bản sao đến"))
                }),
            );
        }
        Entry::Refused(call) => {
            let happened = call.reason.happened(words.0);
            let refused = words.say("refused", "bị từ chối");
            lines.push(format!("{refused}: {}, {happened}", call.reason.name()));
            lines.extend(call.agreement.iter().map(|agreement| {
                format!("{} {agreement}", words.say("because of agreement", "do thỏa thuận"))
            }));
        }
        _ => {}
    }
    lines.extend(finished.iter().map(|end| {
        let reason = end.reason.map(|reason| format!(", {}", reason.name())).unwrap_or_default();
        format!("{} {}: {}{reason}", words.say("ended", "kết thúc"), end.time, end.code.name())
    }));
    if recorded.is_admitted() && finished.is_none() {
        lines.push(words.say("no end is recorded", "không có mục kết thúc").to_owned());
    }
    lines.push(format!("{} {}", words.say("revision", "bản cấu hình"), recorded.revision()));
    lines
}

/// What the folder as it is now makes of a recorded call.
fn compared(
    words: &Words,
    recorded: &Recorded,
    finding: &Finding<'_>,
    changed: Option<&Changed>,
) -> Vec<String> {
    let folder = match changed {
        Some(Changed { file, time }) => format!(
            "{} `{}` ({time})",
            words.say(
                "the folder has changed since that revision, last",
                "thư mục đã thay đổi sau bản đó, gần nhất là"
            ),
            file.display()
        ),
        None => words
            .say("no file is newer than that revision", "không có tệp nào mới hơn bản đó")
            .to_owned(),
    };
    let outcome = match recorded.reason() {
        _ if recorded.agrees(finding) => {
            words.say("the call is decided as it was then", "lời gọi vẫn được quyết định như trước")
        }
        Some(reason) if !is_decided(reason) => words.say(
            "agreements and policies did not decide what was recorded",
            "thỏa thuận và chính sách không quyết định điều đã ghi",
        ),
        _ => words.say(
            "the call is decided otherwise than it was then",
            "lời gọi được quyết định khác trước",
        ),
    };
    let unknown = words.say(
        "not recorded, and taken as absent: token, fields asked for, other metadata",
        "không được ghi nên coi như không có: mã truy cập, trường được yêu cầu, siêu dữ liệu khác",
    );
    vec![folder, outcome.to_owned(), unknown.to_owned()]
}

/// Whether registry, agreements and policies decide about this reason.
fn is_decided(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::MethodUnknown
            | Reason::PurposeMissing
            | Reason::PurposeUnknown
            | Reason::PurposeNotCovered
            | Reason::AgreementMissing
            | Reason::AgreementNotApplicable
            | Reason::AgreementDraft
            | Reason::AgreementNotYetValid
            | Reason::AgreementExpired
            | Reason::AgreementSuspended
            | Reason::AgreementEnded
            | Reason::PolicyForbids
            | Reason::ObligationUnmet
    )
}

fn call(words: &Words, finding: &Finding<'_>) -> Vec<String> {
    let Finding { config, asked, caller, zone, .. } = finding;
    let (system, member) = (caller.system, caller.member);
    let of = words.say("of", "thuộc");
    let mut lines =
        vec![format!("{} ({}) {of} {} ({})", system.id, system.name, member.id, member.name)];
    lines.push(match &finding.routed {
        Ok(routed) => format!("{}, {}", asked.method, words.effect(routed.route.effect)),
        Err(_) => asked.method.clone(),
    });
    let terms = &asked.terms;
    let stated = [
        (words.say("purpose", "mục đích"), terms.purpose.as_ref().map(ToString::to_string)),
        (words.say("dossier", "hồ sơ"), terms.dossier.as_deref().map(str::to_owned)),
        (words.say("procedure", "thủ tục"), terms.procedure.as_deref().map(str::to_owned)),
        (words.say("agreement", "thỏa thuận"), terms.agreement.as_ref().map(ToString::to_string)),
        (
            words.say("fields", "trường"),
            (!terms.fields.is_empty()).then(|| terms.fields.join(", ")),
        ),
    ];
    let stated = stated.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?)));
    let stated: Vec<String> = stated.collect();
    lines.push(match stated.is_empty() {
        true => words.say("states no purpose", "không nêu mục đích").to_owned(),
        false => stated.join(" · "),
    });
    let zone = zone.map_or_else(
        || words.say("in no zone", "không thuộc vùng mạng nào").to_owned(),
        |zone| format!("{} {}", words.say("zone", "vùng mạng"), zone.id),
    );
    let moment = words.moment(asked.now, config.source.utc_offset_minutes);
    lines.push(format!("{} {}, {zone} · {moment}", words.say("from", "từ"), asked.source));
    lines.extend(asked.token.as_ref().map(|token| {
        let level = token.level.map(|level| format!(" {level}")).unwrap_or_default();
        format!("{}{level}", words.say("with a token, level", "có mã truy cập, mức"))
    }));
    lines
}

fn route(words: &Words, routed: &Routed<'_>) -> Vec<String> {
    let named = |node: &Node| {
        let endpoints = node.endpoints.iter().map(ToString::to_string);
        let endpoints: Vec<String> = endpoints.collect();
        format!("{} ({}), {}", node.id, node.name, endpoints.join(", "))
    };
    let of_calls = words.say("of such calls", "số lời gọi như vậy");
    let mut lines: Vec<String> = match routed.nodes.as_slice() {
        [(node, _)] => vec![named(node)],
        several => several
            .iter()
            .map(|(node, share)| format!("{} {of_calls}: {}", words.share(*share), named(node)))
            .collect(),
    };
    lines.extend(routed.shadows.iter().map(|(node, share)| {
        let copy = words.say("a copy to", "bản sao đến");
        let share = if *share == Share::ALL { String::new() } else { words.share(*share) + ": " };
        format!("{share}{copy} {}", named(node))
    }));
    lines.extend(limits(words, routed.route.limits));
    lines
}

/// What holds for the calls of the method; nothing where all is as usual.
fn limits(words: &Words, limits: &Limits) -> Option<String> {
    let Limits {
        deadline_max,
        pass_authorization,
        retries_max,
        request_bytes_max,
        answer_bytes_max,
    } = limits;
    let labelled = |label: &str, value: String| format!("{label} {value}");
    let seconds = |time: Duration| format!("{} s", time.as_secs_f64());
    let bytes = |bytes: u64| format!("{bytes} B");
    let parts: Vec<String> = [
        deadline_max.map(|time| labelled(words.say("at most", "tối đa"), seconds(time))),
        (*retries_max > 0)
            .then(|| labelled(words.say("retries", "số lần gọi lại"), retries_max.to_string())),
        request_bytes_max
            .map(|most| labelled(words.say("request at most", "yêu cầu tối đa"), bytes(most))),
        answer_bytes_max
            .map(|most| labelled(words.say("answer at most", "kết quả tối đa"), bytes(most))),
        pass_authorization.then(|| {
            words
                .say("`authorization` goes on to the node", "chuyển `authorization` cho nút")
                .into()
        }),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!parts.is_empty()).then(|| parts.join(" · "))
}

fn decision(words: &Words, finding: &Finding<'_>) -> Vec<String> {
    match finding.decided() {
        Ok(decision) => {
            let agreement = decision.agreement;
            vec![
                format!(
                    "{} {} {} {}",
                    words.say("allowed under", "được phép theo"),
                    agreement.id(),
                    words.say("for", "cho mục đích"),
                    decision.purpose
                ),
                agreement.legal_basis().to_owned(),
            ]
        }
        Err(refusal) => {
            vec![
                format!("{} {}", words.say("refused:", "bị từ chối:"), refusal.reason().name()),
                refusal.message(words.0),
            ]
        }
    }
}

/// Agreement, policies, what came near, what would change it.
fn reasons<'a>(
    words: &Words,
    finding: &Finding<'a>,
    explanation: &Explanation<'a>,
    page: &mut Page,
) {
    let Explanation { candidates, determining, erring, changes, .. } = explanation;
    let governing = finding.governing();
    if let Some(agreement) = governing {
        let lines = agreement_lines(words, finding, agreement);
        page.block(words.say("agreement", "thỏa thuận"), lines);
    }
    let (decided, erred) = (words.say("policies", "chính sách"), words.say("erring", "bị lỗi"));
    page.block(decided, determining.iter().map(|policy| policy_lines(words, finding, policy)));
    if !erring.is_empty() {
        let told = words.say(
            "passed over, since they end in an error on this call:",
            "bị bỏ qua vì gặp lỗi với lời gọi này:",
        );
        let policies = erring.iter().map(|policy| policy_lines(words, finding, policy));
        page.block(erred, [told.to_owned()].into_iter().chain(policies));
    }
    let governs = |it: &&Candidate<'_>| governing.is_some_and(|g| g.id() == it.agreement.id());
    let others: Vec<&Candidate<'_>> = candidates.iter().filter(|it| !governs(it)).collect();
    let shown = others.iter().take(CANDIDATES_SHOWN);
    let shown = shown.map(|other| candidate(words, other, governing.is_some()));
    let label = words.say("others", "khác");
    page.block(label, shown);
    if others.len() > CANDIDATES_SHOWN {
        let more = others.len() - CANDIDATES_SHOWN;
        page.block("", [format!("{more} {}", words.say("more", "thỏa thuận nữa"))]);
    }
    if let Err(refusal) = finding.decided() {
        page.block(words.say("to change", "cần đổi"), what_if(words, &refusal, changes));
    }
}

fn agreement_lines(words: &Words, finding: &Finding<'_>, agreement: &Agreement) -> Vec<String> {
    let mut lines = Vec::new();
    if let Fields::Named(fields) = agreement.fields() {
        lines.push(format!(
            "{} {}",
            words.say("only the fields", "chỉ các trường"),
            fields.join(", ")
        ));
    }
    for quota in agreement.quota() {
        let (calls, seconds) = (quota.calls, quota.period.as_secs_f64());
        let (most, at_once) = (words.say("at most", "tối đa"), words.say("at once", "cùng lúc"));
        let calls_word = words.say("calls in", "lời gọi trong");
        lines.push(format!("{most} {calls} {calls_word} {seconds} s, {} {at_once}", quota.burst));
    }
    let text = finding.config.snapshot.agreement_text(agreement.id().as_str());
    lines.extend(text);
    lines
}

fn policy_lines<'a>(words: &Words, finding: &Finding<'a>, policy: &'a PolicyInfo) -> String {
    let effect = match policy.effect {
        Says::Permit => words.say("permits", "cho phép"),
        Says::Forbid => words.say("forbids", "cấm"),
    };
    let place = finding.place(policy).map(|place| format!(", {}:{}", place.file, place.line));
    let place = place.unwrap_or_default();
    format!("`{}` {effect}{place}\n{}", policy.id, indented(&policy.text))
}

fn candidate(words: &Words, candidate: &Candidate<'_>, is_later: bool) -> String {
    let Candidate { agreement, consumer, missing, .. } = candidate;
    let with = words.say("with", "với");
    let missing: Vec<&str> = missing.iter().map(|missing| words.missing(*missing)).collect();
    let missing = match missing.is_empty() {
        true if is_later => words.say("fits too, and comes later", "cũng phù hợp nhưng xếp sau"),
        true => words.say("fits by itself", "tự nó phù hợp"),
        false => &missing.join("; "),
    };
    format!("{} {with} {}: {missing}", agreement.id(), words.consumer(consumer))
}

/// What would get a refused call allowed.
fn what_if(words: &Words, refusal: &Refusal, changes: &[policy::WhatIf]) -> Vec<String> {
    match changes.is_empty() {
        true => vec![
            words
                .say(
                    "no one thing that the caller can change",
                    "không có một điều nào bên gọi có thể đổi",
                )
                .to_owned(),
            refusal.reason().change(words.0).to_owned(),
        ],
        false => {
            let or = words.say("or", "hoặc");
            let mut lines: Vec<String> = changes.iter().map(|it| words.change(it)).collect();
            lines.iter_mut().skip(1).for_each(|line| *line = format!("{or} {line}"));
            lines
        }
    }
}
