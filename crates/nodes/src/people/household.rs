//! Households that close: every spouse, parent and child named with a number is a member.
//!
//! Ten consecutive indices form a block, and a block is cut into whole households by a pattern
//! drawn from its own number. Any block can therefore be made without making those before it.

use jiff::civil::Date;

use super::citizen::{self, Kin};
use super::names::{self, Generation};
use super::places::{self, Home};
use super::random::{Purpose, Random};
use super::{Person, dates};
use crate::proto::population::v1::{LifeStatus, MaritalStatus, Relationship, Sex};

/// How many people a block holds; the last one of a country may hold fewer.
pub(crate) const BLOCK_PEOPLE: u32 = 10;

/// The sizes of the households of a full block.
const PATTERNS: [&[usize]; 9] = [
    &[4, 4, 2],
    &[4, 3, 3],
    &[5, 3, 2],
    &[6, 3, 1],
    &[4, 5, 1],
    &[3, 3, 4],
    &[2, 2, 6],
    &[4, 4, 1, 1],
    &[3, 2, 5],
];

/// People who live together, the head first.
pub(crate) struct Household {
    pub(crate) home: Home,
    pub(crate) members: Vec<Person>,
}

/// A member before numbers and kin are known.
pub(super) struct Draft {
    pub(super) relationship: Relationship,
    pub(super) sex: Sex,
    pub(super) born: Date,
    pub(super) marital: MaritalStatus,
    pub(super) surname: &'static str,
    pub(super) full_name: String,
    pub(super) life: LifeStatus,
    pub(super) life_since: Option<Date>,
}

/// Makes the households of one block of a country of `count` people.
pub(crate) fn block(seed: u64, count: u32, block: u32) -> Vec<Household> {
    let mut first = block * BLOCK_PEOPLE;
    let size = count.saturating_sub(first).min(BLOCK_PEOPLE) as usize;
    let mut random = Random::new(seed, Purpose::Block, u64::from(block));
    let pattern = random.pick(&PATTERNS);
    // A short last block is cut into one or two households.
    let rest = [size.saturating_sub(3), 3];
    let sizes = match size {
        10 => pattern,
        7..=9 => &rest,
        _ => &[size],
    };
    let mut households = Vec::with_capacity(sizes.len());
    for size in sizes.iter().copied().filter(|size| *size > 0) {
        households.push(household(seed, first, size));
        first += size as u32;
    }
    households
}

fn household(seed: u64, first: u32, size: usize) -> Household {
    let mut random = Random::new(seed, Purpose::Household, u64::from(first));
    let home = places::home(&mut random);
    let background = citizen::Background::draw(&mut random, &home);
    let mut family = Family { random, home: &home, people: background.ethnicity, drafts: vec![] };
    match size {
        1 => family.alone(),
        2 if family.random.per_mille(750) => family.couple(),
        2 => family.single_parent(),
        3 => family.family(1, 0),
        4 if family.random.per_mille(850) => family.family(2, 0),
        4 => family.family(1, 1),
        5 if family.random.per_mille(600) => family.family(2, 1),
        5 => family.family(3, 0),
        _ => family.family(2, 2),
    }
    family.deaths();
    let drafts = family.drafts;

    let mut members: Vec<Person> = (first..)
        .zip(&drafts)
        .map(|(index, draft)| citizen::person(seed, index, first, draft, &home, &background))
        .collect();
    let kin: Vec<Kin> = (0..members.len()).map(|at| kin(&drafts, &members, at)).collect();
    let head = members.first().map(|head| head.number.to_string()).unwrap_or_default();
    for ((member, draft), kin) in members.iter_mut().zip(&drafts).zip(kin) {
        citizen::relate(seed, member, draft, kin, &home, &head);
    }
    Household { home, members }
}

/// The composition of one household while it is being drawn.
struct Family<'a> {
    random: Random,
    home: &'a Home,
    people: &'static str,
    drafts: Vec<Draft>,
}

