//! The systems that call: their channels to the gateway, and what came of each call.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use model::{Entry, Reason};
use tlog::VerifyingKey;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetail, StatusExt};

use super::super::receipt;
use super::country::read;
use super::folder::{self, Folder};
use super::pki::AUTHORITY;
use super::report::Printer;

const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
const CALL_TIME_MAX: Duration = Duration::from_secs(30);

/// One call: who calls what, for what, and what must come of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// What happens, in a few words; names the receipt too.
    pub(super) name: &'static str,
    pub(super) system: &'static str,
    pub(super) node: &'static str,
    pub(super) method: &'static str,
    pub(super) purpose: &'static str,
    /// The case number, where the call belongs to a case.
    pub(super) dossier: Option<&'static str>,
    pub(super) expected: Expected,
}

/// What must come of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// The gateway allows it and the node answers.
    Answer,
    /// The gateway refuses it.
    Refusal(Reason),
    /// The gateway allows it and the node ends it with this status.
    Status(Code),
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The useful part of the answer, in one line; an error if it is not as it should be.
    Answered(Result<String, String>),
    /// The gateway refused: the name of the reason, the message in each language.
    Refused { reason: String, messages: Vec<(String, String)> },
    /// The node, or the way to it, ended the call.
    Failed { code: Code, message: String },
}

/// What came of a call.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) number: usize,
    pub(super) ended: Ended,
    pub(super) latency: Duration,
    /// Index and content of the entry that the receipt proves, or why it proves none.
    pub(super) evidence: Result<(u64, Entry)>,
}

/// All calls summed up.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) calls: usize,
    pub(super) refused: usize,
    /// What was not as it should be, each with its call.
    pub(super) faults: Vec<String>,
}

/// The systems of a sandbox, each with a certificate and a connection of its own.
#[derive(Debug)]
pub(super) struct Consumers<'a> {
    folder: &'a Folder,
    gateway: SocketAddr,
    ledger_key: VerifyingKey,
    channels: BTreeMap<&'static str, Channel>,
    printer: &'a Printer,
    tally: Tally,
}

impl<'a> Consumers<'a> {
    pub(super) fn new(
        folder: &'a Folder,
        gateway: SocketAddr,
        printer: &'a Printer,
    ) -> Result<Self> {
        let ledger_key = receipt::read_key(&folder.ledger_key())?;
        let (channels, tally) = (BTreeMap::new(), Tally::default());
        Ok(Self { folder, gateway, ledger_key, channels, printer, tally })
    }

    pub(super) fn into_tally(self) -> Tally {
        self.tally
    }

    /// Makes a call, keeps its receipt, prints and judges what came of it, and returns the answer
    /// if there was one.
    ///
    /// `exchange` makes the call with a generated client; `read` finds the useful part of the
    /// answer, or says what is wrong with it.
    pub(super) async fn call<Q, A>(
        &mut self,
        call: Call,
        message: Q,
        exchange: impl AsyncFnOnce(Channel, Request<Q>) -> Result<Response<A>, Status>,
        read: impl FnOnce(&A) -> Result<String, String>,
    ) -> Result<Option<A>> {
        let channel = self.channel(call.system).await?;
        let mut request = Request::new(message);
        request.set_timeout(CALL_TIME_MAX);
        state(request.metadata_mut(), &call);
        let begun = Instant::now();
        let result = exchange(channel, request).await;
        let latency = begun.elapsed();
        self.tally.calls += 1;
        let number = self.tally.calls;
        let metadata = match &result {
            Ok(response) => response.metadata(),
            Err(status) => status.metadata(),
        };
        let evidence = self.keep_receipt(number, &call, metadata);
        let (ended, answer) = match result {
            Ok(response) => {
                let answer = response.into_inner();
                (Ended::Answered(read(&answer)), Some(answer))
            }
            Err(status) => (explain(&status), None),
        };
        let outcome = Outcome { number, ended, latency, evidence };
        self.judge(&call, &outcome);
        Ok(answer)
    }

    /// Notes a call that cannot be made because one before it went wrong.
    pub(super) fn skip(&mut self, name: &str) {
        self.tally.faults.push(format!("{name}: not called, since a call it builds on failed"));
    }

