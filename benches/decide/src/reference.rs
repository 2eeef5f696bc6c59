//! The `cedar-policy` crate and our engine for Cedar, with agreements as policies.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use cedar::{Datum, Entity, Uid};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityId, EntityTypeName, EntityUid, Policy, PolicyId,
    PolicySet, Request, Response, RestrictedExpression,
};
use model::{Effect, MethodPath};
use policy::{Snapshot, Workspace};

use crate::inputs::{Circumstances, Filed, Input};
use decide::country::NOW;

/// A call, ready for the reference.
pub struct Case {
    pub request: Request,
    /// The agreements that matter, nearest consumer first.
    pub candidates: Vec<usize>,
    /// The policies of these, and nothing else.
    pub slice: PolicySet,
    /// The agreement that we say governs.
    pub governing: Option<String>,
}

/// The agreements as policies, parsed when first asked for.
pub struct Texts<'a> {
    snapshot: &'a Snapshot,
    source: &'a policy::Source,
    parsed: HashMap<usize, Policy>,
}

impl<'a> Texts<'a> {
    pub fn new(snapshot: &'a Snapshot, source: &'a policy::Source) -> Self {
        Self { snapshot, source, parsed: HashMap::new() }
    }

    fn policy(&mut self, ix: usize) -> Result<Policy> {
        if let Some(policy) = self.parsed.get(&ix) {
            return Ok(policy.clone());
        }
        let id = self.source.agreements[ix].id.as_str();
        let text = self.snapshot.agreement_text(id).context("agreement without a text")?;
        let policy = Policy::parse(Some(PolicyId::new(id)), text)?;
        self.parsed.insert(ix, policy.clone());
        Ok(policy)
    }

    /// The policies of these agreements.
    pub fn set(&mut self, agreements: &[usize]) -> Result<PolicySet> {
        let policies = agreements.iter().map(|ix| self.policy(*ix)).collect::<Result<Vec<_>>>()?;
        Ok(PolicySet::from_policies(policies)?)
    }

    /// The policies of all agreements; `None` if that takes too long.
    pub fn all(&mut self, limit: Duration) -> Result<Option<PolicySet>> {
        let begun = Instant::now();
        let mut set = PolicySet::new();
        for ix in 0..self.source.agreements.len() {
            set.add(self.policy(ix)?)?;
            if begun.elapsed() > limit {
                return Ok(None);
            }
        }
        Ok(Some(set))
    }

    /// Prepares a call.
    pub fn case(
        &mut self,
        input: &Input<'_>,
        filed: &Filed<'_>,
        circumstances: &Circumstances,
        full: bool,
    ) -> Result<Case> {
        let governing = governing(self.snapshot, input, circumstances);
        let candidates = filed.candidates(input);
        let slice = self.set(&candidates)?;
        let request = request(self.snapshot, input, circumstances, governing.as_deref(), full)?;
        Ok(Case { request, candidates, slice, governing })
    }
}

/// The agreement that governs, by our account.
pub fn governing(snapshot: &Snapshot, input: &Input<'_>, it: &Circumstances) -> Option<String> {
    let caller = snapshot.system(input.system)?;
    let route = snapshot.route(MethodPath::parse(input.path)?).ok()?;
    let mut workspace = Workspace::default();
    let decision = snapshot.decide(&caller, &route, &input.context(it), &mut workspace).ok()?;
    Some(decision.agreement.id().to_string())
}

/// The call as a request: with a whole context as the gateway makes one, or with what agreements
/// look at alone.
fn request(
    snapshot: &Snapshot,
    input: &Input<'_>,
    circumstances: &Circumstances,
    governing: Option<&str>,
    full: bool,
) -> Result<Request> {
    let path = MethodPath::parse(input.path).context("path")?;
    let action = match snapshot.route(path).map(|route| route.effect) {
        Ok(Effect::Update) => "update",
        _ => "query",
    };
    let mut pairs = context(input, circumstances);
    if !full {
        pairs.retain(|(name, _)| matches!(&**name, "purpose" | "time"));
    } else if let (Some(id), Some(caller)) = (governing, snapshot.system(input.system)) {
        let route = snapshot.route(path).ok().context("route")?;
        let it = input.context(circumstances);
        let decided = snapshot.decide(&caller, &route, &it, &mut Workspace::default());
        let agreement = decided.ok().context("decision")?.agreement;
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let record = RestrictedExpression::new_record([
            ("id".to_owned(), text(id)),
            ("mode".to_owned(), text(agreement.mode().as_str())),
            ("legal_basis".to_owned(), text(agreement.legal_basis())),
        ])?;
        pairs.push(("agreement".into(), record));
    }
    let pairs = Context::from_pairs(pairs)?;
    let [principal, action, resource] =
        [("System", input.system), ("Action", action), ("Method", input.path)]
            .map(|(kind, id)| uid(kind, id));
    Ok(Request::new(principal?, action?, resource?, pairs, None)?)
}

