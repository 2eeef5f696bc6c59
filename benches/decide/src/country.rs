//! A country of the size of Viet Nam: members, systems, services and agreements between them.

use std::time::Duration;

use fastrand::Rng;
use model::{AgreementId, CertificateDigest, Effect, RevisionId, Timestamp};
use policy::Source;
use policy::source::{
    Agreement, Class, Consumer, Endpoint, Fields, Member, Method, Methods, Mode, Network, Node,
    Purpose, Quota, Service, State, System, Zone,
};

/// The time of every decision: a Wednesday morning, within the validity of most agreements.
pub const NOW: Timestamp = Timestamp::from_secs(1_794_970_000);

const PROVINCES: usize = 34;
const COMMUNES: usize = 3_321;
const MINISTRIES: usize = 22;
const UNITS_PER_MINISTRY: usize = 20;
const SYSTEMS: usize = 12_000;
const SERVICES: usize = 60;
const METHODS: usize = 400;
pub const PURPOSES: usize = 40;
/// Of a hundred agreements so many are not in force.
const IDLE_IN_100: u8 = 3;
/// Ways in which a service is offered: methods, purposes, legal basis and quota.
const PACKAGES: usize = 30;
/// Of a hundred agreements so many are of no package.
pub const BESPOKE_IN_100: u8 = 10;

/// A call that some agreement allows, as strings.
#[derive(Clone, Debug)]
pub struct Call {
    pub system: String,
    pub path: String,
    pub purpose: String,
}

pub struct Country {
    pub source: Source,
    /// For each agreement in force a call under it, in an order that has nothing to do with
    /// theirs.
    pub calls: Vec<Call>,
}

/// The ids of so many agreements.
pub fn ids(agreements: usize) -> Vec<AgreementId> {
    (0..agreements).map(|number| format!("TT-2026-{number:07}").parse().unwrap()).collect()
}

/// Makes a country with these agreements. Most of them are of the packages that a service is
/// offered in; so many of a hundred were negotiated one by one.
pub fn make(ids: Vec<AgreementId>, bespoke_in_100: u8, seed: u64) -> Country {
    let mut rng = Rng::with_seed(seed);
    let members = members();
    let systems = systems(&members, &mut rng);
    let nodes = nodes();
    let services: Vec<(String, &Service)> = nodes
        .iter()
        .flat_map(|node| node.services.iter().map(|service| (node.id.to_string(), service)))
        .collect();
    let below = systems_below(&members, &systems);
    let mut list = Vec::with_capacity(ids.len());
    let mut calls = Vec::with_capacity(ids.len());
    let packages: Vec<Vec<Package>> = services
        .iter()
        .map(|(_, service)| (0..PACKAGES).map(|_| package(service, &mut rng)).collect())
        .collect();
    for (number, id) in ids.into_iter().enumerate() {
        let (consumer, caller) = consumer(number, &members, &systems, &below, &mut rng);
        let at = rng.usize(..services.len());
        let (node, service) = &services[at];
        let package = match rng.u8(..100) < bespoke_in_100 {
            true => package(service, &mut rng),
            false => packages[at][rng.usize(..PACKAGES)].clone(),
        };
        let names = match &package.methods {
            Methods::Named(names) => names.clone(),
            Methods::All => service.methods.iter().map(|method| method.name.clone()).collect(),
        };
        let method = &names[rng.usize(..names.len())];
        let call = Call {
            system: caller,
            path: format!("/{}/{method}", service.name),
            purpose: package.purposes[rng.usize(..package.purposes.len())].clone(),
        };
        let made = agreement(id, consumer, node, service, package, &mut rng);
        if made.state == State::Active && NOW < made.valid_until {
            calls.push(call);
        }
        list.push(made);
    }
    rng.shuffle(&mut calls);
    let purposes = (0..PURPOSES).map(|n| Purpose {
        code: format!("muc-dich-{n:02}").parse().unwrap(),
        name: format!("Mục đích {n}"),
    });
    let source = Source {
        revision: RevisionId(1),
        classes: ["province", "commune", "ministry"]
            .map(|id| Class { id: id.parse().unwrap(), name: id.into() })
            .into(),
        members,
        systems,
        purposes: purposes.collect(),
        zones: zones(),
        agreements: list,
        utc_offset_minutes: 420,
        nodes,
        ..Source::default()
    };
    Country { source, calls }
}