    fn judge(&mut self, call: &Call, outcome: &Outcome) {
        self.tally.refused += usize::from(matches!(outcome.ended, Ended::Refused { .. }));
        let fault = fault(call, outcome);
        self.printer.call(call, outcome, fault.as_deref());
        let numbered = |fault| format!("call {}, {}: {fault}", outcome.number, call.name);
        self.tally.faults.extend(fault.map(numbered));
    }

    /// The connection of a system, opened when it first calls.
    async fn channel(&mut self, system: &'static str) -> Result<Channel> {
        if let Some(channel) = self.channels.get(system) {
            return Ok(channel.clone());
        }
        let authority = read(&self.folder.certificate(AUTHORITY))?;
        let identity = Identity::from_pem(
            read(&self.folder.certificate(system))?,
            read(&self.folder.key(system))?,
        );
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(authority))
            .identity(identity)
            .domain_name("localhost");
        let endpoint = Endpoint::from_shared(format!("https://{}", self.gateway))?
            .tls_config(tls)?
            .connect_timeout(CONNECT_TIME_MAX);
        let channel = endpoint
            .connect()
            .await
            .with_context(|| format!("connect `{system}` to the gateway on {}", self.gateway))?;
        self.channels.insert(system, channel.clone());
        Ok(channel)
    }

    /// Writes the receipt of a call to its file and checks it as an auditor would, with nothing
    /// but the ledger's public key.
    fn keep_receipt(
        &self,
        number: usize,
        call: &Call,
        metadata: &MetadataMap,
    ) -> Result<(u64, Entry)> {
        let receipt = metadata.get_bin("exchange-receipt-bin").context("no receipt came")?;
        let receipt = receipt.to_bytes().context("the receipt is not base64")?;
        let file = self.folder.receipts().join(receipt_name(number, call));
        folder::write(&file, &receipt)?;
        let kept = fs::read(&file).with_context(|| format!("read `{}`", file.display()))?;
        let (receipt, entry) = receipt::verify(&kept, &self.ledger_key)?;
        let told = metadata.get("exchange-id").and_then(|id| id.to_str().ok());
        let proven = exchange(&entry);
        // The headers of an answer that broke off in the middle are lost to the client.
        if told.is_some_and(|told| told != proven) {
            bail!("the receipt is of another call");
        }
        Ok((receipt.index, entry))
    }
}

/// The file that the receipt of a call lies in.
pub(super) fn receipt_name(number: usize, call: &Call) -> String {
    format!("{number:02}-{}.receipt", call.name.replace([' ', '\''], "-"))
}

/// What a caller states beside its message.
fn state(metadata: &mut MetadataMap, call: &Call) {
    metadata.insert("exchange-purpose", AsciiMetadataValue::from_static(call.purpose));
    if let Some(dossier) = call.dossier {
        metadata.insert("exchange-dossier", AsciiMetadataValue::from_static(dossier));
    }
}

/// The exchange id of an entry of a call.
pub(super) fn exchange(entry: &Entry) -> String {
    match entry {
        Entry::Opened(_)
        | Entry::LedgerRead(_)
        | Entry::AdminAction(_)
        | Entry::SegmentRemoved(_) => String::new(),
        Entry::Admitted(call) => call.exchange.to_string(),
        Entry::Refused(call) => call.exchange.to_string(),
        Entry::Passed(call) => call.exchange.to_string(),
        Entry::Concerned(call) => call.exchange.to_string(),
        Entry::Finished(call) => call.exchange.to_string(),
    }
}

/// Reads why a call failed: a refusal of the gateway explains itself in its details.
fn explain(status: &Status) -> Ended {
    let mut refused = None;
    let mut messages = Vec::new();
    for detail in status.get_error_details_vec() {
        match detail {
            ErrorDetail::ErrorInfo(info) if info.domain == wire::status::DOMAIN => {
                refused = Some(info.reason);
            }
            ErrorDetail::LocalizedMessage(text) => messages.push((text.locale, text.message)),
            _ => {}
        }
    }
    match refused {
        Some(reason) => Ended::Refused { reason, messages },
        None => Ended::Failed { code: status.code(), message: status.message().to_owned() },
    }
}

