//! What a sandbox prints.

use std::env;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{self, Path, PathBuf};

use audit::Verified;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use control::Config;
use model::{Entry, MemberId};
use nodes::Country;
use nodes::proto::population::v1::VerifyPersonRequest;
use prost::Message;

use super::super::say;
use super::calls;
use super::cast::Cast;
use super::consumers::{Call, Ended, Outcome, Tally, exchange, receipt_name};
use super::country::Nodes;
use super::folder::Folder;
use super::pki::AUTHORITY;

/// A colour, as the parameter of its escape sequence.
#[derive(Clone, Copy, Debug)]
enum Colour {
    Bold = 1,
    Grey = 2,
    Red = 31,
    Green = 32,
    Yellow = 33,
}

/// Where everything listens.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) gateway: SocketAddr,
    admin: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
    nodes: Vec<(&'static str, u16)>,
}

impl Addresses {
    pub(super) fn of(config: &Config, nodes: &Nodes) -> Self {
        let gateway = &config.gateway;
        Self {
            gateway: gateway.listen,
            admin: gateway.admin.as_ref().map(|admin| admin.listen),
            metrics: gateway.metrics,
            nodes: nodes.ports().collect(),
        }
    }

    fn print(&self) {
        let Self { gateway, admin, metrics, nodes } = self;
        say(format_args!("  gateway    {gateway}, gRPC, for certificates of registered systems"));
        if let Some(admin) = admin {
            say(format_args!("  admin API  {admin}, gRPC, for the certificate pki/operator.crt"));
        }
        if let Some(metrics) = metrics {
            say(format_args!("  metrics    http://{metrics}/metrics"));
        }
        for (id, port) in nodes {
            say(format_args!("  node       127.0.0.1:{port}, {id}, for the gateway alone"));
        }
    }
}

/// Prints in colours on a terminal, and plainly elsewhere.
#[derive(Debug)]
pub(super) struct Printer {
    colours: bool,
}

impl Printer {
    pub(super) fn new() -> Self {
        let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colours: wanted && std::io::stdout().is_terminal() }
    }

    /// Tells what was made or opened.
    pub(super) fn begun(&self, folder: &Folder, country: &Country) {
        let people = country.people();
        say(format_args!(
            "a country of {} people (seed {}) in {}\n",
            people.count(),
            people.seed(),
            folder.shown()
        ));
    }

    /// Prints a call as one block.
    pub(super) fn call(&self, call: &Call, outcome: &Outcome, fault: Option<&str>) {
        let number = format!("{:>2}  {}", outcome.number, call.name);
        say(self.paint(Colour::Bold, number));
        let member = outcome.evidence.as_ref().ok().and_then(|(_, entry)| member(entry));
        let member = member.map(|member| format!(" of {member}")).unwrap_or_default();
        say(format_args!("    {}{member} calls {} on {}", call.system, call.method, call.node));
        let dossier = call.dossier.map(|dossier| format!(", dossier {dossier}"));
        say(format_args!("    for {}{}", call.purpose, dossier.unwrap_or_default()));
        self.ended(outcome);
        let proof = match &outcome.evidence {
            Ok((index, entry)) => {
                format!("exchange {} · receipt verified: entry {index}", exchange(entry))
            }
            Err(error) => format!("receipt not valid: {error:#}"),
        };
        let latency = outcome.latency.as_secs_f64() * 1_000.0;
        say(self.paint(Colour::Grey, format!("    {latency:.1} ms · {proof}")));
        if let Some(fault) = fault {
            say(self.paint(Colour::Red, format!("    NOT AS EXPECTED: {fault}")));
        }
        say("");
    }

    fn ended(&self, outcome: &Outcome) {
        let admitted = match &outcome.evidence {
            Ok((_, Entry::Admitted(entry))) => format!("allowed under {}", entry.agreement),
            _ => "allowed".to_owned(),
        };
        match &outcome.ended {
            Ended::Answered(Ok(line) | Err(line)) => {
                say(self.paint(Colour::Green, format!("    {admitted}")));
                say(format_args!("    answer: {line}"));
            }
            Ended::Failed { code, message } => {
                say(self.paint(Colour::Green, format!("    {admitted}")));
                say(format_args!("    the node's own status: {code:?}, {message}"));
            }
            Ended::Refused { reason, messages } => {
                say(self.paint(Colour::Yellow, format!("    refused: {reason}")));
                for (language, message) in messages {
                    say(format_args!("    {language}: {message}"));
                }
            }
        }
    }

    /// Sums up the calls.
    pub(super) fn summary(&self, tally: &Tally) {
        let Tally { calls, refused, faults } = tally;
        let verdict = match faults.len() {
            0 => self.paint(Colour::Green, "all as expected".to_owned()),
            count => self.paint(Colour::Red, format!("{count} not as expected")),
        };
        let allowed = calls - refused;
        say(format_args!("{calls} calls, {allowed} allowed, {refused} refused: {verdict}"));
    }

    /// Tells that the ledger is whole.
    pub(super) fn ledger(&self, verified: &Verified) {
        let Verified { entries, checkpoint_size, key, .. } = verified;
        say(format_args!(
            "ledger {}: {entries} entries, checkpoint over {checkpoint_size} signed by {key}",
            self.paint(Colour::Green, "whole".to_owned())
        ));
    }

    /// Names everything that went wrong.
    pub(super) fn faults(&self, faults: &[String]) {
        for fault in faults {
            eprintln!("error: {fault}");
        }
    }

    /// Prints the addresses, and commands that can be pasted.
    pub(super) fn to_try(&self, folder: &Folder, addresses: &Addresses, cast: &Cast) {
        say(format_args!("\n{}", self.paint(Colour::Bold, "up until Ctrl-C".to_owned())));
        addresses.print();
        let config = quoted(&folder.config());
        let receipt = folder.receipts().join(receipt_name(1, &calls::VERIFY_PERSON));
        let tries = [
            (
                "load on the gateway, as a commune that verifies persons",
                load(folder, addresses.gateway, cast),
            ),
            (
                "the ledger, read again as an auditor does",
                own(&format!(
                    "audit verify {} --key {}",
                    quoted(&folder.ledger()),
                    quoted(&folder.ledger_key())
                )),
            ),
            (
                "why a look-up without a dossier is refused, and what would change it",
                own(&format!(
                    "explain --config {config} --system {} --method /{}/LookUpPerson --purpose {}",
                    calls::VERIFY_PERSON.system,
                    nodes::NodeKind::Population.service(),
                    calls::VERIFY_PERSON.purpose
                )),
            ),
            ("how the gateway stands", own(&format!("status --config {config}"))),
            ("a receipt, checked offline", own(&format!("receipt verify {}", quoted(&receipt)))),
            (
                "the configuration; after a change, the second line puts it in force",
                format!("{}\n  kill -HUP {}", own(&format!("check {config}")), std::process::id()),
            ),
            (
                "the gateway alone, once this has ended; its nodes run only with the sandbox",
                own(&format!("run --config {config}")),
            ),
        ];
        say(format_args!(
            "\n{}",
            self.paint(Colour::Bold, "to try in another terminal".to_owned())
        ));
        for (what, command) in tries {
            say(self.paint(Colour::Grey, format!("  # {what}")));
            say(format_args!("  {command}"));
        }
    }

    fn paint(&self, colour: Colour, text: String) -> String {
        match self.colours {
            true => format!("\x1b[{}m{text}\x1b[0m", colour as u8),
            false => text,
        }
    }
}

