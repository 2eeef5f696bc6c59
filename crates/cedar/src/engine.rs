//! The engine: policies and entities compiled together, and how it decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::pst;
use cedar_policy::{Entities, Policy, PolicySet};

use crate::bounds::{self, Obstacle, TooLarge};
use crate::eval::Run;
use crate::glances::Glances;
use crate::index::{Entry, Filed, Index, Leaf, build};
use crate::lower::{Lowering, Slots};
use crate::names::{Names, Naming, number};
use crate::program::{Program, Scope, Span, Step, Test, Truth};
use crate::reference::{Reference, entities_of};
use crate::sets::Scratch;
use crate::store::{Stored, keep};
use crate::value::Held;
use crate::{ConvertError, Entity, EntityRef, Key, Request};

/// How many policies an engine may have.
pub const POLICIES_MAX: usize = 65_536;
/// How many entities an engine may have.
pub const ENTITIES_MAX: usize = 1 << 24;

/// Which policy of an engine; they are numbered in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyIx(u32);

/// What a policy does with the requests it applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It permits them.
    Permit,
    /// It forbids them.
    Forbid,
}

/// The answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Some policy permits and none forbids.
    Allow,
    /// Some policy forbids, or none permits.
    Deny,
}

/// Where a policy stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Name of the file.
    pub file: Box<str>,
    /// Line, from 1.
    pub line: u32,
}

/// What is known of a policy besides its program.
#[derive(Debug, Clone)]
pub struct PolicyInfo {
    /// Its id.
    pub id: Box<str>,
    /// Its effect.
    pub effect: Effect,
    /// Its annotations by name.
    pub annotations: BTreeMap<Box<str>, Box<str>>,
    /// Its text; that of the template if it is linked to one.
    pub text: Arc<str>,
    /// Where it stands, see [`Engine::with_places`].
    pub place: Option<Place>,
}

