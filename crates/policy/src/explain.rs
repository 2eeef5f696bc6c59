//! Why a call is decided as it is, and what would decide it otherwise.

use model::{PurposeCode, Reason, Refusal, Terms, Timestamp};

use crate::agreement::Agreement;
use crate::agreements::{Key, Slot};
use crate::context::{Context, Token, Workspace};
use crate::decide::standing;
use crate::snapshot::{Caller, Decision, Route, Snapshot};
use crate::source::Consumer;

/// Most agreements that an explanation looks at.
const CANDIDATES_MAX: usize = 1_000;
/// Hours ahead that are tried for another decision: a week.
const HOURS_AHEAD: u64 = 7 * 24;
const HOUR_US: u64 = 3_600_000_000;

/// Why a call is decided as it is.
#[derive(Debug)]
pub struct Explanation<'a> {
    /// The decision, or the refusal that the caller would get.
    pub decided: Result<Decision<'a>, Refusal>,
    /// The agreements of the caller on the service, those that miss least first.
    pub candidates: Vec<Candidate<'a>>,
    /// The Cedar policies that decided.
    pub determining: Vec<&'a cedar::PolicyInfo>,
    /// The Cedar policies that ended in an error and were passed over.
    pub erring: Vec<&'a cedar::PolicyInfo>,
    /// What alone would get a refused call allowed, the easiest first.
    pub changes: Vec<WhatIf>,
}

/// An agreement that might have allowed the call.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// The agreement.
    pub agreement: &'a Agreement,
    /// Whom it names.
    pub consumer: Consumer,
    /// Valid from this moment.
    pub valid_from: Timestamp,
    /// Valid until just before this moment.
    pub valid_until: Timestamp,
    /// What keeps it from allowing the call; nothing where it fits.
    pub missing: Vec<Missing>,
}

/// What keeps an agreement from allowing a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It does not cover the method.
    Method,
    /// It does not cover the purpose.
    Purpose,
    /// It is not in force, for this reason.
    Force(Reason),
    /// The caller names another one.
    Name,
}

/// One change of a call that would get it allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhatIf {
    /// Stating this purpose.
    Purpose(PurposeCode),
    /// Naming no agreement.
    NoAgreementNamed,
    /// Stating a dossier.
    Dossier,
    /// Stating a procedure.
    Procedure,
    /// Asking for no particular fields.
    NoFields,
    /// A token of this level of assurance.
    TokenLevel(i64),
    /// Calling from this zone.
    Zone(model::ZoneId),
    /// Calling at this time or soon after it.
    Time(Timestamp),
    /// Stating this purpose and a dossier, where neither is enough by itself.
    PurposeAndDossier(PurposeCode),
}