/// What is not as it should be about an outcome.
fn fault(call: &Call, outcome: &Outcome) -> Option<String> {
    let (_, entry) = match &outcome.evidence {
        Ok(evidence) => evidence,
        Err(error) => return Some(format!("the receipt is not valid: {error:#}")),
    };
    match (&outcome.ended, call.expected) {
        (Ended::Answered(Err(wrong)), Expected::Answer) => return Some(wrong.clone()),
        (Ended::Answered(Ok(_)), Expected::Answer) => {}
        (Ended::Refused { reason, .. }, Expected::Refusal(expected))
            if *reason == expected.name() => {}
        (Ended::Failed { code, .. }, Expected::Status(expected)) if *code == expected => {}
        (ended, expected) => {
            return Some(format!("expected {}, found {}", expected.shown(), ended.shown()));
        }
    }
    let proves = match entry {
        Entry::Admitted(entry) => {
            !matches!(call.expected, Expected::Refusal(_))
                && entry.system.as_str() == call.system
                && entry.purpose.as_str() == call.purpose
        }
        Entry::Refused(entry) => call.expected == Expected::Refusal(entry.reason),
        _ => false,
    };
    (!proves).then(|| "the receipt proves something else".to_owned())
}

impl Expected {
    fn shown(self) -> String {
        match self {
            Self::Answer => "an answer".to_owned(),
            Self::Refusal(reason) => format!("the refusal {}", reason.name()),
            Self::Status(code) => format!("the status {code:?} from the node"),
        }
    }
}

impl Ended {
    fn shown(&self) -> String {
        match self {
            Self::Answered(Ok(line) | Err(line)) => format!("the answer {line}"),
            Self::Refused { reason, .. } => format!("the refusal {reason}"),
            Self::Failed { code, message } => format!("the status {code:?}: {message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{ExchangeId, Refusal, Refused, RevisionId, Timestamp};

    use super::*;

    const CALL: Call = Call {
        name: "look up",
        system: "mot-cua-phuc-xa",
        node: "population",
        method: "LookUpPerson",
        purpose: "xac-minh-cu-tru",
        dossier: None,
        expected: Expected::Refusal(Reason::AgreementMissing),
    };

    fn refused(told: Reason, proven: Reason) -> Outcome {
        let entry = Entry::Refused(Refused {
            exchange: ExchangeId::new(Timestamp::from_secs(1), [0; 10]),
            time: Timestamp::from_secs(1),
            reason: proven,
            certificate: None,
            system: None,
            member: None,
            method: None,
            agreement: None,
            purpose: None,
            dossier: None,
            procedure: None,
            revision: RevisionId(1),
            source: [127, 0, 0, 1].into(),
            suppressed: 0,
        });
        let details = wire::status::details(
            model::Code::PermissionDenied,
            &Refusal::new(told),
            RevisionId(1),
        );
        let status = Status::with_details(Code::PermissionDenied, "", details.into());
        let evidence = Ok((7, entry));
        Outcome { number: 1, ended: explain(&status), latency: Duration::ZERO, evidence }
    }

    #[test]
    fn a_refusal_is_as_expected_if_reason_and_receipt_agree() {
        let missing = Reason::AgreementMissing;
        assert_eq!(fault(&CALL, &refused(missing, missing)), None);
        let other = Reason::AgreementExpired;
        assert_eq!(
            fault(&CALL, &refused(other, other)).unwrap(),
            "expected the refusal AGREEMENT_MISSING, found the refusal AGREEMENT_EXPIRED"
        );
        let unproven = fault(&CALL, &refused(missing, other)).unwrap();
        assert_eq!(unproven, "the receipt proves something else");
    }

    #[test]
    fn what_the_node_says_is_no_refusal() {
        let status = Status::not_found("no such person");
        let ended = Ended::Failed { code: Code::NotFound, message: "no such person".to_owned() };
        assert_eq!(explain(&status), ended);
    }

    #[test]
    fn a_call_without_a_receipt_is_a_fault() {
        let missing = Reason::AgreementMissing;
        let mut outcome = refused(missing, missing);
        outcome.evidence = Err(anyhow::anyhow!("no receipt came"));
        let fault = fault(&CALL, &outcome).unwrap();
        assert_eq!(fault, "the receipt is not valid: no receipt came");
    }
}
