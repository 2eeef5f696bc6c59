use std::collections::{HashMap, HashSet};

use prost::Message;

use super::*;
use crate::proto::population::v1::{MaritalStatus, Sex};

fn people() -> People {
    People::new(20_260_701, 5_000)
}

#[test]
fn the_same_seed_gives_the_same_people() {
    let digest = |seed| {
        let people = People::new(seed, 300).households();
        people
            .flat_map(|household| household.members)
            .map(|person| person.citizen.encode_to_vec())
            .collect::<Vec<_>>()
    };
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1), digest(2));
}

#[test]
fn a_country_has_exactly_the_people_asked_for() {
    for count in [0, 1, 6, 7, 9, 10, 11, 99, 1_000] {
        let indices: Vec<u32> = People::new(5, count)
            .households()
            .flat_map(|household| household.members)
            .map(|person| person.index)
            .collect();
        assert_eq!(indices, (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn a_larger_country_begins_with_the_smaller_one() {
    let first =
        |count| People::new(5, count).households().map(|found| found.members[0].number).next();
    assert_eq!(first(10), first(100_000));
}

#[test]
fn numbers_are_unique_and_begin_with_nine() {
    let mut seen = HashSet::new();
    for household in people().households() {
        for person in household.members {
            let number = person.citizen.personal_number.clone();
            assert!(number.starts_with('9') && PersonalNumber::parse(&number).is_some());
            assert_eq!(&number[4..6], &person.citizen.birth_date[2..4]);
            let old = &person.citizen.old_number;
            assert!(old.is_empty() || (old.len() == 9 && old.starts_with('9')));
            assert!(seen.insert(number));
        }
    }
    assert_eq!(seen.len(), 5_000);
}

#[test]
fn serials_do_not_repeat_in_the_largest_country() {
    // The serial is the scrambled index; the scrambling must be one to one.
    let scrambled: HashSet<u64> =
        (0..1_000_000_u64).map(|index| index * 387_421 % 1_000_000).collect();
    assert_eq!(scrambled.len(), 1_000_000);
}

#[test]
fn households_close() {
    for household in people().households() {
        assert!((1..=6).contains(&household.members.len()));
        let members: HashMap<_, _> = household
            .members
            .iter()
            .map(|person| (person.citizen.personal_number.clone(), &person.citizen))
            .collect();
        let head = &household.members[0].citizen;
        assert_eq!(head.household.as_ref().unwrap().relationship(), Relationship::Head);
        assert_eq!(head.life_status(), LifeStatus::Alive);
        for citizen in members.values() {
            let membership = citizen.household.as_ref().unwrap();
            assert_eq!(membership.head_number, head.personal_number);
            check_kin(citizen, &members);
        }
    }
}

fn check_kin(citizen: &Citizen, members: &HashMap<String, &Citizen>) {
    let own = &citizen.personal_number;
    if let Some(spouse) = &citizen.spouse {
        let spouse = members[&spouse.personal_number];
        assert_eq!(&spouse.spouse.as_ref().unwrap().personal_number, own);
        assert_ne!(spouse.sex, citizen.sex);
        if spouse.life_status() == LifeStatus::Dead && citizen.life_status() == LifeStatus::Alive {
            assert_eq!(citizen.marital_status(), MaritalStatus::Widowed);
        }
    }
    for child in &citizen.children {
        let child = members[&child.personal_number];
        let parent = if citizen.sex() == Sex::Male { &child.father } else { &child.mother };
        assert_eq!(&parent.as_ref().unwrap().personal_number, own);
        let years = |citizen: &Citizen| citizen.birth_date[..4].parse::<i32>().unwrap();
        assert!(years(child) - years(citizen) >= 17, "{citizen:?} has {child:?}");
    }
    let father = citizen.father.as_ref().unwrap();
    if !father.personal_number.is_empty() {
        let surname = |name: &str| name.split(' ').next().map(str::to_owned);
        assert_eq!(surname(&father.full_name), surname(&citizen.full_name));
    }
    for parent in [father, citizen.mother.as_ref().unwrap()] {
        if !parent.personal_number.is_empty() {
            let parent = members[&parent.personal_number];
            assert!(parent.children.iter().any(|child| &child.personal_number == own));
        }
    }
}

#[test]
fn names_are_composed_unicode() {
    for household in people().households() {
        for person in household.members {
            let name = &person.citizen.full_name;
            assert!(!name.chars().any(|c| ('\u{300}'..='\u{36f}').contains(&c)), "`{name}`");
            assert!(name.split(' ').count() >= 3, "`{name}`");
        }
    }
}

#[test]
fn shares_are_near_those_of_the_country() {
    let people = People::new(7, 20_000);
    let (mut adults, mut servants, mut insured_people, mut benefits) = (0, 0, 0, 0);
    let (mut women, mut dead, mut minority, mut changed) = (0, 0, 0, 0);
    let mut newborn = 0;
    for household in people.households() {
        for person in &household.members {
            adults += u32::from(person.age() >= 18);
            women += u32::from(person.citizen.sex() == Sex::Female);
            dead += u32::from(person.citizen.life_status() == LifeStatus::Dead);
            minority += u32::from(person.citizen.ethnicity != "Kinh");
            changed += u32::from(change(7, person).is_some());
            newborn += u32::from(person.age() == 0);
            let profile = civil_servant(7, &household, person);
            servants += u32::from(profile.is_some());
            insured_people += u32::from(insured(7, &household, person, profile.as_ref()).is_some());
            benefits += u32::from(beneficiary(7, &household, person).is_some());
        }
    }
    let per_mille = |part: u32, whole: u32| part * 1000 / whole;
    assert!((650..800).contains(&per_mille(adults, 20_000)), "adults {adults}");
    assert!((470..530).contains(&per_mille(women, 20_000)), "women {women}");
    assert!((19..28).contains(&per_mille(servants, adults)), "civil servants {servants}");
    assert!((200..400).contains(&per_mille(insured_people, 20_000)), "insured {insured_people}");
    assert!((15..60).contains(&per_mille(benefits, 20_000)), "beneficiaries {benefits}");
    assert!((2..20).contains(&per_mille(newborn, 20_000)), "newborn {newborn}");
    assert!((2..15).contains(&per_mille(dead, 20_000)), "dead {dead}");
    assert!((60..180).contains(&per_mille(minority, 20_000)), "minorities {minority}");
    assert!((60..300).contains(&per_mille(changed, 20_000)), "changed {changed}");
}

#[test]
fn samples_are_found_and_stay() {
    let people = people();
    let all = [
        Sample::Adult,
        Sample::Deceased,
        Sample::CivilServant,
        Sample::Insured,
        Sample::Beneficiary,
        Sample::VerifiedAccount,
    ];
    for sample in all {
        let found = people.sample(sample, 0).unwrap();
        assert_eq!(people.sample(sample, 0).unwrap(), found);
        assert_ne!(people.sample(sample, 1).unwrap(), found);
    }
    let servant = people.sample(Sample::CivilServant, 0).unwrap();
    assert!(servant.unit_code.is_some());
    let household = people.household(0).unwrap();
    assert_eq!(household[0].relationship, Relationship::Head);
    assert!(household.len() >= 3);
}
