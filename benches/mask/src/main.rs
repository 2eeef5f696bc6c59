//! What masking a message costs, beside decode, filter, encode with generated types and with
//! `prost-reflect`. All take bytes and give bytes in a buffer that is used again; all outputs are
//! held against each other first. `mask-bench 9` does nine rounds
//! of a millisecond for each instead of 301.

mod contenders;
mod samples;
mod timing;

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use mask::{Contract, Watch, Workspace};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};

use crate::contenders::{Agreed, Generated};

#[allow(clippy::all, dead_code)]
mod population {
    include!(concat!(env!("OUT_DIR"), "/vn.population.v1.rs"));
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));
const LOOK_UP: &str = "vn.population.v1.LookUpPersonResponse";
const LIST: &str = "vn.population.v1.ListChangesResponse";

struct Bench {
    contract: Contract,
    pool: DescriptorPool,
    rounds: usize,
}

fn main() -> Result<()> {
    let rounds = std::env::args().nth(1).map_or(Ok(301), |rounds| rounds.parse())?;
    let contract = Contract::from_descriptor_set(DESCRIPTORS)?;
    let bench = Bench { contract, pool: DescriptorPool::decode(DESCRIPTORS)?, rounds };
    println!(
        "| message | bytes | agreed | withheld | mask ns | GB/s | in place, with a copy ns | \
         subjects only ns | generated ns | ratio | `prost-reflect` ns | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for agreed in Agreed::ALL {
        bench.row("a card", LOOK_UP, &samples::card(), agreed)?;
        bench.row("a record", LOOK_UP, &samples::record(), agreed)?;
        bench.row("100 changes", LIST, &samples::list(), agreed)?;
        bench.row("72 records", LIST, &samples::page_of_records(), agreed)?;
    }
    Ok(())
}

impl Bench {
    fn row<M: Generated>(&self, title: &str, name: &str, sample: &M, agreed: Agreed) -> Result<()> {
        let bytes = sample.encode_to_vec();
        let mask = agreed.mask(&self.contract, name)?;
        let watch =
            Watch::compile(&self.contract, name).map_err(|problem| anyhow::anyhow!("{problem}"))?;
        let descriptor = contenders::descriptor(&self.pool, name)?;
        let mut workspace = Workspace::new();
        let mut out = Vec::new();
        let withheld = mask.apply_to(&bytes, &mut out, &mut workspace)?.withheld;
        let masked = if withheld == 0 { bytes.clone() } else { out };
        let by_types = |out: &mut Vec<u8>| -> Result<()> {
            let mut message = M::decode(bytes.as_slice())?;
            message.filter(agreed);
            out.clear();
            message.encode(out).context("encode")
        };
        let by_names = |out: &mut Vec<u8>| -> Result<()> {
            let mut message = DynamicMessage::decode(descriptor.clone(), bytes.as_slice())?;
            contenders::filter_dynamic(&mut message, agreed);
            out.clear();
            message.encode(out).context("encode")
        };
        for (who, other) in [("types", &by_types), ("names", &by_names)]
            as [(&str, &dyn Fn(&mut Vec<u8>) -> Result<()>); 2]
        {
            let mut out = Vec::new();
            other(&mut out)?;
            ensure!(M::decode(out.as_slice())? == M::decode(masked.as_slice())?, "{title}: {who}");
        }

        let [mut first, mut second, mut third, mut fourth] = [const { Vec::new() }; 4];
        let [mut one, mut two, mut three] = [Workspace::new(), Workspace::new(), Workspace::new()];
        let times = timing::race(
            self.rounds,
            &mut [
                Box::new(|| {
                    let applied = mask.apply_to(black_box(&bytes), &mut first, &mut one);
                    black_box(applied.is_ok());
                }),
                Box::new(|| {
                    second.clear();
                    second.extend_from_slice(black_box(&bytes));
                    black_box(mask.apply(&mut second, &mut two).is_ok());
                }),
                Box::new(|| {
                    black_box(watch.read(black_box(&bytes), &mut three).is_ok());
                }),
                Box::new(|| {
                    black_box(by_types(&mut third).is_ok());
                }),
                Box::new(|| {
                    black_box(by_names(&mut fourth).is_ok());
                }),
            ],
        );
        let [ours, in_place, subjects, types, names] = times;
        let length = bytes.len();
        println!(
            "| {title} | {length} | {} | {withheld} | {ours:.0} | {:.1} | {in_place:.0} | \
             {subjects:.0} | {types:.0} | {:.1}× | {names:.0} | {:.1}× |",
            agreed.words(),
            length as f64 / ours,
            types / ours,
            names / ours,
        );
        Ok(())
    }
}
