//! Test certificate authority, stopped clock, echo node: what tests and the sandbox share.