/// Policies or entities that make no engine.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// An entity that is given twice.
    #[error("entity `{entity}` is given more than once")]
    Duplicate {
        /// Which.
        entity: String,
    },
    /// An entity that is in itself.
    #[error("entity `{entity}` is in itself through its parents")]
    Cycle {
        /// Which.
        entity: String,
    },
    /// More than an engine takes.
    #[error("too many {what}, expected at most {max}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// A policy with a list that takes too long to compare.
    #[error("policy `{policy}`: found {found} {what}, expected at most {max}")]
    TooLarge {
        /// Which policy.
        policy: String,
        /// How many members the list has.
        found: usize,
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// A value that has no equal here or in the reference.
    #[error(transparent)]
    Convert(#[from] ConvertError),
}

/// Compiled policies and entities. Immutable: to change either, compile another.
#[derive(Debug)]
pub struct Engine {
    pub(crate) names: Names,
    pub(crate) store: Vec<Stored>,
    pub(crate) program: Program,
    index: Index,
    policies: Vec<PolicyInfo>,
    uncompiled: Vec<(PolicyIx, Box<str>)>,
    reference: Option<Reference>,
}

impl Engine {
    /// Compiles policies and entities.
    ///
    /// `keys` are names of context attributes that the caller will supply even if no policy
    /// mentions them, so that [`Engine::key`] knows them.
    ///
    /// Policies from strangers should come through [`crate::text::Files`], which bounds how deep
    /// they nest: `cedar-policy` itself walks their trees as deep as they go.
    ///
    /// ```
    /// let policies = "permit(principal, action, resource);".parse()?;
    /// let engine = cedar::Engine::compile(&policies, Vec::new(), &["purpose"])?;
    /// assert!(engine.key("purpose").is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compile(
        policies: &PolicySet,
        entities: Vec<Entity>,
        keys: &[&str],
    ) -> Result<Engine, CompileError> {
        within("policies", policies.num_of_policies(), POLICIES_MAX)?;
        within("entities", entities.len(), ENTITIES_MAX)?;
        let mut names = Names::default();
        let mut naming = Naming { base: None, own: &mut names };
        for key in keys {
            naming.key(key);
        }
        let store = keep(&entities, &mut naming)?;
        let mut lowering = Lowering::new(naming);
        let mut sorted: Vec<&Policy> = policies.policies().collect();
        sorted.sort_by(|a, b| a.id().cmp(b.id()));
        let mut infos = Vec::with_capacity(sorted.len());
        let (mut filed, mut left, mut uncompiled) = (Vec::new(), Vec::new(), Vec::new());
        let mut texts = BTreeMap::new();
        for (ix, policy) in sorted.into_iter().enumerate() {
            let ix = number(ix);
            let info = info(policy, policies, &mut texts);
            let (scope, tests) = match lower(policy, &mut lowering) {
                Ok(done) => done,
                Err(Obstacle::TooLarge(it)) => return Err(too_large(policy, it)),
                Err(Obstacle::Left(reason)) => {
                    if let Some(it) = bounds::left(policy)? {
                        return Err(too_large(policy, it));
                    }
                    let test = Test::Reference(number(left.len()));
                    left.push(policy.clone());
                    uncompiled.push((PolicyIx(ix), reason.into()));
                    let tests = lowering.place_tests(vec![test]);
                    (lowering.scope_of(policy), tests)
                }
            };
            filed.push(Filed { policy: ix, permits: info.effect == Effect::Permit, scope, tests });
            infos.push(info);
        }
        let mut program = lowering.finish();
        let index = build(&filed, &mut program, &store, &names.uids, names.kinds.len());
        let reference = if left.is_empty() { None } else { Some(Reference::new(left, &entities)?) };
        Ok(Engine { names, store, program, index, policies: infos, uncompiled, reference })
    }

    /// Compiles policies with entities as `cedar-policy` has them.
    pub fn from_reference(
        policies: &PolicySet,
        entities: &Entities,
    ) -> Result<Engine, CompileError> {
        Engine::compile(policies, entities_of(entities)?, &[])
    }

    /// The engine with where its policies stand, by their ids.
    #[must_use]
    pub fn with_places(mut self, places: &BTreeMap<Box<str>, Place>) -> Engine {
        for policy in &mut self.policies {
            policy.place = places.get(&policy.id).cloned();
        }
        self
    }

    /// The number of an entity that is among the entities or mentioned in a policy.
    pub fn entity(&self, kind: &str, id: &str) -> Option<EntityRef> {
        self.names.entity(kind, id)
    }

    /// The number of an attribute name that occurs in policies, entities or the keys given.
    pub fn key(&self, name: &str) -> Option<Key> {
        self.names.keys.find(name).map(Key)
    }

    /// Whether all policies together allow the request. The workspace then has the policies
    /// that determined it and those that erred. Allocates nothing once the workspace is warm,
    /// unless one of the [`Engine::uncompiled`] policies has to be asked.
    pub fn decide(&self, request: &Request<'_>, workspace: &mut Workspace) -> Decision {
        let Workspace { glances, permits, forbids, erring, scratch, .. } = workspace;
        permits.clear();
        forbids.clear();
        erring.clear();
        glances.begin(self, request.context);
        let scratch = std::mem::take(scratch);
        let mut run = Run { engine: self, request: *request, glances, scratch };
        let mut file = |entry: &Entry, truth| {
            let list = match truth {
                Truth::True if entry.permits => &mut *permits,
                Truth::True => &mut *forbids,
                Truth::Error => &mut *erring,
                Truth::False => return,
            };
            list.push(PolicyIx(entry.policy));
        };
        let Request { principal, action, resource, .. } = *request;
        self.index.visit([principal, action, resource], |leaf| {
            self.visit(leaf, &mut run, &mut file);
        });
        workspace.scratch = run.scratch.renewed();
        workspace.glances.end(request.context);
        for list in [&mut workspace.permits, &mut workspace.forbids, &mut workspace.erring] {
            if list.len() > 1 {
                list.sort_unstable();
                // A policy may stand in several leaves that fit.
                list.dedup();
            }
        }
        workspace.denied = !workspace.forbids.is_empty();
        match workspace.permits.is_empty() || workspace.denied {
            true => Decision::Deny,
            false => Decision::Allow,
        }
    }

    fn visit(&self, leaf: &Leaf, run: &mut Run<'_, '_>, file: &mut impl FnMut(&Entry, Truth)) {
        let Request { principal, resource, .. } = run.request;
        for entry in self.index.plain(leaf) {
            if entry.fits(principal, resource) {
                file(entry, run.follow(entry.start));
            }
        }
        for wide in self.index.wides(leaf) {
            let glance = run.glance(wide.slot);
            if !glance.is_absent() {
                for entry in self.index.under(wide, &glance) {
                    if entry.fits(principal, resource) {
                        file(entry, run.follow(entry.start));
                    }
                }
            } else if !wide.guarded {
                for entry in self.index.all(wide) {
                    if entry.fits(principal, resource) {
                        file(entry, Truth::Error);
                    }
                }
            }
        }
    }

    /// Asks memory for where attributes and classes of a principal are.
    #[inline]
    pub fn prefetch(&self, principal: EntityRef) {
        if let Some(stored) = self.store.get(principal.ix as usize) {
            prefetch::read(stored);
        }
        self.index.prefetch(principal);
    }

    /// Asks memory for the attributes of a principal, once [`Engine::prefetch`] had time.
    #[inline]
    pub fn prefetch_attributes(&self, principal: EntityRef) {
        let stored = self.store.get(principal.ix as usize);
        stored.and_then(|it| it.attributes.first()).into_iter().for_each(prefetch::read);
    }

    /// What is known of a policy; `None` only for a number that another engine gave out.
    pub fn policy(&self, ix: PolicyIx) -> Option<&PolicyInfo> {
        self.policies.get(ix.0 as usize)
    }

    /// All policies, in the order of their ids.
    pub fn policies(&self) -> impl Iterator<Item = (PolicyIx, &PolicyInfo)> {
        (0..).map(PolicyIx).zip(&self.policies)
    }

    /// Policies that are left to the evaluator of `cedar-policy`, and why.
    pub fn uncompiled(&self) -> impl Iterator<Item = (PolicyIx, &str)> {
        self.uncompiled.iter().map(|(ix, reason)| (*ix, &**reason))
    }

    /// About how much memory the engine holds, without what the reference holds for policies
    /// that are left to it.
    pub fn memory_bytes(&self) -> usize {
        let store = self.store.iter().map(|stored| {
            let attributes = stored.attributes.iter().map(|(_, held)| 8 + held_bytes(held));
            let tags = stored.tags.iter().map(|(name, held)| 16 + name.len() + held_bytes(held));
            size_of::<Stored>()
                + stored.ancestors.len() * 4
                + attributes.sum::<usize>()
                + tags.sum::<usize>()
        });
        let infos = self.policies.iter().map(|info| {
            size_of::<PolicyInfo>() + info.id.len() + info.text.len() + info.annotations.len() * 64
        });
        let program = self.program.tests.len() * size_of::<Test>()
            + self.program.steps.len() * size_of::<Step>()
            + self.program.nodes.len() * 16
            + self.program.constants.iter().map(held_bytes).sum::<usize>();
        store.sum::<usize>()
            + infos.sum::<usize>()
            + program
            + self.names.heap_bytes()
            + self.index.heap_bytes()
    }

    pub(crate) fn ask_reference(&self, ix: u32, request: &Request<'_>) -> Truth {
        match &self.reference {
            Some(reference) => reference.ask(ix, request, &self.names),
            None => Truth::Error,
        }
    }
}

