//! The messages, clients and servers of the five contracts, generated from `proto/vn`.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

/// The five contracts and what they import, as an encoded `google.protobuf.FileDescriptorSet`
/// with comments and field options.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

/// The national population database.
pub mod population {
    /// Package `vn.population.v1`.
    pub mod v1 {
        tonic::include_proto!("vn.population.v1");
    }
}

/// The national database of civil servants.
pub mod civilservants {
    /// Package `vn.civilservants.v1`.
    pub mod v1 {
        tonic::include_proto!("vn.civilservants.v1");
    }
}

/// The national social-security database.
pub mod socialsecurity {
    /// Package `vn.socialsecurity.v1`.
    pub mod v1 {
        tonic::include_proto!("vn.socialsecurity.v1");
    }
}

/// The national insurance database.
pub mod insurance {
    /// Package `vn.insurance.v1`.
    pub mod v1 {
        tonic::include_proto!("vn.insurance.v1");
    }
}

/// The general national database.
pub mod generaldata {
    /// Package `vn.generaldata.v1`.
    pub mod v1 {
        tonic::include_proto!("vn.generaldata.v1");
    }
}
