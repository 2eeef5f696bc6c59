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
