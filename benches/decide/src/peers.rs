//! Other engines, asked what we are asked, and every answer held against ours.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cedar_policy::{Authorizer, Entities, PolicySet};
use policy::{Snapshot, Workspace};

use crate::inputs::{Circumstances, Filed, Inputs};
use crate::reference::{
    Case, Compiled, Texts, allows, ask_slices, compare, compare_guards, entities,
};
use crate::rego::{self, Rego};
use crate::report::{Goal, Report, Row};
use crate::timing::{Pass, race, slow};
use crate::{Options, Part, guards, ours, reference};

/// Agreements that our engine for Cedar takes as policies.
const COMPILED_MAX: usize = cedar::POLICIES_MAX;
/// How long a set may take to load.
const LOADING_MAX: Duration = Duration::from_secs(180);
/// Whole sets are asked about so many calls at most, to compare.
const WHOLE_CASES: usize = 2_000;

/// What all peers are asked about.
struct Asked<'a> {
    options: &'a Options,
    at: usize,
    source: &'a policy::Source,
    snapshot: &'a Snapshot,
    inputs: &'a Inputs,
    filed: Filed<'a>,
    circumstances: Circumstances,
}

pub fn measure(
    options: &Options,
    report: &mut Report,
    at: usize,
    source: &policy::Source,
    snapshot: &Snapshot,
    inputs: &Inputs,
) -> Result<()> {
    let filed = Filed::new(source);
    let circumstances = Circumstances::new();
    let asked = Asked { options, at, source, snapshot, inputs, filed, circumstances };
    if options.wants(Part::Cedar) {
        asked.cedar(report)?;
    }
    if options.wants(Part::Guards) {
        asked.guards(report)?;
    }
    if options.wants(Part::Rego) {
        asked.rego(report)?;
    }
    Ok(())
}

