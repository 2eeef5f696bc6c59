//! Any text as policies, entities, requests and schema: it is answered or refused, never a panic.
#![no_main]

use cedar::text::{self, File, Files};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, &str, Option<&str>)| {
    let (policies, entities, requests, schema) = input;
    let _ = cedar::authorize::authorize(policies, entities, requests, schema);
    let both =
        [File { name: "one.cedar", text: policies }, File { name: "two.cedar", text: requests }];
    let files = Files::parse(&both, &[]);
    let schema = schema.and_then(|text| text::schema(File { name: "schema", text }).ok());
    if let (Ok(files), Some(schema)) = (files, schema) {
        let _ = files.validate(&schema);
    }
});