/// The member that an entry says called.
fn member(entry: &Entry) -> Option<&MemberId> {
    match entry {
        Entry::Admitted(call) => Some(&call.member),
        Entry::Refused(call) => call.member.as_ref(),
        Entry::Opened(_)
        | Entry::Finished(_)
        | Entry::LedgerRead(_)
        | Entry::AdminAction(_)
        | Entry::SegmentRemoved(_) => None,
    }
}

/// A command that puts load on the gateway with the first of the calls.
fn load(folder: &Folder, gateway: SocketAddr, cast: &Cast) -> String {
    let call = calls::VERIFY_PERSON;
    let message: VerifyPersonRequest = calls::verify_person(cast);
    own(&format!(
        "load {gateway} /{}/{} --ca {} --cert {} --key {} --message {} \
         --metadata exchange-purpose={} --duration 5s",
        nodes::NodeKind::Population.service(),
        call.method,
        quoted(&folder.certificate(AUTHORITY)),
        quoted(&folder.certificate(call.system)),
        quoted(&folder.key(call.system)),
        STANDARD.encode(message.encode_to_vec()),
        call.purpose,
    ))
}

/// A command of this very program, from whichever folder.
fn own(arguments: &str) -> String {
    let program = PathBuf::from(env::args_os().next().unwrap_or_else(|| "giaolien".into()));
    // A bare name was found through PATH and will be again.
    let is_bare = program.components().count() == 1;
    let absolute = path::absolute(&program).ok().filter(|_| !is_bare);
    format!("{} {arguments}", quoted(&absolute.unwrap_or(program)))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@,".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_a_shell_where_they_need_it() {
        let shown = |path: &str| quoted(Path::new(path));
        assert_eq!(shown("/tmp/giaolien-sandbox-x1"), "/tmp/giaolien-sandbox-x1");
        assert_eq!(shown("my country/it's"), r"'my country/it'\''s'");
    }

    #[test]
    fn colours_are_for_terminals() {
        let painted = |colours| Printer { colours }.paint(Colour::Red, "no".to_owned());
        assert_eq!(painted(false), "no");
        assert_eq!(painted(true), "\x1b[31mno\x1b[0m");
    }
}
