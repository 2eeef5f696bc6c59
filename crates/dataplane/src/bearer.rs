//! The token of a call: taken from its head, and remembered so that it is checked once.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use model::{Reason, Refusal, Timestamp};
use policy::{Route, Token};
use sha2::{Digest, Sha256};

use crate::gateway::Worker;
use crate::live::Revision;
use crate::token::{LEEWAY, TOKEN_BYTES_MAX};

/// Tokens that a worker remembers.
const TOKENS_MAX: usize = 1024;

/// The token that stands behind the call, if one was sent.
///
/// # Errors
///
/// Refuses a token that does not hold, where the gateway is meant to judge it: some issuer is
/// configured and the route does not leave `authorization` to the node.
pub(crate) fn token(
    worker: &Worker,
    revision: &Arc<Revision>,
    route: &Route<'_>,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Option<Rc<Token>>, Refusal> {
    if revision.issuers.is_empty() || !headers.contains_key(AUTHORIZATION) {
        return Ok(None);
    }
    let held =
        bearer(headers).and_then(|token| worker.tokens.borrow_mut().validate(revision, token, now));
    match held {
        Ok(token) => Ok(Some(token)),
        Err(_) if route.limits.pass_authorization => Ok(None),
        Err(cause) => Err(Refusal::new(Reason::TokenInvalid).because(cause)),
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, String> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(only), None) = (values.next(), values.next()) else {
        return Err("several values of `authorization`".to_owned());
    };
    only.to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
        .map(|(_, token)| token.trim_matches(' '))
        .ok_or_else(|| "`authorization` is not a bearer token".to_owned())
}

/// The tokens that held under one revision, by their digest.
#[derive(Default)]
pub(crate) struct Tokens {
    /// Keeps the revision's place in memory, so that no later one can be taken for it, but
    /// nothing that it holds.
    revision: Weak<Revision>,
    held: HashMap<[u8; 32], Rc<Token>>,
}

impl Tokens {
    fn validate(
        &mut self,
        revision: &Arc<Revision>,
        token: &str,
        now: Timestamp,
    ) -> Result<Rc<Token>, String> {
        if !std::ptr::eq(self.revision.as_ptr(), Arc::as_ptr(revision)) {
            self.held.clear();
            self.revision = Arc::downgrade(revision);
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(crate::token::TokenError::TooLong.to_string());
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(held) = self.held.get(&digest).filter(|held| lasts(held, now)) {
            return Ok(held.clone());
        }
        let token = revision.issuers.validate(token, now).map_err(|error| error.to_string())?;
        let token = Rc::new(token);
        self.make_room(now);
        self.held.insert(digest, token.clone());
        Ok(token)
    }

    fn make_room(&mut self, now: Timestamp) {
        if self.held.len() >= TOKENS_MAX {
            self.held.retain(|_, held| lasts(held, now));
        }
        if self.held.len() >= TOKENS_MAX {
            self.held.clear();
        }
    }
}

fn lasts(token: &Token, now: Timestamp) -> bool {
    now < token.expires.after(LEEWAY)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;
    use crate::live::Live;
    use crate::token::{IssuerSettings, Issuers};

    /// A revision with one issuer, and a way to have tokens of it that end at a second.
    fn issuing() -> (Arc<Revision>, impl Fn(u64, usize) -> String) {
        let pair = Ed25519KeyPair::generate().unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        let keys = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x }] });
        let settings = IssuerSettings {
            issuer: "i".into(),
            audience: "a".into(),
            keys: keys.to_string().into(),
            level_claim: "acr".into(),
            unit_claim: "unit".into(),
            roles_claim: "roles".into(),
        };
        let issuers = Issuers::new(vec![settings]).unwrap();
        let revision = Live::with_issuers(policy::Snapshot::default(), issuers).revision();
        let token = move |expires: u64, number: usize| {
            let claims = json!({ "iss": "i", "aud": "a", "exp": expires, "jti": number });
            let parts = [json!({ "alg": "EdDSA" }), claims];
            let message = parts.map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
            let signature = URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes()));
            format!("{message}.{signature}")
        };
        (revision, token)
    }

    #[test]
    fn tokens_are_remembered_until_they_end() {
        let (revision, token) = issuing();
        let (mut tokens, at) = (Tokens::default(), Timestamp::from_secs);
        let token = token(1_000, 0);
        let first = tokens.validate(&revision, &token, at(500)).unwrap();
        let second = tokens.validate(&revision, &token, at(1_059)).unwrap();
        assert!(Rc::ptr_eq(&first, &second), "checked once");
        assert!(tokens.validate(&revision, &token, at(1_060)).is_err());
        let (other, _) = issuing();
        assert!(tokens.validate(&other, &token, at(500)).is_err(), "another revision");
    }

    #[test]
    fn memory_is_bounded_and_keeps_what_still_lasts() {
        let (revision, token) = issuing();
        let (mut tokens, at) = (Tokens::default(), Timestamp::from_secs);
        for number in 0..TOKENS_MAX {
            let expires = if number == 7 { 2_000 } else { 1_000 };
            tokens.validate(&revision, &token(expires, number), at(500)).unwrap();
        }
        assert_eq!(tokens.held.len(), TOKENS_MAX);
        tokens.validate(&revision, &token(2_000, TOKENS_MAX), at(1_500)).unwrap();
        assert_eq!(tokens.held.len(), 2);
        for number in 0..2 * TOKENS_MAX {
            tokens.validate(&revision, &token(2_000, number), at(1_500)).unwrap();
            assert!(tokens.held.len() <= TOKENS_MAX);
        }
    }
}
