//! The change feed: pages from the database, then whatever is written while it is open.

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::store;
use crate::database::Database;
use crate::input;
use crate::proto::civilservants::v1::{CivilServantChange, WatchChangesRequest};

/// Changes read at once.
const PAGE: u32 = 256;
/// Changes waiting for the network.
const BUFFER: usize = 64;

type Item = Result<CivilServantChange, Status>;

pub(super) struct Feed {
    pub(super) database: Database,
    pub(super) commits: watch::Receiver<u64>,
    pub(super) closing: watch::Receiver<bool>,
    pub(super) request: WatchChangesRequest,
}

impl Feed {
    /// Runs the feed on a task that ends with the stream it returns.
    pub(super) fn start(self) -> ReceiverStream<Item> {
        let (sender, receiver) = mpsc::channel(BUFFER);
        tokio::spawn(async move {
            let ended = self.run(&sender).await;
            if let Err(status) = ended {
                // The receiver may be gone, and then nobody is left to tell.
                let _ = sender.send(Err(status)).await;
            }
        });
        ReceiverStream::new(receiver)
    }

    async fn run(mut self, sender: &mpsc::Sender<Item>) -> Result<(), Status> {
        let mut after = self.request.after_sequence;
        loop {
            // Marked as seen before reading: what is written meanwhile wakes the wait below.
            self.commits.mark_unchanged();
            let records = self.request.include_profiles;
            let query = move |db: &_| store::changes(db, after, records, PAGE);
            let page = self.database.read(query).await?;
            let Some(last) = page.last() else {
                if !self.request.follow || !self.wait(sender).await? {
                    return Ok(());
                }
                continue;
            };
            after = last.sequence;
            for change in page {
                let wanted = self.request.unit_code.is_empty()
                    || input::is_within(&change.unit_code, &self.request.unit_code);
                if wanted && sender.send(Ok(change)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    /// Waits for another change; false when the client is gone.
    async fn wait(&mut self, sender: &mpsc::Sender<Item>) -> Result<bool, Status> {
        tokio::select! {
            changed = self.commits.changed() => Ok(changed.is_ok()),
            () = sender.closed() => Ok(false),
            _ = self.closing.wait_for(|closing| *closing) => {
                Err(Status::unavailable("the node is shutting down; resume after the last change"))
            }
        }
    }
}
