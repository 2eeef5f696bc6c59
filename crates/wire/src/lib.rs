//! Generated code of the giaolien packages, and the only conversions between wire and model.
