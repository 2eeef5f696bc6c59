//! The one thread that writes entries: batch, frame, write, sync, publish.

use std::fs::File;
use std::io;
use std::sync::Arc;

use model::Clock;

use crate::disk::{Disk, Step};
use crate::folder;
use crate::frame::{Chain, FrameHeader};
use crate::identity::Identity;
use crate::keep::Keep;
use crate::queue::{Pending, Prepared, Shared, Trouble};
use crate::receipt::Commit;
use crate::segment::{HEADER_BYTES, SegmentHeader};
use tlog::Head;
use tlog::sign::Signer;

/// The segment being written.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) file: File,
    pub(crate) bytes: u64,
    /// Where the next frame goes.
    pub(crate) offset: u64,
}

/// The writer thread's own; nobody else touches the file, the chain or the tree.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) signer: Arc<Signer>,
    pub(crate) current: Current,
    /// The file of `current`, as it stands in the folder.
    pub(crate) written: Identity,
    pub(crate) chain: Chain,
    pub(crate) keep: Arc<Keep>,
}

impl Writer {
    pub(crate) fn run(mut self) {
        while let Some(mut pending) = self.shared.take() {
            match self.commit(&mut pending) {
                Ok((commit, head)) => self.shared.publish(pending, commit, head),
                // Nothing was written. The log goes on once there is space again.
                Err(Trouble::NoSpace) => self.shared.refuse_no_space(pending),
                // A failed write or sync is never tried again: what it left on disk is unknown
                // until it is read anew. A process that starts anew recovers.
                Err(Trouble::Failed(why)) => return self.shared.poison(&why, Some(pending)),
            }
        }
    }

    /// Makes a batch durable.
    fn commit(&mut self, pending: &mut Pending) -> Result<(Commit, Head), Trouble> {
        if self.current.offset + pending.frame.frame_bytes() as u64 > self.current.bytes {
            self.rotate()?;
        }
        pending.leaves.iter().for_each(|leaf| self.chain.frontier.push(*leaf));
        let root_hash = self.chain.frontier.root();
        let header = FrameHeader {
            count: 0,
            body_bytes: 0,
            first_index: pending.first,
            time: self.clock.now(),
            segment: self.chain.segment,
            offset: self.current.offset as u32,
            prev_crc: self.chain.prev_crc,
            root_hash,
            body_crc: 0,
        };
        let (frame, crc) = pending.frame.finish(header);
        // If we stop during the write or before the sync has returned, nobody was told of these
        // entries: recovery keeps the frame if it is whole, and clears it if it is torn.
        self.disk
            .write_at(Step::Frame, &self.current.file, frame, self.current.offset)
            .map_err(|error| failed(self.chain.segment, "write", &error))?;
        self.disk
            .sync(Step::Frame, &self.current.file)
            .map_err(|error| failed(self.chain.segment, "sync", &error))?;
        // What is synced to a file that nobody finds any more is not durable.
        if let Some(why) = self.written.lost() {
            return Err(Trouble::Failed(why.into()));
        }
        // If we stop here the entries are durable and nobody knows: recovery keeps them.
        self.current.offset += frame.len() as u64;
        self.chain.prev_crc = crc;
        let signer = Arc::clone(&self.signer);
        let commit =
            Commit::new(pending.first, &pending.leaves, root_hash, self.clock.now(), signer);
        Ok((commit, Head { size: self.chain.frontier.size(), root_hash }))
    }

    /// Moves on to the next prepared segment.
    fn rotate(&mut self) -> Result<(), Trouble> {
        let prepared = self.shared.take_prepared()?;
        let number = prepared.number;
        if number != self.chain.segment + 1 {
            let why = format!("segment {number} was prepared out of order");
            return Err(Trouble::Failed(why.into()));
        }
        let identity;
        // If we stop here the next start goes on at the end of the old segment.
        (self.current, identity) =
            begin_segment(&*self.disk, prepared, &mut self.chain, &self.signer, &*self.clock)
                .map_err(|error| failed(number, "begin", &error))?;
        self.written = identity.clone();
        self.shared.rotated(identity);
        self.keep.moved_on(number);
        Ok(())
    }
}

/// Writes the header of a prepared segment and makes it the current one.
pub(crate) fn begin_segment(
    disk: &dyn Disk,
    prepared: Prepared,
    chain: &mut Chain,
    signer: &Signer,
    clock: &dyn Clock,
) -> io::Result<(Current, Identity)> {
    let Prepared { number, path, file, bytes } = prepared;
    let header = SegmentHeader {
        number,
        segment_bytes: bytes,
        created: clock.now(),
        key: signer.verifying_key(),
        prev_crc: chain.prev_crc,
        frontier: chain.frontier.clone(),
    };
    let (block, crc) = header.encode();
    // If we stop before the sync has returned, the header is whole, torn or absent and no frame
    // follows it: recovery goes on in the segment or makes it blank again.
    disk.write_at(Step::Header, &file, &block, 0)?;
    disk.sync(Step::Header, &file)?;
    // If we stop here the next start goes on in the new segment.
    chain.segment = number;
    chain.prev_crc = crc;
    let identity = Identity::of(path, &file)?;
    Ok((Current { file, bytes, offset: HEADER_BYTES as u64 }, identity))
}

fn failed(segment: u64, step: &str, error: &io::Error) -> Trouble {
    Trouble::Failed(format!("{step} `{}`: {error}", folder::segment_name(segment)).into())
}
