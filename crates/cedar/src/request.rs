//! Requests: as the engine takes them, and prepared from any names and values.

use std::collections::BTreeMap;

use crate::names::{Names, Naming};
use crate::reference::{context_of, uid_of};
use crate::store::hold_all;
use crate::value::{Held, Record, RecordForm};
use crate::{Datum, Engine, EntityRef, Key, Uid, Value};

/// Who asks for what, on what, and in which circumstances.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: EntityRef,
    /// For what.
    pub action: EntityRef,
    /// On what.
    pub resource: EntityRef,
    pub(crate) context: Record<'a>,
    pub(crate) names: Option<&'a Names>,
}

impl<'a> Request<'a> {
    /// A request with the attributes of its context, in any order and each key once.
    pub fn new(
        principal: EntityRef,
        action: EntityRef,
        resource: EntityRef,
        context: &'a [(Key, Value<'a>)],
    ) -> Self {
        let context = Record(RecordForm::Given(context));
        Self { principal, action, resource, context, names: None }
    }
}

/// A request that owns its context and the names that its engine does not know.
#[derive(Debug)]
pub struct Prepared {
    principal: EntityRef,
    action: EntityRef,
    resource: EntityRef,
    context: Box<[(Key, Held)]>,
    names: Names,
}

/// A value that cannot be taken over from `cedar-policy`, or given to it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConvertError(pub(crate) String);

impl Prepared {
    /// The request as the engine that prepared it takes it; other engines must not.
    pub fn request(&self) -> Request<'_> {
        let Self { principal, action, resource, .. } = *self;
        let context = Record(RecordForm::Held(&self.context));
        Request { principal, action, resource, context, names: Some(&self.names) }
    }
}

impl Engine {
    /// Prepares a request for this engine. Entities and attributes that it does not know are
    /// numbered for this request.
    ///
    /// ```
    /// use cedar::{Decision, Engine, Uid, Workspace};
    /// let policies = "permit(principal is User, action, resource);".parse()?;
    /// let engine = Engine::compile(&policies, Vec::new(), &[])?;
    /// let [an, read] = [Uid::new("User", "an"), Uid::new("Action", "read")];
    /// let prepared = engine.prepare(&an, &read, &Uid::new("File", "1"), &Default::default());
    /// let decision = engine.decide(&prepared.request(), &mut Workspace::default());
    /// assert_eq!(decision, Decision::Allow);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prepare(
        &self,
        principal: &Uid,
        action: &Uid,
        resource: &Uid,
        context: &BTreeMap<Box<str>, Datum>,
    ) -> Prepared {
        let mut names = Names::default();
        let mut naming = Naming { base: Some(&self.names), own: &mut names };
        let [principal, action, resource] =
            [principal, action, resource].map(|uid| naming.entity(&uid.kind, &uid.id));
        let context = hold_all(context, &mut naming);
        Prepared { principal, action, resource, context, names }
    }

    /// Prepares a request as `cedar-policy` has it. Those with unknowns are refused.
    pub fn prepare_reference(
        &self,
        request: &cedar_policy::Request,
    ) -> Result<Prepared, ConvertError> {
        let principal = uid_of("principal", request.principal())?;
        let action = uid_of("action", request.action())?;
        let resource = uid_of("resource", request.resource())?;
        Ok(self.prepare(&principal, &action, &resource, &context_of(request)?))
    }
}
