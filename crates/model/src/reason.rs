//! Why a call is declined or cut: the closed list, in the two languages people read it in.

/// Whose doing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The caller must change something.
    Consumer,
    /// The provider's node failed.
    Provider,
    /// The gateway could not do its work.
    Gateway,
}

/// A language that operators and callers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// Tiếng Việt.
    Vietnamese,
    /// English.
    English,
}

impl Language {
    /// Its BCP 47 tag.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Vietnamese => "vi",
            Self::English => "en",
        }
    }
}

struct Text {
    name: &'static str,
    number: u32,
    fault: Fault,
    en: [&'static str; 2],
    vi: [&'static str; 2],
}

// One row per reason: variant, number in evidence (never reused), fault, then what happened and
// what would change it in English and in Vietnamese.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $fault:ident,
        $en:literal, $en_change:literal, $vi:literal, $vi_change:literal;)*) => {
        /// Why a call was declined, or cut by the gateway. The list is closed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            fn text(self) -> Text {
                match self { $(Self::$variant => Text {
                    name: $name,
                    number: $number,
                    fault: Fault::$fault,
                    en: [$en, $en_change],
                    vi: [$vi, $vi_change],
                },)* }
            }
        }
    };
}

reasons! {
    /// The certificate does not chain to a trusted authority.
    CertificateUntrusted = 1, "CERTIFICATE_UNTRUSTED", Consumer,
        "the client certificate was not issued by an authority this gateway trusts",
        "use a certificate of the gateway's certificate authority",
        "chứng thư số của hệ thống gọi không do tổ chức được tin cậy cấp",
        "hãy dùng chứng thư số do tổ chức mà cổng tin cậy cấp";
    /// The certificate is past its validity, or not yet valid.
    CertificateExpired = 2, "CERTIFICATE_EXPIRED", Consumer,
        "the client certificate is not valid at this time",
        "renew the certificate and register the new one",
        "chứng thư số của hệ thống gọi đã hết hạn hoặc chưa có hiệu lực",
        "hãy gia hạn chứng thư số và đăng ký chứng thư mới";
    /// The certificate is on a revocation list.
    CertificateRevoked = 3, "CERTIFICATE_REVOKED", Consumer,
        "the client certificate has been revoked",
        "ask the operator why, and register a new certificate",
        "chứng thư số của hệ thống gọi đã bị thu hồi",
        "hãy liên hệ đơn vị vận hành và đăng ký chứng thư số mới";
    /// No system is registered with the certificate.
    CertificateUnregistered = 4, "CERTIFICATE_UNREGISTERED", Consumer,
        "no system is registered with this client certificate",
        "ask the operator to register the certificate under your system",
        "chứng thư số này chưa được đăng ký cho hệ thống nào",
        "hãy đề nghị đơn vị vận hành đăng ký chứng thư số cho hệ thống của bạn";
    /// The TLS handshake failed for another cause.
    HandshakeFailed = 5, "HANDSHAKE_FAILED", Consumer,
        "the TLS handshake failed",
        "connect with TLS 1.3, ALPN h2 and a client certificate",
        "không thiết lập được kết nối TLS",
        "hãy kết nối bằng TLS 1.3, ALPN h2 và chứng thư số của hệ thống";
    /// The request is not a well-formed gRPC call.
    Malformed = 6, "MALFORMED", Consumer,
        "the request is not a well-formed gRPC call",
        "correct the part named and call again",
        "yêu cầu không phải là lời gọi gRPC hợp lệ",
        "hãy sửa phần được nêu và gọi lại";
    /// No node offers the method.
    MethodUnknown = 7, "METHOD_UNKNOWN", Consumer,
        "no node behind this gateway offers the method",
        "check the service and method name, or ask the operator to register it",
        "không có nút dữ liệu nào sau cổng cung cấp phương thức này",
        "hãy kiểm tra tên dịch vụ và phương thức, hoặc đề nghị đơn vị vận hành đăng ký";
    /// A purpose is needed and none was stated.
    PurposeMissing = 8, "PURPOSE_MISSING", Consumer,
        "the call states no purpose and the agreement has more than one",
        "send the purpose code in `exchange-purpose`",
        "lời gọi không nêu mục đích trong khi thỏa thuận có nhiều mục đích",
        "hãy gửi mã mục đích trong `exchange-purpose`";
    /// The purpose code is in no register.
    PurposeUnknown = 9, "PURPOSE_UNKNOWN", Consumer,
        "the purpose code is not registered",
        "use a registered purpose code",
        "mã mục đích chưa được đăng ký",
        "hãy dùng mã mục đích đã đăng ký";
    /// No agreement that fits covers the purpose.
    PurposeNotCovered = 10, "PURPOSE_NOT_COVERED", Consumer,
        "the agreement does not cover this purpose",
        "state a purpose of the agreement, or have the agreement extended",
        "thỏa thuận không bao gồm mục đích này",
        "hãy nêu mục đích có trong thỏa thuận hoặc đề nghị mở rộng thỏa thuận";
    /// No agreement lets the consumer call the method.
    AgreementMissing = 11, "AGREEMENT_MISSING", Consumer,
        "no agreement allows this system to call the method",
        "conclude an agreement with the provider",
        "không có thỏa thuận nào cho phép hệ thống này gọi phương thức",
        "hãy ký thỏa thuận chia sẻ dữ liệu với bên cung cấp";
    /// The agreement that the caller names does not exist or does not cover the call.
    AgreementNotApplicable = 12, "AGREEMENT_NOT_APPLICABLE", Consumer,
        "the agreement named in `exchange-agreement` does not cover this call",
        "name an agreement that covers the system and the method, or name none",
        "thỏa thuận nêu trong `exchange-agreement` không áp dụng cho lời gọi này",
        "hãy nêu thỏa thuận áp dụng cho hệ thống và phương thức, hoặc không nêu";
    /// The agreement is a draft.
    AgreementDraft = 13, "AGREEMENT_DRAFT", Consumer,
        "the agreement is still a draft",
        "wait until the provider has activated it",
        "thỏa thuận còn là dự thảo",
        "hãy chờ bên cung cấp kích hoạt thỏa thuận";
    /// The agreement's validity has not begun.
    AgreementNotYetValid = 14, "AGREEMENT_NOT_YET_VALID", Consumer,
        "the agreement is not valid yet",
        "call again once its validity has begun",
        "thỏa thuận chưa có hiệu lực",
        "hãy gọi lại khi thỏa thuận có hiệu lực";
    /// The agreement's validity is over.
    AgreementExpired = 15, "AGREEMENT_EXPIRED", Consumer,
        "the agreement has expired",
        "have the agreement renewed",
        "thỏa thuận đã hết hạn",
        "hãy gia hạn thỏa thuận";
    /// The agreement is suspended.
    AgreementSuspended = 16, "AGREEMENT_SUSPENDED", Consumer,
        "the agreement is suspended",
        "ask the provider why, and to resume it",
        "thỏa thuận đang bị tạm dừng",
        "hãy liên hệ bên cung cấp để biết lý do và khôi phục thỏa thuận";
    /// The agreement was ended.
    AgreementEnded = 17, "AGREEMENT_ENDED", Consumer,
        "the agreement has been ended",
        "conclude a new agreement",
        "thỏa thuận đã chấm dứt",
        "hãy ký thỏa thuận mới";
    /// The agreement's quota is used up for now.
    QuotaExhausted = 18, "QUOTA_EXHAUSTED", Consumer,
        "the quota of the agreement is used up for now",
        "call again after the time given, or have the quota raised",
        "đã dùng hết hạn mức của thỏa thuận tại thời điểm này",
        "hãy gọi lại sau khoảng thời gian được nêu hoặc đề nghị nâng hạn mức";
    /// The gateway is at one of its bounds.
    Overloaded = 19, "OVERLOADED", Gateway,
        "the gateway has too much work at this moment",
        "call again after a short while",
        "cổng đang quá tải",
        "hãy gọi lại sau giây lát";
    /// The gateway is shutting down.
    Draining = 20, "DRAINING", Gateway,
        "the gateway is shutting down",
        "connect again",
        "cổng đang dừng hoạt động",
        "hãy kết nối lại";
    /// The ledger cannot write; no call goes through without evidence.
    LedgerUnavailable = 21, "LEDGER_UNAVAILABLE", Gateway,
        "the ledger cannot record the call, and no call goes through without a record",
        "call again later; if it lasts, tell the operator",
        "không ghi được sổ nhật ký, và không lời gọi nào được thực hiện nếu không được ghi lại",
        "hãy gọi lại sau; nếu kéo dài, hãy báo cho đơn vị vận hành";
    /// No endpoint of the node could be reached.
    UpstreamUnreachable = 22, "UPSTREAM_UNREACHABLE", Provider,
        "the provider's node cannot be reached",
        "call again later; if it lasts, tell the provider",
        "không kết nối được tới nút dữ liệu của bên cung cấp",
        "hãy gọi lại sau; nếu kéo dài, hãy báo cho bên cung cấp";
    /// The node reset the call or closed the connection.
    UpstreamReset = 23, "UPSTREAM_RESET", Provider,
        "the provider's node cut the call",
        "call again if that is safe; if it lasts, tell the provider",
        "nút dữ liệu của bên cung cấp đã ngắt lời gọi",
        "hãy gọi lại nếu an toàn; nếu kéo dài, hãy báo cho bên cung cấp";
    /// The node answered with something that is not gRPC.
    UpstreamProtocol = 24, "UPSTREAM_PROTOCOL", Provider,
        "the provider's node answered with something that is not gRPC",
        "tell the provider",
        "nút dữ liệu của bên cung cấp trả lời không đúng giao thức gRPC",
        "hãy báo cho bên cung cấp";
    /// The call's deadline passed.
    DeadlineExceeded = 25, "DEADLINE_EXCEEDED", Consumer,
        "the deadline of the call has passed",
        "allow the call more time",
        "lời gọi đã quá thời hạn",
        "hãy cho lời gọi thêm thời gian";
    /// The consumer went away.
    Cancelled = 26, "CANCELLED", Consumer,
        "the consumer cancelled the call",
        "nothing needs to change",
        "hệ thống gọi đã hủy lời gọi",
        "không cần thay đổi gì";
    /// A Cedar policy forbids the call although an agreement allows it.
    PolicyForbids = 27, "POLICY_FORBIDS", Consumer,
        "a policy forbids this call",
        "meet the condition of the policy named, or ask the operator about it",
        "có chính sách cấm lời gọi này",
        "hãy đáp ứng điều kiện của chính sách được nêu hoặc hỏi đơn vị vận hành";
    /// The agreement asks for something this gateway cannot do.
    ObligationUnmet = 28, "OBLIGATION_UNMET", Gateway,
        "the gateway cannot meet an obligation of the agreement",
        "tell the operator which obligation is named",
        "cổng không đáp ứng được một nghĩa vụ của thỏa thuận",
        "hãy báo cho đơn vị vận hành nghĩa vụ được nêu";
    /// The token in `authorization` does not hold.
    TokenInvalid = 29, "TOKEN_INVALID", Consumer,
        "the token in `authorization` is not valid here",
        "send a token of a registered issuer, for this audience and within its validity, or none",
        "mã truy cập trong `authorization` không hợp lệ tại cổng này",
        "hãy gửi mã truy cập còn hạn, đúng nơi cấp và đúng nơi nhận đã đăng ký, hoặc không gửi";
    /// The request is larger than its route allows.
    RequestTooLarge = 30, "REQUEST_TOO_LARGE", Consumer,
        "the request is larger than the route allows",
        "send less in one call",
        "yêu cầu lớn hơn mức tuyến cho phép",
        "hãy gửi ít dữ liệu hơn trong một lời gọi";
    /// The node's answer is larger than its route allows.
    AnswerTooLarge = 31, "ANSWER_TOO_LARGE", Provider,
        "the answer is larger than the route allows",
        "ask for less in one call, or have the bound raised",
        "kết quả trả về lớn hơn mức tuyến cho phép",
        "hãy yêu cầu ít dữ liệu hơn trong một lời gọi hoặc đề nghị nâng giới hạn";
    /// The system has asked about as many persons as its agreement allows.
    SubjectsExhausted = 32, "SUBJECTS_EXHAUSTED", Consumer,
        "the system has asked about as many different persons as the agreement allows for now",
        "ask about further persons later; ask the provider if it has to be more",
        "hệ thống đã hỏi về đủ số người khác nhau mà thỏa thuận cho phép trong lúc này",
        "hãy hỏi về những người khác sau; nếu cần nhiều hơn, hãy đề nghị bên cung cấp";
    /// A message that has to be read is compressed.
    CompressionUnsupported = 33, "COMPRESSION_UNSUPPORTED", Consumer,
        "requests of this method are read on the way and must not be compressed",
        "send the request with `grpc-encoding: identity`",
        "yêu cầu của phương thức này được đọc khi đi qua cổng nên không được nén",
        "hãy gửi yêu cầu với `grpc-encoding: identity`";
    /// The request does not name the person it is about as it must.
    SubjectMalformed = 34, "SUBJECT_MALFORMED", Consumer,
        "the request names the person it is about in a form that no one else can find again",
        "send the personal number as its twelve digits",
        "yêu cầu ghi số của người được hỏi không đúng dạng để tra cứu lại",
        "hãy gửi số định danh cá nhân gồm đúng mười hai chữ số";
}

