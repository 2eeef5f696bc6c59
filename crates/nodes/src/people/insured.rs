//! Insurance records: civil servants, and about half of the other adults of working age.

use jiff::civil::Date;

use super::random::{Purpose, Random};
use super::{Household, Person, REFERENCE_DATE, civil_servant, dates};
use crate::proto::civilservants::v1::CivilServant;
use crate::proto::insurance::v1::{
    ContributionPeriod, GetContributionHistoryResponse, HealthCard, Scheme,
};

const EMPLOYERS: [&str; 12] = [
    "Công ty Cổ phần May Hòa Bình",
    "Công ty TNHH Cơ khí Đông Á",
    "Công ty Cổ phần Thủy sản Cửu Long",
    "Công ty TNHH Điện tử Sao Mai",
    "Hợp tác xã Nông nghiệp Tân Tiến",
    "Công ty Cổ phần Vận tải Bắc Nam",
    "Công ty TNHH Giày da Phú Thịnh",
    "Công ty Cổ phần Xây dựng Số Bảy",
    "Công ty TNHH Phần mềm Lạc Việt",
    "Công ty Cổ phần Dược Hồng Hà",
    "Công ty TNHH Gỗ Trường Sơn",
    "Công ty Cổ phần Du lịch Biển Xanh",
];

/// The whole history of an insured person. `profile` saves drawing the civil-servant record
/// again where it is known; leaving it out changes nothing.
pub(crate) fn insured(
    seed: u64,
    household: &Household,
    person: &Person,
    profile: Option<&CivilServant>,
) -> Option<GetContributionHistoryResponse> {
    let mut random = Random::new(seed, Purpose::Insurance, u64::from(person.index));
    if !person.is_alive() || !(19..60).contains(&person.age()) {
        return None;
    }
    let drawn;
    let profile = match profile {
        Some(profile) => Some(profile),
        None => {
            drawn = civil_servant(seed, household, person);
            drawn.as_ref()
        }
    };
    let recruitment = profile.and_then(|profile| profile.recruitment.as_ref());
    let recruited = recruitment.and_then(|found| found.recruited_on.parse().ok());
    let periods = match (profile, recruited) {
        (Some(profile), Some(recruited)) => public_service(profile, recruited),
        _ if random.per_mille(480) => private_work(&mut random, person.born),
        _ => return None,
    };
    Some(GetContributionHistoryResponse {
        personal_number: person.citizen.personal_number.clone(),
        insurance_number: format!("99{:08}", person.index),
        months: 0,
        periods,
        health_card: Some(health_card(&mut random, household, person)),
    })
}

fn public_service(profile: &CivilServant, recruited: Date) -> Vec<ContributionPeriod> {
    let coefficient = profile.salary.as_ref().map_or(234, |salary| salary.coefficient_hundredths);
    vec![ContributionPeriod {
        from_month: dates::month(recruited),
        to_month: String::new(),
        scheme: Scheme::Compulsory.into(),
        employer_code: profile.unit_code.clone(),
        employer_name: format!("Đơn vị {}", profile.unit_code),
        monthly_wage_vnd: u64::from(coefficient) * 23_400,
        unemployment_insurance: false,
    }]
}

/// One to four employers one after the other, from some year after school until today.
fn private_work(random: &mut Random, born: Date) -> Vec<ContributionPeriod> {
    let mut periods = vec![];
    let last = dates::days_before(REFERENCE_DATE, 31);
    let mut start = dates::between(random, dates::years_after(born, 18), last);
    for _ in 0..random.between(1, 4) {
        let end = dates::days_after(start, 30 * random.between(6, 72));
        let runs = end >= last;
        periods.push(ContributionPeriod {
            from_month: dates::month(start),
            to_month: if runs { String::new() } else { dates::month(end) },
            scheme: if random.per_mille(80) { Scheme::Voluntary } else { Scheme::Compulsory }
                .into(),
            employer_code: format!("9{:09}", random.below(1_000_000_000)),
            employer_name: random.pick(&EMPLOYERS).into(),
            monthly_wage_vnd: random.between(48, 320).unsigned_abs().into(),
            unemployment_insurance: random.per_mille(850),
        });
        start = dates::days_after(end, 40);
        if runs || start >= last {
            break;
        }
    }
    for period in &mut periods {
        period.monthly_wage_vnd *= 100_000;
    }
    periods
}

fn health_card(random: &mut Random, household: &Household, person: &Person) -> HealthCard {
    let province = household.home.province.code;
    HealthCard {
        card_number: format!("DN4{province}99{:08}", person.index),
        valid_from: "2026-01-01".into(),
        valid_to: "2026-12-31".into(),
        first_care_facility: format!("{province}-{:03}", random.between(1, 60)),
    }
}
