//! The bytes on the heap that a snapshot takes, counted as they are asked for. In a binary of its
//! own: counting takes an allocator of its own.

use anyhow::{Context, Result};

/// `counted AGREEMENTS BESPOKE_IN_100` writes bytes an agreement.
fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let agreements: usize = arguments.next().context("how many agreements?")?.parse()?;
    let bespoke: u8 = arguments.next().context("how many of a hundred bespoke?")?.parse()?;
    let mut built = None;
    // All that is made and dropped inside cancels out: what remains is the snapshot.
    let heap = allocation_counter::measure(|| built = Some(decide::build(agreements, bespoke)));
    built.context("nothing built")??;
    println!("{}", heap.bytes_current as f64 / agreements as f64);
    Ok(())
}
