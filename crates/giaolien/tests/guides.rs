//! The operators' guides: what they show in YAML and Cedar is a configuration that checks.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod support;

use std::fs;

use support::{World, giaolien, text};
use tlog::WitnessKey;

/// What the guides take for granted.
const REGISTRY: &str = "\
members: [{id: G09, name: Bộ Nội vụ}]
purposes: [{code: public-service, name: Thủ tục hành chính}]
nodes:
  - id: population
    name: Cơ sở dữ liệu quốc gia về dân cư
    provider: G01
    endpoints: ['dancu.example.gov.vn:50051']
    services:
      - name: vn.population.v1.PopulationService
        methods:
          - {name: VerifyPerson, effect: query}
          - {name: LookUpPerson, effect: query, attributes: {sensitive: true}}
  - id: population-next
    name: Phiên bản mới
    provider: G01
    endpoints: ['dancu-next.example.gov.vn:50051']
    services: []
";
const KEYS: &str = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
const PSEUDONYMS: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const SEALING: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";

/// The files that a guide shows: each block begins with a comment that names its file.
fn files(guide: &str) -> Vec<(String, String)> {
    let blocks = guide.split("```").skip(1).step_by(2);
    let named = blocks.filter_map(|block| {
        let (_, content) = block.split_once('\n')?;
        let (first, _) = content.split_once('\n')?;
        let name = first.strip_prefix("# ").or_else(|| first.strip_prefix("// "))?;
        Some((name.to_owned(), content.to_owned()))
    });
    named.collect()
}

#[tokio::test]
async fn what_the_guides_show_is_good() {
    for guide in ["operators.md", "huong-dan-van-hanh.md"] {
        let path = format!("{}/../../docs/{guide}", env!("CARGO_MANIFEST_DIR"));
        let files = files(&fs::read_to_string(path).unwrap());
        assert_eq!(files.len(), 11, "{guide}");
        let world = World::new().await;
        world.write("registry/before.yaml", REGISTRY);
        world.write("pki/dinhdanh.jwks.json", KEYS);
        world.write("pki/pseudonyms-2026.key", PSEUDONYMS);
        let witness = WitnessKey::new("giamsat.example.gov.vn".parse().unwrap(), [9; 32]);
        world.write("pki/giamsat.pub", witness.to_string());
        world.write("pki/sealing-2026-a.key", SEALING);
        fs::create_dir(world.folder.path().join("archive")).unwrap();
        for (name, content) in files {
            if name == "gateway.yaml, under `ledger`" {
                let before = fs::read_to_string(world.config_file("gateway.yaml")).unwrap();
                let more = before.replace("ledger:\n", &format!("ledger:\n{content}"));
                world.write("gateway.yaml", more);
                continue;
            }
            let before = fs::read_to_string(world.config_file(&name)).unwrap_or_default();
            world.write(&name, before + &content);
        }
        let checked = giaolien(&["check", text(&world.config())]);
        assert_eq!((checked.code, checked.stderr.as_str()), (0, ""), "{guide}: {checked:?}");
        let good = "good: 1 class, 5 members, 2 systems, 3 nodes, 2 purposes, 1 zone, \
                    2 agreements, 3 policies, 1 route\n";
        assert_eq!(checked.stdout, good, "{guide}");
    }
}
