//! Refusals as callers receive them: `google.rpc.Status` with its details.

use std::collections::HashMap;

use model::{Code, Language, Refusal, RevisionId};
use tonic_types::{ErrorDetail, ErrorInfo, LocalizedMessage, RetryInfo, StatusExt};

/// The domain of our `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "giaolien";

/// The bytes of `grpc-status-details-bin` for `refusal`: a `google.rpc.Status` that holds an
/// `ErrorInfo`, the message in Vietnamese and in English, and a `RetryInfo` where waiting helps.
pub fn details(code: Code, refusal: &Refusal, revision: RevisionId) -> Vec<u8> {
    let mut metadata: HashMap<String, String> =
        refusal.facts().iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    metadata.insert("revision".to_owned(), revision.to_string());
    if let Some(agreement) = refusal.agreement() {
        metadata.insert("agreement".to_owned(), agreement.to_string());
    }
    let localized = |language: Language| -> ErrorDetail {
        LocalizedMessage::new(language.tag(), refusal.message(language)).into()
    };
    let mut details: Vec<ErrorDetail> = vec![
        ErrorInfo::new(refusal.reason().name(), DOMAIN, metadata).into(),
        localized(Language::Vietnamese),
        localized(Language::English),
    ];
    if let Some(wait) = refusal.wait() {
        details.push(RetryInfo::new(Some(wait)).into());
    }
    let code = tonic::Code::from_i32(i32::try_from(code.number()).unwrap_or(i32::MAX));
    let message = refusal.message(Language::English);
    tonic::Status::with_error_details_vec(code, message, details).details().to_vec()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::Reason;

    use super::*;

    #[test]
    fn a_caller_reads_reason_facts_languages_and_wait() {
        let refusal = Refusal::new(Reason::QuotaExhausted)
            .under("A-1".parse().unwrap())
            .with("legal_basis", "Nghị định 278/2025/NĐ-CP")
            .retry_after(Duration::from_millis(20));
        let bytes = details(Code::ResourceExhausted, &refusal, RevisionId(7));
        let status = tonic::Status::with_details(tonic::Code::ResourceExhausted, "", bytes.into());

        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("QUOTA_EXHAUSTED", "giaolien"));
        assert_eq!(info.metadata["agreement"], "A-1");
        assert_eq!(info.metadata["revision"], "7");
        assert_eq!(info.metadata["legal_basis"], "Nghị định 278/2025/NĐ-CP");
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_millis(20)));
        let languages: Vec<String> = status
            .get_error_details_vec()
            .into_iter()
            .filter_map(|detail| match detail {
                ErrorDetail::LocalizedMessage(message) => Some(message.locale),
                _ => None,
            })
            .collect();
        assert_eq!(languages, ["vi", "en"]);
    }
}
