//! Records of civil servants: about one adult in forty-three.

use jiff::civil::Date;

use super::random::{Purpose, Random};
use super::{Household, Person, REFERENCE_DATE, dates};
use crate::proto::civilservants::v1::{
    Category, CivilServant, Conduct, Education, Family, Military, Political, Position, Recruitment,
    Salary, ServiceStatus, Sex,
};

/// Per mille of the people of working age.
const SHARE: u32 = 34;

const MINISTRIES: [&str; 12] =
    ["G01", "G02", "G04", "G05", "G06", "G09", "G10", "G12", "G15", "G18", "G22", "G24"];

const DEGREES: [(&str, u32); 4] =
    [("Trung cấp", 8), ("Cao đẳng", 12), ("Đại học", 65), ("Thạc sĩ", 15)];

const MAJORS: [&str; 8] = [
    "Luật",
    "Hành chính công",
    "Kế toán",
    "Công nghệ thông tin",
    "Sư phạm",
    "Y khoa",
    "Nông nghiệp",
    "Kinh tế",
];

const EVALUATIONS: [(&str, u32); 4] = [
    ("Hoàn thành xuất sắc nhiệm vụ", 18),
    ("Hoàn thành tốt nhiệm vụ", 70),
    ("Hoàn thành nhiệm vụ", 11),
    ("Không hoàn thành nhiệm vụ", 1),
];

/// The record of a person who is a civil servant.
pub(crate) fn civil_servant(
    seed: u64,
    household: &Household,
    person: &Person,
) -> Option<CivilServant> {
    let mut random = Random::new(seed, Purpose::CivilService, u64::from(person.index));
    let eligible = person.is_alive() && (23..60).contains(&person.age());
    if !eligible || !random.per_mille(SHARE) {
        return None;
    }
    let citizen = &person.citizen;
    let unit_code = unit(&mut random, household);
    let recruited = dates::between(
        &mut random,
        dates::years_after(person.born, 22),
        dates::days_before(REFERENCE_DATE, 60),
    );
    let category = random.pick_weighted(&[
        (Category::Official, 10),
        (Category::CivilServant, 25),
        (Category::PublicEmployee, 65),
    ]);
    let category = category.copied().unwrap_or_default();
    Some(CivilServant {
        personal_number: citizen.personal_number.clone(),
        staff_number: format!("CC{:07}", person.index),
        full_name: citizen.full_name.clone(),
        birth_date: citizen.birth_date.clone(),
        sex: if citizen.sex == 1 { Sex::Male } else { Sex::Female }.into(),
        ethnicity: citizen.ethnicity.clone(),
        religion: citizen.religion.clone(),
        phone: citizen.phone.clone(),
        email: citizen.email.clone(),
        service_status: status(&mut random).into(),
        family: Some(family(person)),
        recruitment: Some(Recruitment {
            recruited_on: recruited.to_string(),
            recruiting_unit: unit_code.clone(),
            category: category.into(),
            appointed_on: dates::days_after(recruited, 365).min(REFERENCE_DATE).to_string(),
        }),
        education: Some(education(&mut random, person.born)),
        position: Some(position(&mut random, category, recruited)),
        salary: Some(salary(recruited)),
        conduct: Some(conduct(&mut random)),
        political: Some(political(&mut random, recruited)),
        military: military(&mut random, person),
        unit_code,
    })
}

/// A unit of a ministry, a department of the home province, or the home commune.
fn unit(random: &mut Random, household: &Household) -> String {
    let province = household.home.province.agency;
    match random.below(10) {
        0..2 => format!("{}.{:02}", random.pick(&MINISTRIES), random.between(1, 25)),
        2..5 => format!("{province}.{:02}", random.between(1, 16)),
        _ => format!("{province}.C{}", household.home.place.commune_code),
    }
}

fn status(random: &mut Random) -> ServiceStatus {
    if random.per_mille(20) { ServiceStatus::Seconded } else { ServiceStatus::Active }
}

fn family(person: &Person) -> Family {
    let spouse = person.citizen.spouse.clone().unwrap_or_default();
    Family {
        spouse_number: spouse.personal_number,
        spouse_name: spouse.full_name,
        children_numbers: person
            .citizen
            .children
            .iter()
            .map(|child| child.personal_number.clone())
            .collect(),
    }
}

fn education(random: &mut Random, born: Date) -> Education {
    let degree = random.pick_weighted(&DEGREES).copied().unwrap_or("Đại học");
    Education {
        highest_degree: degree.into(),
        major: random.pick(&MAJORS).into(),
        graduation_year: u32::from(born.year().unsigned_abs()) + 22,
    }
}

fn position(random: &mut Random, category: Category, recruited: Date) -> Position {
    let (title, rank) = match category {
        Category::Official => {
            random.pick(&[("Phó Chủ tịch Ủy ban nhân dân", "04.025"), ("Trưởng phòng", "01.002")])
        }
        Category::PublicEmployee => {
            random.pick(&[("Giáo viên", "V.07.03.29"), ("Bác sĩ", "V.08.01.03")])
        }
        _ => random.pick(&[("Chuyên viên", "01.003"), ("Chuyên viên chính", "01.002")]),
    };
    let since = dates::between(random, recruited, dates::days_before(REFERENCE_DATE, 30));
    Position { title: title.into(), rank_code: rank.into(), held_since: since.to_string() }
}

/// One step every three years, beginning with coefficient 2.34.
fn salary(recruited: Date) -> Salary {
    let steps = (dates::age_on(recruited, REFERENCE_DATE) / 3).clamp(0, 8);
    Salary {
        step: steps.unsigned_abs() + 1,
        coefficient_hundredths: 234 + 33 * steps.unsigned_abs(),
        since: dates::years_after(recruited, 3 * steps).to_string(),
    }
}

fn conduct(random: &mut Random) -> Conduct {
    let evaluation = random.pick_weighted(&EVALUATIONS).copied().unwrap_or_default();
    let one = |drawn: bool, text: &str| if drawn { vec![text.to_owned()] } else { vec![] };
    Conduct {
        evaluation: evaluation.into(),
        rewards: one(random.per_mille(120), "Bằng khen"),
        disciplines: one(random.per_mille(8), "Khiển trách"),
    }
}

fn political(random: &mut Random, recruited: Date) -> Political {
    if !random.per_mille(550) {
        return Political::default();
    }
    let joined = dates::between(random, recruited, REFERENCE_DATE);
    let post = if random.per_mille(60) { "Bí thư chi bộ" } else { "" };
    Political { party_joined_on: joined.to_string(), party_post: post.into() }
}

fn military(random: &mut Random, person: &Person) -> Option<Military> {
    let served = person.citizen.sex == 1 && random.per_mille(250);
    served.then(|| {
        let enlisted = dates::years_after(person.born, 19);
        Military {
            enlisted_on: enlisted.to_string(),
            discharged_on: dates::years_after(enlisted, 2).to_string(),
            highest_rank: "Hạ sĩ".into(),
        }
    })
}
