//! Masks for the messages of methods, from the fields that an agreement names.

use std::collections::BTreeMap;
use std::sync::Arc;

use mask::{Class, Contract, Mask, Selection};

use crate::agreement::Masks;
use crate::compile::coverage::Wrong;
use crate::registry::{Ix, Side};
use crate::source::Fields;

const EXPECTED: &str = "`open`, `basic` or `sensitive`, or the path of a field in a message of a \
                        method that is covered";

/// What may help where a message cannot be masked at all.
const OTHERWISE: &str = "leave its method to an agreement that names no fields";

/// The masks of `fields`, which stand under `key`, for the messages of methods.
pub(super) fn masks<'a>(
    contract: &Contract,
    key: &str,
    fields: &Fields,
    sides: impl Iterator<Item = (Ix, &'a Side)>,
) -> Result<Masks, Vec<Wrong>> {
    let mut made: BTreeMap<&str, Option<Fit>> = BTreeMap::new();
    let mut masks = Vec::new();
    let mut wrong = Vec::new();
    for (method, side) in sides {
        let message = &*side.message;
        let fit = made.entry(message).or_insert_with(|| {
            let fit = match fields {
                Fields::All if side.has_secret => all(contract, message),
                Fields::All => return None,
                Fields::Named(items) => named(contract, message, items),
            };
            match fit {
                Ok(fit) => Some(fit),
                Err(problems) => {
                    wrong.push(unmaskable(key, message, &problems));
                    None
                }
            }
        });
        masks.extend(fit.as_ref().map(|fit| (method, fit.mask.clone())));
    }
    if let Fields::Named(items) = fields {
        let fits: Vec<(&str, &Fit)> =
            made.iter().filter_map(|(message, fit)| Some((*message, fit.as_ref()?))).collect();
        wrong.extend(fitting_none(contract, key, items, &fits));
    }
    if wrong.is_empty() { Ok(masks.into()) } else { Err(wrong) }
}

/// How a selection fits a message.
struct Fit {
    /// The mask of all that fits.
    mask: Arc<Mask>,
    /// What does not.
    unfit: Vec<mask::Problem>,
}

/// All but what is secret.
fn all(contract: &Contract, message: &str) -> Result<Fit, Vec<mask::Problem>> {
    let given = Class::ALL.into_iter().filter(|class| *class != Class::Secret);
    let mask = Mask::compile(contract, message, &Selection::new::<&str>(given, []))?;
    Ok(Fit { mask: Arc::new(mask), unfit: Vec::new() })
}

/// What `items` name. The mask crate tells of all words that fit nothing before it tells of
/// anything else.
fn named(contract: &Contract, message: &str, items: &[String]) -> Result<Fit, Vec<mask::Problem>> {
    let selection = Selection::from_items(items.iter().map(String::as_str));
    let unfit = match Mask::compile(contract, message, &selection) {
        Ok(mask) => return Ok(Fit { mask: Arc::new(mask), unfit: Vec::new() }),
        Err(problems) => problems,
    };
    let fitting = || items.iter().filter(|item| !unfit.iter().any(|it| it.item == plain(item)));
    if fitting().count() == items.len() {
        return Err(unfit);
    }
    let selection = Selection::from_items(fitting().map(String::as_str));
    let mask = Mask::compile(contract, message, &selection)?;
    Ok(Fit { mask: Arc::new(mask), unfit })
}

/// The items that fit no message, each with what brought it furthest.
fn fitting_none(
    contract: &Contract,
    key: &str,
    items: &[String],
    fits: &[(&str, &Fit)],
) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    for (n, item) in items.iter().enumerate() {
        let path = plain(item);
        let unfit: Vec<_> = fits
            .iter()
            .filter_map(|(message, fit)| {
                Some((*message, fit.unfit.iter().find(|problem| problem.item == path)?))
            })
            .collect();
        if unfit.len() < fits.len() {
            continue;
        }
        let furthest = unfit.into_iter().max_by_key(|(message, problem)| {
            (steps_known(contract, message, path), problem.hint.is_some())
        });
        wrong.extend(furthest.map(|(_, problem)| Wrong {
            field: format!("{key}[{n}]"),
            found: format!("`{item}` ({})", problem.found),
            expected: EXPECTED,
            hint: problem.hint.clone(),
        }));
    }
    wrong
}

/// How many names of a path lead on from a message. Types of an `Any` are not followed.
fn steps_known(contract: &Contract, message: &str, path: &str) -> usize {
    let mut place = contract.message(message);
    let mut known = 0;
    for name in path.split('.') {
        let Some(field) = place.and_then(|message| message.field_named(name)) else { break };
        known += 1;
        place = contract.held(field);
        if let Some(entry) = place.filter(|message| message.is_map_entry) {
            place = entry.field(2).and_then(|value| contract.held(value));
        }
    }
    known
}

fn unmaskable(key: &str, message: &str, problems: &[mask::Problem]) -> Wrong {
    let first = problems.first();
    let why = first.map(|it| format!("`{}` {}", it.item, it.found)).unwrap_or_default();
    Wrong {
        field: key.into(),
        found: format!("fields that no mask for `{message}` can give alone ({why})"),
        expected: "fields that leave whole messages",
        hint: first.and_then(|problem| problem.hint.clone()).or_else(|| Some(OTHERWISE.into())),
    }
}

/// As problems and selections have it: a dot before a path only tells it from a class.
fn plain(item: &str) -> &str {
    item.strip_prefix('.').unwrap_or(item)
}
