//! The population node.

use nodes::NodeKind;
use nodes::people::{KnownPerson, Sample};
use nodes::proto::population::v1::population_service_client::PopulationServiceClient;
use nodes::proto::population::v1::*;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::{Node, assert_invalid};

fn context() -> Option<CaseContext> {
    Some(CaseContext {
        procedure_code: "1.004222".into(),
        dossier_code: "H26.09-260701-0001".into(),
        officer_number: "901190000007".into(),
        officer_unit: "H26.09".into(),
    })
}

fn look_up(person: &KnownPerson) -> LookUpPersonRequest {
    LookUpPersonRequest {
        context: context(),
        personal_number: person.personal_number.clone(),
        full_name: person.full_name.clone(),
        birth_date: person.birth_date.clone(),
    }
}

fn verify(person: &KnownPerson) -> VerifyPersonRequest {
    VerifyPersonRequest {
        context: context(),
        personal_number: person.personal_number.clone(),
        full_name: person.full_name.clone(),
        birth_date: person.birth_date.clone(),
    }
}

async fn start() -> (Node, PopulationServiceClient<Channel>) {
    let node = Node::start(NodeKind::Population).await;
    let client = PopulationServiceClient::new(node.connect().await);
    (node, client)
}

#[tokio::test]
async fn a_person_is_looked_up_by_number_name_and_birth_date() {
    let (node, mut client) = start().await;
    let person = node.country.people().sample(Sample::Adult, 5).unwrap();
    let answer = client.look_up_person(look_up(&person)).await.unwrap().into_inner();
    let citizen = answer.citizen.unwrap();
    assert_eq!(citizen.full_name, person.full_name);
    assert_eq!(citizen.permanent_residence.unwrap().province_code, person.province_code);
    let shouted =
        LookUpPersonRequest { full_name: person.full_name.to_uppercase(), ..look_up(&person) };
    assert!(client.look_up_person(shouted).await.is_ok());
}

#[tokio::test]
async fn a_failed_look_up_does_not_tell_what_differed() {
    let (node, mut client) = start().await;
    let person = node.country.people().sample(Sample::Adult, 5).unwrap();
    let wrong = [
        LookUpPersonRequest { full_name: "Nguyễn Văn Không".into(), ..look_up(&person) },
        LookUpPersonRequest { birth_date: "1901-01-01".into(), ..look_up(&person) },
        LookUpPersonRequest { personal_number: "999999999999".into(), ..look_up(&person) },
    ];
    for request in wrong {
        let status = client.look_up_person(request).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "no person has this number, name and birth date");
        assert!(status.details().is_empty());
    }
}

#[tokio::test]
async fn malformed_requests_name_the_field() {
    let (node, mut client) = start().await;
    let person = node.country.people().sample(Sample::Adult, 0).unwrap();
    let with_context = |change: fn(&mut CaseContext)| {
        let mut context = context().unwrap();
        change(&mut context);
        LookUpPersonRequest { context: Some(context), ..look_up(&person) }
    };
    let cases = [
        (LookUpPersonRequest { context: None, ..look_up(&person) }, "context"),
        (with_context(|it| it.procedure_code.clear()), "context.procedure_code"),
        (with_context(|it| it.dossier_code = "a b".into()), "context.dossier_code"),
        (with_context(|it| it.officer_number.truncate(11)), "context.officer_number"),
        (with_context(|it| it.officer_unit = "Z01".into()), "context.officer_unit"),
        (
            LookUpPersonRequest { personal_number: "12".into(), ..look_up(&person) },
            "personal_number",
        ),
        (LookUpPersonRequest { full_name: " ".into(), ..look_up(&person) }, "full_name"),
        (LookUpPersonRequest { birth_date: "1/2/1990".into(), ..look_up(&person) }, "birth_date"),
    ];
    for (request, field) in cases {
        let status = client.look_up_person(request).await.unwrap_err();
        assert_invalid(&status, field);
    }
}

#[tokio::test]
async fn verifying_says_what_differs_and_nothing_else() {
    let (node, mut client) = start().await;
    let person = node.country.people().sample(Sample::Adult, 1).unwrap();
    let same = client.verify_person(verify(&person)).await.unwrap().into_inner();
    assert!(same.matched && same.life_status() == LifeStatus::Alive);

    let other = VerifyPersonRequest {
        full_name: "Lê Thị Khác".into(),
        birth_date: "1900-01-01".into(),
        ..verify(&person)
    };
    let differs = client.verify_person(other.clone()).await.unwrap().into_inner();
    assert!(!differs.matched);
    let fields: Vec<_> = differs.differing_fields().collect();
    assert_eq!(fields, [ClaimField::FullName, ClaimField::BirthDate]);
    assert_eq!(differs.life_status(), LifeStatus::Unspecified);

    let unknown = VerifyPersonRequest { personal_number: "999999999999".into(), ..other };
    let unknown = client.verify_person(unknown).await.unwrap().into_inner();
    let fields: Vec<_> = unknown.differing_fields().collect();
    assert_eq!(fields, [ClaimField::PersonalNumber]);
}

