//! Any text as policies, entities, requests and schema: it is answered or refused, never a panic.
//! The four parts stand one after the other, with a line of four dashes between them.
#![no_main]

use cedar::text::{self, File, Files};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let mut parts = input.split("\n----\n");
    let mut next = || parts.next().unwrap_or_default();
    let (policies, entities, requests) = (next(), next(), next());
    let schema = parts.next();
    let _ = cedar::authorize::authorize(policies, entities, requests, schema);
    let both =
        [File { name: "one.cedar", text: policies }, File { name: "two.cedar", text: requests }];
    let files = Files::parse(&both, &[]);
    let schema = schema.and_then(|text| text::schema(File { name: "schema", text }).ok());
    if let (Ok(files), Some(schema)) = (files, schema) {
        let _ = files.validate(&schema);
    }
});
