//! Reads `ledger.pseudonyms`: the keys under which persons stand in the ledger, by period.

use std::collections::HashSet;
use std::path::PathBuf;

use model::{Period, PseudonymKey, Pseudonyms};

use crate::fields::{Fields, at_most, list, located, scalar};
use crate::material::{path, read};
use crate::problem::{Position, Report, quoted};
use crate::scalar::identifier;
use crate::yaml::Node;

/// Most periods.
const PERIODS_MAX: usize = 256;
/// Largest file of a key.
const KEY_FILE_BYTES_MAX: u64 = 1 << 10;

/// The keys, and where each of their files is named.
#[derive(Default)]
pub(crate) struct Read {
    pub(crate) keys: Pseudonyms,
    pub(crate) files: Vec<(Position, PathBuf)>,
}

/// One period of the list.
struct Item {
    period: Period,
    key: PseudonymKey,
    file: (Position, PathBuf),
}

/// Reads the list of periods, each of which stands there once.
pub(crate) fn pseudonyms(node: &Node<'_>, report: &mut Report) -> Option<Read> {
    let items = at_most(PERIODS_MAX, list(located(item)))(node, report)?;
    let (mut keys, mut files, mut known) = (Vec::new(), Vec::new(), HashSet::new());
    for (at, Item { period, key, file }) in items {
        if !known.insert(period.clone()) {
            let found = format!("period {} a second time", quoted(period.as_str()));
            report.add(at, found, "each period once", None);
            return None;
        }
        keys.push((period, key));
        files.push(file);
    }
    Some(Read { keys: Pseudonyms::new(keys), files })
}

fn item(node: &Node<'_>, report: &mut Report) -> Option<Item> {
    let fields = Fields::of(node, &["period", "key"], report)?;
    let period = fields.required("period", scalar(identifier), report);
    let key = fields.required("key", key, report);
    let (period, key) = (period?, key?);
    let file = fields.required("key", located(path), report)?;
    Some(Item { period, key, file })
}

/// The key in the file that a node names. Nothing of it is ever shown.
fn key(node: &Node<'_>, report: &mut Report) -> Option<PseudonymKey> {
    let bytes = read(node, KEY_FILE_BYTES_MAX, report)?;
    let text = zeroize::Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
    drop(zeroize::Zeroizing::new(bytes));
    match PseudonymKey::from_hex(&text) {
        Ok(key) => Some(key),
        Err(_) => {
            let hint = "make one with `openssl rand -hex 32`".to_owned();
            let expected = "a random key of 64 hexadecimal digits";
            report.add(node.at, "a file without such a key", expected, Some(hint));
            None
        }
    }
}
