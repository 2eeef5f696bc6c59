//! Finding out how far the tiles that are kept can be believed, and making the rest again.
//!
//! Each segment's header holds the frontier before its first entry. Tiles that give this frontier
//! are right up to there at the edge; the entries after are hashed again.

use std::path::Path;

use crate::edge::{Edge, Full};
use crate::folder;
use crate::read::{ReadError, records};
use crate::source::Source;
use crate::tiles::{TilesError, read_full};
use tlog::Head;
use tlog::tile::{HEIGHT, LEVELS, WIDTH};
use tlog::tree::{self, Frontier, Hash};

/// Full tiles handed over at once.
const FULL_MAX: usize = 256;

/// The edge of the tree at a head. Tiles that were made again go to `keep`.
pub(crate) fn restore(
    source: &Source,
    head: Head,
    keep: &dyn Fn(&[Full]),
) -> Result<Edge, TilesError> {
    let dir = source.folder.as_path();
    let unreadable = |source| ReadError::Unreadable { path: dir.to_owned(), source };
    let segments = folder::list(dir).map_err(unreadable)?.numbers();
    let mut step = 1;
    let mut place = segments.len();
    loop {
        // The last segment first, then ever further back.
        let number = segments.get(place.saturating_sub(1)).filter(|_| place > 0);
        let found = number
            .map(|number| source.segment_header(*number))
            .transpose()
            .map_err(ReadError::from)?;
        let frontier = match found {
            Some(found) => found.map(|header| header.frontier),
            None => Some(Frontier::new()),
        };
        let Some(frontier) = frontier.filter(|frontier| frontier.size() <= head.size) else {
            // Not in use yet.
            place = place.saturating_sub(1);
            continue;
        };
        let edge = edge_before(dir, &frontier);
        let edge = edge.map(|edge| replay(source, edge, head, keep)).transpose()?.flatten();
        match edge {
            Some(edge) => return Ok(edge),
            None if place == 0 => {
                let last = head.size.saturating_sub(1);
                return Err(TilesError::Damaged { first: 0, last });
            }
            None => place = place.saturating_sub(step),
        }
        step *= 2;
    }
}

/// The edge at the last multiple of 256 before a frontier, from the tiles that are kept.
fn edge_before(dir: &Path, frontier: &Frontier) -> Option<Expected> {
    let size = frontier.size() / WIDTH * WIDTH;
    let mut levels = vec![Vec::new()];
    for level in 1..LEVELS {
        let hashes = size >> (level * HEIGHT);
        let first = hashes / WIDTH * WIDTH;
        let roots: Option<Vec<Hash>> = (first..hashes)
            .map(|index| read_full(dir, level - 1, index).map(|hashes| tree::root(&hashes)))
            .collect();
        levels.push(roots?);
    }
    let edge = Edge::from_levels(size, levels);
    Some(Expected { edge, at: frontier.size(), root: frontier.root() })
}

/// An edge, and the root that it must lead to a little further on.
struct Expected {
    edge: Edge,
    at: u64,
    root: Hash,
}

/// Hashes the entries from the edge to the head. `None` if the edge was wrong.
fn replay(
    source: &Source,
    expected: Expected,
    head: Head,
    keep: &dyn Fn(&[Full]),
) -> Result<Option<Edge>, TilesError> {
    let Expected { mut edge, at, root } = expected;
    let mut full = Vec::new();
    let mut reader = records(source, edge.size())?;
    loop {
        if edge.size() == at && edge.root() != root {
            return Ok(None);
        }
        if edge.size() >= head.size {
            break;
        }
        let Some(item) = reader.next() else {
            return Err(TilesError::Beyond { size: edge.size(), asked: head.size });
        };
        edge.push(tree::leaf_hash(&item?.entry), &mut full);
        if full.len() >= FULL_MAX {
            keep(&full);
            full.clear();
        }
    }
    keep(&full);
    Ok((edge.root() == head.root_hash).then_some(edge))
}
