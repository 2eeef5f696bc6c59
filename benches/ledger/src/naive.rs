//! The naive ways: a sync for every entry, and a database.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use rusqlite::{Connection, params};

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

/// A table with two indexes, as an audit log in a database has them, in batches.
pub fn sqlite(folder: &Path, time: Duration, batch: u64) -> Result<Run> {
    let mut database = Connection::open(folder.join("entries.sqlite"))?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.execute_batch(
        "CREATE TABLE entries (ix INTEGER PRIMARY KEY, exchange BLOB, time INTEGER, entry BLOB);
         CREATE INDEX by_exchange ON entries (exchange);
         CREATE INDEX by_time ON entries (time);",
    )?;
    Run::of(|waits| {
        let (begun, mut entries) = (Instant::now(), 0_u64);
        while begun.elapsed() < time {
            let appended = Instant::now();
            let transaction = database.transaction()?;
            {
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO entries (exchange, time, entry) VALUES (?1, ?2, ?3)",
                )?;
                for number in entries..entries + batch {
                    // Ids are as good as random.
                    let id =
                        u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
                    let time = i64::try_from(number)?;
                    insert.execute(params![id.to_be_bytes(), time, [b'e'; ENTRY_BYTES]])?;
                }
            }
            transaction.commit()?;
            waits.record(u64::try_from(appended.elapsed().as_micros())?)?;
            entries += batch;
        }
        Ok(entries)
    })
}
