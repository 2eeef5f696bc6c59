//! Local replies: what the gateway itself answers, and the one table from reasons to codes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use model::{Code, ExchangeId, Language, Reason, Refusal, RevisionId};

use crate::head::{EXCHANGE_ID, EXCHANGE_RECEIPT, GRPC_STATUS};

const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// The gRPC code of each reason.
pub(crate) fn code(reason: Reason) -> Code {
    match reason {
        Reason::CertificateUntrusted
        | Reason::CertificateExpired
        | Reason::CertificateRevoked
        | Reason::CertificateUnregistered
        | Reason::HandshakeFailed
        | Reason::TokenInvalid => Code::Unauthenticated,
        Reason::Malformed
        | Reason::PurposeMissing
        | Reason::PurposeUnknown
        | Reason::SubjectMalformed => Code::InvalidArgument,
        Reason::MethodUnknown | Reason::CompressionUnsupported => Code::Unimplemented,
        Reason::PurposeNotCovered
        | Reason::AgreementMissing
        | Reason::AgreementNotApplicable
        | Reason::AgreementDraft
        | Reason::AgreementNotYetValid
        | Reason::AgreementExpired
        | Reason::AgreementSuspended
        | Reason::AgreementEnded
        | Reason::PolicyForbids => Code::PermissionDenied,
        Reason::ObligationUnmet => Code::FailedPrecondition,
        Reason::QuotaExhausted
        | Reason::SubjectsExhausted
        | Reason::Overloaded
        | Reason::RequestTooLarge
        | Reason::AnswerTooLarge => Code::ResourceExhausted,
        Reason::Draining
        | Reason::LedgerUnavailable
        | Reason::UpstreamUnreachable
        | Reason::UpstreamReset => Code::Unavailable,
        Reason::UpstreamProtocol => Code::Internal,
        Reason::DeadlineExceeded => Code::DeadlineExceeded,
        Reason::Cancelled => Code::Cancelled,
    }
}

/// The trailers of a refused call.
pub(crate) fn trailers(refusal: &Refusal, revision: RevisionId) -> HeaderMap {
    let code = code(refusal.reason());
    let mut trailers = status(code, &refusal.message(Language::English));
    let details = wire::status::details(code, refusal, revision);
    trailers.insert(GRPC_STATUS_DETAILS, binary(&details));
    trailers
}

/// Status and message, as trailers carry them.
pub(crate) fn status(code: Code, message: &str) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(4);
    trailers.insert(GRPC_STATUS, HeaderValue::from(code.number()));
    if let Ok(message) = HeaderValue::from_str(&percent_encode(message)) {
        trailers.insert(GRPC_MESSAGE, message);
    }
    trailers
}

/// A head that opens, or alone is, a local reply.
pub(crate) fn head(exchange: Option<ExchangeId>) -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    if let Some(exchange) = exchange {
        headers.insert(EXCHANGE_ID, exchange_value(exchange));
    }
    response
}

/// The HTTP status of a trailers-only refusal: gRPC speaks within 200, but a request that is not
/// gRPC at all gets the status that its own protocol has (grpc/doc/PROTOCOL-HTTP2.md).
pub(crate) fn http_status(refusal: &Refusal) -> StatusCode {
    let part = refusal.facts().iter().find(|(key, _)| *key == "part");
    match part.map(|(_, value)| value.as_str()) {
        Some("content-type") => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Some("method") => StatusCode::METHOD_NOT_ALLOWED,
        _ => StatusCode::OK,
    }
}

/// An exchange id as a header value.
pub(crate) fn exchange_value(exchange: ExchangeId) -> HeaderValue {
    let value = HeaderValue::from_str(&exchange.to_string());
    never_again(value.unwrap_or(HeaderValue::from_static("")))
}

/// Marks a value that no other call will have, so that HPACK does not keep it: it would push out
/// of the table what calls do share.
pub(crate) fn never_again(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// Puts a receipt into trailers.
pub(crate) fn insert_receipt(trailers: &mut HeaderMap, receipt: &model::Receipt) {
    trailers.insert(EXCHANGE_RECEIPT, binary(&wire::evidence::encode_receipt(receipt)));
}

/// A `-bin` value. All of ours belong to one call.
pub(crate) fn binary(bytes: &[u8]) -> HeaderValue {
    let text = STANDARD_NO_PAD.encode(bytes);
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).unwrap_or(HeaderValue::from_static(""))
}

/// Percent-encoding of `grpc-message`: visible ASCII and space, save `%`.
fn percent_encode(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b'%' => encoded.push_str("%25"),
            0x20..=0x7e => encoded.push(char::from(byte)),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(percent_encode("50% của hạn"), "50%25 c%E1%BB%A7a h%E1%BA%A1n");
    }

    #[test]
    fn a_refusal_becomes_status_message_and_details() {
        let refusal = Refusal::new(Reason::AgreementSuspended).under("A-9".parse().unwrap());
        let trailers = trailers(&refusal, RevisionId(4));
        assert_eq!(trailers["grpc-status"], "7");
        assert!(trailers["grpc-message"].to_str().unwrap().contains("A-9"));
        assert!(trailers.contains_key("grpc-status-details-bin"));
    }

    #[test]
    fn what_is_not_grpc_gets_an_http_status() {
        let part = |part: &str| http_status(&Refusal::new(Reason::Malformed).with("part", part));
        assert_eq!(part("content-type"), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert_eq!(part("method"), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(part("grpc-timeout"), StatusCode::OK);
    }

    #[test]
    fn the_page_of_reasons_is_current() {
        let mut page = String::from(PAGE_HEAD);
        for reason in Reason::ALL {
            let fault = match reason.fault() {
                model::Fault::Consumer => "consumer",
                model::Fault::Provider => "provider",
                model::Fault::Gateway => "gateway",
            };
            let said =
                |language| format!("{}; {}", reason.happened(language), reason.change(language));
            page.push_str(&format!(
                "| {} | `{}` | `{}` | {fault} | {} | {} |\n",
                reason.number(),
                reason.name(),
                code(*reason).name(),
                said(Language::English),
                said(Language::Vietnamese),
            ));
        }
        expect_test::expect_file!["../../../docs/reasons.md"].assert_eq(&page);
    }

    const PAGE_HEAD: &str = "\
# Reasons for a refusal

Why the gateway declines or cuts a call: the closed list, with the gRPC code that the caller gets and whose doing it is.
The number stands in the ledger and is never used again for another reason.

This page is generated: `UPDATE_EXPECT=1 cargo test -p dataplane` writes it anew.

| number | reason | code | fault | what happened, and what would change it | điều gì đã xảy ra và cần thay đổi gì |
|---|---|---|---|---|---|
";
}