fn members() -> Vec<Member> {
    let member = |id: String, parent: Option<String>, class: Option<&str>| Member {
        name: format!("Đơn vị {id}"),
        id: id.parse().unwrap(),
        parent: parent.map(|id| id.parse().unwrap()),
        classes: class.map(|id| id.parse().unwrap()).into_iter().collect(),
        attributes: Default::default(),
    };
    let mut members = Vec::new();
    for n in 0..PROVINCES {
        members.push(member(format!("H{n:02}"), None, Some("province")));
    }
    for n in 0..COMMUNES {
        let province = n % PROVINCES;
        let id = format!("H{province:02}.{:04}", n / PROVINCES);
        members.push(member(id, Some(format!("H{province:02}")), Some("commune")));
    }
    for n in 0..MINISTRIES {
        members.push(member(format!("G{n:02}"), None, Some("ministry")));
        for unit in 0..UNITS_PER_MINISTRY {
            members.push(member(format!("G{n:02}.{unit:02}"), Some(format!("G{n:02}")), None));
        }
    }
    members
}

fn systems(members: &[Member], rng: &mut Rng) -> Vec<System> {
    (0..SYSTEMS)
        .map(|n| {
            // Every member has one, the rest are spread.
            let member = members.get(n).unwrap_or_else(|| &members[rng.usize(..members.len())]);
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&(n as u64).to_be_bytes());
            // Some old ones are below level 3.
            let level = if n % 20 == 7 { 2 } else { 3 + (n % 3) as i64 };
            System {
                id: format!("{}.he-thong-{n:05}", member.id).parse().unwrap(),
                name: format!("Hệ thống {n}"),
                member: member.id.clone(),
                certificates: vec![CertificateDigest(digest)],
                attributes: [("level".into(), cedar::Datum::Long(level))].into(),
            }
        })
        .collect()
}

fn nodes() -> Vec<Node> {
    let method = |n: usize| Method {
        name: format!("TraCuuThongTin{n}"),
        effect: if n % 10 == 9 { Effect::Update } else { Effect::Query },
        attributes: [("sensitive".into(), cedar::Datum::Bool(n % 3 == 0))].into(),
    };
    (0..SERVICES)
        .map(|n| Node {
            id: format!("csdl-{n:02}").parse().unwrap(),
            name: format!("Cơ sở dữ liệu {n}"),
            provider: format!("G{:02}", n % MINISTRIES).parse().unwrap(),
            services: vec![Service {
                name: format!("vn.gov.database{n:02}.v1.LookupService"),
                methods: (n * METHODS / SERVICES..(n + 1) * METHODS / SERVICES)
                    .map(method)
                    .collect(),
                attributes: Default::default(),
            }],
            endpoints: vec![Endpoint { host: "127.0.0.1".into(), port: 50_000 }],
            authorities: Vec::new().into(),
            server_name: None,
            attributes: [("zone".into(), cedar::Datum::String("chuyen-dung".into()))].into(),
        })
        .collect()
}

/// The dedicated network of the state, that of its data centres, and two of partners.
fn zones() -> Vec<Zone> {
    let zone = |id: &str, networks: &[([u8; 4], u8)]| Zone {
        id: id.parse().unwrap(),
        name: id.into(),
        networks: networks
            .iter()
            .map(|(address, prefix)| Network { address: (*address).into(), prefix: *prefix })
            .collect(),
    };
    vec![
        zone("chuyen-dung", &[([10, 0, 0, 0], 8)]),
        zone("trung-tam-du-lieu", &[([10, 200, 0, 0], 16), ([10, 201, 0, 0], 16)]),
        zone("doi-tac", &[([172, 16, 0, 0], 12)]),
        zone("kiem-thu", &[([192, 168, 0, 0], 16)]),
    ]
}

