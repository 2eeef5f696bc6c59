//! The naive ways: a sync for every entry, and a database.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use crate::callers::waiting;
use crate::{ENTRY_BYTES, Run};

/// A file that is synced after each entry.
pub fn sync_per_entry(folder: &Path, time: Duration) -> Result<Run> {
    let mut file = File::create(folder.join("entries"))?;
    Run::of(|waits| {
        let (begun, mut entries) = (Instant::now(), 0);
        while begun.elapsed() < time {
            let appended = Instant::now();
            file.write_all(&[b'e'; ENTRY_BYTES])?;
            file.sync_data()?;
            waits.record(u64::try_from(appended.elapsed().as_micros())?)?;
            entries += 1;
        }
        Ok(entries)
    })
}

/// Entries that are inserted at once while a database is filled beforehand.
const FILL_BATCH: u64 = 50_000;

/// A table with two indexes, as an audit log in a database has them: WAL, `synchronous=FULL`.
struct Table {
    database: Connection,
    entries: u64,
}

impl Table {
    /// A table that holds some entries already.
    fn new(folder: &Path, held: u64) -> Result<Self> {
        let database = Connection::open(folder.join("entries.sqlite"))?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.execute_batch(
            "CREATE TABLE entries (ix INTEGER PRIMARY KEY, exchange BLOB, subject BLOB, entry BLOB);
             CREATE INDEX by_exchange ON entries (exchange);
             CREATE INDEX by_subject ON entries (subject);",
        )?;
        let mut table = Self { database, entries: 0 };
        table.database.pragma_update(None, "synchronous", "OFF")?;
        while table.entries < held {
            table.insert(FILL_BATCH.min(held - table.entries))?;
        }
        table.database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
        table.database.pragma_update(None, "synchronous", "FULL")?;
        Ok(table)
    }

    /// Inserts entries in one transaction.
    fn insert(&mut self, count: u64) -> Result<()> {
        let transaction = self.database.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO entries (exchange, subject, entry) VALUES (?1, ?2, ?3)",
            )?;
            for number in self.entries..self.entries + count {
                // Ids are as good as random, and so are pseudonyms.
                let id = |odd: u128| (u128::from(number) + 1).wrapping_mul(odd).to_be_bytes();
                let exchange = id(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
                let subject = id(0xc2b2_ae3d_27d4_eb4f_1656_67b1_9e37_79f9);
                insert.execute(params![exchange, subject, [b'e'; ENTRY_BYTES]])?;
            }
        }
        transaction.commit()?;
        self.entries += count;
        Ok(())
    }
}

/// Batches from one thread, one after the other.
pub fn sqlite(folder: &Path, time: Duration, held: u64, batch: u64) -> Result<Run> {
    let mut table = Table::new(folder, held)?;
    Run::of(|waits| {
        let begun = Instant::now();
        while begun.elapsed() < time {
            let appended = Instant::now();
            table.insert(batch)?;
            waits.record(u64::try_from(appended.elapsed().as_micros())?)?;
        }
        Ok(table.entries - held)
    })
}

/// Callers that hand their entry to the one thread that writes, and wait: a batch is what came
/// while the one before was written.
pub fn sqlite_waiting(folder: &Path, time: Duration, held: u64, callers: usize) -> Result<Run> {
    let mut table = Table::new(folder, held)?;
    let (hand, handed) = std::sync::mpsc::channel::<oneshot::Sender<()>>();
    let writer = std::thread::spawn(move || -> Result<()> {
        while let Ok(first) = handed.recv() {
            let batch: Vec<_> = std::iter::once(first).chain(handed.try_iter()).collect();
            table.insert(batch.len() as u64)?;
            for waits in batch {
                // A caller that went away need not be told.
                let _ = waits.send(());
            }
        }
        Ok(())
    });
    let run = waiting(time, callers, move || {
        let hand = hand.clone();
        async move {
            let begun = Instant::now();
            let (done, durable) = oneshot::channel();
            hand.send(done)?;
            durable.await?;
            Ok(u64::try_from(begun.elapsed().as_micros())?)
        }
    })?;
    writer.join().map_err(|_| anyhow!("the writer panicked"))??;
    Ok(run)
}
