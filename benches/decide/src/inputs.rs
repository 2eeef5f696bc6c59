//! The calls that engines are asked about: random ones, packed so that reading them costs little.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use fastrand::Rng;
use model::{MethodPath, Terms, Timestamp};
use policy::{Context, Snapshot, Token, Workspace};

use decide::country::{Call, NOW, PURPOSES};

/// A call: who, what, for what, and in which circumstances.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub system: &'a str,
    pub path: &'a str,
    pub purpose: &'a str,
    pub source: Ipv4Addr,
    terms: u8,
    token: u8,
}

/// Calls one after the other in one buffer.
#[derive(Debug, Default)]
pub struct Inputs {
    text: String,
    calls: Vec<Packed>,
}

/// A call whose names stand in the buffer, one behind the other.
#[derive(Clone, Copy, Debug)]
struct Packed {
    start: u32,
    source: Ipv4Addr,
    lengths: [u8; 3],
    terms: u8,
    token: u8,
}

/// Terms and tokens as they occur; calls refer to them.
#[derive(Debug)]
pub struct Circumstances {
    /// For each purpose without and with a dossier.
    terms: Vec<Terms>,
    tokens: Vec<Option<Token>>,
}

impl Inputs {
    /// So many of the calls, at random.
    pub fn draw(calls: &[Call], count: usize, rng: &mut Rng) -> Self {
        let mut inputs = Self::default();
        for _ in 0..count {
            let call = &calls[rng.usize(..calls.len())];
            inputs.push(call, rng);
        }
        inputs
    }

    /// The same with so many of a hundred calls replaced by some that are refused.
    pub fn with_refused(&self, in_100: u8, snapshot: &Snapshot, rng: &mut Rng) -> Self {
        let circumstances = Circumstances::new();
        let mut workspace = Workspace::default();
        let mut inputs = Self::default();
        for input in self.iter() {
            let mut call = input.call();
            while rng.u8(..100) < in_100 {
                let other = self.at(rng.usize(..self.calls.len())).call();
                let wrong = match rng.u8(..10) {
                    0..5 => Call { purpose: other.purpose, ..call.clone() },
                    5..9 => Call { path: other.path, ..call.clone() },
                    _ => Call { path: format!("{}Cu", call.path), ..call.clone() },
                };
                let mut alone = Self::default();
                alone.push(&wrong, rng);
                let refused =
                    alone.iter().all(|it| !it.ask(snapshot, &circumstances, &mut workspace));
                if refused {
                    call = wrong;
                    break;
                }
            }
            inputs.push(&call, rng);
        }
        inputs
    }

    /// Those that the snapshot allows.
    pub fn allowed(&self, snapshot: &Snapshot) -> Self {
        let circumstances = Circumstances::new();
        let mut workspace = Workspace::default();
        let mut inputs = Self::default();
        for (input, packed) in self.iter().zip(&self.calls) {
            if input.ask(snapshot, &circumstances, &mut workspace) {
                let start = inputs.text.len() as u32;
                inputs.calls.push(Packed { start, ..*packed });
                for name in [input.system, input.path, input.purpose] {
                    inputs.text.push_str(name);
                }
            }
        }
        inputs
    }

    fn push(&mut self, call: &Call, rng: &mut Rng) {
        let names = [&call.system, &call.path, &call.purpose];
        let start = u32::try_from(self.text.len()).expect("inputs of less than 4 GiB");
        let lengths = names.map(|name| u8::try_from(name.len()).expect("short names"));
        names.into_iter().for_each(|name| self.text.push_str(name));
        let number: usize = call.purpose[call.purpose.len() - 2..].parse().expect("a number");
        let dossier = usize::from(rng.u8(..10) < 8);
        let token = match rng.u8(..10) {
            0..5 => 0,
            token => token - 4,
        };
        let source = match rng.u8(..10) {
            0 => Ipv4Addr::new(10, 200, rng.u8(..), rng.u8(..)),
            _ => Ipv4Addr::new(10, rng.u8(..), rng.u8(..), rng.u8(..)),
        };
        let terms = (number * 2 + dossier) as u8;
        self.calls.push(Packed { start, source, lengths, terms, token });
    }

    pub fn len(&self) -> usize {
        self.calls.len()
    }

    pub fn at(&self, ix: usize) -> Input<'_> {
        self.unpack(&self.calls[ix])
    }

    pub fn iter(&self) -> impl Iterator<Item = Input<'_>> {
        self.calls.iter().map(|packed| self.unpack(packed))
    }

    fn unpack(&self, packed: &Packed) -> Input<'_> {
        let Packed { start, source, lengths, terms, token } = *packed;
        let rest = &self.text[start as usize..];
        let [system, path, purpose] = lengths.map(usize::from);
        let (system, rest) = rest.split_at(system);
        let (path, rest) = rest.split_at(path);
        Input { system, path, purpose: &rest[..purpose], source, terms, token }
    }
}