fn within(what: &'static str, count: usize, max: usize) -> Result<(), CompileError> {
    if count > max { Err(CompileError::TooMany { what, max }) } else { Ok(()) }
}

fn held_bytes(held: &Held) -> usize {
    let inner = match held {
        Held::Str(it) => it.len(),
        Held::Set(it) => it.iter().map(held_bytes).sum(),
        Held::Record(it) => it.iter().map(|(_, held)| 8 + held_bytes(held)).sum(),
        _ => 0,
    };
    size_of::<Held>() + inner
}

fn info(
    policy: &Policy,
    policies: &PolicySet,
    texts: &mut BTreeMap<String, Arc<str>>,
) -> PolicyInfo {
    let text = match policy.template_id() {
        // One text for all policies that are linked to the template.
        Some(id) => {
            let template = || policies.template(id).map(|it| it.to_cedar()).unwrap_or_default();
            texts.entry(id.to_string()).or_insert_with(|| template().into()).clone()
        }
        None => policy.to_string().into(),
    };
    PolicyInfo {
        id: policy.id().to_string().into(),
        effect: match policy.effect() {
            cedar_policy::Effect::Permit => Effect::Permit,
            cedar_policy::Effect::Forbid => Effect::Forbid,
        },
        annotations: policy.annotations().map(|(name, it)| (name.into(), it.into())).collect(),
        text,
        place: None,
    }
}

