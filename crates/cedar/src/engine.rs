//! The engine.

use cedar_policy::{Entities, PolicySet};

use crate::{Entity, EntityRef, Key, Request};

/// Which policy of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyIx(pub u32);

/// What a policy says about the requests it applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Permit.
    Permit,
    /// Forbid.
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Its annotations, by name.
    pub annotations: Vec<(Box<str>, Box<str>)>,
    /// Its text.
    pub text: Box<str>,
    /// Where it stands.
    pub place: Option<Place>,
}

/// Policies or entities that make no engine.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CompileError(String);

/// Compiled policies and entities.
#[derive(Debug)]
pub struct Engine {}

impl Engine {
    /// Compile.
    pub fn compile(
        _policies: &PolicySet,
        _entities: Vec<Entity>,
        _keys: &[&str],
    ) -> Result<Engine, CompileError> {
        todo!()
    }

    /// Compile with entities of the reference.
    pub fn from_reference(
        _policies: &PolicySet,
        _entities: &Entities,
    ) -> Result<Engine, CompileError> {
        todo!()
    }

    /// An interned entity.
    pub fn entity(&self, _kind: &str, _id: &str) -> Option<EntityRef> {
        todo!()
    }

    /// An interned attribute name.
    pub fn key(&self, _name: &str) -> Option<Key> {
        todo!()
    }

    /// Decide.
    pub fn decide(&self, _request: &Request<'_>, _workspace: &mut Workspace) -> Decision {
        todo!()
    }

    /// A policy.
    pub fn policy(&self, _ix: PolicyIx) -> &PolicyInfo {
        todo!()
    }

    /// All policies.
    pub fn policies(&self) -> impl Iterator<Item = (PolicyIx, &PolicyInfo)> {
        std::iter::empty()
    }

    /// Policies left to the reference evaluator, and why.
    pub fn uncompiled(&self) -> impl Iterator<Item = (PolicyIx, &str)> {
        std::iter::empty()
    }

    /// Estimate of the heap held.
    pub fn memory_bytes(&self) -> usize {
        todo!()
    }
}

/// What a decision needs and leaves.
#[derive(Debug, Default)]
pub struct Workspace {
    determining: Vec<PolicyIx>,
    erring: Vec<PolicyIx>,
}

impl Workspace {
    /// Determining policies, sorted.
    pub fn determining(&self) -> &[PolicyIx] {
        &self.determining
    }

    /// Policies that erred, sorted.
    pub fn erring(&self) -> &[PolicyIx] {
        &self.erring
    }
}
