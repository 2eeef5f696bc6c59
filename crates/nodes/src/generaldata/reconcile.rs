//! Comparing what a source holds with what stands here.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::store::{self, Standing};
use super::{batch, is_data_set, is_key};
use crate::database::{Database, StoreError};
use crate::input;
use crate::proto::generaldata::v1 as wire;
use wire::Comparison;

/// Answers waiting for the network. When they wait, no more items are read.
const BUFFER: usize = 256;
const DIGEST_BYTES: usize = 32;

type Answer = Result<wire::ReconcileResponse, Status>;

/// Answers a stream of items on a task that ends with either stream.
pub(super) fn start(
    database: Database,
    items: Streaming<wire::ReconcileRequest>,
) -> ReceiverStream<Answer> {
    let (sender, receiver) = mpsc::channel(BUFFER);
    tokio::spawn(async move {
        if let Err(status) = run(&database, items, &sender).await {
            // The receiver may be gone, and then nobody is left to tell.
            let _ = sender.send(Err(status)).await;
        }
    });
    ReceiverStream::new(receiver)
}

async fn run(
    database: &Database,
    mut items: Streaming<wire::ReconcileRequest>,
    sender: &mpsc::Sender<Answer>,
) -> Result<(), Status> {
    let mut scope: Option<Scope> = None;
    loop {
        let batch = batch::next(&mut items, |_| 0).await?;
        let Some(first) = batch.first() else { return Ok(()) };
        let scope = match &scope {
            Some(scope) => scope.clone(),
            None => scope.insert(Scope::parse(first)?).clone(),
        };
        // The items before a malformed one are answered before the stream ends.
        let bad =
            batch.iter().enumerate().find_map(|(at, item)| Some((at, scope.check(item).err()?)));
        let sound = bad.as_ref().map_or(batch.len(), |(at, _)| *at);
        let answers = database.read(move |db| compare(db, &scope, &batch, sound)).await?;
        for answer in answers {
            if sender.send(Ok(answer)).await.is_err() {
                return Ok(());
            }
        }
        if let Some((_, status)) = bad {
            return Err(status);
        }
    }
}

/// What all items of a stream are about.
#[derive(Clone)]
struct Scope {
    source: String,
    data_set: String,
}

impl Scope {
    fn parse(first: &wire::ReconcileRequest) -> Result<Self, Status> {
        let source = input::unit_code("source", &first.source)?;
        if !is_data_set(&first.data_set) {
            let expected = "1 to 64 lower-case letters, digits, `-` or `.`";
            return Err(input::invalid("data_set", expected));
        }
        Ok(Self { source, data_set: first.data_set.clone() })
    }

    fn check(&self, item: &wire::ReconcileRequest) -> Result<(), Status> {
        if !["", &self.source].contains(&item.source.as_str()) {
            return Err(input::invalid("source", "the same in all items of a stream"));
        }
        if !["", &self.data_set].contains(&item.data_set.as_str()) {
            return Err(input::invalid("data_set", "the same in all items of a stream"));
        }
        if !is_key(&item.key) {
            return Err(input::invalid("key", "1 to 128 bytes without control characters"));
        }
        if item.version == 0 {
            return Err(input::invalid("version", "at least 1"));
        }
        if item.digest.len() != DIGEST_BYTES {
            return Err(input::invalid("digest", "32 bytes"));
        }
        Ok(())
    }
}

fn compare(
    db: &rusqlite::Connection,
    scope: &Scope,
    batch: &[wire::ReconcileRequest],
    sound: usize,
) -> Result<Vec<wire::ReconcileResponse>, StoreError> {
    let mut answers = Vec::with_capacity(sound);
    for item in batch.iter().take(sound) {
        let standing = store::find(db, &scope.source, &scope.data_set, &item.key)?;
        answers.push(wire::ReconcileResponse {
            key: item.key.clone(),
            comparison: comparison(item, standing.as_ref()).into(),
            version_here: standing.map_or(0, |standing| standing.version),
        });
    }
    Ok(answers)
}

fn comparison(item: &wire::ReconcileRequest, standing: Option<&Standing>) -> Comparison {
    match standing {
        None => Comparison::Missing,
        Some(here) if here.version > item.version => Comparison::NewerHere,
        Some(here) if here.deleted => Comparison::Missing,
        Some(here) if here.version == item.version && here.digest == item.digest => {
            Comparison::Same
        }
        Some(_) => Comparison::Differs,
    }
}
