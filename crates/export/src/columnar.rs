//! Parquet: row groups of some ten thousand entries, compressed with Zstandard.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::sync::Arc;

use model::Entry;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::row::{COLUMNS, Cell, Kind, cells};
use crate::{ExportError, Tree};

/// Entries of a row group.
const GROUP_ROWS: usize = 32_768;

/// Writes a Parquet file. Every column is optional; `fields` is repeated.
pub struct ParquetWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Vec<Buffer>,
    rows: usize,
}

impl<W: Write + Send> fmt::Debug for ParquetWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParquetWriter").field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// A column of the row group at hand.
#[derive(Debug, Default)]
struct Buffer {
    numbers: Vec<i64>,
    texts: Vec<ByteArray>,
    /// Whether there is a value; for each row, and in a list for each text after the first.
    definitions: Vec<i16>,
    /// 1 where a text goes on a list.
    repetitions: Vec<i16>,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Begins a file in `to`.
    ///
    /// # Errors
    ///
    /// Fails if the destination does.
    pub fn new(to: W) -> Result<Self, ExportError> {
        let schema = Arc::new(parse_message_type(&schema())?);
        let level = ZstdLevel::try_new(3)?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level));
        let file = SerializedFileWriter::new(to, schema, Arc::new(properties.build()))?;
        let columns = COLUMNS.iter().map(|_| Buffer::default()).collect();
        Ok(Self { file, columns, rows: 0 })
    }

    /// Takes an entry; writes a row group once there are enough.
    ///
    /// # Errors
    ///
    /// Fails if the destination does.
    pub fn write(&mut self, index: u64, entry: &Entry) -> Result<(), ExportError> {
        let mut cells: HashMap<&str, Cell> = cells(index, entry).into_iter().collect();
        for ((name, _), column) in COLUMNS.iter().zip(&mut self.columns) {
            column.push(cells.remove(name));
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS { self.flush() } else { Ok(()) }
    }

    /// Writes what is left, and the tree into the metadata as `giaolien.size`, `giaolien.root_hash`,
    /// `giaolien.origin` and `giaolien.verified`. Gives the destination back.
    ///
    /// # Errors
    ///
    /// Fails if the destination does.
    pub fn finish(mut self, tree: &Tree) -> Result<W, ExportError> {
        self.flush()?;
        let metadata = [
            ("giaolien.origin", tree.origin.clone()),
            ("giaolien.size", tree.size.to_string()),
            ("giaolien.root_hash", tree.root_hash.clone()),
            ("giaolien.verified", tree.verified.to_string()),
        ];
        for (key, value) in metadata {
            self.file.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        }
        Ok(self.file.into_inner()?)
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        for ((_, kind), column) in COLUMNS.iter().zip(&mut self.columns) {
            column.write(*kind, &mut group)?;
            *column = Buffer::default();
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }
}

impl Buffer {
    fn push(&mut self, cell: Option<Cell>) {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.definitions.push(i16::from(cell.is_some()));
        self.repetitions.push(0);
        match cell {
            None => {}
            Some(Cell::Number(number)) => self.numbers.push(signed(number)),
            Some(Cell::Time(time)) => self.numbers.push(signed(time.as_micros())),
            Some(Cell::Text(text)) => self.texts.push(text.into_bytes().into()),
            Some(Cell::List(list)) => {
                for _ in list.iter().skip(1) {
                    self.definitions.push(1);
                    self.repetitions.push(1);
                }
                self.texts.extend(list.into_iter().map(|text| text.into_bytes().into()));
            }
        }
    }

    fn write<W: Write + Send>(
        &self,
        kind: Kind,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ExportError> {
        let missing = || ExportError::Parquet("there are fewer columns than expected".to_owned());
        let mut writer = group.next_column()?.ok_or_else(missing)?;
        let definitions = Some(self.definitions.as_slice());
        let repetitions = (kind == Kind::List).then_some(self.repetitions.as_slice());
        match kind {
            Kind::Number | Kind::Time => {
                let typed = writer.typed::<Int64Type>();
                typed.write_batch(&self.numbers, definitions, repetitions)?;
            }
            Kind::Text | Kind::List => {
                let typed = writer.typed::<ByteArrayType>();
                typed.write_batch(&self.texts, definitions, repetitions)?;
            }
        }
        Ok(writer.close()?)
    }
}

fn schema() -> String {
    let column = |(name, kind): &(&str, Kind)| match kind {
        Kind::Number => format!("optional int64 {name} (INTEGER(64,true));"),
        Kind::Time => format!("optional int64 {name} (TIMESTAMP(MICROS,true));"),
        Kind::Text => format!("optional binary {name} (STRING);"),
        Kind::List => format!("repeated binary {name} (STRING);"),
    };
    let columns: Vec<String> = COLUMNS.iter().map(column).collect();
    format!("message entry {{ {} }}", columns.join(" "))
}
