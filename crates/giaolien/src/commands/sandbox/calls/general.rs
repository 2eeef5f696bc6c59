//! The Ministry of Home Affairs sends records to the general database and compares what both hold.

use anyhow::Result;
use nodes::proto::generaldata::v1::general_data_service_client::GeneralDataServiceClient;
use nodes::proto::generaldata::v1::{
    Comparison, ReconcileRequest, ReconcileResponse, Record, SynchroniseResponse,
};
use prost::Message;
use sha2::{Digest, Sha256};

use super::super::consumers::{Call, Consumers, Expected};
use super::servants::Changed;
use super::{collect, must};

/// The ministry, as the source of its records.
const SOURCE: &str = "G09";
const CIVIL_SERVANTS: &str = "civil-servants";
const ORGANISATIONS: [(&str, &str); 2] =
    [("G09.05", "Trung tâm Công nghệ thông tin"), ("H26.15", "Sở Nội vụ thành phố Hà Nội")];
/// A number under which nothing stands.
const NOBODY: &str = "999999999999";

const SYNCHRONISE: Call = Call {
    name: "synchronise records",
    system: "kho-du-lieu-noi-vu",
    node: "general-data",
    method: "Synchronise",
    purpose: "dong-bo-tong-hop",
    dossier: None,
    expected: Expected::Answer,
};
const RECONCILE: Call = Call { name: "reconcile records", method: "Reconcile", ..SYNCHRONISE };

/// Sends the changed record and some organisations, then compares.
pub(super) async fn synchronise_and_reconcile(
    consumers: &mut Consumers<'_>,
    changed: &Changed,
) -> Result<()> {
    let records = records(changed);
    let sent = records.len();
    let synchronise =
        async |channel, request| GeneralDataServiceClient::new(channel).synchronise(request).await;
    let read = |answer: &SynchroniseResponse| {
        let SynchroniseResponse { accepted, rejected, .. } = *answer;
        let line = format!("{sent} records sent, {accepted} accepted, {rejected} rejected");
        must(accepted == sent as u64 && rejected == 0, line)
    };
    consumers.call(SYNCHRONISE, tokio_stream::iter(records), synchronise, read).await?;
    let items = tokio_stream::iter(items(changed));
    let reconcile = async |channel, request| {
        collect(GeneralDataServiceClient::new(channel).reconcile(request).await?).await
    };
    let read = |answers: &Vec<ReconcileResponse>| {
        let found: Vec<Comparison> = answers.iter().map(ReconcileResponse::comparison).collect();
        let line = format!("{} items compared: {found:?}", answers.len());
        must(found == [Comparison::Same, Comparison::NewerHere, Comparison::Missing], line)
    };
    consumers.call(RECONCILE, items, reconcile, read).await?;
    Ok(())
}

fn records(changed: &Changed) -> Vec<Record> {
    let record = |data_set: &str, key: &str, version, payload| Record {
        source: SOURCE.to_owned(),
        data_set: data_set.to_owned(),
        key: key.to_owned(),
        version,
        payload,
        deleted: false,
    };
    let Changed { profile, version } = changed;
    let servant =
        record(CIVIL_SERVANTS, &profile.personal_number, *version, profile.encode_to_vec().into());
    let organisation =
        |(code, name): (&str, &'static str)| record("organisations", code, 1, name.into());
    [servant].into_iter().chain(ORGANISATIONS.map(organisation)).collect()
}

/// The record as it is, as it was, and one that was never sent.
fn items(changed: &Changed) -> Vec<ReconcileRequest> {
    let Changed { profile, version } = changed;
    let digest = Sha256::digest(profile.encode_to_vec()).to_vec();
    let item = |key: &str, version| ReconcileRequest {
        source: SOURCE.to_owned(),
        data_set: CIVIL_SERVANTS.to_owned(),
        key: key.to_owned(),
        version,
        digest: digest.clone().into(),
    };
    let number = &profile.personal_number;
    vec![item(number, *version), item(number, version.saturating_sub(1)), item(NOBODY, 1)]
}
