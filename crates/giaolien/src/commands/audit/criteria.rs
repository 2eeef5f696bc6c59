//! What exchanges are asked for, on the command line.

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use jiff::civil::Date;
use jiff::tz::Offset;
use model::{
    AgreementId, Criteria, Decided, ExchangeId, MemberId, NodeId, PurposeCode, Reason, SystemId,
    Timestamp,
};

/// Vietnam's time, all year round: dates begin and end in it.
const VIETNAM: Offset = Offset::constant(7);

/// Only exchanges that fit all that is given.
#[derive(Debug, Default, Args)]
pub(super) struct Asked {
    /// Begun then or later: a date (in Vietnam), or a time in RFC 3339.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Begun before that: a time in RFC 3339, or a date, which still counts whole.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// By this member alone, without those below it.
    #[arg(long, value_name = "ID")]
    member: Option<MemberId>,
    /// By this system.
    #[arg(long, value_name = "ID")]
    system: Option<SystemId>,
    /// To this node.
    #[arg(long, value_name = "ID")]
    node: Option<NodeId>,
    /// This method.
    #[arg(long, value_name = "/SERVICE/METHOD")]
    method: Option<String>,
    /// Allowed or refused under this agreement.
    #[arg(long, value_name = "ID")]
    agreement: Option<AgreementId>,
    /// For this purpose.
    #[arg(long, value_name = "CODE")]
    purpose: Option<PurposeCode>,
    /// With this dossier.
    #[arg(long, value_name = "CODE")]
    dossier: Option<String>,
    /// Allowed, or refused.
    #[arg(long, value_enum)]
    decided: Option<Which>,
    /// Refused or cut for this reason, as AGREEMENT_MISSING.
    #[arg(long, value_name = "NAME", value_parser = reason)]
    refused_for: Option<Reason>,
    /// With this id.
    #[arg(long, value_name = "ID")]
    exchange: Option<ExchangeId>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Which {
    Admitted,
    Refused,
}

impl Asked {
    /// The criteria that they are.
    pub(super) fn criteria(self) -> Result<Criteria> {
        let (from, until) = times(self.from.as_deref(), self.until.as_deref())?;
        Ok(Criteria {
            from,
            until,
            member: self.member,
            system: self.system,
            node: self.node,
            method: self.method.map(Into::into),
            agreement: self.agreement,
            purpose: self.purpose,
            dossier: self.dossier.map(Into::into),
            subjects: Vec::new(),
            decided: self.decided.map(|decided| match decided {
                Which::Admitted => Decided::Admitted,
                Which::Refused => Decided::Refused,
            }),
            reason: self.refused_for,
            exchange: self.exchange,
        })
    }
}

/// Times as they are given on the command line: `from`, and `until`, which counts whole as a date.
pub(super) fn times(
    from: Option<&str>,
    until: Option<&str>,
) -> Result<(Option<Timestamp>, Option<Timestamp>)> {
    let from = from.map(|text| moment(text, Some)).transpose().context("--from")?;
    let until = until.map(|text| moment(text, |date| date.tomorrow().ok()));
    Ok((from, until.transpose().context("--until")?))
}

fn reason(text: &str) -> Result<Reason, String> {
    let mut reasons = (1..u32::from(u16::MAX)).map_while(Reason::from_number);
    let found = reasons.find(|reason| reason.name() == text);
    found.ok_or_else(|| "expected the name of a reason, see docs/reasons.md".to_owned())
}

/// A time, or the edge of a date.
fn moment(text: &str, edge: impl Fn(Date) -> Option<Date>) -> Result<Timestamp> {
    let time = match text.parse::<Date>() {
        Ok(date) if text.len() == 10 => {
            edge(date).and_then(|date| VIETNAM.to_timestamp(date.at(0, 0, 0, 0)).ok())
        }
        _ => text.parse::<jiff::Timestamp>().ok(),
    };
    match time.and_then(|time| u64::try_from(time.as_microsecond()).ok()) {
        Some(micros) => Ok(Timestamp::from_micros(micros)),
        None => bail!(
            "found `{text}`, expected a date such as 2026-01-31 or a time such as \
             2026-01-31T08:00:00+07:00"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_whole_days_in_vietnam() {
        let shown = |asked: Asked| {
            let Criteria { from, until, .. } = asked.criteria().unwrap();
            [from, until].map(|time| time.unwrap().to_string())
        };
        let day = || Some("2026-01-31".to_owned());
        let asked = Asked { from: day(), until: day(), ..Asked::default() };
        assert_eq!(shown(asked), ["2026-01-30T17:00:00Z", "2026-01-31T17:00:00Z"]);
        let time = |text: &str| Some(text.to_owned());
        let asked = Asked {
            from: time("2026-01-31T08:00:00+07:00"),
            until: time("2026-01-31T08:00:00Z"),
            ..Asked::default()
        };
        assert_eq!(shown(asked), ["2026-01-31T01:00:00Z", "2026-01-31T08:00:00Z"]);
        let wrong = Asked { from: time("31/01/2026"), ..Asked::default() };
        let wrong = format!("{:#}", wrong.criteria().unwrap_err());
        assert!(wrong.starts_with("--from: found `31/01/2026`, expected a date"), "{wrong}");
    }

    #[test]
    fn every_reason_has_its_name() {
        assert_eq!(reason("AGREEMENT_MISSING"), Ok(Reason::AgreementMissing));
        let last = (1..1000).map_while(Reason::from_number).last().unwrap();
        assert_eq!(reason(last.name()), Ok(last));
        assert!(reason("NO_SUCH").is_err());
    }
}
