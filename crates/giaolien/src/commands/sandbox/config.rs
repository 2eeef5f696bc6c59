//! The configuration that a sandbox writes: the texts under `config/`, with ports filled in.

use std::fs;

use anyhow::{Context, Result};
use model::RevisionId;
use nodes::NodeKind;

use super::folder::{self, Folder};
use super::ports::Ports;

const FILES: [(&str, &str); 15] = [
    ("gateway.yaml", include_str!("config/gateway.yaml")),
    ("routes.yaml", include_str!("config/routes.yaml")),
    ("registry/members.yaml", include_str!("config/registry/members.yaml")),
    ("registry/systems.yaml", include_str!("config/registry/systems.yaml")),
    ("registry/nodes.yaml", include_str!("config/registry/nodes.yaml")),
    ("registry/purposes.yaml", include_str!("config/registry/purposes.yaml")),
    ("registry/zones.yaml", include_str!("config/registry/zones.yaml")),
    ("policies/guard-rails.cedar", include_str!("config/policies/guard-rails.cedar")),
    ("agreements/ha-noi.yaml", include_str!("config/agreements/ha-noi.yaml")),
    ("agreements/central.yaml", include_str!("config/agreements/central.yaml")),
    (
        "protos/vn/population/v1/population.proto",
        include_str!("../../../../../proto/vn/population/v1/population.proto"),
    ),
    (
        "protos/vn/civilservants/v1/civilservants.proto",
        include_str!("../../../../../proto/vn/civilservants/v1/civilservants.proto"),
    ),
    (
        "protos/vn/socialsecurity/v1/socialsecurity.proto",
        include_str!("../../../../../proto/vn/socialsecurity/v1/socialsecurity.proto"),
    ),
    (
        "protos/vn/insurance/v1/insurance.proto",
        include_str!("../../../../../proto/vn/insurance/v1/insurance.proto"),
    ),
    (
        "protos/vn/generaldata/v1/generaldata.proto",
        include_str!("../../../../../proto/vn/generaldata/v1/generaldata.proto"),
    ),
];

/// The id under which a node stands in the configuration.
pub(super) fn node_id(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Population => "population",
        NodeKind::CivilServants => "civil-servants",
        NodeKind::SocialSecurity => "social-security",
        NodeKind::Insurance => "insurance",
        NodeKind::GeneralData => "general-data",
    }
}

/// Writes the configuration folder. It appears whole or not at all.
pub(super) fn create(folder: &Folder, ports: &Ports) -> Result<()> {
    let unfinished = folder.as_ref().join("config.unfinished");
    for (name, text) in FILES {
        folder::write(&unfinished.join(name), fill_in(text, ports).as_bytes())?;
    }
    let config = folder.config();
    fs::rename(&unfinished, &config).with_context(|| format!("make `{}`", config.display()))
}

fn fill_in(text: &str, ports: &Ports) -> String {
    let own = [("gateway", ports.gateway), ("admin", ports.admin), ("metrics", ports.metrics)];
    let nodes = NodeKind::ALL.into_iter().map(node_id).zip(ports.nodes);
    own.into_iter().chain(nodes).fold(text.to_owned(), |text, (name, port)| {
        text.replace(&format!("${{{name}}}"), &port.to_string())
    })
}

/// The ports in a configuration that was written before, perhaps edited since.
pub(super) fn ports(folder: &Folder) -> Result<Ports> {
    let config = folder.config();
    let shown = config.display();
    let loaded = control::load(&config, RevisionId::default())
        .with_context(|| format!("load `{shown}`; `giaolien check {shown}` says more"))?;
    let mut ports = Ports {
        gateway: loaded.gateway.listen.port(),
        admin: loaded.gateway.admin.as_ref().map_or(0, |admin| admin.listen.port()),
        metrics: loaded.gateway.metrics.map_or(0, |metrics| metrics.port()),
        nodes: [0; 5],
    };
    for (port, kind) in ports.nodes.iter_mut().zip(NodeKind::ALL) {
        let id = node_id(kind);
        let node = loaded.source.nodes.iter().find(|node| node.id.as_str() == id);
        let endpoint = node.and_then(|node| node.endpoints.first());
        let endpoint = endpoint.with_context(|| {
            format!("node `{id}` is missing in `{shown}`; a sandbox needs all five")
        })?;
        *port = endpoint.port;
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::super::pki;
    use super::*;

    #[test]
    fn the_configuration_is_good_and_keeps_its_ports() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::choose(Some(dir.path())).unwrap();
        pki::create(&folder).unwrap();
        assert!(!folder.is_sandbox());

        let written = Ports::from_base(18_443);
        create(&folder, &written).unwrap();
        assert!(folder.is_sandbox());
        assert_eq!(ports(&folder).unwrap(), written);

        let config = control::load(&folder.config(), RevisionId(1)).unwrap();
        let nodes: Vec<&str> = config.source.nodes.iter().map(|node| node.id.as_str()).collect();
        assert_eq!(nodes.len(), NodeKind::ALL.len());
        assert!(NodeKind::ALL.map(node_id).iter().all(|id| nodes.contains(id)));
        let systems = config.source.systems.iter().map(|system| system.id.as_str());
        let registered: Vec<&str> = systems.collect();
        let mut certified: Vec<&str> = pki::SYSTEMS.to_vec();
        certified.sort_unstable();
        assert_eq!(registered, certified);
    }

    #[test]
    fn every_placeholder_is_filled_in() {
        for (name, text) in FILES {
            assert!(!fill_in(text, &Ports::from_base(1)).contains("${"), "{name}");
        }
    }

    #[test]
    fn every_node_offers_its_service() {
        let nodes = include_str!("config/registry/nodes.yaml");
        for kind in NodeKind::ALL {
            assert!(nodes.contains(&format!("name: {}", kind.service())), "{kind}");
        }
    }
}