impl Reason {
    /// The name in `google.rpc.ErrorInfo`, in metrics and in evidence.
    pub fn name(self) -> &'static str {
        self.text().name
    }

    /// The number in evidence. Never reused.
    pub fn number(self) -> u32 {
        self.text().number
    }

    /// The reason with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.number() == number)
    }

    /// Whose doing it is.
    pub fn fault(self) -> Fault {
        self.text().fault
    }

    /// What happened, in one clause.
    pub fn happened(self, language: Language) -> &'static str {
        self.sentences(language)[0]
    }

    /// What would change it, in one clause.
    pub fn change(self, language: Language) -> &'static str {
        self.sentences(language)[1]
    }

    fn sentences(self, language: Language) -> [&'static str; 2] {
        match language {
            Language::Vietnamese => self.text().vi,
            Language::English => self.text().en,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_and_numbers_are_unique() {
        let names: HashSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        let numbers: HashSet<_> = Reason::ALL.iter().map(|reason| reason.number()).collect();
        assert_eq!((names.len(), numbers.len()), (Reason::ALL.len(), Reason::ALL.len()));
    }

    #[test]
    fn numbers_lead_back_to_their_reason() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_number(reason.number()), Some(*reason));
        }
        assert_eq!(Reason::from_number(0), None);
    }

    #[test]
    fn texts_follow_the_house_wording() {
        for reason in Reason::ALL {
            for language in [Language::Vietnamese, Language::English] {
                for clause in [reason.happened(language), reason.change(language)] {
                    assert!(!clause.is_empty() && !clause.ends_with('.'), "{clause}");
                    assert!(clause.chars().next().is_some_and(char::is_lowercase), "{clause}");
                }
            }
        }
    }
}
