//! The library half of `giaolien authorize`.

use crate::Decision;

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Allow or deny.
    pub decision: Decision,
    /// Ids of the determining policies, sorted.
    pub reasons: Vec<String>,
    /// Ids of the policies that erred, sorted.
    pub errors: Vec<String>,
}

/// The answers to all requests, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// One for each request.
    pub answers: Vec<Answer>,
    /// Whether the input was one object rather than an array.
    pub one: bool,
}

/// Input that cannot be answered.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InputError(String);

/// Answers requests.
pub fn authorize(
    _policies: &str,
    _entities: &str,
    _requests: &str,
    _schema: Option<&str>,
) -> Result<Answers, InputError> {
    todo!()
}
