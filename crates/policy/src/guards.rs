//! The Cedar policies over all agreements, and the request that they are asked about.

use cedar::{Decision as Answer, Engine, EntityRef, IpNet, Key, PolicyIx, Request, Value};
use model::{Effect, Reason, Refusal};

use crate::context::{Context, Token, Workspace};
use crate::registry::row;
use crate::snapshot::{Caller, Decision, Route, Snapshot};

/// The schema that holds where operators give none: what policies may speak of.
pub const SCHEMA: &str = include_str!("guards.cedarschema");

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// 1970-01-01 was a Thursday, the fourth day of the week (ISO 8601).
const FIRST_WEEKDAY: i64 = 4;
/// Most members of a set in the context; what is beyond them is not asked about, so the data
/// plane allows no more.
pub const MEMBERS_MAX: usize = 64;

/// Compiled policies with the entities of the registry, by index.
#[derive(Debug)]
pub(crate) struct Guards {
    pub(crate) engine: Engine,
    pub(crate) systems: Vec<EntityRef>,
    pub(crate) methods: Vec<EntityRef>,
    pub(crate) query: EntityRef,
    pub(crate) update: EntityRef,
    pub(crate) keys: Keys,
    pub(crate) utc_offset_minutes: i32,
}

macro_rules! keys {
    ($($name:ident)*) => {
        /// The attributes of the context and of the records in it.
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct Keys { $($name: Key,)* }

        impl Keys {
            pub(crate) const NAMES: &[&str] = &[$(stringify!($name),)*];

            /// The keys, once the engine knows their names.
            pub(crate) fn find(engine: &Engine) -> Option<Self> {
                Some(Self { $($name: engine.key(stringify!($name))?,)* })
            }
        }
    };
}

keys! {
    purpose dossier procedure agreement source zone time time_of_day weekday fields token
    id mode legal_basis issuer subject level unit roles
}

impl Snapshot {
    /// Asks the policies about a call that an agreement allows.
    pub(crate) fn guard(
        &self,
        caller: &Caller<'_>,
        route: &Route<'_>,
        decision: &Decision<'_>,
        context: &Context<'_>,
        workspace: &mut Workspace,
    ) -> Result<(), Refusal> {
        let Some(guards) = self.guards.as_deref() else {
            workspace.asked = false;
            return Ok(());
        };
        workspace.asked = true;
        decision.agreement.prefetch();
        let zone = self.zone(context.source).map(|zone| zone.id.as_str());
        let answer = guards.ask(caller, route, decision, context, zone, workspace);
        // The agreement permits, so that only a policy that forbids refuses.
        match answer {
            Some(Answer::Deny) if !workspace.determining().is_empty() => {
                Err(guards.forbidden(decision, workspace.determining()))
            }
            Some(Answer::Deny | Answer::Allow) => Ok(()),
            None => Err(Refusal::new(Reason::PolicyForbids).because("caller or method unknown")),
        }
    }
}

impl Guards {
    /// Asks memory for where the caller's attributes are.
    pub(crate) fn prefetch(&self, caller: &Caller<'_>) {
        if let Some(principal) = row(&self.systems, caller.system_ix) {
            self.engine.prefetch(*principal);
        }
    }