/// The systems of each member and of those below it, and of each class under its name.
fn systems_below(
    members: &[Member],
    systems: &[System],
) -> std::collections::HashMap<String, Vec<usize>> {
    let parents: std::collections::HashMap<&str, &Member> =
        members.iter().map(|member| (member.id.as_str(), member)).collect();
    let mut below: std::collections::HashMap<String, Vec<usize>> = Default::default();
    for (n, system) in systems.iter().enumerate() {
        let mut at = parents.get(system.member.as_str());
        while let Some(member) = at {
            below.entry(member.id.to_string()).or_default().push(n);
            for class in &member.classes {
                below.entry(class.to_string()).or_default().push(n);
            }
            at = member.parent.as_ref().and_then(|id| parents.get(id.as_str()));
        }
    }
    below
}

/// Who may call, and a system that does: mostly single systems, then members, some classes.
fn consumer(
    number: usize,
    members: &[Member],
    systems: &[System],
    below: &std::collections::HashMap<String, Vec<usize>>,
    rng: &mut Rng,
) -> (Consumer, String) {
    let one_of = |list: &[usize], rng: &mut Rng| systems[list[rng.usize(..list.len())]].id.clone();
    match rng.u8(..100) {
        _ if number < 30 => {
            let class = ["commune", "province", "ministry"][number % 3];
            let caller = one_of(&below[class], rng);
            (Consumer::Class(class.parse().unwrap()), caller.to_string())
        }
        0..30 => {
            let member = &members[rng.usize(..members.len())];
            let caller = one_of(&below[member.id.as_str()], rng);
            (Consumer::Member(member.id.clone()), caller.to_string())
        }
        _ => {
            let system = &systems[rng.usize(..systems.len())];
            (Consumer::System(system.id.clone()), system.id.to_string())
        }
    }
}

/// What an agreement says beside whose it is and when it holds.
#[derive(Clone)]
struct Package {
    methods: Methods,
    purposes: Vec<String>,
    legal_basis: &'static str,
    mode: Mode,
    quota: Vec<Quota>,
}

fn package(service: &Service, rng: &mut Rng) -> Package {
    let mut names: Vec<String> = service.methods.iter().map(|it| it.name.clone()).collect();
    rng.shuffle(&mut names);
    names.truncate(1 + rng.usize(..3));
    let methods = match rng.bool() || names.len() == service.methods.len() {
        true => Methods::All,
        false => Methods::Named(names),
    };
    let mut purposes: Vec<String> = (0..if rng.u8(..10) < 3 { 2 } else { 1 })
        .map(|_| format!("muc-dich-{:02}", rng.usize(..PURPOSES)))
        .collect();
    purposes.dedup();
    let bases = ["Nghị định 278/2025/NĐ-CP", "Nghị định 194/2025/NĐ-CP", "Luật 91/2025/QH15"];
    Package {
        methods,
        purposes,
        legal_basis: bases[rng.usize(..bases.len())],
        mode: if rng.bool() { Mode::ByDefault } else { Mode::ByAgreement },
        quota: match rng.u8(..4) {
            0 => vec![Quota { calls: 100, period: Duration::from_secs(1), burst: 200 }],
            _ => Vec::new(),
        },
    }
}

fn agreement(
    id: AgreementId,
    consumer: Consumer,
    node: &str,
    service: &Service,
    package: Package,
    rng: &mut Rng,
) -> Agreement {
    let (state, lapsed) = match (rng.u8(..100), rng.u8(..3)) {
        (IDLE_IN_100.., _) => (State::Active, false),
        (_, 0) => (State::Suspended, false),
        (_, 1) => (State::Draft, false),
        (_, _) => (State::Active, true),
    };
    Agreement {
        id,
        consumer,
        node: node.parse().unwrap(),
        service: service.name.clone(),
        methods: package.methods,
        purposes: package.purposes.iter().map(|code| code.parse().unwrap()).collect(),
        legal_basis: package.legal_basis.into(),
        mode: package.mode,
        valid_from: Timestamp::from_secs(1_767_000_000),
        valid_until: Timestamp::from_secs(if lapsed { 1_780_000_000 } else { 1_830_000_000 }),
        state,
        fields: Fields::All,
        request_fields: Fields::All,
        quota: package.quota,
        subjects: None,
    }
}
