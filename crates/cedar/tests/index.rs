//! Large sets: what the index leaves out, and what it visits, must not change any answer.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets what it does not expect may panic"
)]

mod support;

use std::fmt::Write;

use cedar_policy::Request;
use support::{check, entities, policies, request};

/// A number that looks random and is the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("small") % bound
    }

    fn of<'t>(&mut self, all: &[&'t str]) -> &'t str {
        all[self.below(all.len())]
    }
}

const USERS: usize = 30;
const GROUPS: usize = 12;
const FILES: usize = 30;
const FOLDERS: usize = 10;
const ACTIONS: usize = 12;

fn world(dice: &mut Dice) -> String {
    let mut json = String::from("[");
    let mut add = |kind: &str, ix: usize, attributes: String, parents: Vec<(&str, usize)>| {
        let parents: Vec<_> = parents
            .into_iter()
            .map(|(kind, ix)| format!(r#"{{"type": "{kind}", "id": "{ix}"}}"#))
            .collect();
        let comma = if json.len() > 1 { "," } else { "" };
        let parents = parents.join(",");
        write!(
            json,
            r#"{comma}{{"uid": {{"type": "{kind}", "id": "{ix}"}}, "attrs": {{{attributes}}}, "parents": [{parents}]}}"#
        )
        .expect("a string");
    };
    for ix in 0..GROUPS {
        let parents = (ix > 0).then(|| ("Group", dice.below(ix))).into_iter().collect();
        add("Group", ix, String::new(), parents);
    }
    for ix in 0..FOLDERS {
        let mut parents = Vec::new();
        if ix > 2 {
            parents.extend([("Folder", dice.below(ix - 1)), ("Folder", ix - 1)]);
        }
        add("Folder", ix, String::new(), parents);
    }
    for ix in 0..USERS {
        let attributes = match ix % 3 {
            0 => format!(r#""level": {}, "zone": "z{}""#, ix % 7, ix % 5),
            1 => format!(r#""zone": {}"#, ix % 5),
            _ => String::new(),
        };
        add(
            "User",
            ix,
            attributes,
            vec![("Group", dice.below(GROUPS)), ("Group", dice.below(GROUPS))],
        );
    }
    for ix in 0..FILES {
        let owner = format!(
            r#""owner": {{"__entity": {{"type": "User", "id": "{}"}}}}, "kind": "k{}""#,
            ix % USERS,
            ix % 9
        );
        let attributes = if ix % 4 == 0 { String::new() } else { owner };
        add("File", ix, attributes, vec![("Folder", dice.below(FOLDERS))]);
    }
    for ix in 2..ACTIONS {
        add("Action", ix, String::new(), vec![("Action", ix % 2)]);
    }
    json.push(']');
    json
}

fn side(dice: &mut Dice, variable: &str, kinds: [(&str, usize); 2]) -> String {
    let (kind, count) = kinds[dice.below(2)];
    let entity = format!("{kind}::\"{}\"", dice.below(count + 2));
    let is = dice.of(&["User", "Group", "File", "Folder", "Unheard"]);
    match dice.below(6) {
        0 => variable.to_owned(),
        1 | 2 => format!("{variable} == {entity}"),
        3 => format!("{variable} in {entity}"),
        4 => format!("{variable} is {is}"),
        _ => format!("{variable} is {is} in {entity}"),
    }
}

fn action(dice: &mut Dice) -> String {
    let mut one = || format!("Action::\"{}\"", dice.below(ACTIONS + 1));
    let (first, second, third) = (one(), one(), one());
    match dice.below(5) {
        0 => "action".to_owned(),
        1 | 2 => format!("action == {first}"),
        3 => format!("action in {first}"),
        _ => format!("action in [{first}, {second}, {third}]"),
    }
}

fn clauses(dice: &mut Dice) -> String {
    let lead = match dice.below(12) {
        0 => format!("context.purpose == \"p{}\"", dice.below(9)),
        1 => format!("\"p{}\" == context.purpose", dice.below(9)),
        2 => format!("context has purpose && context.purpose == \"p{}\"", dice.below(9)),
        3 => format!("context has other && context.purpose == \"p{}\"", dice.below(9)),
        4 => format!("resource.kind == \"k{}\"", dice.below(10)),
        5 => format!("resource has kind && resource.kind == \"k{}\"", dice.below(10)),
        6 => {
            format!("principal.zone == {}", dice.of(&["\"z1\"", "\"z2\"", "1", "2", "true", "[1]"]))
        }
        7 => format!("resource.owner == User::\"{}\"", dice.below(USERS)),
        8 => format!("principal == User::\"{}\"", dice.below(USERS)),
        9 => "resource.owner == principal".to_owned(),
        10 => format!("context.n == {}", dice.below(4)),
        _ => format!("context.purpose != \"p{}\"", dice.below(9)),
    };
    let rest = match dice.below(6) {
        0 => " && principal.level > 2",
        1 => " && context.missing",
        2 => " || context.n == 1",
        3 => " && 7",
        _ => "",
    };
    match dice.below(5) {
        0 => String::new(),
        1 => format!("unless {{ {lead}{rest} }}"),
        2 => format!("when {{ true }} when {{ {lead}{rest} }}"),
        3 => format!("when {{ {lead}{rest} }} unless {{ context.n == 2 }}"),
        _ => format!("when {{ {lead}{rest} }}"),
    }
}

fn policy(dice: &mut Dice, wide: bool) -> String {
    let effect = dice.of(&["permit", "permit", "forbid"]);
    let (principal, action, resource) = if wide {
        let principal = dice.of(&["principal", "principal is User"]);
        (principal.to_owned(), "action".to_owned(), "resource".to_owned())
    } else {
        (
            side(dice, "principal", [("User", USERS), ("Group", GROUPS)]),
            action(dice),
            side(dice, "resource", [("File", FILES), ("Folder", FOLDERS)]),
        )
    };
    format!("{effect}({principal}, {action}, {resource}) {};\n", clauses(dice))
}

fn requests(dice: &mut Dice, count: usize) -> Vec<Request> {
    (0..count)
        .map(|_| {
            let principal = match dice.below(8) {
                0 => format!("Group::\"{}\"", dice.below(GROUPS + 3)),
                1 => format!("Stranger::\"{}\"", dice.below(3)),
                _ => format!("User::\"{}\"", dice.below(USERS + 40)),
            };
            let resource = match dice.below(8) {
                0 => format!("Folder::\"{}\"", dice.below(FOLDERS + 3)),
                1 => format!("User::\"{}\"", dice.below(USERS)),
                _ => format!("File::\"{}\"", dice.below(FILES + 3)),
            };
            let action = format!("Action::\"{}\"", dice.below(ACTIONS + 3));
            let context = match dice.below(4) {
                0 => "{}".to_owned(),
                1 => format!(r#"{{"purpose": {}}}"#, dice.below(3)),
                2 => format!(r#"{{"purpose": "p{}", "n": {}}}"#, dice.below(12), dice.below(4)),
                _ => format!(r#"{{"purpose": "p{}", "other": 1, "unasked": [1]}}"#, dice.below(9)),
            };
            request(&principal, &action, &resource, &context)
        })
        .collect()
}

#[test]
fn thousands_of_policies_of_all_scopes() {
    for seed in 0..4 {
        let mut dice = Dice(seed);
        let world = entities(&world(&mut dice));
        let text: String = (0..2500).map(|_| policy(&mut dice, false)).collect();
        check(&policies(&text), &world, &requests(&mut dice, 150));
    }
}

#[test]
fn thousands_of_policies_for_everybody() {
    for seed in 10..13 {
        let mut dice = Dice(seed);
        let world = entities(&world(&mut dice));
        let text: String = (0..2500).map(|_| policy(&mut dice, true)).collect();
        check(&policies(&text), &world, &requests(&mut dice, 100));
    }
}

#[test]
fn small_sets_of_all_kinds() {
    for seed in 100..400 {
        let mut dice = Dice(seed);
        let world = entities(&world(&mut dice));
        let count = 1 + dice.below(12);
        let text: String = (0..count).map(|ix| policy(&mut dice, ix % 3 == 0)).collect();
        check(&policies(&text), &world, &requests(&mut dice, 10));
    }
}

#[test]
fn no_policies_and_no_entities() {
    let mut dice = Dice(5);
    check(&policies(""), &entities("[]"), &requests(&mut dice, 20));
    let text: String = (0..300).map(|_| policy(&mut dice, false)).collect();
    check(&policies(&text), &entities("[]"), &requests(&mut dice, 100));
}
