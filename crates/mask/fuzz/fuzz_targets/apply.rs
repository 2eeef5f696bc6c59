//! Any bytes as a message: never more than was allowed, nothing the second time, the same in
//! place and beside.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mask::{Contract, Mask, SUBJECTS_BYTES_MAX, SUBJECTS_MAX, Selection, Watch, Workspace};
use protox::file::{
    ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver,
};
use protox::prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

struct Everything {
    masks: Vec<Mask>,
    watch: Watch,
    all: MessageDescriptor,
}

struct Text;

impl FileResolver for Text {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            "everything.proto" => File::from_source(name, include_str!("everything.proto")),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}

static EVERYTHING: LazyLock<Everything> = LazyLock::new(|| {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../proto");
    let mut resolver = ChainFileResolver::new();
    resolver.add(Text);
    resolver.add(IncludeFileResolver::new(root.into()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file("everything.proto").unwrap();
    let set = compiler.encode_file_descriptor_set();
    let contract = Contract::from_descriptor_set(&set).unwrap();
    let mask = |items: &[&str]| {
        let selection = Selection::from_items(items.iter().copied());
        Mask::compile(&contract, "f.All", &selection).unwrap()
    };
    let any = ["details.[f.Flat]", "more.[f.All].name", "more.[f.Flat]"];
    let masks = vec![
        mask(&["basic", any[0], any[1], any[2]]),
        mask(&["open", "child.child.faith", "box.inside.name", any[1]]),
        mask(&["sensitive", "by_name.kind", "kind"]),
        mask(&["open", "basic", "sensitive"]),
    ];
    let watch = Watch::compile(&contract, "f.All").unwrap();
    let pool = DescriptorPool::decode(set.as_slice()).unwrap();
    Everything { masks, watch, all: pool.get_message_by_name("f.All").unwrap() }
});

fuzz_target!(|data: &[u8]| {
    let Some((choice, message)) = data.split_first() else { return };
    let everything = &*EVERYTHING;
    let mut workspace = Workspace::new();
    let _ = everything.watch.read(message, &mut workspace);
    let mask = &everything.masks[usize::from(*choice) % everything.masks.len()];
    let mut out = message.to_vec();
    let mut beside = Vec::new();
    let masked = mask.apply(&mut out, &mut workspace);
    assert_eq!(mask.apply_to(message, &mut beside, &mut workspace), masked);
    let Ok(applied) = masked else {
        assert!(out.is_empty() && beside.is_empty());
        return;
    };
    assert!(out.len() <= message.len());
    assert_eq!(applied.length, out.len());
    match applied.withheld {
        0 => assert!(out == message && beside.is_empty()),
        _ => assert_eq!(out, beside),
    }
    assert!(workspace.withheld().all(|id| !mask.paths(id).is_empty()));
    assert!(workspace.subjects().count() <= SUBJECTS_MAX);
    assert!(workspace.subjects().map(<[u8]>::len).sum::<usize>() <= SUBJECTS_BYTES_MAX);

    let mut again = out.clone();
    let second = mask.apply(&mut again, &mut workspace).unwrap();
    assert_eq!((second.withheld, &again), (0, &out), "{message:02x?}");

    // What others decode of it has nothing that the contract does not know.
    if let Ok(found) = DynamicMessage::decode(everything.all.clone(), out.as_slice()) {
        assert_eq!(found.unknown_fields().count(), 0);
    }
});
