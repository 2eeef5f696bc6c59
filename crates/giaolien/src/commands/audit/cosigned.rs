//! What witnesses cosigned of a ledger, for `giaolien audit verify --witness`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use model::Timestamp;
use tlog::{Checkpoint, Note, WitnessKey};

use crate::commands::say;

/// Says which checkpoint each of the witnesses cosigned last, in a folder that is whole.
pub(super) fn report(ledger: &Path, witnesses: &[WitnessKey]) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for (witness, note) in last_by_each(ledger, witnesses)? {
        let name = witness.name();
        let cosigned = note.and_then(|note| Some((witness.verify(&note).ok()?, note)));
        match cosigned {
            Some((time, note)) => {
                let Checkpoint { size, .. } = note.text().parse().context("cosigned checkpoint")?;
                let time = Timestamp::from_secs(time);
                say(format_args!("the first {size} entries cosigned by {witness} at {time}"));
            }
            None => {
                eprintln!("not witnessed: no checkpoint is cosigned by {name} with {witness}");
                code = ExitCode::from(1);
            }
        }
    }
    Ok(code)
}

/// The last note that bears a line of each witness; the line is not checked.
fn last_by_each<'k>(
    ledger: &Path,
    witnesses: &'k [WitnessKey],
) -> Result<Vec<(&'k WitnessKey, Option<Note>)>> {
    let mut last: Vec<_> = witnesses.iter().map(|witness| (witness, None)).collect();
    if witnesses.is_empty() {
        return Ok(last);
    }
    for note in audit::cosigned(ledger).context("read cosigned checkpoints")? {
        let note = note.context("read cosigned checkpoints")?;
        for (witness, found) in &mut last {
            let by = |key_id, name| key_id == witness.key_id() && name == witness.name();
            if note.signatures().iter().any(|line| by(line.key_id, &line.name)) {
                *found = Some(note.clone());
            }
        }
    }
    Ok(last)
}
