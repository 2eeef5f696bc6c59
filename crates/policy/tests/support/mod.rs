//! A little country to decide about.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::net::IpAddr;
use std::sync::Arc;

use mask::Contract;
use model::{
    Certificate, CertificateDigest, Effect, IssuerSerial, Language, MethodPath, RevisionId, Terms,
    Timestamp,
};
use policy::source::{
    Agreement, Class, Consumer, Endpoint, Fields, Member, Method, Methods, Mode, Network, Node,
    Purpose, Service, State, System, Zone,
};
use policy::{Context, Snapshot, Source, Workspace};
use protox::Compiler;
use protox::file::{
    ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver,
};

pub const SERVICE: &str = "vn.population.v1.PopulationService";
pub const NOW: Timestamp = Timestamp::from_secs(1_795_000_000); // 2026-11-18, a Wednesday
pub const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 2, 3));

pub fn member(id: &str, parent: Option<&str>) -> Member {
    let parent = parent.map(|id| id.parse().unwrap());
    Member {
        id: id.parse().unwrap(),
        name: id.into(),
        parent,
        classes: Vec::new(),
        attributes: Default::default(),
    }
}

pub fn system(id: &str, member: &str, certificate: u8) -> System {
    System {
        id: id.parse().unwrap(),
        name: id.into(),
        member: member.parse().unwrap(),
        certificates: vec![CertificateDigest([certificate; 32])],
        attributes: Default::default(),
    }
}

pub fn agreement(id: &str, consumer: Consumer) -> Agreement {
    Agreement {
        id: id.parse().unwrap(),
        consumer,
        node: "population".parse().unwrap(),
        service: SERVICE.into(),
        methods: Methods::Named(vec!["VerifyPerson".into()]),
        purposes: vec!["residence".parse().unwrap()],
        legal_basis: "Nghị định 278/2025/NĐ-CP".into(),
        mode: Mode::ByDefault,
        valid_from: Timestamp::from_secs(1_767_000_000),
        valid_until: Timestamp::from_secs(1_830_000_000),
        state: State::Active,
        fields: Fields::All,
        request_fields: Fields::All,
        quota: Vec::new(),
        subjects: None,
    }
}

pub fn of_member(id: &str) -> Consumer {
    Consumer::Member(id.parse().unwrap())
}

pub fn node(id: &str, services: Vec<Service>) -> Node {
    Node {
        id: id.parse().unwrap(),
        name: id.into(),
        provider: "G01".parse().unwrap(),
        services,
        endpoints: vec![Endpoint { host: "127.0.0.1".into(), port: 50051 }],
        authorities: Vec::new().into(),
        server_name: None,
        attributes: Default::default(),
    }
}

/// Province H26 with commune H26.12, a system in each; the population node of G01 and an empty
/// one.
pub fn source(agreements: Vec<Agreement>) -> Source {
    let method =
        |name: &str, effect| Method { name: name.into(), effect, attributes: Default::default() };
    let services = vec![Service {
        name: SERVICE.into(),
        methods: vec![method("VerifyPerson", Effect::Query), method("Correct", Effect::Update)],
        attributes: Default::default(),
    }];
    let mut commune = member("H26.12", Some("H26"));
    commune.classes = vec!["commune".parse().unwrap()];
    Source {
        revision: RevisionId(7),
        classes: vec![Class { id: "commune".parse().unwrap(), name: "Xã, phường".into() }],
        members: vec![member("H26", None), commune, member("G01", None)],
        systems: vec![system("province", "H26", 1), system("commune", "H26.12", 2)],
        nodes: vec![node("population", services), node("centre", vec![])],
        purposes: ["residence", "statistics", "benefits"]
            .map(|code| Purpose { code: code.parse().unwrap(), name: code.into() })
            .into(),
        zones: vec![
            zone("state", &[("10.0.0.0", 8), ("2001:db8::", 32)]),
            zone("ndxp", &[("10.1.0.0", 16)]),
        ],
        agreements,
        utc_offset_minutes: 420,
        revoked: vec![serial(9)],
        ..Source::default()
    }
}

fn zone(id: &str, networks: &[(&str, u8)]) -> Zone {
    let networks = networks
        .iter()
        .map(|(address, prefix)| Network { address: address.parse().unwrap(), prefix: *prefix });
    Zone { id: id.parse().unwrap(), name: id.into(), networks: networks.collect() }
}

pub fn serial(number: u8) -> IssuerSerial {
    IssuerSerial { issuer: b"authority".as_slice().into(), serial: [number].into() }
}

pub fn certificate(number: u8) -> Certificate {
    Certificate {
        digest: CertificateDigest([number; 32]),
        serial: serial(number),
        not_before: Timestamp::from_secs(0),
        not_after: Timestamp::from_secs(1_900_000_000),
    }
}

pub fn purpose(code: &str) -> Terms {
    Terms { purpose: Some(code.parse().unwrap()), ..Terms::default() }
}

pub fn decide(source: Source, who: u8, method: &str, terms: &Terms, now: Timestamp) -> String {
    decide_in(&Snapshot::compile(source).unwrap(), who, method, terms, now)
}

pub fn decide_in(
    snapshot: &Snapshot,
    who: u8,
    method: &str,
    terms: &Terms,
    now: Timestamp,
) -> String {
    let path = format!("/{SERVICE}/{method}");
    let context = Context { terms, source: SOURCE, token: None, now };
    let decided = snapshot.identify(&certificate(who), now).and_then(|caller| {
        let route = snapshot.route(MethodPath::parse(&path).unwrap())?;
        snapshot.decide(&caller, &route, &context, &mut Workspace::default())
    });
    match decided {
        Ok(decision) => format!("allow {} for {}", decision.agreement.id(), decision.purpose),
        Err(refusal) => {
            format!("{}: {}", refusal.reason().name(), refusal.message(Language::English))
        }
    }
}

/// The contract of the package `t.v1` with these declarations.
pub fn contract(declarations: &str) -> Arc<Contract> {
    let text = format!(
        "syntax = \"proto3\";\npackage t.v1;\n\
         import \"giaolien/annotations/v1/annotations.proto\";\n\
         import \"google/protobuf/any.proto\";\n{declarations}"
    );
    let mut files = ChainFileResolver::new();
    files.add(One(text));
    files.add(IncludeFileResolver::new("../../proto".into()));
    files.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(files);
    compiler.include_imports(true).open_file("test.proto").unwrap();
    Arc::new(Contract::from_descriptor_set(&compiler.encode_file_descriptor_set()).unwrap())
}

struct One(String);

impl FileResolver for One {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            "test.proto" => File::from_source(name, &self.0),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}
