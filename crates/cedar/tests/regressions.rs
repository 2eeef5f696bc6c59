//! What comparisons with the reference crate have found once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use support::{check, entities, policies, request};

/// The standard library writes these addresses with dots, which Cedar does not read.
#[test]
fn an_ipv4_address_within_ipv6_reaches_the_reference() {
    let data = r#"[{"uid":{"type":"User","id":"an"},"parents":[],
        "attrs":{"address":{"__extn":{"fn":"ip","arg":"::ffff:7f00:1"}}}}]"#;
    // A call with an argument too many is left to the reference, which needs the entities.
    let policies = policies(
        r#"permit(principal, action, resource) when { principal.address == ip("::ffff:7f00:1") };
           forbid(principal, action, resource) when { ip(principal.address, 1) == 1 };"#,
    );
    let context = r#"{"from":{"__extn":{"fn":"ip","arg":"::ffff:7f00:1/96"}}}"#;
    let request = request(r#"User::"an""#, r#"Action::"read""#, r#"Doc::"a""#, context);
    check(&policies, &entities(data), &[request]);
}
