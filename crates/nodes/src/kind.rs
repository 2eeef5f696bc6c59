//! The five kinds of nodes.

use std::fmt;

use crate::proto;

/// Which national database a node serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// The national population database.
    Population,
    /// The national database of civil servants.
    CivilServants,
    /// The national social-security database.
    SocialSecurity,
    /// The national insurance database.
    Insurance,
    /// The general national database at the National Data Centre.
    GeneralData,
}

impl NodeKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::Population,
        Self::CivilServants,
        Self::SocialSecurity,
        Self::Insurance,
        Self::GeneralData,
    ];

    /// A short name: lower-case letters, fit for a file or a host name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Population => "population",
            Self::CivilServants => "civilservants",
            Self::SocialSecurity => "socialsecurity",
            Self::Insurance => "insurance",
            Self::GeneralData => "generaldata",
        }
    }

    /// The file name of the database, such as `population.db`.
    pub fn file_name(self) -> String {
        format!("{}.db", self.name())
    }

    /// The full name of the gRPC service, such as `vn.population.v1.PopulationService`.
    pub fn service(self) -> &'static str {
        match self {
            Self::Population => proto::population::v1::population_service_server::SERVICE_NAME,
            Self::CivilServants => {
                proto::civilservants::v1::civil_servant_service_server::SERVICE_NAME
            }
            Self::SocialSecurity => {
                proto::socialsecurity::v1::social_security_service_server::SERVICE_NAME
            }
            Self::Insurance => proto::insurance::v1::insurance_service_server::SERVICE_NAME,
            Self::GeneralData => proto::generaldata::v1::general_data_service_server::SERVICE_NAME,
        }
    }
}

impl fmt::Display for NodeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
