//! `giaolien status`: how a running gateway stands.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum};
use model::Timestamp;
use serde_json::{Value, json};
use wire::generated::admin::{
    GetStatusRequest, GetStatusResponse, Origin, Problem, Rejected, ReloadMode,
};

use super::admin::{Door, Unanswered, runtime, shown};
use super::check::counted;
use super::say;
use super::whom::Whom;

/// Shows how a running gateway stands: revision and who applied it, settings that need a restart,
/// what was last rejected of the folder and of applies, ledger, calls.
///
/// With --config the address is that of the folder's gateway.yaml, on this machine, and the
/// certificates are pki/operator.crt and pki/operator.key beside or in the folder, unless named.
/// Exits with 0 if the gateway answered, 1 if it declined, 2 if it could not be reached.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  giaolien status --config /etc/giaolien\n  \
    giaolien status --admin gw1.example.gov.vn:8444 --cert operator.crt --key operator.key \
    --ca ca.crt --format json")]
pub(crate) struct Status {
    #[command(flatten)]
    whom: Whom,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Status {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let format = self.format;
        let door = self.whom.door()?;
        match runtime()?.block_on(ask(&door))? {
            Ok(status) => {
                match format {
                    Format::Text => say(text(&status).trim_end()),
                    Format::Json => say(to_json(&status)),
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(unanswered) => Ok(unanswered.tell(&door.admin)),
        }
    }
}

async fn ask(door: &Door) -> Result<Result<GetStatusResponse, Unanswered>> {
    let mut client = match door.open().await? {
        Ok(client) => client,
        Err(unreached) => return Ok(Err(unreached)),
    };
    let answer = client.get_status(GetStatusRequest {}).await;
    Ok(answer.map(tonic::Response::into_inner).map_err(Unanswered::from))
}

fn text(status: &GetStatusResponse) -> String {
    let time = Timestamp::from_micros;
    let mut text = format!(
        "version {}, up since {}\nrevision {} in force since {}, {}\n",
        status.version,
        time(status.started_time_us),
        status.revision,
        time(status.in_force_time_us),
        by(why(status.origin()), &status.operator),
    );
    let memory = bytes(status.memory_bytes);
    let GetStatusResponse { agreements, policies, calls_in_flight, connections, .. } = status;
    let reload = match status.reload_mode() {
        ReloadMode::OnChange => "on SIGHUP and when the folder changes",
        ReloadMode::Signal | ReloadMode::Unspecified => "on SIGHUP",
    };
    // Writing to a string does not fail.
    let _ = writeln!(text, "{agreements} agreements, {policies} policies, {memory} of memory");
    let _ = writeln!(text, "loads its folder {reload}");
    let _ = writeln!(text, "{calls_in_flight} calls in flight, {connections} connections");
    if let Some(ledger) = &status.ledger {
        let (size, root) = (ledger.size, STANDARD.encode(&ledger.root_hash));
        let _ = writeln!(text, "ledger {}: {size} entries, root hash {root}", ledger.origin);
        if !ledger.trouble.is_empty() {
            let _ = writeln!(text, "ledger takes no entries: {}", ledger.trouble);
        }
        let (sealed, archived, unsealed) = (ledger.sealed, ledger.archived, ledger.unsealed);
        if sealed + archived + unsealed > 0 {
            let _ = writeln!(
                text,
                "segments since the start: {sealed} sealed, {archived} archived; {unsealed} wait"
            );
        }
        if !ledger.keeping_trouble.is_empty() {
            let _ = writeln!(text, "sealing or archiving fails: {}", ledger.keeping_trouble);
        }
    }
    if !status.needs_restart.is_empty() {
        let _ = writeln!(text, "changed, needs a restart: {}", status.needs_restart.join(", "));
    }
    let rejected: Vec<&Rejected> =
        [&status.rejected, &status.apply_rejected].into_iter().flatten().collect();
    if rejected.is_empty() {
        text.push_str("no configuration was rejected since the start\n");
    }
    rejected.into_iter().for_each(|rejected| tell_rejected(rejected, &mut text));
    text
}

/// What brought a configuration, with the operator's certificate if it was one.
fn by(why: &str, operator: &str) -> String {
    match operator {
        "" => why.to_owned(),
        operator => format!("{why} with certificate {operator}"),
    }
}

fn tell_rejected(rejected: &Rejected, text: &mut String) {
    let Rejected { time_us, problems, problems_total, cause, operator, .. } = rejected;
    let (time, why) = (Timestamp::from_micros(*time_us), by(why(rejected.origin()), operator));
    let _ = match cause.is_empty() {
        true => {
            let problems = usize::try_from(*problems_total).unwrap_or(usize::MAX);
            writeln!(text, "last rejected at {time}, {why}: {}", counted(problems, "problem"))
        }
        false => writeln!(text, "last rejected at {time}, {why}: {cause}"),
    };
    for problem in problems {
        let _ = writeln!(text, "  {}", shown(problem));
    }
}

/// What made the gateway load a configuration.
fn why(origin: Origin) -> &'static str {
    match origin {
        Origin::Unspecified => "for an unknown cause",
        Origin::Start => "from the start",
        Origin::Signal => "after SIGHUP",
        Origin::Change => "after a change of the folder",
        Origin::Apply => "applied by an operator",
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{:.1} KiB", count as f64 / 1024.0),
        _ => format!("{:.1} MiB", count as f64 / 1_048_576.0),
    }
}

fn to_json(status: &GetStatusResponse) -> Value {
    let time = |micros: u64| Timestamp::from_micros(micros).to_string();
    let ledger = status.ledger.as_ref().map(|ledger| {
        json!({
            "origin": ledger.origin,
            "entries": ledger.size,
            "root_hash": STANDARD.encode(&ledger.root_hash),
            "trouble": (!ledger.trouble.is_empty()).then_some(&ledger.trouble),
            "sealed": ledger.sealed,
            "archived": ledger.archived,
            "unsealed": ledger.unsealed,
            "keeping_failed": ledger.keeping_failed,
            "keeping_trouble": Some(&ledger.keeping_trouble).filter(|text| !text.is_empty()),
        })
    });
    json!({
        "version": status.version,
        "started": time(status.started_time_us),
        "revision": status.revision,
        "in_force": time(status.in_force_time_us),
        "origin": name(status.origin()),
        "agreements": status.agreements,
        "policies": status.policies,
        "memory_bytes": status.memory_bytes,
        "reload": match status.reload_mode() {
            ReloadMode::OnChange => "on_change",
            ReloadMode::Signal | ReloadMode::Unspecified => "signal",
        },
        "calls_in_flight": status.calls_in_flight,
        "connections": status.connections,
        "ledger": ledger,
        "operator": (!status.operator.is_empty()).then_some(&status.operator),
        "needs_restart": status.needs_restart,
        "rejected": status.rejected.as_ref().map(rejected),
        "apply_rejected": status.apply_rejected.as_ref().map(rejected),
    })
}

fn rejected(rejected: &Rejected) -> Value {
    let Rejected { time_us, problems, problems_total, cause, operator, .. } = rejected;
    json!({
        "time": Timestamp::from_micros(*time_us).to_string(),
        "origin": name(rejected.origin()),
        "operator": (!operator.is_empty()).then_some(operator),
        "problems": problems.iter().map(problem).collect::<Vec<_>>(),
        "problems_total": problems_total,
        "cause": (!cause.is_empty()).then_some(cause),
    })
}

fn name(origin: Origin) -> &'static str {
    match origin {
        Origin::Unspecified => "unknown",
        Origin::Start => "start",
        Origin::Signal => "signal",
        Origin::Change => "change",
        Origin::Apply => "apply",
    }
}

