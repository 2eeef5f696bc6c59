//! Messages that are read on the way: masked to the fields agreed, and asked whom they are about.
//!
//! A message is gathered whole, since its length stands before its fields, and passes only when the
//! ledger holds the persons it concerns.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use mask::{Applied, MalformedError, Mask, Watch, Workspace};
use model::{MASKED_FIELDS_MAX, Masked, PersonNumber, Reason, Refusal};

use crate::concerns::{Concerns, Recording};
use crate::gateway::Worker;
use crate::persons::person;

/// gRPC's length-prefixed message: one byte of flags, four of length.
const PREFIX_BYTES: usize = 5;
/// Most bytes of a message where the route says nothing else; gRPC's own default.
const MESSAGE_BYTES_MAX: u64 = 4 << 20;
/// Bytes of all messages that are being gathered, over all workers.
const GATHERED_BYTES_MAX: usize = 256 << 20;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Request,
    Answer,
}

/// What is done to each message.
#[derive(Clone)]
pub(crate) enum Treatment {
    /// Masked; the mask knows whom it is about too.
    Mask(Arc<Mask>),
    /// Only read.
    Watch(Arc<Watch>),
}

/// What a mask withheld so far; the account of the call has it too.
pub(crate) type Withheld = Rc<RefCell<Option<Masked>>>;

/// How the messages of one direction of a call are read.
#[derive(Clone)]
pub(crate) struct Reading {
    way: Way,
    treatment: Treatment,
    message_bytes_max: u64,
    /// Bytes that are gathered, over all workers.
    gathered: Arc<AtomicUsize>,
    workspace: Rc<RefCell<Workspace>>,
    withheld: Withheld,
    /// Where persons go; `None` until the call is admitted.
    concerns: Option<Rc<Concerns>>,
}

impl Reading {
    pub(crate) fn new(
        way: Way,
        treatment: Treatment,
        message_bytes_max: Option<u64>,
        worker: &Worker,
    ) -> Self {
        let masked = match &treatment {
            Treatment::Mask(mask) => {
                Some(Masked { mask: *mask.digest(), withheld: 0, fields: Vec::new() })
            }
            Treatment::Watch(_) => None,
        };
        Self {
            way,
            treatment,
            message_bytes_max: message_bytes_max.unwrap_or(MESSAGE_BYTES_MAX),
            gathered: worker.shared.gathered.clone(),
            workspace: worker.messages.clone(),
            withheld: Rc::new(RefCell::new(masked)),
            concerns: None,
        }
    }

    /// Whether something may be withheld, so that metadata is withheld too.
    pub(crate) fn is_mask(&self) -> bool {
        matches!(self.treatment, Treatment::Mask(_))
    }

    /// What is withheld, as it goes on.
    pub(crate) fn withheld(&self) -> Withheld {
        self.withheld.clone()
    }

    /// From now on persons go to the ledger.
    pub(crate) fn concerning(mut self, concerns: &Rc<Concerns>) -> Self {
        self.concerns = Some(concerns.clone());
        self
    }

    /// The same for a copy, which nobody gets: nothing is counted or recorded.
    pub(crate) fn silent(&self) -> Self {
        let withheld = Rc::new(RefCell::new(self.withheld.borrow().clone()));
        Self { withheld, concerns: None, ..self.clone() }
    }

    /// A lens for one stream.
    pub(crate) fn lens(&self) -> Lens {
        Lens {
            room: Room { all: self.gathered.clone(), taken: 0 },
            reading: self.clone(),
            gathered: BytesMut::new(),
            persons: Vec::new(),
            waiting: None,
            passing: 0,
        }
    }
}

/// Reads the messages of one stream.
pub(crate) struct Lens {
    reading: Reading,
    gathered: BytesMut,
    room: Room,
    /// Persons of messages that came before the call was admitted.
    persons: Vec<PersonNumber>,
    /// A message that waits for the ledger.
    waiting: Option<(Recording, Bytes)>,
    /// Bytes of the last message that passed. They count until the next is asked for, which is when
    /// the receiver has taken it.
    passing: usize,
}

impl Lens {
    /// The persons of the messages that came so far, before the call is admitted.
    pub(crate) fn persons(&self) -> &[PersonNumber] {
        &self.persons
    }

    /// From now on persons go to the ledger.
    pub(crate) fn concerning(&mut self, concerns: &Rc<Concerns>) {
        self.reading.concerns = Some(concerns.clone());
    }

    /// Takes the next bytes of the stream.
    pub(crate) fn gather(&mut self, data: &[u8]) -> Result<(), Refusal> {
        self.room.take(data.len())?;
        self.gathered.extend_from_slice(data);
        Ok(())
    }

    /// Whether the stream may not end here: in the middle of a message, or before the ledger is
    /// done.
    pub(crate) fn is_within_a_message(&self) -> bool {
        !self.gathered.is_empty() || self.waiting.is_some()
    }

    /// The refusal of a stream that ends there all the same.
    pub(crate) fn cut_short(&self) -> Refusal {
        self.malformed("it ended within a message")
    }

