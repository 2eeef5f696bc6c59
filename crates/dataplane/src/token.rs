//! Tokens of the people behind a call (RFC 7519), checked against the keys of known issuers.
//!
//! No part of a token is ever shown: not to the caller, not in a log, not in an entry.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use model::Timestamp;
use policy::{MEMBERS_MAX, Token};
use serde_json::{Map, Value};
use thiserror::Error;

/// Longest token, in bytes.
pub(crate) const TOKEN_BYTES_MAX: usize = 8 << 10;
/// How far the clocks of an issuer and of the gateway may be apart.
pub(crate) const LEEWAY: Duration = Duration::from_secs(60);
/// Most keys of an issuer.
const KEYS_MAX: usize = 64;

/// An issuer of tokens, as it is configured.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    /// What its tokens say in `iss`.
    pub issuer: String,
    /// What its tokens must have in `aud`.
    pub audience: String,
    /// Its public keys: a JWK set (RFC 7517) in JSON.
    pub keys: Vec<u8>,
    /// The claim with the level of assurance, a number or its digits.
    pub level_claim: String,
    /// The claim with an official's unit.
    pub unit_claim: String,
    /// The claim with an official's roles, a list or words in one text.
    pub roles_claim: String,
}

/// Why issuers cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum IssuerError {
    /// Two have the same name.
    #[error("issuer `{issuer}` is given twice")]
    Repeated {
        /// The issuer.
        issuer: String,
    },
    /// The keys are no JWK set.
    #[error("keys of issuer `{issuer}` are not a JWK set: {cause}")]
    Keys {
        /// The issuer.
        issuer: String,
        /// What the parser found.
        cause: String,
    },
    /// There are too many keys, or none that signs with an algorithm taken here.
    #[error(
        "issuer `{issuer}` has {found} keys for RS256, PS256, ES256, ES384 or EdDSA, \
         expected 1 to {KEYS_MAX}"
    )]
    KeyCount {
        /// The issuer.
        issuer: String,
        /// How many there are.
        found: usize,
    },
    /// Two keys cannot be told apart.
    #[error("issuer `{issuer}` has several keys with the id `{kid}`")]
    RepeatedKey {
        /// The issuer.
        issuer: String,
        /// The key's id.
        kid: String,
    },
}

/// Why a token does not hold. Says nothing of what the token says.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TokenError {
    /// It is longer than any token taken here.
    #[error("longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// It is not a signed token in compact form with claims in JSON.
    #[error("not a signed JWT in compact form, or one that demands an extension")]
    Form,
    /// Its algorithm is not one of those taken here, or not one of the key's.
    #[error("algorithm not taken here, or not the key's")]
    Algorithm,
    /// Its issuer is not configured.
    #[error("unknown issuer")]
    Issuer,
    /// Its issuer has no such key.
    #[error("unknown key of its issuer")]
    Key,
    /// The signature is not the key's.
    #[error("signature does not hold")]
    Signature,
    /// It is for somebody else.
    #[error("for another audience")]
    Audience,
    /// It has no moment at which it ends.
    #[error("without an end")]
    NoEnd,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// Its time has not come.
    #[error("not valid yet")]
    NotYetValid,
    /// It has more roles than policies can be asked about.
    #[error("more than {MEMBERS_MAX} roles")]
    Roles,
}

/// The issuers whose tokens are taken. Immutable, like the revision they belong to.
#[derive(Default)]
pub struct Issuers(Vec<Issuer>);

struct Issuer {
    settings: IssuerSettings,
    keys: Vec<Key>,
}

struct Key {
    id: Option<String>,
    /// What it may sign with; says so itself, or its kind leaves no other choice.
    algorithms: &'static [Algorithm],
    key: DecodingKey,
}

impl Issuers {
    /// Reads the keys of `settings`.
    ///
    /// # Errors
    ///
    /// Fails if an issuer is given twice, or its keys cannot be read or told apart.
    pub fn new(settings: Vec<IssuerSettings>) -> Result<Self, IssuerError> {
        let mut names = HashSet::new();
        if let Some(twice) = settings.iter().find(|one| !names.insert(one.issuer.as_str())) {
            return Err(IssuerError::Repeated { issuer: twice.issuer.clone() });
        }
        settings.into_iter().map(Issuer::new).collect::<Result<_, _>>().map(Self)
    }

    /// Whether no tokens are taken at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks `token` at the time `now` and reads what policies may ask of it.
    ///
    /// # Errors
    ///
    /// Fails unless a configured issuer signed it for its audience and its time is now.
    pub fn validate(&self, token: &str, now: Timestamp) -> Result<Token, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Form)?;
        let (header, claims) = message.split_once('.').ok_or(TokenError::Form)?;
        let header = header_of(header)?;
        let claims = claims_of(claims)?;
        let name = text(&claims, "iss").ok_or(TokenError::Issuer)?;
        let issuer = self.0.iter().find(|one| one.settings.issuer == name);
        let issuer = issuer.ok_or(TokenError::Issuer)?;
        let key = issuer.key(header.kid.as_deref())?;
        if !key.algorithms.contains(&header.alg) {
            return Err(TokenError::Algorithm);
        }
        // What is read above only chose the key; from here on the claims are the issuer's word.
        match jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.key, header.alg) {
            Ok(true) => issuer.read(&claims, now),
            Ok(false) | Err(_) => Err(TokenError::Signature),
        }
    }
}

/// Names the issuers; keys and settings are of no use to a reader.
impl fmt::Debug for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|one| &one.settings.issuer)).finish()
    }
}