    /// Whether the policies allow; `None` if they were compiled without caller or method.
    fn ask(
        &self,
        caller: &Caller<'_>,
        route: &Route<'_>,
        decision: &Decision<'_>,
        context: &Context<'_>,
        zone: Option<&str>,
        workspace: &mut Workspace,
    ) -> Option<Answer> {
        let keys = &self.keys;
        let principal = *row(&self.systems, caller.system_ix)?;
        let resource = *row(&self.methods, route.method_ix)?;
        let action = match route.effect {
            Effect::Query => self.query,
            Effect::Update => self.update,
        };
        self.engine.prefetch_attributes(principal);
        let mut fields = Stack::<_, MEMBERS_MAX>::new();
        context.terms.fields.iter().for_each(|field| fields.push(Value::Str(field)));
        let mut roles = Stack::<_, MEMBERS_MAX>::new();
        let mut token = Stack::<_, 5>::new();
        if let Some(shown) = context.token {
            shown.roles.iter().for_each(|role| roles.push(Value::Str(role)));
            describe(keys, shown, roles.filled(), &mut token);
        }

        let mut agreement = Stack::<_, 3>::new();
        let mut attributes = Stack::<_, 11>::new();
        attributes.push((keys.purpose, Value::Str(decision.purpose.as_str())));
        self.time(context, &mut attributes);
        let source = context.source.to_canonical();
        let bits = if source.is_ipv4() { 32 } else { 128 };
        attributes.push((keys.source, Value::Ip(IpNet::new(source, bits)?)));
        let stated = [
            (keys.dossier, context.terms.dossier.as_deref()),
            (keys.procedure, context.terms.procedure.as_deref()),
            (keys.zone, zone),
        ];
        for (key, text) in stated {
            text.into_iter().for_each(|text| attributes.push((key, Value::Str(text))));
        }
        if !fields.filled().is_empty() {
            attributes.push((keys.fields, Value::set(fields.filled())));
        }
        if context.token.is_some() {
            attributes.push((keys.token, Value::record(token.filled())));
        }
        agreement.push((keys.id, Value::Str(decision.agreement.id().as_str())));
        agreement.push((keys.mode, Value::Str(decision.agreement.mode().as_str())));
        agreement.push((keys.legal_basis, Value::Str(decision.agreement.legal_basis())));
        prefetch::read(decision.agreement.legal_basis());
        attributes.push((keys.agreement, Value::record(agreement.filled())));
        let request = Request::new(principal, action, resource, attributes.filled());
        Some(self.engine.decide(&request, &mut workspace.cedar))
    }

    /// The moment, and what a clock on the wall says.
    fn time<'v, const N: usize>(
        &self,
        context: &Context<'_>,
        attributes: &mut Stack<(Key, Value<'v>), N>,
    ) {
        let now = i64::try_from(context.now.as_micros() / 1000).unwrap_or(i64::MAX);
        let local = now.saturating_add(i64::from(self.utc_offset_minutes) * MINUTE_MS);
        let weekday = (local.div_euclid(DAY_MS) + FIRST_WEEKDAY - 1).rem_euclid(7) + 1;
        attributes.push((self.keys.time, Value::Datetime(now)));
        attributes.push((self.keys.time_of_day, Value::Duration(local.rem_euclid(DAY_MS))));
        attributes.push((self.keys.weekday, Value::Long(weekday)));
    }

    fn forbidden(&self, decision: &Decision<'_>, determining: &[PolicyIx]) -> Refusal {
        let policies = determining.iter().filter_map(|ix| self.engine.policy(*ix));
        let ids: Vec<&str> = policies.map(|policy| &*policy.id).collect();
        Refusal::new(Reason::PolicyForbids)
            .under(decision.agreement.id().clone())
            .with("policies", ids.join(" "))
            .with("legal_basis", decision.agreement.legal_basis())
    }
}

/// What a token says, as attributes.
fn describe<'v, const N: usize>(
    keys: &Keys,
    token: &'v Token,
    roles: &'v [Value<'v>],
    attributes: &mut Stack<(Key, Value<'v>), N>,
) {
    attributes.push((keys.issuer, Value::Str(&token.issuer)));
    attributes.push((keys.roles, Value::set(roles)));
    for (key, text) in [(keys.subject, &token.subject), (keys.unit, &token.unit)] {
        text.iter().for_each(|text| attributes.push((key, Value::Str(text))));
    }
    token.level.iter().for_each(|level| attributes.push((keys.level, Value::Long(*level))));
}

/// A list with room for `N`, without the heap. What is beyond them is left out.
struct Stack<T, const N: usize> {
    /// Nothing is written before there is something to write.
    items: Option<[T; N]>,
    length: usize,
}

impl<T: Copy, const N: usize> Stack<T, N> {
    fn new() -> Self {
        Self { items: None, length: 0 }
    }

    fn push(&mut self, item: T) {
        if let Some(free) = self.items.get_or_insert([item; N]).get_mut(self.length) {
            *free = item;
            self.length += 1;
        }
    }

    fn filled(&self) -> &[T] {
        let items = self.items.as_ref().map_or(&[][..], |items| items);
        items.get(..self.length).unwrap_or_default()
    }
}
