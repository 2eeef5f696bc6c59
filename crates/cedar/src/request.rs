//! Requests.

use std::collections::BTreeMap;

use crate::{Datum, Engine, EntityRef, Key, Uid, Value};

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: EntityRef,
    /// For what.
    pub action: EntityRef,
    /// On what.
    pub resource: EntityRef,
    context: &'a [(Key, Value<'a>)],
}

impl<'a> Request<'a> {
    /// A request with this context; keys in any order, each once.
    pub fn new(
        principal: EntityRef,
        action: EntityRef,
        resource: EntityRef,
        context: &'a [(Key, Value<'a>)],
    ) -> Self {
        Self { principal, action, resource, context }
    }
}

/// A request that owns its context.
#[derive(Debug)]
pub struct Prepared {}

/// A value of the reference that could not be taken over.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConvertError(String);

impl Prepared {
    /// The request.
    pub fn request(&self) -> Request<'_> {
        todo!()
    }
}

impl Engine {
    /// Prepare a request.
    pub fn prepare(
        &self,
        _principal: &Uid,
        _action: &Uid,
        _resource: &Uid,
        _context: &BTreeMap<Box<str>, Datum>,
    ) -> Prepared {
        todo!()
    }

    /// Prepare a request of the reference.
    pub fn prepare_reference(
        &self,
        _request: &cedar_policy::Request,
    ) -> Result<Prepared, ConvertError> {
        todo!()
    }
}