impl Input<'_> {
    fn call(&self) -> Call {
        Call { system: self.system.into(), path: self.path.into(), purpose: self.purpose.into() }
    }

    pub fn context<'a>(&self, circumstances: &'a Circumstances) -> Context<'a> {
        Context {
            terms: &circumstances.terms[usize::from(self.terms)],
            source: IpAddr::V4(self.source),
            token: circumstances.tokens[usize::from(self.token)].as_ref(),
            now: NOW,
        }
    }

    /// Whether the snapshot allows the call.
    fn ask(
        &self,
        snapshot: &Snapshot,
        circumstances: &Circumstances,
        workspace: &mut Workspace,
    ) -> bool {
        let caller = snapshot.system(self.system);
        let route = MethodPath::parse(self.path).and_then(|path| snapshot.route(path).ok());
        let (Some(caller), Some(route)) = (caller, route) else { return false };
        snapshot.decide(&caller, &route, &self.context(circumstances), workspace).is_ok()
    }
}

impl Circumstances {
    pub fn new() -> Self {
        let terms = (0..PURPOSES * 2).map(|n| Terms {
            purpose: Some(format!("muc-dich-{:02}", n / 2).parse().expect("a code")),
            dossier: (n % 2 == 1).then(|| "H26.12-261118-0042".into()),
            procedure: (n % 4 == 1).then(|| "1.004873".into()),
            ..Terms::default()
        });
        let official = |unit: &str, roles: &[&str]| Token {
            issuer: "https://sso.gov.vn".into(),
            subject: Some("can-bo-0042".into()),
            level: None,
            unit: Some(unit.into()),
            roles: roles.iter().map(|role| (*role).into()).collect(),
            expires: Timestamp::from_secs(1_830_000_000),
        };
        let citizen = |level| Token {
            issuer: "https://vneid.gov.vn".into(),
            subject: Some("001090000001".into()),
            level: Some(level),
            unit: None,
            roles: Vec::new(),
            expires: Timestamp::from_secs(1_830_000_000),
        };
        let tokens = vec![
            None,
            Some(official("H26.12", &["mot-cua"])),
            Some(official("H26", &["mot-cua", "lanh-dao"])),
            Some(official("G09", &["tra-cuu"])),
            Some(citizen(2)),
            Some(citizen(1)),
        ];
        Self { terms: terms.collect(), tokens }
    }
}

/// The agreements that can matter to a call, as somebody finds them who looks at nothing else
/// than the source.
#[derive(Debug)]
pub struct Filed<'a> {
    source: &'a policy::Source,
    chains: HashMap<&'a str, Vec<String>>,
    services: HashMap<String, &'a str>,
    agreements: HashMap<(String, &'a str), Vec<usize>>,
}

impl<'a> Filed<'a> {
    pub fn new(source: &'a policy::Source) -> Self {
        let members: HashMap<&str, &policy::source::Member> =
            source.members.iter().map(|member| (member.id.as_str(), member)).collect();
        let chain = |system: &policy::source::System| {
            let mut chain = vec![format!("system {}", system.id)];
            let mut at = members.get(system.member.as_str());
            while let Some(member) = at {
                chain.push(format!("member {}", member.id));
                chain.extend(member.classes.iter().map(|class| format!("class {class}")));
                at = member.parent.as_ref().and_then(|id| members.get(id.as_str()));
            }
            chain
        };
        let chains = source.systems.iter().map(|it| (it.id.as_str(), chain(it))).collect();
        let services = source.nodes.iter().flat_map(|node| &node.services).flat_map(|service| {
            let path = |name: &str| format!("/{}/{name}", service.name);
            service.methods.iter().map(move |it| (path(&it.name), service.name.as_str()))
        });
        let mut agreements: HashMap<(String, &str), Vec<usize>> = HashMap::new();
        for (ix, it) in source.agreements.iter().enumerate() {
            agreements.entry((consumer(&it.consumer), it.service.as_str())).or_default().push(ix);
        }
        Self { source, chains, services: services.collect(), agreements }
    }

    /// Consumers that stand for a system, nearest first.
    pub fn chain(&self, system: &str) -> &[String] {
        self.chains.get(system).map(Vec::as_slice).unwrap_or_default()
    }

    /// All systems with their consumers.
    pub fn chains(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.chains.iter().map(|(system, chain)| (*system, chain.as_slice()))
    }

    /// Those that name the caller, the method and the purpose, nearest consumer first, then by
    /// id; whether in force or not.
    pub fn candidates(&self, input: &Input<'_>) -> Vec<usize> {
        let Some(service) = self.services.get(input.path) else { return Vec::new() };
        let method = &input.path[service.len() + 2..];
        let chain = self.chain(input.system).iter();
        let filed = chain.flat_map(|consumer| {
            self.agreements.get(&(consumer.clone(), *service)).into_iter().flatten().copied()
        });
        let matter = filed.filter(|ix| {
            let it = &self.source.agreements[*ix];
            let named = match &it.methods {
                policy::source::Methods::All => true,
                policy::source::Methods::Named(names) => names.iter().any(|name| name == method),
            };
            named && it.purposes.iter().any(|purpose| purpose.as_str() == input.purpose)
        });
        matter.collect()
    }
}

/// A consumer as one text.
pub fn consumer(consumer: &policy::source::Consumer) -> String {
    match consumer {
        policy::source::Consumer::System(id) => format!("system {id}"),
        policy::source::Consumer::Member(id) => format!("member {id}"),
        policy::source::Consumer::Class(id) => format!("class {id}"),
    }
}