impl Family<'_> {
    fn alone(&mut self) {
        let sex = self.random.pick(&[Sex::Male, Sex::Female]);
        let age = self.random.between(20, 85);
        let marital = match age {
            ..32 => MaritalStatus::Single,
            32..55 => self.random.pick(&[MaritalStatus::Single, MaritalStatus::Divorced]),
            55.. => self.random.pick(&[MaritalStatus::Divorced, MaritalStatus::Widowed]),
        };
        let surname = self.surname();
        self.add(Relationship::Head, sex, age, marital, surname);
    }

    fn couple(&mut self) {
        let age = self.random.between(24, 75);
        self.head_and_spouse(age);
    }

    fn single_parent(&mut self) {
        let sex = if self.random.per_mille(750) { Sex::Female } else { Sex::Male };
        let age = self.random.between(26, 50);
        let marital = self.random.pick(&[MaritalStatus::Divorced, MaritalStatus::Widowed]);
        let surname = self.surname();
        self.add(Relationship::Head, sex, age, marital, surname);
        let gap = 20 + self.random.between(0, (age - 26).min(8));
        self.child(age - gap, surname);
    }

    fn family(&mut self, children: i32, parents: i32) {
        let youngest_mother = 21 + 3 * (children - 1);
        let mother_age = self.random.between(youngest_mother, 48);
        let surname = self.head_and_spouse(mother_age);
        let delay = self.random.between(0, (mother_age - youngest_mother).min(8));
        for child in 0..children {
            let gap = 20 + delay + 3 * child + self.random.between(0, 1);
            self.child(mother_age - gap, surname);
        }
        if parents > 0 {
            self.parents_of_head(parents);
        }
    }

    /// Adds a couple and returns the man's surname, which their children bear.
    fn head_and_spouse(&mut self, wife_age: i32) -> &'static str {
        let husband_age = (wife_age + self.random.between(-2, 6)).max(20);
        let husband = (Sex::Male, husband_age, self.surname());
        let wife = (Sex::Female, wife_age, self.surname());
        let husband_heads = self.random.per_mille(800);
        let (head, spouse) = if husband_heads { (husband, wife) } else { (wife, husband) };
        let married = MaritalStatus::Married;
        self.add(Relationship::Head, head.0, head.1, married, head.2);
        self.add(Relationship::Spouse, spouse.0, spouse.1, married, spouse.2);
        husband.2
    }

    fn child(&mut self, age: i32, surname: &'static str) {
        let sex = if self.random.per_mille(525) { Sex::Male } else { Sex::Female };
        self.add(Relationship::Child, sex, age.max(0), MaritalStatus::Single, surname);
    }

    fn parents_of_head(&mut self, parents: i32) {
        let Some(head) = self.drafts.first() else { return };
        let (head_age, surname) = (dates::age(head.born), head.surname);
        let mother_age = head_age + self.random.between(21, 32);
        let father_age = mother_age + self.random.between(-2, 6);
        let alone = parents == 1;
        let marital = if alone { MaritalStatus::Widowed } else { MaritalStatus::Married };
        let mother_alone = self.random.per_mille(700);
        if !alone || !mother_alone {
            self.add(Relationship::Parent, Sex::Male, father_age, marital, surname);
        }
        if !alone || mother_alone {
            let maiden = self.surname();
            self.add(Relationship::Parent, Sex::Female, mother_age, marital, maiden);
        }
    }

    /// Lets some spouses and parents have died, or gone missing, within the last two years. The
    /// head always lives, so that no household is without one.
    fn deaths(&mut self) {
        let mut widowed = vec![];
        for (at, draft) in self.drafts.iter_mut().enumerate() {
            if !matches!(draft.relationship, Relationship::Spouse | Relationship::Parent) {
                continue;
            }
            let share = match dates::age(draft.born) {
                76.. => 60,
                60..76 => 20,
                _ => 4,
            };
            let since = dates::days_before(dates::REFERENCE_DATE, self.random.between(1, 700));
            if self.random.per_mille(share) {
                (draft.life, draft.life_since) = (LifeStatus::Dead, Some(since));
                widowed.push(at);
            } else if self.random.per_mille(1) {
                (draft.life, draft.life_since) = (LifeStatus::Missing, Some(since));
            }
        }
        for at in widowed {
            let partner = partner(&self.drafts, at);
            if let Some(left) = partner.and_then(|partner| self.drafts.get_mut(partner)) {
                left.marital = MaritalStatus::Widowed;
            }
        }
    }

    fn surname(&mut self) -> &'static str {
        names::surname(&mut self.random, self.people, self.home.province.south)
    }

    fn add(
        &mut self,
        relationship: Relationship,
        sex: Sex,
        age: i32,
        marital: MaritalStatus,
        surname: &'static str,
    ) {
        let generation = if age > 40 { Generation::Older } else { Generation::Younger };
        self.drafts.push(Draft {
            relationship,
            sex,
            born: dates::born(&mut self.random, age),
            marital,
            surname,
            full_name: names::full_name(&mut self.random, surname, sex, generation),
            life: LifeStatus::Alive,
            life_since: None,
        });
    }
}

/// The members to whom the member at a place is kin.
fn kin(drafts: &[Draft], members: &[Person], at: usize) -> Kin {
    let Some(draft) = drafts.get(at) else { return Kin::default() };
    let all = |wanted: &[Relationship], sex: Option<Sex>| {
        drafts
            .iter()
            .zip(members)
            .filter(|(draft, _)| wanted.contains(&draft.relationship))
            .filter(|(draft, _)| sex.is_none_or(|sex| draft.sex == sex))
            .map(|(_, member)| member.as_relative())
            .collect::<Vec<_>>()
    };
    use Relationship::{Child, Head, Parent, Spouse};
    let (parents, children): (&[_], &[_]) = match draft.relationship {
        Head => (&[Parent], &[Child]),
        Spouse => (&[], &[Child]),
        Child => (&[Head, Spouse], &[]),
        _ => (&[], &[Head]),
    };
    Kin {
        father: all(parents, Some(Sex::Male)).pop(),
        mother: all(parents, Some(Sex::Female)).pop(),
        spouse: partner(drafts, at).and_then(|at| members.get(at)).map(Person::as_relative),
        children: all(children, None),
    }
}

/// Whom the member at a place is, or was, married to.
fn partner(drafts: &[Draft], at: usize) -> Option<usize> {
    let wanted = match drafts.get(at)?.relationship {
        Relationship::Head => Relationship::Spouse,
        Relationship::Spouse => Relationship::Head,
        Relationship::Parent => Relationship::Parent,
        _ => return None,
    };
    let mut others = drafts.iter().enumerate().filter(|(other, _)| *other != at);
    others.find(|(_, draft)| draft.relationship == wanted).map(|(other, _)| other)
}
