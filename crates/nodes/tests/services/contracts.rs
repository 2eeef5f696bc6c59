//! What the contracts say about their fields.

use nodes::{DESCRIPTOR_SET, NodeKind};
use protox::prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor, Value};

fn contracts() -> DescriptorPool {
    DescriptorPool::decode(DESCRIPTOR_SET).unwrap()
}

fn messages(pool: &DescriptorPool) -> Vec<MessageDescriptor> {
    pool.all_messages().filter(|message| message.package_name().starts_with("vn.")).collect()
}

fn option(pool: &DescriptorPool, field: &FieldDescriptor, name: &str) -> Value {
    let name = format!("giaolien.annotations.v1.{name}");
    let extension = pool.get_extension_by_name(&name).unwrap();
    field.options().get_extension(&extension).into_owned()
}

#[test]
fn every_service_is_described() {
    let pool = contracts();
    for kind in NodeKind::ALL {
        assert!(pool.get_service_by_name(kind.service()).is_some(), "{kind}");
    }
}

#[test]
fn every_field_has_a_class() {
    let pool = contracts();
    for field in messages(&pool).iter().flat_map(MessageDescriptor::fields) {
        let class = option(&pool, &field, "class").as_enum_number();
        assert!(matches!(class, Some(1..=3)), "{} has class {class:?}", field.full_name());
    }
}

#[test]
fn every_request_about_a_person_names_its_subject() {
    let pool = contracts();
    let subjects = |message: &MessageDescriptor| {
        message
            .fields()
            .filter(|field| option(&pool, field, "subject").as_bool() == Some(true))
            .map(|field| field.name().to_owned())
            .collect::<Vec<_>>()
    };
    for service in pool.services() {
        for method in service.methods() {
            let found = subjects(&method.input());
            // Lists and feeds are about many persons, and name them in their answers.
            let expected = match method.name() {
                "ListChanges" | "WatchChanges" => 0,
                _ => 1,
            };
            assert_eq!(found.len(), expected, "{}: {found:?}", method.full_name());
        }
    }
}

#[test]
fn what_can_harm_is_sensitive() {
    let pool = contracts();
    let sensitive = [
        "vn.population.v1.Citizen.ethnicity",
        "vn.population.v1.Citizen.religion",
        "vn.population.v1.Citizen.blood_group",
        "vn.civilservants.v1.CivilServant.political",
        "vn.civilservants.v1.Political.party_post",
        "vn.civilservants.v1.Conduct.disciplines",
        "vn.civilservants.v1.Salary.coefficient_hundredths",
        "vn.socialsecurity.v1.Benefit.group_code",
        "vn.insurance.v1.ContributionPeriod.monthly_wage_vnd",
        "vn.generaldata.v1.Record.payload",
    ];
    for name in sensitive {
        let (message, field) = name.rsplit_once('.').unwrap();
        let message = pool.get_message_by_name(message).unwrap();
        let field = message.get_field_by_name(field).unwrap();
        assert_eq!(option(&pool, &field, "class").as_enum_number(), Some(3), "{name}");
    }
}