fn too_large(policy: &Policy, TooLarge { found, what, max }: TooLarge) -> CompileError {
    CompileError::TooLarge { policy: policy.id().to_string(), found, what, max }
}

/// Which of the policies an engine would refuse for one of its lists.
pub(crate) fn refused<'p>(
    policies: impl Iterator<Item = &'p Policy>,
) -> Result<Vec<(&'p Policy, TooLarge)>, ConvertError> {
    let mut names = Names::default();
    let mut lowering = Lowering::new(Naming { base: None, own: &mut names });
    let mut refused = Vec::new();
    for policy in policies {
        let found = match lower(policy, &mut lowering) {
            Ok(_) => None,
            Err(Obstacle::TooLarge(it)) => Some(it),
            Err(Obstacle::Left(_)) => bounds::left(policy)?,
        };
        refused.extend(found.map(|it| (policy, it)));
    }
    Ok(refused)
}

fn lower(policy: &Policy, lowering: &mut Lowering<'_>) -> bounds::Result<(Scope, Span)> {
    // A policy that came from text would be parsed again; its tree is at hand already.
    let tree: Policy = policy.as_ref().clone().into();
    let tree = tree.to_pst();
    let tree = tree.map_err(|error| Obstacle::Left(format!("it has no syntax tree: {error}")))?;
    let (fixed, slots);
    match &tree {
        pst::Policy::Static(it) => (fixed, slots) = (it.clone(), Slots::new()),
        pst::Policy::Linked(it) => {
            let error = |error| Obstacle::Left(format!("its template cannot be filled: {error}"));
            (fixed, slots) = (it.into_static_policy().map_err(error)?, it.values().clone());
        }
    }
    let body = fixed.body();
    let scope = lowering.scope(&body.principal, &body.action, &body.resource)?;
    let tests = lowering.condition(body.clauses(), &slots)?;
    Ok((scope, lowering.place_tests(tests)))
}

/// What a decision needs and leaves behind; kept from one to the next, it spares allocations.
///
/// Any engine may use it. What it holds is of the last decision.
#[derive(Debug, Default)]
pub struct Workspace {
    glances: Glances,
    permits: Vec<PolicyIx>,
    forbids: Vec<PolicyIx>,
    erring: Vec<PolicyIx>,
    scratch: Scratch<'static>,
    denied: bool,
}

impl Workspace {
    /// The policies that determined the decision, sorted: those that forbid if there are any,
    /// else those that permit.
    pub fn determining(&self) -> &[PolicyIx] {
        if self.denied { &self.forbids } else { &self.permits }
    }

    /// The policies that erred, sorted. They took no part in the decision.
    pub fn erring(&self) -> &[PolicyIx] {
        &self.erring
    }
}