impl Asked<'_> {
    /// Our decisions about the same calls.
    fn ours<'a>(&'a self, snapshot: &'a Snapshot) -> Pass<'a> {
        self.ours_about(self.inputs, snapshot)
    }

    fn ours_about<'a>(&'a self, inputs: &'a Inputs, snapshot: &'a Snapshot) -> Pass<'a> {
        let mut workspace = Workspace::default();
        Box::new(move || {
            ours::decide(snapshot, inputs, &self.circumstances, &mut workspace, false);
            inputs.len()
        })
    }

    fn row(&self) -> Row<'static> {
        Row { what: "", at: self.at, unit: "ns", ours: 0.0, peer: None, goal: Goal::None }
    }

    fn cases(&self, texts: &mut Texts<'_>, inputs: &Inputs, full: bool) -> Result<Vec<Case>> {
        let case = |input| texts.case(&input, &self.filed, &self.circumstances, full);
        inputs.iter().map(case).collect()
    }

    /// Agreements as policies.
    fn cedar(&self, report: &mut Report) -> Result<()> {
        let mut texts = Texts::new(self.snapshot, self.source);
        let cases = self.cases(&mut texts, self.inputs, false)?;
        let allowed_inputs = self.inputs.allowed(self.snapshot);
        let allowed = self.cases(&mut texts, &allowed_inputs, false)?;
        let entities = entities(&registered(self.source))?;
        let authorizer = Authorizer::new();
        for case in &cases {
            let response = authorizer.is_authorized(&case.request, &case.slice, &entities);
            compare(case, &response, self.source)?;
        }
        let sliced = |cases| -> Pass<'_> {
            let (entities, authorizer) = (&entities, &authorizer);
            Box::new(move || {
                ask_slices(cases, entities, authorizer);
                <[Case]>::len(cases)
            })
        };
        let [ours_allowed, slices_allowed, ours, slices] = race(
            self.options.rounds(),
            [
                self.ours_about(&allowed_inputs, self.snapshot),
                sliced(&allowed),
                self.ours(self.snapshot),
                sliced(&cases),
            ],
        );
        let row = Row { goal: Goal::Faster(25.0), ..self.row() };
        let peer = |found| Some(("cedar-policy, ideal slices", found));
        let what = "decision, calls that are allowed";
        let peered = Row { ours: ours_allowed.median, peer: peer(slices_allowed.median), ..row };
        report.add(Row { what, ..peered });
        let peered = Row { ours: ours.median, peer: peer(slices.median), ..row };
        report.add(Row { what: "decision, 30 of 100 refused", ..peered });
        match texts.all(LOADING_MAX)? {
            Some(all) => self.whole(report, ours.median, &all, &cases, &entities),
            None => {
                report.note("cedar-policy takes too long to load the whole set");
                Ok(())
            }
        }
    }

    /// The whole set at once, and our engine for Cedar with it.
    fn whole(
        &self,
        report: &mut Report,
        ours: f64,
        all: &PolicySet,
        cases: &[Case],
        entities: &Entities,
    ) -> Result<()> {
        let authorizer = Authorizer::new();
        let mut compiled = match self.at {
            ..=COMPILED_MAX => Some(Compiled::new(all, registered(self.source), cases)?),
            _ => None,
        };
        // What takes long is not asked often.
        let count = (WHOLE_CASES * 100 / self.at).clamp(3, WHOLE_CASES).min(cases.len());
        for (ix, case) in cases.iter().take(count).enumerate() {
            let response = authorizer.is_authorized(&case.request, all, entities);
            compare(case, &response, self.source)?;
            if let Some(compiled) = &mut compiled {
                compiled.compare(ix, &response)?;
            }
        }
        let limit = Duration::from_millis(if self.options.quick { 300 } else { 3_000 });
        let whole = slow(limit, |ix| {
            if let Some(case) = cases.get(ix % cases.len()) {
                allows(&authorizer, case, all, entities);
            }
        });
        let goal = match self.at {
            1_000 => Goal::Faster(2_500.0),
            10_000 => Goal::Faster(30_000.0),
            100_000 => Goal::Faster(200_000.0),
            _ => Goal::None,
        };
        let peer = Some(("cedar-policy, whole set", whole.median));
        report.add(Row { what: "decision, 30 of 100 refused", ours, peer, goal, ..self.row() });
        let Some(mut compiled) = compiled else {
            report.note(&format!("our engine for Cedar takes {COMPILED_MAX} policies at most"));
            return Ok(());
        };
        let [compiled] = race(
            self.options.rounds(),
            [Box::new(|| {
                compiled.decide();
                cases.len()
            })],
        );
        let what = "our Cedar engine, requests prepared";
        report.add(Row { what, ours: compiled.median, peer, ..self.row() });
        Ok(())
    }

    /// The policies over all agreements, in the reference and here.
    fn guards(&self, report: &mut Report) -> Result<()> {
        let files = guards::policies()?;
        let policies = files.policies.clone();
        let source = policy::Source { policies: Some(files.into()), ..self.source.clone() };
        let guarded = decide::compile(source)?;
        let mut texts = Texts::new(self.snapshot, self.source);
        let cases = self.cases(&mut texts, self.inputs, true)?;
        let entities = entities(&registered(self.source))?;
        let authorizer = Authorizer::new();
        // What no agreement allows is refused before policies are asked.
        let asked: Vec<(usize, &Case)> =
            cases.iter().enumerate().filter(|(_, case)| case.governing.is_some()).collect();
        for (ix, case) in &asked {
            let response = authorizer.is_authorized(&case.request, &policies, &entities);
            let input = self.inputs.at(*ix);
            compare_guards(case, &input, &guarded, &self.circumstances, &response)?;
        }
        let [without, with, reference] = race(
            self.options.rounds(),
            [
                self.ours(self.snapshot),
                self.ours(&guarded),
                Box::new(|| {
                    for (_, case) in asked.iter().take(1_000) {
                        allows(&authorizer, case, &policies, &entities);
                    }
                    asked.len().min(1_000)
                }),
            ],
        );
        let what = "what 100 policies add, 30 of 100 refused";
        let peer = Some(("cedar-policy, 100 policies", reference.median));
        report.add(Row { what, ours: with.median - without.median, peer, ..self.row() });
        Ok(())
    }

    fn rego(&self, report: &mut Report) -> Result<()> {
        let data = rego::data(self.source, &self.filed)?;
        let mut governing = Rego::new(&data, self.inputs, "governing")?;
        let mut allow = Rego::new(&data, self.inputs, "allow")?;
        for (ix, input) in self.inputs.iter().enumerate() {
            let ours = reference::governing(self.snapshot, &input, &self.circumstances);
            governing.compare(ix, ours.as_deref()).context("`governing`")?;
            allow.compare(ix, ours.as_deref()).context("`allow`")?;
        }
        ensure!(self.inputs.len() > 0, "no calls");
        let [ours, governing, allow] = race(
            self.options.rounds(),
            [
                self.ours(self.snapshot),
                Box::new(|| governing.decide()),
                Box::new(|| allow.decide()),
            ],
        );
        let row = Row { what: "decision, 30 of 100 refused", ours: ours.median, ..self.row() };
        let peer = Some(("regorus, governing", governing.median));
        report.add(Row { peer, goal: Goal::Faster(20.0), ..row });
        let peer = Some(("regorus, yes or no", allow.median));
        report.add(Row { peer, ..row });
        Ok(())
    }
}

/// The registry as entities.
fn registered(source: &policy::Source) -> Vec<cedar::Entity> {
    policy::entities(source).into_iter().map(|(_, entity)| entity).collect()
}