impl Issuer {
    fn new(settings: IssuerSettings) -> Result<Self, IssuerError> {
        let issuer = || settings.issuer.clone();
        let set: JwkSet = serde_json::from_slice(&settings.keys)
            .map_err(|error| IssuerError::Keys { issuer: issuer(), cause: error.to_string() })?;
        let mut keys: Vec<Key> = Vec::new();
        for jwk in &set.keys {
            let key = Key::new(jwk).map_err(|error| IssuerError::Keys {
                issuer: issuer(),
                cause: error.to_string(),
            })?;
            let Some(key) = key else { continue };
            if keys.iter().any(|other| other.id == key.id) {
                let kid = key.id.unwrap_or_default();
                return Err(IssuerError::RepeatedKey { issuer: issuer(), kid });
            }
            keys.push(key);
        }
        match keys.len() {
            1..=KEYS_MAX => Ok(Self { settings, keys }),
            found => Err(IssuerError::KeyCount { issuer: issuer(), found }),
        }
    }

    /// The key that a token names, or the only one.
    fn key(&self, id: Option<&str>) -> Result<&Key, TokenError> {
        let found = match (id, self.keys.as_slice()) {
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        found.ok_or(TokenError::Key)
    }

    /// Checks the claims of a token that this issuer signed, and reads them.
    fn read(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<Token, TokenError> {
        let expected = self.settings.audience.as_str();
        let meant = match claims.get("aud") {
            Some(Value::String(one)) => one == expected,
            Some(Value::Array(several)) => several.iter().any(|one| one == expected),
            _ => false,
        };
        if !meant {
            return Err(TokenError::Audience);
        }
        let expires = claims.get("exp").and_then(moment).ok_or(TokenError::NoEnd)?;
        if now >= expires.after(LEEWAY) {
            return Err(TokenError::Expired);
        }
        if let Some(begins) = claims.get("nbf") {
            let begins = moment(begins).ok_or(TokenError::NotYetValid)?;
            if now.after(LEEWAY) < begins {
                return Err(TokenError::NotYetValid);
            }
        }
        let settings = &self.settings;
        let roles = claims.get(&settings.roles_claim).map(roles).unwrap_or_default();
        if roles.len() > MEMBERS_MAX {
            return Err(TokenError::Roles);
        }
        Ok(Token {
            issuer: settings.issuer.as_str().into(),
            subject: text(claims, "sub").map(Into::into),
            level: claims.get(&settings.level_claim).and_then(level),
            unit: text(claims, &settings.unit_claim).map(Into::into),
            roles,
            expires,
        })
    }
}

impl Key {
    /// The key for signatures that `jwk` describes; `None` for another use or algorithm.
    fn new(jwk: &Jwk) -> Result<Option<Self>, jsonwebtoken::errors::Error> {
        let common = &jwk.common;
        if common.public_key_use.as_ref().is_some_and(|r#use| *r#use != PublicKeyUse::Signature) {
            return Ok(None);
        }
        let verifies =
            |operations: &Vec<KeyOperations>| operations.contains(&KeyOperations::Verify);
        if !common.key_operations.as_ref().is_none_or(verifies) {
            return Ok(None);
        }
        let algorithms: &'static [Algorithm] = match (&jwk.algorithm, common.key_algorithm) {
            (AlgorithmParameters::RSA(_), None) => &[Algorithm::RS256, Algorithm::PS256],
            (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::RS256)) => &[Algorithm::RS256],
            (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::PS256)) => &[Algorithm::PS256],
            (AlgorithmParameters::EllipticCurve(key), stated) => match (&key.curve, stated) {
                (EllipticCurve::P256, None | Some(KeyAlgorithm::ES256)) => &[Algorithm::ES256],
                (EllipticCurve::P384, None | Some(KeyAlgorithm::ES384)) => &[Algorithm::ES384],
                _ => return Ok(None),
            },
            (AlgorithmParameters::OctetKeyPair(key), None | Some(KeyAlgorithm::EdDSA))
                if key.curve == EllipticCurve::Ed25519 =>
            {
                &[Algorithm::EdDSA]
            }
            _ => return Ok(None),
        };
        let key = DecodingKey::from_jwk(jwk)?;
        Ok(Some(Self { id: common.key_id.clone(), algorithms, key }))
    }
}

fn header_of(text: &str) -> Result<Header, TokenError> {
    let value = json(text)?;
    // Whoever names extensions demands that they be understood (RFC 7515, 4.1.11).
    if value.get("crit").is_some() {
        return Err(TokenError::Form);
    }
    // Beside its form, only an unknown algorithm can be wrong with it.
    serde_json::from_value(value).map_err(|_| TokenError::Algorithm)
}

fn claims_of(text: &str) -> Result<Map<String, Value>, TokenError> {
    match json(text)? {
        Value::Object(claims) => Ok(claims),
        _ => Err(TokenError::Form),
    }
}

fn json(text: &str) -> Result<Value, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Form)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Form)
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// Seconds since the epoch, perhaps with a fraction (RFC 7519, 2).
fn moment(value: &Value) -> Option<Timestamp> {
    match value.as_u64() {
        Some(secs) => Some(Timestamp::from_secs(secs)),
        None => value.as_f64().filter(|secs| *secs >= 0.0).map(|secs| {
            // Beyond the range the cast stays at its end.
            Timestamp::from_micros((secs * 1e6) as u64)
        }),
    }
}

/// A level as a number, or as digits such as VNeID's `02`.
fn level(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok()
        }
        _ => None,
    }
}

fn roles(value: &Value) -> Vec<Box<str>> {
    match value {
        Value::String(words) => words.split_ascii_whitespace().map(Box::from).collect(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).map(Box::from).collect(),
        _ => Vec::new(),
    }
}
