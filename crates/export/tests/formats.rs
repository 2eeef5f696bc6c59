//! What is exported is read back: JSON by `serde_json`, Parquet by the record reader.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

use bytes::Bytes;
use export::{COLUMNS, JsonWriter, ParquetWriter, Tree};
use model::{
    Admitted, CertificateDigest, Effect, Entry, ExchangeId, Opened, RevisionId, Timestamp,
};
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;

const ROWS: u64 = 70_000;

fn entry(index: u64) -> Entry {
    let time = Timestamp::from_secs(1_795_000_000 + index);
    if index.is_multiple_of(3) {
        let opened = Opened { time, version: "1".into(), discarded_bytes: index };
        return Entry::Opened(opened);
    }
    Entry::Admitted(Admitted {
        exchange: ExchangeId::from_bytes([7; 16]),
        time,
        certificate: CertificateDigest([1; 32]),
        system: "commune".parse().unwrap(),
        member: "H26.12".parse().unwrap(),
        node: "population".parse().unwrap(),
        method: "/a.B/C".into(),
        effect: Effect::Query,
        agreement: "agreement".parse().unwrap(),
        purpose: "residence".parse().unwrap(),
        dossier: None,
        procedure: None,
        revision: RevisionId(index),
        source: "192.0.2.7".parse().unwrap(),
        shadow_node: None,
        subject: None,
        fields: vec!["citizen.full_name".into(), "citizen.birth_date".into()],
    })
}

fn tree() -> Tree {
    let (origin, root_hash) = ("ledger.test".to_owned(), "AAAA".to_owned());
    Tree { origin, size: ROWS, root_hash, verified: true, rows: ROWS }
}

#[test]
fn json_lines_end_with_the_tree() {
    let mut writer = JsonWriter::new(Vec::new());
    (0..3).for_each(|index| writer.write(index, &entry(index)).unwrap());
    let text = String::from_utf8(writer.finish(&tree()).unwrap()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!((&lines[0]["kind"], &lines[0]["system"]), (&"opened".into(), &Value::Null));
    assert_eq!((&lines[1]["system"], &lines[1]["revision"]), (&"commune".into(), &1.into()));
    assert_eq!(lines[1]["fields"][1], "citizen.birth_date");
    assert_eq!((&lines[3]["kind"], &lines[3]["root_hash"]), (&"export".into(), &"AAAA".into()));
    let named = |name: &String| COLUMNS.iter().any(|(column, _)| column == name);
    assert!(lines[..3].iter().all(|line| line.as_object().unwrap().keys().all(named)));
}

#[test]
fn parquet_reads_back_over_row_groups() {
    let mut writer = ParquetWriter::new(Vec::new()).unwrap();
    (0..ROWS).for_each(|index| writer.write(index, &entry(index)).unwrap());
    let bytes = writer.finish(&tree()).unwrap();
    let reader = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
    assert!(reader.num_row_groups() > 2);
    let metadata = reader.metadata().file_metadata().key_value_metadata().unwrap();
    let named = |key: &str| {
        let found = metadata.iter().find(|pair| pair.key == key);
        found.and_then(|pair| pair.value.clone()).unwrap()
    };
    assert_eq!(
        (named("giaolien.size"), named("giaolien.verified")),
        ("70000".into(), "true".into())
    );
    let mut rows = 0;
    for (row, index) in reader.get_row_iter(None).unwrap().zip(0..) {
        let row = row.unwrap();
        let shown = |name: &str| {
            let found = row.get_column_iter().find(|(column, _)| *column == name);
            found.unwrap().1.to_string()
        };
        assert_eq!(shown("index"), format!("{index}"));
        let is_call = index % 3 != 0;
        assert_eq!(shown("member"), if is_call { "\"H26.12\"" } else { "null" });
        let fields = shown("fields");
        assert_eq!(fields.contains("citizen.birth_date"), is_call, "{fields}");
        rows += 1;
    }
    assert_eq!(rows, ROWS);
}
