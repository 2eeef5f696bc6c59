//! The certificates and keys of a sandbox. They protect nothing: the authority is thrown away.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nodes::NodeKind;
use testkit::{Authority, Profile};
use tlog::Signer;

use super::config::node_id;
use super::folder::{self, Folder};

/// The systems of the registry.
pub(super) const SYSTEMS: [&str; 8] = [
    "can-bo-so-noi-vu",
    "chi-tra-kho-bac",
    "dong-bo-tong-hop",
    "kho-du-lieu-noi-vu",
    "mot-cua-dong-my",
    "mot-cua-phuc-xa",
    "mot-cua-yen-hoa",
    "quan-ly-can-bo",
];

/// A certificate that is registered with no system.
pub(super) const UNREGISTERED: &str = "chua-dang-ky";
/// The authority of all certificates.
pub(super) const AUTHORITY: &str = "ca";
/// What the gateway proves itself with to nodes.
pub(super) const GATEWAY_CLIENT: &str = "gateway-client";

const AUTHORITY_NAME: &str = "Giao Lien sandbox authority";
/// The name of the ledger, as `gateway.yaml` has it.
const ORIGIN: &str = "sandbox.giaolien.example/gw1";

/// Makes the authority, all certificates and the ledger's keys.
pub(super) fn create(folder: &Folder) -> Result<()> {
    let authority = Authority::new(AUTHORITY_NAME).context("make a certificate authority")?;
    folder::write(&folder.certificate(AUTHORITY), authority.certificate_pem().as_bytes())?;
    let servers = ["gateway"].into_iter().chain(NodeKind::ALL.map(node_id));
    let clients = [GATEWAY_CLIENT, "operator", UNREGISTERED].into_iter().chain(SYSTEMS);
    let servers = servers.map(|name| (name, Profile::Server));
    for (name, profile) in servers.chain(clients.map(|name| (name, Profile::Client))) {
        let issued = authority
            .issue(name, profile)
            .with_context(|| format!("issue the certificate of `{name}`"))?;
        folder::write(&folder.certificate(name), issued.certificate_pem.as_bytes())?;
        folder::write_private(&folder.key(name), issued.key_pem.as_bytes())?;
    }
    let (signer, pem) = Signer::generate(ORIGIN.parse()?).context("make the ledger's key")?;
    let public = format!("{}\n", signer.verifying_key());
    folder::write_private(&folder.key("ledger"), pem.as_bytes())?;
    folder::write(&folder.ledger_key(), public.as_bytes())?;
    folder::write_private(&folder.key("pseudonyms-2026"), pseudonym_key()?.as_bytes())?;
    // Beside the receipts, so that they can be checked as they lie.
    folder::write(&folder.receipts().join("ledger.pub"), public.as_bytes())
}

/// A new key that persons stand in the ledger under: 32 random bytes in hexadecimal.
fn pseudonym_key() -> Result<String> {
    let random = audit::Keys::generate().context("make a key for pseudonyms")?;
    let bytes = STANDARD.decode(random.trim()).context("make a key for pseudonyms")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
