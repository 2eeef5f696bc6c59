//! How a configuration decides a call, and where the call would go.

use cedar::{Place, PolicyInfo};
use control::Config;
use model::{ExchangeId, MethodPath, NodeId, Reason, Refusal};
use policy::source::{Node, Share, Zone};
use policy::{Agreement, Caller, Context, Decision, Explanation, Route, Selection};

use super::call::Asked;

/// How a call is decided.
pub(super) struct Finding<'a> {
    pub(super) config: &'a Config,
    pub(super) asked: Asked,
    pub(super) caller: Caller<'a>,
    pub(super) zone: Option<&'a Zone>,
    pub(super) routed: Result<Routed<'a>, Refusal>,
}

/// What is known once the method is.
pub(super) struct Routed<'a> {
    pub(super) route: Route<'a>,
    pub(super) explanation: Explanation<'a>,
    /// Which node gets which share of calls such as this one. One of them, if the call's id is
    /// known.
    pub(super) nodes: Vec<(&'a Node, Share)>,
    /// Which nodes get copies.
    pub(super) shadows: Vec<(&'a Node, Share)>,
}

impl<'a> Finding<'a> {
    /// `None` if the caller is not registered.
    pub(super) fn new(
        config: &'a Config,
        asked: Asked,
        exchange: Option<ExchangeId>,
    ) -> Option<Self> {
        let snapshot = &config.snapshot;
        let caller = snapshot.system(&asked.system)?;
        let zone = snapshot.zone(asked.source);
        let routed = route(config, &asked).map(|route| {
            let (terms, token) = (&asked.terms, asked.token.as_ref());
            let context = Context { terms, source: asked.source, token, now: asked.now };
            let explanation = snapshot.explain(&caller, &route, &context);
            let (nodes, shadows) = destinations(config, &caller, &route, &asked, exchange);
            Routed { route, explanation, nodes, shadows }
        });
        Some(Self { config, asked, caller, zone, routed })
    }

    /// The decision, or why there is none.
    pub(super) fn decided(&self) -> Result<Decision<'a>, Refusal> {
        match &self.routed {
            Ok(routed) => {
                let decision = routed.explanation.decided.clone()?;
                // What the data plane refuses although agreements and policies allow it.
                match dataplane::unmet(decision.agreement, &routed.route) {
                    Some(obligation) => Err(unmet(decision.agreement, obligation)),
                    None => Ok(decision),
                }
            }
            Err(refusal) => Err(refusal.clone()),
        }
    }

    /// The agreement that the call is made under, or would be if no policy forbade it.
    pub(super) fn governing(&self) -> Option<&'a Agreement> {
        let explanation = &self.routed.as_ref().ok()?.explanation;
        match &explanation.decided {
            Ok(decision) => Some(decision.agreement),
            Err(refusal) if refusal.reason() == Reason::PolicyForbids => {
                let mut agreements = explanation.candidates.iter().map(|it| it.agreement);
                agreements.find(|agreement| Some(agreement.id()) == refusal.agreement())
            }
            Err(_) => None,
        }
    }

    /// Where a policy stands.
    pub(super) fn place(&self, policy: &'a PolicyInfo) -> Option<&'a Place> {
        let files = self.config.source.policies.as_deref();
        policy.place.as_ref().or_else(|| files?.places.get(&policy.id))
    }

    pub(super) fn is_allowed(&self) -> bool {
        self.decided().is_ok()
    }
}

fn unmet(agreement: &Agreement, obligation: &'static str) -> Refusal {
    let refusal = Refusal::new(Reason::ObligationUnmet).under(agreement.id().clone());
    refusal.with("legal_basis", agreement.legal_basis()).with("obligation", obligation)
}

fn route<'a>(config: &'a Config, asked: &Asked) -> Result<Route<'a>, Refusal> {
    let unknown = || Refusal::new(Reason::MethodUnknown).with("method", &asked.method);
    config.snapshot.route(MethodPath::parse(&asked.method).ok_or_else(unknown)?)
}

type Shares<'a> = Vec<(&'a Node, Share)>;

/// Which nodes get calls such as this one, and copies of them.
fn destinations<'a>(
    config: &'a Config,
    caller: &Caller<'a>,
    route: &Route<'a>,
    asked: &Asked,
    exchange: Option<ExchangeId>,
) -> (Shares<'a>, Shares<'a>) {
    let header = |name: &str| asked.header(name);
    let draws = match exchange {
        Some(exchange) => {
            let draw = policy::draw(&exchange);
            draw..draw + 1
        }
        None => 0..Share::ALL.hundredths(),
    };
    let (mut nodes, mut shadows) = (Vec::new(), Vec::new());
    for draw in draws.clone() {
        let selection = Selection { source: asked.source, header: &header, draw };
        let to = config.snapshot.destination(caller, route, &selection);
        count(&mut nodes, to.node);
        to.shadow.into_iter().for_each(|shadow| count(&mut shadows, shadow));
    }
    let of_all = draws.len();
    let share = |(node, count): (&'a Node, usize)| {
        let hundredths = count * usize::from(Share::ALL.hundredths()) / of_all.max(1);
        let hundredths = u16::try_from(hundredths).unwrap_or(Share::ALL.hundredths());
        (node, Share::from_hundredths(hundredths).unwrap_or(Share::ALL))
    };
    (nodes.into_iter().map(share).collect(), shadows.into_iter().map(share).collect())
}

fn count<'a>(counts: &mut Vec<(&'a Node, usize)>, node: &'a Node) {
    let same = |id: &NodeId| *id == node.id;
    match counts.iter_mut().find(|(known, _)| same(&known.id)) {
        Some((_, count)) => *count += 1,
        None => counts.push((node, 1)),
    }
}
