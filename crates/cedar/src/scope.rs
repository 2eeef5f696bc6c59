//! Scopes, from the syntax tree of a policy or, where there is none, from the policy itself.

use cedar_policy::pst::{
    ActionConstraint, EntityOrSlot, EntityType, PrincipalConstraint, ResourceConstraint,
};
use cedar_policy::{EntityTypeName, EntityUid, Policy};

use crate::bounds::{self, Result};
use crate::lower::Lowering;
use crate::program::{Actions, Scope, Side};
use crate::{EntityRef, Uid};

impl Lowering<'_> {
    /// The scope of a tree without slots.
    pub(crate) fn scope(
        &mut self,
        principal: &PrincipalConstraint,
        action: &ActionConstraint,
        resource: &ResourceConstraint,
    ) -> Result<Scope> {
        use {PrincipalConstraint as P, ResourceConstraint as R};
        let principal = match principal {
            P::Any => Side::Any,
            P::Is(kind) => Side::Is(self.kind(kind)),
            P::Eq(it) => Side::Equal(self.fixed(it)?),
            P::In(it) => Side::In(self.fixed(it)?),
            P::IsIn(kind, it) => Side::IsIn(self.kind(kind), self.fixed(it)?),
        };
        let resource = match resource {
            R::Any => Side::Any,
            R::Is(kind) => Side::Is(self.kind(kind)),
            R::Eq(it) => Side::Equal(self.fixed(it)?),
            R::In(it) => Side::In(self.fixed(it)?),
            R::IsIn(kind, it) => Side::IsIn(self.kind(kind), self.fixed(it)?),
        };
        let action = match action {
            ActionConstraint::Any => Actions::Any,
            ActionConstraint::Eq(it) => Actions::Equal(self.entity(it)),
            ActionConstraint::In(all) => {
                bounds::actions(all.len())?;
                Actions::In(all.iter().map(|it| self.entity(it)).collect())
            }
        };
        Ok(Scope { principal, action, resource })
    }

    fn kind(&mut self, kind: &EntityType) -> u32 {
        self.naming().kind(&kind.to_string())
    }

    fn fixed(&mut self, it: &EntityOrSlot) -> Result<EntityRef> {
        match it {
            EntityOrSlot::Entity(uid) => Ok(self.entity(uid)),
            EntityOrSlot::Slot(_) => Err("its scope has a slot that is not filled".into()),
        }
    }

    /// The scope of a policy that has no tree, so that it is filed like others.
    pub(crate) fn scope_of(&mut self, policy: &Policy) -> Scope {
        use cedar_policy::{
            ActionConstraint as A, PrincipalConstraint as P, ResourceConstraint as R,
        };
        let principal = match policy.principal_constraint() {
            P::Any => Side::Any,
            P::Is(kind) => Side::Is(self.kind_of(&kind)),
            P::Eq(uid) => Side::Equal(self.entity_of(&uid)),
            P::In(uid) => Side::In(self.entity_of(&uid)),
            P::IsIn(kind, uid) => Side::IsIn(self.kind_of(&kind), self.entity_of(&uid)),
        };
        let resource = match policy.resource_constraint() {
            R::Any => Side::Any,
            R::Is(kind) => Side::Is(self.kind_of(&kind)),
            R::Eq(uid) => Side::Equal(self.entity_of(&uid)),
            R::In(uid) => Side::In(self.entity_of(&uid)),
            R::IsIn(kind, uid) => Side::IsIn(self.kind_of(&kind), self.entity_of(&uid)),
        };
        let action = match policy.action_constraint() {
            A::Any => Actions::Any,
            A::Eq(uid) => Actions::Equal(self.entity_of(&uid)),
            A::In(uids) => Actions::In(uids.iter().map(|uid| self.entity_of(uid)).collect()),
        };
        Scope { principal, action, resource }
    }

    fn kind_of(&mut self, kind: &EntityTypeName) -> u32 {
        self.naming().kind(&kind.to_string())
    }

    fn entity_of(&mut self, uid: &EntityUid) -> EntityRef {
        let uid = Uid::of_reference(uid);
        self.naming().entity(&uid.kind, &uid.id)
    }
}
