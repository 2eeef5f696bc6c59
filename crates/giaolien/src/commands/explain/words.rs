//! The words of an explanation, in Vietnamese and English.

use std::env;

use model::{Effect, Language, Timestamp};
use policy::source::{Consumer, Share};
use policy::{Missing, WhatIf};

use super::Lang;

/// The environment's ways to name a language, the strongest first.
const VARIABLES: [&str; 3] = ["LC_ALL", "LC_MESSAGES", "LANG"];

/// Speaks one language.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words(pub(super) Language);

impl Words {
    /// The language that is asked for, or that of the environment.
    pub(super) fn new(asked: Option<Lang>) -> Self {
        let of_environment = || {
            let set = VARIABLES.iter().filter_map(|name| env::var(name).ok());
            let set = set.filter(|value| !value.is_empty()).map(|value| value.starts_with("vi"));
            set.take(1).any(|is_vietnamese| is_vietnamese)
        };
        match asked {
            Some(Lang::Vi) => Self(Language::Vietnamese),
            Some(Lang::En) => Self(Language::English),
            None if of_environment() => Self(Language::Vietnamese),
            None => Self(Language::English),
        }
    }

    /// The one of two texts that is in this language.
    pub(super) fn say<'t>(self, english: &'t str, vietnamese: &'t str) -> &'t str {
        match self.0 {
            Language::English => english,
            Language::Vietnamese => vietnamese,
        }
    }

    pub(super) fn effect(self, effect: Effect) -> &'static str {
        match effect {
            Effect::Query => self.say("a query", "tra cứu"),
            Effect::Update => self.say("an update", "cập nhật"),
        }
    }

    /// Whom an agreement names.
    pub(super) fn consumer(self, consumer: &Consumer) -> String {
        match consumer {
            Consumer::System(id) => format!("{} {id}", self.say("system", "hệ thống")),
            Consumer::Member(id) => format!("{} {id}", self.say("member", "thành viên")),
            Consumer::Class(id) => format!("{} {id}", self.say("class", "nhóm")),
        }
    }

    /// What an agreement lacks to allow a call.
    pub(super) fn missing(self, missing: Missing) -> &'static str {
        match missing {
            Missing::Method => self.say("does not cover the method", "không gồm phương thức này"),
            Missing::Purpose => self.say("does not cover the purpose", "không gồm mục đích này"),
            Missing::Force(reason) => reason.happened(self.0),
            Missing::Name => {
                self.say("the call names another one", "lời gọi nêu một thỏa thuận khác")
            }
        }
    }

    /// A change that would get a call allowed.
    pub(super) fn change(self, change: &WhatIf) -> String {
        let with = |english: &str, vietnamese: &str, value: &str| {
            self.say(english, vietnamese).replace("{}", value)
        };
        match change {
            WhatIf::Purpose(code) => {
                with("state the purpose `{}`", "nêu mục đích `{}`", code.as_str())
            }
            WhatIf::PurposeAndDossier(code) => with(
                "state the purpose `{}` and a dossier (`exchange-dossier`)",
                "nêu mục đích `{}` và mã hồ sơ (`exchange-dossier`)",
                code.as_str(),
            ),
            WhatIf::NoAgreementNamed => {
                self.say("name no agreement", "không nêu thỏa thuận nào").to_owned()
            }
            WhatIf::Dossier => self
                .say("state a dossier (`exchange-dossier`)", "nêu mã hồ sơ (`exchange-dossier`)")
                .to_owned(),
            WhatIf::Procedure => self
                .say(
                    "state a public service (`exchange-procedure`)",
                    "nêu mã thủ tục hành chính (`exchange-procedure`)",
                )
                .to_owned(),
            WhatIf::NoFields => self
                .say("ask for no particular fields", "không yêu cầu riêng trường dữ liệu nào")
                .to_owned(),
            WhatIf::TokenLevel(level) => with(
                "send the token of a person recognised at level {}",
                "gửi mã truy cập của người được định danh ở mức {}",
                &level.to_string(),
            ),
            WhatIf::Zone(zone) => {
                with("call from the zone `{}`", "gọi từ vùng mạng `{}`", zone.as_str())
            }
            WhatIf::Time(time) => {
                with("call at {} or soon after", "gọi lúc {} hoặc ngay sau đó", &time.to_string())
            }
        }
    }

    /// A share of calls, such as `12.5 %`.
    pub(super) fn share(self, share: Share) -> String {
        let hundredths = share.hundredths();
        let (whole, rest) = (hundredths / 100, hundredths % 100);
        let text = match rest {
            0 => whole.to_string(),
            rest if rest % 10 == 0 => format!("{whole}.{}", rest / 10),
            rest => format!("{whole}.{rest:02}"),
        };
        // Vietnamese writes a decimal comma.
        format!("{} %", text.replace('.', self.say(".", ",")))
    }

    /// A moment with the local time and day of the week, which policies may ask for.
    pub(super) fn moment(self, time: Timestamp, utc_offset_minutes: i32) -> String {
        let local = i64::try_from(time.as_micros())
            .ok()
            .and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok())
            .zip(jiff::tz::Offset::from_seconds(utc_offset_minutes * 60).ok())
            .map(|(time, offset)| offset.to_datetime(time));
        match local {
            Some(local) => {
                let (day, hour, minute) = (self.weekday(local), local.hour(), local.minute());
                format!("{time} ({day} {hour:02}:{minute:02})")
            }
            None => time.to_string(),
        }
    }

    fn weekday(self, local: jiff::civil::DateTime) -> &'static str {
        match local.weekday().to_monday_one_offset() {
            1 => self.say("Monday", "thứ Hai"),
            2 => self.say("Tuesday", "thứ Ba"),
            3 => self.say("Wednesday", "thứ Tư"),
            4 => self.say("Thursday", "thứ Năm"),
            5 => self.say("Friday", "thứ Sáu"),
            6 => self.say("Saturday", "thứ Bảy"),
            _ => self.say("Sunday", "Chủ nhật"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_moments_are_written_as_in_the_language() {
        let (vi, en) = (Words(Language::Vietnamese), Words(Language::English));
        let share = |hundredths| Share::from_hundredths(hundredths).unwrap();
        assert_eq!(en.share(share(1250)), "12.5 %");
        assert_eq!(vi.share(share(1205)), "12,05 %");
        assert_eq!(en.share(Share::ALL), "100 %");
        let time = Timestamp::from_secs(1_795_000_000);
        assert_eq!(en.moment(time, 420), "2026-11-18T11:06:40Z (Wednesday 18:06)");
        assert_eq!(vi.moment(time, 24 * 60), "2026-11-18T11:06:40Z (thứ Năm 11:06)");
    }
}