    /// The next message that may pass. `None` if more bytes are needed.
    pub(crate) fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Refusal>> {
        if self.waiting.is_none() {
            self.room.give_back(std::mem::take(&mut self.passing));
            let Some(frame) = self.next_frame()? else { return Poll::Ready(Ok(None)) };
            match self.pass(frame)? {
                (message, None) => return Poll::Ready(Ok(Some(message))),
                (message, Some(recording)) => self.waiting = Some((recording, message)),
            }
        }
        let Some((recording, _)) = &mut self.waiting else { return Poll::Ready(Ok(None)) };
        ready!(recording.as_mut().poll(cx))?;
        Poll::Ready(Ok(self.waiting.take().map(|(_, message)| message)))
    }

    /// The next whole message with its prefix.
    fn next_frame(&mut self) -> Result<Option<Bytes>, Refusal> {
        let Some([flags, length @ ..]) = self.gathered.first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        match flags {
            0 => {}
            1 if self.reading.way == Way::Request => {
                return Err(Refusal::new(Reason::CompressionUnsupported));
            }
            _ => return Err(self.malformed("a message is compressed")),
        }
        let length = u32::from_be_bytes(*length);
        if u64::from(length) > self.reading.message_bytes_max {
            let reason = match self.reading.way {
                Way::Request => Reason::RequestTooLarge,
                Way::Answer => Reason::AnswerTooLarge,
            };
            return Err(
                Refusal::new(reason).with("message_bytes_max", self.reading.message_bytes_max)
            );
        }
        let whole = PREFIX_BYTES + length as usize;
        if self.gathered.len() < whole {
            return Ok(None);
        }
        let frame = self.gathered.split_to(whole).freeze();
        self.passing = whole;
        Ok(Some(frame))
    }

    /// What may pass of a message, and what has to be recorded first.
    fn pass(&mut self, frame: Bytes) -> Result<(Bytes, Option<Recording>), Refusal> {
        let message = frame.get(PREFIX_BYTES..).unwrap_or_default();
        let workspace = Rc::clone(&self.reading.workspace);
        let mut workspace = workspace.borrow_mut();
        let passing = match &self.reading.treatment {
            Treatment::Watch(watch) => {
                watch.read(message, &mut workspace).map_err(|error| self.unreadable(error))?;
                frame
            }
            Treatment::Mask(mask) => {
                let mut out = Vec::new();
                let applied = mask.apply_to(message, &mut out, &mut workspace);
                let applied = applied.map_err(|error| self.unreadable(error))?;
                self.count(&applied, &workspace);
                match applied.withheld {
                    0 => frame,
                    _ => framed(&out),
                }
            }
        };
        let recording = self.note(&workspace)?;
        Ok((passing, recording))
    }

    fn count(&self, applied: &Applied, workspace: &Workspace) {
        if applied.withheld == 0 {
            return;
        }
        if let Some(masked) = &mut *self.reading.withheld.borrow_mut() {
            masked.withheld += u64::from(applied.withheld);
            let known = masked.fields.iter().copied();
            let fields: BTreeSet<u16> = known.chain(workspace.withheld()).collect();
            masked.fields = fields.into_iter().take(MASKED_FIELDS_MAX).collect();
        }
    }

    /// Takes down whom a message is about.
    fn note(&mut self, workspace: &Workspace) -> Result<Option<Recording>, Refusal> {
        let named: Option<Vec<_>> = workspace.subjects().map(person).collect();
        let persons = match named {
            Some(persons) if !workspace.has_more_subjects() => persons,
            Some(_) => {
                let reason = match self.reading.way {
                    Way::Request => Reason::RequestTooLarge,
                    Way::Answer => Reason::AnswerTooLarge,
                };
                return Err(Refusal::new(reason).with("subjects_max", mask::SUBJECTS_MAX));
            }
            None => {
                return Err(match self.reading.way {
                    Way::Request => Refusal::new(Reason::SubjectMalformed),
                    Way::Answer => self.malformed("a person's number has no known form"),
                });
            }
        };
        match &self.reading.concerns {
            Some(concerns) => concerns.record(persons),
            None => {
                if self.reading.way == Way::Request {
                    self.persons.extend(persons);
                }
                Ok(None)
            }
        }
    }

    fn unreadable(&self, error: MalformedError) -> Refusal {
        self.malformed("a message is not of its contract").because(error)
    }

    fn malformed(&self, found: &str) -> Refusal {
        match self.reading.way {
            Way::Request => {
                Refusal::new(Reason::Malformed).with("part", "request").with("found", found)
            }
            Way::Answer => Refusal::new(Reason::UpstreamProtocol).with("answer", found),
        }
    }
}

/// A message with its prefix.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    // A masked message is never longer than what it was made of.
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    frame.extend_from_slice(&[0]);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(message);
    frame.freeze()
}

/// Bytes that one lens holds of those that all may.
struct Room {
    all: Arc<AtomicUsize>,
    taken: usize,
}

impl Room {
    fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        let before = self.all.fetch_add(bytes, Ordering::Relaxed);
        self.taken += bytes;
        match before + bytes <= GATHERED_BYTES_MAX {
            true => Ok(()),
            false => {
                Err(Refusal::new(Reason::Overloaded).with("gathered_bytes_max", GATHERED_BYTES_MAX))
            }
        }
    }

    fn give_back(&mut self, bytes: usize) {
        let bytes = bytes.min(self.taken);
        self.taken -= bytes;
        self.all.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.give_back(self.taken);
    }
}
