//! `regorus` with its virtual machine, and a policy over data indexed as an expert would.

use std::hint::black_box;

use anyhow::{Context as _, Result, bail};
use policy::source::{Methods, State};
use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::vm::RegoVM;
use regorus::{Engine, Value};
use serde_json::{Map, json};

use crate::inputs::{Filed, Inputs, consumer};
use decide::country::NOW;

/// A machine with the policy and the data, and the inputs as its values.
pub struct Rego {
    machine: RegoVM,
    inputs: Vec<Value>,
}

impl Rego {
    /// `rule` is what is asked: `governing` or `allow`.
    pub fn new(data: &Value, inputs: &Inputs, rule: &str) -> Result<Self> {
        let mut engine = Engine::new();
        engine.add_policy("gate.rego".into(), include_str!("gate.rego").into())?;
        let entry = format!("data.gate.{rule}");
        let compiled = engine.compile_with_entrypoint(&entry.as_str().into())?;
        let program = Compiler::compile_from_policy(&compiled, &[entry.as_str()]);
        let program = program.map_err(|error| anyhow::anyhow!("rego: {error}"))?;
        let mut machine = RegoVM::new();
        machine.set_max_instructions(usize::MAX);
        machine.load_program(program);
        machine.set_data(data.clone()).map_err(|error| anyhow::anyhow!("data: {error}"))?;
        let now = NOW.as_micros() / 1_000_000;
        let inputs = inputs.iter().map(|input| {
            let (system, path, purpose) = (input.system, input.path, input.purpose);
            json!({ "system": system, "path": path, "purpose": purpose, "now": now }).into()
        });
        Ok(Self { machine, inputs: inputs.collect() })
    }

    /// Decides all; how many.
    pub fn decide(&mut self) -> usize {
        for input in &self.inputs {
            self.machine.set_input(input.clone());
            drop(black_box(self.machine.execute()));
        }
        self.inputs.len()
    }

    /// Holds the answer to a call against ours.
    pub fn compare(&mut self, ix: usize, governing: Option<&str>) -> Result<()> {
        self.machine.set_input(self.inputs[ix].clone());
        let answer = self.machine.execute().map_err(|error| anyhow::anyhow!("rego: {error}"))?;
        let same = match (&answer, governing) {
            (Value::String(id), Some(governing)) => **id == *governing,
            (Value::Bool(allowed), governing) => *allowed == governing.is_some(),
            (Value::Undefined, governing) => governing.is_none(),
            _ => false,
        };
        if !same {
            bail!("rego says {answer:?}, we say {governing:?} for {:?}", self.inputs[ix]);
        }
        Ok(())
    }
}

/// The agreements by consumer, method and purpose, and the consumers that stand for each system.
pub fn data(source: &policy::Source, filed: &Filed<'_>) -> Result<Value> {
    let services = source.nodes.iter().flat_map(|node| &node.services);
    let mut methods = std::collections::HashMap::new();
    for service in services {
        let names: Vec<String> = service.methods.iter().map(|it| it.name.clone()).collect();
        methods.insert(service.name.as_str(), names);
    }
    let mut agreements = Map::new();
    for it in source.agreements.iter().filter(|it| it.state == State::Active) {
        let names = match &it.methods {
            Methods::Named(names) => names,
            Methods::All => methods.get(it.service.as_str()).context("service")?,
        };
        let seconds = |time: model::Timestamp| time.as_micros() / 1_000_000;
        let entry = json!({
            "id": it.id.as_str(),
            "from": seconds(it.valid_from),
            "until": seconds(it.valid_until),
        });
        let by_path = agreements.entry(consumer(&it.consumer)).or_insert_with(|| json!({}));
        for name in names {
            let by_purpose = &mut by_path[format!("/{}/{name}", it.service)];
            for purpose in &it.purposes {
                let list = &mut by_purpose[purpose.as_str()];
                match list.as_array_mut() {
                    Some(list) => list.push(entry.clone()),
                    None => *list = json!([entry]),
                }
            }
        }
    }
    let ancestors: Map<String, serde_json::Value> =
        filed.chains().map(|(system, chain)| (system.to_owned(), json!(chain))).collect();
    Ok(json!({ "ancestors": ancestors, "agreements": agreements }).into())
}