#[tokio::test]
async fn verifying_tells_of_a_death() {
    let (node, mut client) = start().await;
    let person = node.country.people().sample(Sample::Deceased, 0).unwrap();
    let answer = client.verify_person(verify(&person)).await.unwrap().into_inner();
    assert!(answer.matched);
    assert_eq!(answer.life_status(), LifeStatus::Dead);
}

#[tokio::test]
async fn a_household_is_verified_member_by_member() {
    let (node, mut client) = start().await;
    let household = node.country.people().household(0).unwrap();
    let stranger = node.country.people().household(1).unwrap().remove(0);
    let (head, others) = household.split_first().unwrap();
    let claim = |person: &KnownPerson| MemberClaim {
        personal_number: person.personal_number.clone(),
        full_name: person.full_name.clone(),
        relationship: person.relationship.into(),
    };
    let request = VerifyHouseholdRequest {
        context: context(),
        head_number: head.personal_number.clone(),
        head_full_name: head.full_name.clone(),
        head_birth_date: head.birth_date.clone(),
        members: others.iter().map(claim).collect(),
    };
    let whole = client.verify_household(request.clone()).await.unwrap().into_inner();
    assert!(whole.matched, "{whole:?}");

    // One member misnamed, one stranger, the rest left out.
    let misnamed = MemberClaim { full_name: "Trần Văn Khác".into(), ..claim(&others[0]) };
    let stranger = MemberClaim { relationship: Relationship::Child.into(), ..claim(&stranger) };
    let partly = VerifyHouseholdRequest { members: vec![misnamed, stranger], ..request.clone() };
    let partly = client.verify_household(partly).await.unwrap().into_inner();
    let outcomes: Vec<_> = partly.results.iter().map(MemberResult::outcome).collect();
    assert_eq!(outcomes, [MemberOutcome::Differs, MemberOutcome::NotAMember]);
    assert_eq!(partly.members_not_listed as usize, others.len() - 1);
    assert!(!partly.matched);

    let not_head = VerifyHouseholdRequest {
        head_number: others[0].personal_number.clone(),
        head_full_name: others[0].full_name.clone(),
        head_birth_date: others[0].birth_date.clone(),
        members: vec![],
        ..request.clone()
    };
    let status = client.verify_household(not_head).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);

    let twice = vec![claim(&others[0]), claim(&others[0])];
    let status =
        client.verify_household(VerifyHouseholdRequest { members: twice, ..request }).await;
    assert_invalid(&status.unwrap_err(), "members[1].personal_number");
}

fn changes() -> ListChangesRequest {
    ListChangesRequest {
        context: context(),
        from_date: "2025-07-01".into(),
        to_date: "2026-07-01".into(),
        page_size: 20,
        ..ListChangesRequest::default()
    }
}

async fn all_pages(
    client: &mut PopulationServiceClient<Channel>,
    request: ListChangesRequest,
) -> Vec<CitizenChange> {
    let mut all = vec![];
    let mut page_token = String::new();
    loop {
        let page = ListChangesRequest { page_token, ..request.clone() };
        let page = client.list_changes(page).await.unwrap().into_inner();
        all.extend(page.changes);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

#[tokio::test]
async fn pages_of_changes_join_without_gap_or_overlap() {
    let (_node, mut client) = start().await;
    let whole = all_pages(&mut client, ListChangesRequest { page_size: 500, ..changes() }).await;
    let paged = all_pages(&mut client, changes()).await;
    assert!(whole.len() > 60, "{}", whole.len());
    assert_eq!(whole, paged);
    assert!(whole.is_sorted_by_key(|change| change.changed_on.clone()));
    assert!(whole.iter().all(|change| change.citizen.is_none()));
}

#[tokio::test]
async fn changes_are_limited_to_a_province_and_carry_records() {
    let (_node, mut client) = start().await;
    let request =
        ListChangesRequest { province_code: "79".into(), include_records: true, ..changes() };
    let changes = all_pages(&mut client, request).await;
    assert!(!changes.is_empty());
    for change in changes {
        let citizen = change.citizen.unwrap();
        assert_eq!(citizen.personal_number, change.personal_number);
        assert_eq!(citizen.permanent_residence.unwrap().province_code, "79");
    }
}

#[tokio::test]
async fn a_page_token_belongs_to_its_request() {
    let (_node, mut client) = start().await;
    let first = client.list_changes(changes()).await.unwrap().into_inner();
    let page_token = first.next_page_token;
    let cases = [
        (ListChangesRequest { page_token, province_code: "01".into(), ..changes() }, "page_token"),
        (ListChangesRequest { page_token: "x".into(), ..changes() }, "page_token"),
        (ListChangesRequest { to_date: "2025-07-01".into(), ..changes() }, "to_date"),
        (ListChangesRequest { to_date: "2026-07-03".into(), ..changes() }, "to_date"),
        (ListChangesRequest { province_code: "1".into(), ..changes() }, "province_code"),
    ];
    for (request, field) in cases {
        assert_invalid(&client.list_changes(request).await.unwrap_err(), field);
    }
}
