//! A civil servant's salary is raised by the provincial department, and the general database
//! hears of it.

use anyhow::Result;
use model::{Clock, SystemClock};
use nodes::proto::civilservants::v1::civil_servant_service_client::CivilServantServiceClient;
use nodes::proto::civilservants::v1::{
    CivilServant, CivilServantChange, GetProfileRequest, GetProfileResponse, Operation,
    SubmitChangeRequest, SubmitChangeResponse, WatchChangesRequest,
};

use super::super::cast::Cast;
use super::super::consumers::{Call, Consumers, Expected};
use super::{collect, must};

const DEPARTMENT: &str = "H26.15";
/// What a step adds to the coefficient, in hundredths.
const STEP_HUNDREDTHS: u32 = 33;
/// How many changes before the new one are asked for too.
const CHANGES_BEFORE: u64 = 3;

const PROFILE: Call = Call {
    name: "read a civil servant's record",
    system: "can-bo-so-noi-vu",
    node: "civil-servants",
    method: "GetProfile",
    purpose: "quan-ly-can-bo",
    dossier: None,
    expected: Expected::Answer,
};
const SUBMIT: Call =
    Call { name: "change a civil servant's record", method: "SubmitChange", ..PROFILE };
const WATCH: Call = Call {
    name: "watch changes",
    system: "dong-bo-tong-hop",
    method: "WatchChanges",
    purpose: "dong-bo-tong-hop",
    ..PROFILE
};

/// A record after its change.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) profile: CivilServant,
    pub(super) version: u64,
}

/// Reads a record, raises its salary and looks for that in the feed. Returns the record as it
/// stands then; `None` if a call failed.
pub(super) async fn change_and_watch(
    consumers: &mut Consumers<'_>,
    cast: &Cast,
) -> Result<Option<Changed>> {
    let Some(read) = read(consumers, cast).await? else {
        consumers.skip(SUBMIT.name);
        return Ok(None);
    };
    let mut profile = read.profile.unwrap_or_default();
    let salary = profile.salary.get_or_insert_default();
    salary.step += 1;
    salary.coefficient_hundredths += STEP_HUNDREDTHS;
    let Some(submitted) = submit(consumers, &profile, read.version).await? else {
        consumers.skip(WATCH.name);
        return Ok(None);
    };
    watch(consumers, &submitted).await?;
    Ok(Some(Changed { profile, version: submitted.version }))
}

async fn read(consumers: &mut Consumers<'_>, cast: &Cast) -> Result<Option<GetProfileResponse>> {
    let person = &cast.civil_servant;
    let message = GetProfileRequest {
        personal_number: person.personal_number.clone(),
        full_name: person.full_name.clone(),
        groups: Vec::new(),
    };
    let profile =
        async |channel, request| CivilServantServiceClient::new(channel).get_profile(request).await;
    let read = |answer: &GetProfileResponse| {
        let found = answer.profile.clone().unwrap_or_default();
        let position = found.position.clone().unwrap_or_default();
        let line = format!(
            "{}, {} in {}, {}, version {}",
            found.full_name,
            position.title,
            found.unit_code,
            salary(&found),
            answer.version
        );
        must(found.personal_number == person.personal_number, line)
    };
    consumers.call(PROFILE, message, profile, read).await
}

async fn submit(
    consumers: &mut Consumers<'_>,
    profile: &CivilServant,
    base_version: u64,
) -> Result<Option<SubmitChangeResponse>> {
    let now = SystemClock.now();
    let message = SubmitChangeRequest {
        // Unique among the runs on one country.
        transaction_id: format!("{DEPARTMENT}-{}", now.as_micros()),
        supplier_unit: DEPARTMENT.to_owned(),
        operation: Operation::Edit.into(),
        personal_number: profile.personal_number.clone(),
        profile: Some(profile.clone()),
        base_version,
        decision_number: "128/QĐ-SNV".to_owned(),
        effective_date: now.to_string().chars().take("2026-07-01".len()).collect(),
    };
    let submit = async |channel, request| {
        CivilServantServiceClient::new(channel).submit_change(request).await
    };
    let read = |answer: &SubmitChangeResponse| {
        let line = format!(
            "{}, now version {}, change {} in the feed",
            salary(profile),
            answer.version,
            answer.sequence
        );
        must(answer.version == base_version + 1 && !answer.repeated_transaction, line)
    };
    consumers.call(SUBMIT, message, submit, read).await
}

async fn watch(consumers: &mut Consumers<'_>, submitted: &SubmitChangeResponse) -> Result<()> {
    let message = WatchChangesRequest {
        after_sequence: submitted.sequence.saturating_sub(CHANGES_BEFORE + 1),
        ..WatchChangesRequest::default()
    };
    let watch = async |channel, request| {
        collect(CivilServantServiceClient::new(channel).watch_changes(request).await?).await
    };
    let read = |changes: &Vec<CivilServantChange>| {
        let last = changes.last().cloned().unwrap_or_default();
        let line = format!(
            "{} changes, the last: {:?} of {} in {}, version {}",
            changes.len(),
            last.operation(),
            last.personal_number,
            last.unit_code,
            last.version
        );
        let is_ours = |change: &CivilServantChange| {
            (change.sequence, change.version) == (submitted.sequence, submitted.version)
        };
        must(changes.iter().any(is_ours), line)
    };
    consumers.call(WATCH, message, watch, read).await?;
    Ok(())
}

fn salary(profile: &CivilServant) -> String {
    let salary = profile.salary.clone().unwrap_or_default();
    let (whole, hundredths) =
        (salary.coefficient_hundredths / 100, salary.coefficient_hundredths % 100);
    format!("salary step {}, coefficient {whole}.{hundredths:02}", salary.step)
}
