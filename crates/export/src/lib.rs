//! Entries as rows with named columns: a JSON object a line, or Parquet. Persons stay pseudonyms.
//!
//! Memory is bounded: a row group of Parquet at most. At the end stands the tree of the ledger that
//! the rows were read under, in the last line or in the file's metadata.

mod columnar;
mod row;

use std::io::{self, Write};

use model::Entry;
use serde_json::{Map, Value, json};
use thiserror::Error;

pub use columnar::ParquetWriter;
pub use row::{COLUMNS, Column, Kind, entry_time};

/// Why rows could not be written.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The destination does not take them.
    #[error("write the export")]
    Io(#[from] io::Error),
    /// The Parquet file could not be made.
    #[error("write the Parquet file: {0}")]
    Parquet(String),
}

impl From<parquet::errors::ParquetError> for ExportError {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::Parquet(error.to_string())
    }
}

/// The tree of a ledger that rows were read under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The ledger's name.
    pub origin: String,
    /// Entries of the ledger.
    pub size: u64,
    /// Root hash over them, in base64.
    pub root_hash: String,
    /// Whether all entries were held against it while they were exported.
    pub verified: bool,
    /// Rows that were written.
    pub rows: u64,
}

/// Writes JSON lines.
#[derive(Debug)]
pub struct JsonWriter<W> {
    to: W,
}

impl<W: Write> JsonWriter<W> {
    /// Writes to `to`, which had better buffer.
    pub fn new(to: W) -> Self {
        Self { to }
    }

    /// Writes an entry. Columns that it does not have are left out.
    ///
    /// # Errors
    ///
    /// Fails if the destination does.
    pub fn write(&mut self, index: u64, entry: &Entry) -> Result<(), ExportError> {
        let cells = row::cells(index, entry).into_iter();
        let object: Map<String, Value> =
            cells.map(|(name, cell)| (name.to_owned(), cell.to_json())).collect();
        self.line(&Value::Object(object))
    }

    /// Writes the last line, of kind `export`, and gives the destination back.
    ///
    /// # Errors
    ///
    /// Fails if the destination does.
    pub fn finish(mut self, tree: &Tree) -> Result<W, ExportError> {
        self.line(&json!({
            "kind": "export",
            "origin": tree.origin,
            "size": tree.size,
            "root_hash": tree.root_hash,
            "verified": tree.verified,
            "rows": tree.rows,
        }))?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn line(&mut self, value: &Value) -> Result<(), ExportError> {
        Ok(writeln!(self.to, "{value}")?)
    }
}