impl Snapshot {
    /// Explains what [`Snapshot::decide`] says.
    pub fn explain<'a>(
        &'a self,
        caller: &Caller<'a>,
        route: &Route<'a>,
        context: &Context<'_>,
    ) -> Explanation<'a> {
        let mut workspace = Workspace::default();
        let decided = self.decide(caller, route, context, &mut workspace);
        let policies = |ixs: &[cedar::PolicyIx]| {
            ixs.iter().filter_map(|ix| self.policy(*ix)).collect::<Vec<_>>()
        };
        let changes = match &decided {
            Ok(_) => Vec::new(),
            Err(_) => self.changes(caller, route, context),
        };
        let mut candidates = self.near(caller, route, context);
        let is_open = |refusal: &Refusal| refusal.reason() == Reason::PurposeMissing;
        if decided.as_ref().is_err_and(is_open) {
            // Each would do, were it said which.
            let fitting = candidates.iter_mut().filter(|candidate| candidate.missing.is_empty());
            fitting.for_each(|candidate| candidate.missing.push(Missing::Purpose));
        }
        Explanation {
            candidates,
            determining: policies(workspace.determining()),
            erring: policies(workspace.erring()),
            changes,
            decided,
        }
    }

    /// The caller's agreements on the service, with what each lacks.
    fn near<'a>(
        &'a self,
        caller: &Caller<'_>,
        route: &Route<'_>,
        context: &Context<'_>,
    ) -> Vec<Candidate<'a>> {
        let mut candidates: Vec<Candidate<'a>> = Vec::new();
        let run =
            |consumer, purpose| self.agreements.run(Key::new(consumer, route.service_ix), purpose);
        let chain = || self.registry.chain(caller.system_ix);
        let stated = context.terms.purpose.as_ref();
        let stated = stated.and_then(|code| self.registry.names.purposes.get(code.as_str()));
        // Those for the purpose first: there may be more than an explanation looks at.
        let fit = chain().flat_map(|consumer| run(consumer, stated));
        let fit = fit.filter(|slot| stated.is_some_and(|purpose| slot.purpose == purpose));
        let runs = fit.chain(chain().flat_map(|consumer| run(consumer, None)));
        for slot in runs.take(CANDIDATES_MAX) {
            let is_known = |known: &&Candidate<'_>| known.agreement.id() == slot.agreement.id();
            if candidates.iter().any(|candidate| is_known(&candidate)) {
                continue;
            }
            candidates.extend(self.candidate(slot, route, context));
        }
        candidates.sort_by_key(|candidate| candidate.missing.len());
        candidates
    }

    fn candidate<'a>(
        &'a self,
        slot: &'a Slot,
        route: &Route<'_>,
        context: &Context<'_>,
    ) -> Option<Candidate<'a>> {
        let (terms, agreement) = (context.terms, &slot.agreement);
        let mut missing = Vec::new();
        if terms.agreement.as_ref().is_some_and(|named| named != agreement.id()) {
            missing.push(Missing::Name);
        }
        if !slot.covers(route.method_ix, route.place) {
            missing.push(Missing::Method);
        }
        let covers = |purpose| agreement.purposes().contains(purpose);
        if !terms.purpose.as_ref().is_none_or(covers) {
            missing.push(Missing::Purpose);
        }
        missing.extend(standing(slot, context.now).err().map(Missing::Force));
        Some(Candidate {
            agreement,
            consumer: self.registry.consumer(slot.key.consumer())?,
            valid_from: slot.valid_from,
            valid_until: slot.valid_until,
            missing,
        })
    }

    /// Tries the call with one thing changed.
    fn changes(
        &self,
        caller: &Caller<'_>,
        route: &Route<'_>,
        context: &Context<'_>,
    ) -> Vec<WhatIf> {
        let mut workspace = Workspace::default();
        let mut allowed =
            |context: &Context<'_>| self.decide(caller, route, context, &mut workspace).is_ok();
        let mut found = Vec::new();
        let terms = context.terms;
        let mut try_terms = |terms: Terms, change: WhatIf| {
            found.extend(allowed(&Context { terms: &terms, ..*context }).then_some(change));
        };
        for purpose in &self.registry.purposes {
            let changed = Terms { purpose: Some(purpose.clone()), ..terms.clone() };
            try_terms(changed, WhatIf::Purpose(purpose.clone()));
        }
        if terms.agreement.is_some() {
            let changed = Terms { agreement: None, ..terms.clone() };
            try_terms(changed, WhatIf::NoAgreementNamed);
        }
        if terms.dossier.is_none() {
            let changed = Terms { dossier: Some("000".into()), ..terms.clone() };
            try_terms(changed, WhatIf::Dossier);
        }
        if terms.procedure.is_none() {
            let changed = Terms { procedure: Some("000".into()), ..terms.clone() };
            try_terms(changed, WhatIf::Procedure);
        }
        if !terms.fields.is_empty() {
            let changed = Terms { fields: Box::default(), ..terms.clone() };
            try_terms(changed, WhatIf::NoFields);
        }
        for level in [1, 2] {
            let token = leveled(context.token, level, context.now);
            let changed = Context { token: Some(&token), ..*context };
            found.extend(allowed(&changed).then_some(WhatIf::TokenLevel(level)));
        }
        for zone in &self.registry.zones {
            let source = zone.networks.iter().map(|network| network.address);
            // A narrower zone may hold the first address of a network.
            let mut source = source.filter(|at| self.zone(*at).is_some_and(|it| it.id == zone.id));
            let changed = source.next().map(|source| Context { source, ..*context });
            let is_allowed = changed.is_some_and(|changed| allowed(&changed));
            found.extend(is_allowed.then(|| WhatIf::Zone(zone.id.clone())));
        }
        let hour = context.now.as_micros() / HOUR_US * HOUR_US;
        let ahead = (1..=HOURS_AHEAD).map(|hours| Timestamp::from_micros(hour + hours * HOUR_US));
        let mut ahead = ahead.filter(|now| allowed(&Context { now: *now, ..*context }));
        found.extend(ahead.next().map(WhatIf::Time));
        if found.is_empty() && terms.dossier.is_none() {
            let dossier = Some(Box::from("000"));
            let both = self.registry.purposes.iter().filter(|purpose| {
                let purpose = Some(PurposeCode::clone(purpose));
                let terms = Terms { purpose, dossier: dossier.clone(), ..terms.clone() };
                allowed(&Context { terms: &terms, ..*context })
            });
            found.extend(both.cloned().map(WhatIf::PurposeAndDossier));
        }
        found
    }
}

/// The token as it would be with this level.
fn leveled(token: Option<&Token>, level: i64, now: Timestamp) -> Token {
    match token {
        Some(token) => Token { level: Some(level), ..token.clone() },
        None => Token {
            issuer: "".into(),
            subject: None,
            level: Some(level),
            unit: None,
            roles: Vec::new(),
            expires: now,
        },
    }
}
