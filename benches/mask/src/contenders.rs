//! The same filters as masks, over generated types and over descriptors.

use mask::{Contract, Mask, Selection};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage, Value};

use crate::population::{Citizen, ListChangesResponse, LookUpPersonResponse, Place};

/// What an agreement covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreed {
    /// All but what is sensitive: three fields of a citizen are withheld.
    Basic,
    /// A commune that verifies a residence: number, name, birth date, province and commune.
    Residence,
    /// Everything: the message passes untouched.
    All,
}

impl Agreed {
    pub const ALL: [Self; 3] = [Self::Basic, Self::Residence, Self::All];

    pub fn words(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Residence => "five fields",
            Self::All => "all",
        }
    }

    fn items(self, prefix: &str) -> Vec<String> {
        match self {
            Self::Basic => vec!["open".into(), "basic".into()],
            Self::All => vec!["open".into(), "basic".into(), "sensitive".into()],
            Self::Residence => {
                let mut items: Vec<_> = KEPT.iter().map(|name| format!("{prefix}{name}")).collect();
                items.extend(IN_PLACE.iter().map(|name| format!("{prefix}{PLACE}.{name}")));
                if prefix.starts_with("changes.") {
                    items.push("changes.personal_number".into());
                    items.push("next_page_token".into());
                }
                items
            }
        }
    }

    /// The mask for answers of this type.
    pub fn mask(self, contract: &Contract, message: &str) -> anyhow::Result<Mask> {
        let prefix = match message {
            "vn.population.v1.ListChangesResponse" => "changes.citizen.",
            _ => "citizen.",
        };
        let items = self.items(prefix);
        let selection = Selection::from_items(items.iter().map(String::as_str));
        Mask::compile(contract, message, &selection)
            .map_err(|problems| anyhow::anyhow!("{problems:?}"))
    }
}

const SENSITIVE: [&str; 3] = ["ethnicity", "religion", "blood_group"];
const KEPT: [&str; 3] = ["personal_number", "full_name", "birth_date"];
const PLACE: &str = "permanent_residence";
const IN_PLACE: [&str; 2] = ["province_name", "commune_name"];

/// A generated type that can be filtered.
pub trait Generated: prost::Message + Default + PartialEq {
    fn filter(&mut self, agreed: Agreed);
}

impl Generated for LookUpPersonResponse {
    fn filter(&mut self, agreed: Agreed) {
        if let Some(citizen) = &mut self.citizen {
            filter_citizen(citizen, agreed);
        }
    }
}

impl Generated for ListChangesResponse {
    fn filter(&mut self, agreed: Agreed) {
        for change in &mut self.changes {
            if agreed == Agreed::Residence {
                change.kind = 0;
                change.changed_on = String::new();
            }
            if let Some(citizen) = &mut change.citizen {
                filter_citizen(citizen, agreed);
            }
        }
    }
}

fn filter_citizen(citizen: &mut Citizen, agreed: Agreed) {
    match agreed {
        Agreed::All => {}
        Agreed::Basic => {
            citizen.ethnicity = String::new();
            citizen.religion = String::new();
            citizen.blood_group = 0;
        }
        Agreed::Residence => {
            let whole = std::mem::take(citizen);
            *citizen = Citizen {
                personal_number: whole.personal_number,
                full_name: whole.full_name,
                birth_date: whole.birth_date,
                permanent_residence: whole.permanent_residence.map(|place| Place {
                    province_name: place.province_name,
                    commune_name: place.commune_name,
                    ..Place::default()
                }),
                ..Citizen::default()
            };
        }
    }
}

/// The descriptor of an answer, for messages without generated types.
pub fn descriptor(pool: &DescriptorPool, name: &str) -> anyhow::Result<MessageDescriptor> {
    pool.get_message_by_name(name).ok_or_else(|| anyhow::anyhow!("no message `{name}`"))
}

/// Filters a message by names. With all fields known beforehand, as a mask has it.
pub fn filter_dynamic(message: &mut DynamicMessage, agreed: Agreed) {
    if agreed == Agreed::All {
        return;
    }
    if let Some(Value::List(changes)) = message.get_field_by_name_mut("changes") {
        for change in changes {
            let Value::Message(change) = change else { continue };
            if agreed == Agreed::Residence {
                change.clear_field_by_name("kind");
                change.clear_field_by_name("changed_on");
            }
            filter_dynamic(change, agreed);
        }
        return;
    }
    if !message.has_field_by_name("citizen") {
        return;
    }
    let Some(Value::Message(citizen)) = message.get_field_by_name_mut("citizen") else { return };
    match agreed {
        Agreed::Basic => SENSITIVE.iter().for_each(|name| citizen.clear_field_by_name(name)),
        _ => {
            keep(citizen, |name| KEPT.contains(&name) || name == PLACE);
            if citizen.has_field_by_name(PLACE)
                && let Some(Value::Message(place)) = citizen.get_field_by_name_mut(PLACE)
            {
                keep(place, |name| IN_PLACE.contains(&name));
            }
        }
    }
}

fn keep(message: &mut DynamicMessage, is_kept: impl Fn(&str) -> bool) {
    for field in message.descriptor().fields().filter(|field| !is_kept(field.name())) {
        message.clear_field(&field);
    }
}
