//! Changes that are carried out once, however often their supplier sends them.

use prost::Message;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use sha2::{Digest, Sha256};
use tonic::{Code, Status};

use crate::database::StoreError;

pub(crate) const TABLE: &str = "
CREATE TABLE done (
    id TEXT PRIMARY KEY,
    body BLOB NOT NULL,
    code INTEGER NOT NULL,
    message TEXT NOT NULL,
    answer BLOB NOT NULL
) STRICT, WITHOUT ROWID;";

/// Why a change was not made. It is an outcome like any other: repeating the transaction later
/// gives the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl Refused {
    pub(crate) fn new(code: Code, message: &str) -> Self {
        Self { code, message: message.into() }
    }
}

/// What came of a transaction.
pub(crate) struct Outcome<A> {
    pub(crate) answer: Result<A, Status>,
    /// The outcome is that of an earlier call, and nothing was changed by this one.
    pub(crate) repeated: bool,
}

/// A transaction id with the body it stands for.
pub(crate) struct Ticket {
    id: String,
    body: Vec<u8>,
}

impl Ticket {
    pub(crate) fn new(id: String, body: &impl Message) -> Self {
        Self { id, body: Sha256::digest(body.encode_to_vec()).to_vec() }
    }

    /// Carries a change out, unless it was before. The outcome is kept in the same database
    /// transaction as the change, so there is never one without the other.
    pub(crate) fn once<A: Message + Default>(
        &self,
        db: &Transaction<'_>,
        change: impl FnOnce(&Transaction<'_>) -> Result<Result<A, Refused>, StoreError>,
    ) -> Result<Outcome<A>, StoreError> {
        if let Some(earlier) = self.earlier(db)? {
            return Ok(Outcome { answer: earlier, repeated: true });
        }
        let answer = change(db)?;
        self.keep(db, &answer)?;
        let answer = answer.map_err(|refused| Status::new(refused.code, refused.message));
        Ok(Outcome { answer, repeated: false })
    }

    fn earlier<A: Message + Default>(
        &self,
        db: &Connection,
    ) -> Result<Option<Result<A, Status>>, StoreError> {
        let mut statement =
            db.prepare_cached("SELECT body, code, message, answer FROM done WHERE id = ?1")?;
        let found = statement.query_row([&self.id], |row| {
            let (body, code): (Vec<u8>, i32) = (row.get(0)?, row.get(1)?);
            let (message, answer): (String, Vec<u8>) = (row.get(2)?, row.get(3)?);
            Ok((body, code, message, answer))
        });
        let Some((body, code, message, answer)) = found.optional()? else { return Ok(None) };
        if body != self.body {
            let message = format!("transaction `{}` was used with another body", self.id);
            return Ok(Some(Err(Status::already_exists(message))));
        }
        Ok(Some(match Code::from_i32(code) {
            Code::Ok => Ok(A::decode(answer.as_slice())?),
            code => Err(Status::new(code, message)),
        }))
    }

    fn keep<A: Message>(
        &self,
        db: &Connection,
        answer: &Result<A, Refused>,
    ) -> Result<(), StoreError> {
        let (code, message, answer) = match answer {
            Ok(answer) => (Code::Ok, "", answer.encode_to_vec()),
            Err(refused) => (refused.code, refused.message.as_str(), vec![]),
        };
        let mut statement = db.prepare_cached(
            "INSERT INTO done (id, body, code, message, answer) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        statement.execute(params![self.id, self.body, code as i32, message, answer])?;
        Ok(())
    }
}
