//! Answers of the population service about people who do not exist.

use crate::population::{
    Citizen, CitizenChange, ListChangesResponse, LookUpPersonResponse, Membership, Place, Relative,
};

/// About 300 bytes: what an identity card shows.
pub fn card() -> LookUpPersonResponse {
    let whole = citizen(1);
    let citizen = Citizen {
        place_of_birth_registration: None,
        current_residence: None,
        temporary_residence: None,
        father: None,
        mother: None,
        spouse: None,
        household: None,
        children: Vec::new(),
        ..whole
    };
    LookUpPersonResponse { citizen: Some(citizen) }
}

/// About 2 KiB: a whole record with a large family.
pub fn record() -> LookUpPersonResponse {
    let mut citizen = citizen(1);
    citizen.children = (0..30).map(|child| relative(100 + child)).collect();
    LookUpPersonResponse { citizen: Some(citizen) }
}

/// About 64 KiB: a page of changes with records.
pub fn page_of_records() -> ListChangesResponse {
    let change = |n| CitizenChange { citizen: Some(citizen(n)), ..change(n) };
    ListChangesResponse { changes: (0..72).map(change).collect(), next_page_token: "t".into() }
}

/// A list of 100 changes without records.
pub fn list() -> ListChangesResponse {
    ListChangesResponse { changes: (0..100).map(change).collect(), next_page_token: "t".into() }
}

fn change(n: u64) -> CitizenChange {
    CitizenChange {
        personal_number: number(n),
        kind: 3,
        changed_on: "2026-03-01".into(),
        citizen: None,
    }
}

fn number(n: u64) -> String {
    format!("9{n:011}")
}

fn relative(n: u64) -> Relative {
    Relative { personal_number: number(n), full_name: "NGUYỄN THỊ MINH HẰNG".into() }
}

fn place() -> Place {
    Place {
        province_code: "01".into(),
        province_name: "Thành phố Hà Nội".into(),
        commune_code: "00070".into(),
        commune_name: "Phường Hoàn Kiếm".into(),
        address: "Số 12 phố Hàng Bài".into(),
    }
}

fn citizen(n: u64) -> Citizen {
    Citizen {
        personal_number: number(n),
        full_name: "TRẦN VĂN BÌNH".into(),
        birth_date: "1984-05-17".into(),
        sex: 1,
        place_of_birth: Some(place()),
        place_of_birth_registration: Some(place()),
        place_of_origin: Some(place()),
        ethnicity: "Kinh".into(),
        religion: "Không".into(),
        nationality: "VNM".into(),
        blood_group: 1,
        card_issued_on: "2024-07-01".into(),
        card_expires_on: "2044-05-17".into(),
        marital_status: 2,
        father: Some(relative(n + 1)),
        mother: Some(relative(n + 2)),
        spouse: Some(relative(n + 3)),
        children: vec![relative(n + 4), relative(n + 5)],
        permanent_residence: Some(place()),
        temporary_residence: Some(place()),
        current_residence: Some(place()),
        household: Some(Membership {
            household_number: "012345678".into(),
            head_number: number(n),
            relationship: 1,
        }),
        life_status: 1,
        phone: "0900000000".into(),
        ..Citizen::default()
    }
}