/// What the gateway puts into the context, without the agreement.
fn context(
    input: &Input<'_>,
    circumstances: &Circumstances,
) -> Vec<(String, RestrictedExpression)> {
    let it = input.context(circumstances);
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let seconds = NOW.as_micros() / 1_000_000 + 7 * 3600;
    let day = i64::try_from(seconds / 86_400).expect("a day of this era");
    let zone = match input.source.octets() {
        [10, 200 | 201, ..] => "trung-tam-du-lieu",
        _ => "chuyen-dung",
    };
    let mut pairs = vec![
        ("purpose", text(input.purpose)),
        ("source", RestrictedExpression::new_ip(input.source.to_string())),
        ("zone", text(zone)),
        ("time", RestrictedExpression::new_datetime(NOW.to_string())),
        ("time_of_day", RestrictedExpression::new_duration(format!("{}s", seconds % 86_400))),
        ("weekday", RestrictedExpression::new_long((day + 3) % 7 + 1)),
    ];
    pairs.extend(it.terms.dossier.as_deref().map(|it| ("dossier", text(it))));
    pairs.extend(it.terms.procedure.as_deref().map(|it| ("procedure", text(it))));
    if let Some(token) = it.token {
        let roles = RestrictedExpression::new_set(token.roles.iter().map(|role| text(role)));
        let mut record = vec![("issuer".to_owned(), text(&token.issuer)), ("roles".into(), roles)];
        record.extend(token.subject.as_deref().map(|it| ("subject".to_owned(), text(it))));
        record.extend(token.unit.as_deref().map(|it| ("unit".to_owned(), text(it))));
        let level = token.level.map(RestrictedExpression::new_long);
        record.extend(level.map(|level| ("level".to_owned(), level)));
        let record = RestrictedExpression::new_record(record).expect("each name once");
        pairs.push(("token", record));
    }
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn uid(kind: &str, id: &str) -> Result<EntityUid> {
    let kind: EntityTypeName = kind.parse()?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

/// Entities of the registry as the reference has them.
pub fn entities(entities: &[Entity]) -> Result<Entities> {
    let of = |it: &Uid| uid(&it.kind, &it.id);
    let made = entities.iter().map(|entity| {
        let attributes = entity.attributes.iter().map(|(name, value)| {
            let value = match value {
                Datum::Bool(it) => RestrictedExpression::new_bool(*it),
                Datum::Long(it) => RestrictedExpression::new_long(*it),
                Datum::String(it) => RestrictedExpression::new_string(it.to_string()),
                Datum::Entity(it) => RestrictedExpression::new_entity_uid(of(it)?),
                other => bail!("{other:?} is no attribute of this country"),
            };
            Ok((name.to_string(), value))
        });
        let attributes = attributes.collect::<Result<HashMap<_, _>>>()?;
        let parents = entity.parents.iter().map(of).collect::<Result<HashSet<_>>>()?;
        Ok(cedar_policy::Entity::new(of(&entity.uid)?, attributes, parents)?)
    });
    Ok(Entities::from_entities(made.collect::<Result<Vec<_>>>()?, None)?)
}

/// Holds the reference's answer on agreements against ours: whether it allows, and that the
/// governing agreement is the nearest of those that permit.
pub fn compare(case: &Case, response: &Response, source: &policy::Source) -> Result<()> {
    let diagnostics = response.diagnostics();
    let reasons: BTreeSet<String> = diagnostics.reason().map(ToString::to_string).collect();
    let id = |ix: &usize| source.agreements[*ix].id.as_str();
    // Candidates stand by consumer, nearest first; among equals by id.
    let expected = case.candidates.iter().map(id).find(|id| reasons.contains(*id));
    let allowed = response.decision() == Decision::Allow;
    if allowed != case.governing.is_some() || expected != case.governing.as_deref() {
        bail!(
            "the reference says {:?} by {reasons:?}, we say {:?} for {:?}",
            response.decision(),
            case.governing,
            case.request.principal()
        );
    }
    match diagnostics.errors().next() {
        Some(error) => bail!("the reference reports `{error}`"),
        None => Ok(()),
    }
}

/// Asks the reference about all cases with their slices; how many it allows.
pub fn ask_slices(cases: &[Case], entities: &Entities, authorizer: &Authorizer) -> usize {
    cases.iter().filter(|case| allows(authorizer, case, &case.slice, entities)).count()
}

/// Whether the reference allows the call with these policies.
pub fn allows(
    authorizer: &Authorizer,
    case: &Case,
    policies: &PolicySet,
    entities: &Entities,
) -> bool {
    let response = authorizer.is_authorized(&case.request, policies, entities);
    std::hint::black_box(&response).decision() == Decision::Allow
}

/// Our engine for Cedar with the same policies and entities.
pub struct Compiled {
    engine: cedar::Engine,
    requests: Vec<cedar::Prepared>,
    workspace: cedar::Workspace,
}

impl Compiled {
    pub fn new(policies: &PolicySet, entities: Vec<Entity>, cases: &[Case]) -> Result<Self> {
        let engine = cedar::Engine::compile(policies, entities, &[])?;
        let requests = cases.iter().map(|case| engine.prepare_reference(&case.request));
        let requests = requests.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { engine, requests, workspace: cedar::Workspace::default() })
    }

    /// Decides all; how many are allowed.
    pub fn decide(&mut self) -> usize {
        let Self { engine, requests, workspace } = self;
        let allowed = requests.iter().filter(|prepared| {
            engine.decide(&prepared.request(), workspace) == cedar::Decision::Allow
        });
        allowed.count()
    }

    /// Holds one answer against the reference's: decision, determining and erring policies.
    pub fn compare(&mut self, ix: usize, response: &Response) -> Result<()> {
        let decision = self.engine.decide(&self.requests[ix].request(), &mut self.workspace);
        let allowed = decision == cedar::Decision::Allow;
        let names = |list: &[cedar::PolicyIx]| -> BTreeSet<String> {
            list.iter().filter_map(|ix| Some(self.engine.policy(*ix)?.id.to_string())).collect()
        };
        let ours = (allowed, names(self.workspace.determining()), self.workspace.erring().len());
        let theirs = answer(response);
        if ours != theirs {
            bail!("our engine for Cedar says {ours:?}, the reference {theirs:?}");
        }
        Ok(())
    }
}

fn answer(response: &Response) -> (bool, BTreeSet<String>, usize) {
    let diagnostics = response.diagnostics();
    (
        response.decision() == Decision::Allow,
        diagnostics.reason().map(ToString::to_string).collect(),
        diagnostics.errors().count(),
    )
}

/// Holds what the policies over all agreements forbid by our account against the reference's.
pub fn compare_guards(
    case: &Case,
    input: &Input<'_>,
    guarded: &Snapshot,
    circumstances: &Circumstances,
    response: &Response,
) -> Result<()> {
    let mut workspace = Workspace::default();
    let caller = guarded.system(input.system).context("system")?;
    let path = MethodPath::parse(input.path).context("path")?;
    let route = guarded.route(path).ok().context("route")?;
    let decided = guarded.decide(&caller, &route, &input.context(circumstances), &mut workspace);
    let name = |ix: &cedar::PolicyIx| Some(guarded.policy(*ix)?.id.to_string());
    let ours: BTreeSet<String> = workspace.determining().iter().filter_map(name).collect();
    let (_, theirs, errors) = answer(response);
    if ours != theirs || decided.is_err() == ours.is_empty() || errors != workspace.erring().len() {
        let who = case.request.principal();
        bail!("policies: we say {ours:?}, the reference {theirs:?}, {errors} errors, for {who:?}");
    }
    Ok(())
}