/// A problem as `check --format json` has it.
fn problem(problem: &Problem) -> Value {
    let Problem { file, line, column, found, expected, hint } = problem;
    let hint = (!hint.is_empty()).then_some(hint);
    json!({
        "file": file,
        "line": line,
        "column": column,
        "found": found,
        "expected": expected,
        "hint": hint,
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use wire::generated::admin::get_status_response::Ledger;

    use super::*;

    #[test]
    fn a_rejected_configuration_is_told_with_its_problems() {
        let problem = Problem {
            file: "registry/nodes.yaml".to_owned(),
            line: 3,
            column: 7,
            found: "`G99`".to_owned(),
            expected: "a registered member".to_owned(),
            hint: String::new(),
        };
        let mut status = GetStatusResponse {
            version: "0.1.0".to_owned(),
            started_time_us: 1_795_000_000_000_000,
            revision: 1_795_000_000,
            agreements: 12,
            policies: 2,
            memory_bytes: 3 << 19,
            in_force_time_us: 1_795_000_000_000_000,
            calls_in_flight: 3,
            connections: 2,
            ledger: Some(Ledger {
                origin: "ledger.test".to_owned(),
                size: 40,
                root_hash: vec![0; 3],
                trouble: "no space left".to_owned(),
                sealed: 7,
                archived: 3,
                unsealed: 1,
                keeping_failed: 2,
                keeping_trouble: "cannot copy to `archive`".to_owned(),
            }),
            ..GetStatusResponse::default()
        };
        status.set_origin(Origin::Start);
        let rejected = Rejected {
            time_us: 1_795_000_060_000_000,
            origin: Origin::Change.into(),
            problems: vec![problem],
            problems_total: 1,
            ..Rejected::default()
        };
        status.rejected = Some(rejected);
        status.needs_restart = vec!["listen".to_owned(), "ledger".to_owned()];
        status.apply_rejected = Some(Rejected {
            time_us: 1_795_000_070_000_000,
            origin: Origin::Apply.into(),
            cause: "no space left".to_owned(),
            operator: "ab12".to_owned(),
            ..Rejected::default()
        });
        expect![[r"
            version 0.1.0, up since 2026-11-18T11:06:40Z
            revision 1795000000 in force since 2026-11-18T11:06:40Z, from the start
            12 agreements, 2 policies, 1.5 MiB of memory
            loads its folder on SIGHUP
            3 calls in flight, 2 connections
            ledger ledger.test: 40 entries, root hash AAAA
            ledger takes no entries: no space left
            segments since the start: 7 sealed, 3 archived; 1 wait
            sealing or archiving fails: cannot copy to `archive`
            changed, needs a restart: listen, ledger
            last rejected at 2026-11-18T11:07:40Z, after a change of the folder: 1 problem
              registry/nodes.yaml:3:7: found `G99`, expected a registered member
            last rejected at 2026-11-18T11:07:50Z, applied by an operator with certificate ab12: no space left
        "]]
        .assert_eq(&text(&status));
        let json = to_json(&status);
        assert_eq!(json["rejected"]["problems"][0]["line"], 3);
        assert_eq!(
            (&json["apply_rejected"]["operator"], &json["operator"]),
            (&"ab12".into(), &Value::Null)
        );
        assert_eq!((&json["reload"], &json["origin"]), (&"signal".into(), &"start".into()));
    }
}
