//! The walk over a message: keeps runs of allowed bytes, and writes the lengths of messages that
//! shrank.

use crate::program::{Action, Mask, Program, State, UNKNOWN, Verb, Watch};
use crate::sink::{Beside, InPlace, Nothing, Sink, shorten};
use crate::wire::{
    DEPTH_MAX, FIXED64, Fault, GROUP_END, LENGTH, MalformedError, VARINT, Value, body, each_field,
    skip, tag, varint,
};
use crate::workspace::{Frame, Workspace};

/// The most subjects of one message that are noted.
pub const SUBJECTS_MAX: usize = 1_024;
/// The most bytes of subjects of one message that are noted.
pub const SUBJECTS_BYTES_MAX: usize = 64 << 10;

/// What a mask did to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Applied {
    /// The fields that were withheld, counted as often as they came; a message that was withheld
    /// whole counts once. If it is 0, the message is as it was.
    pub withheld: u32,
    /// The bytes of the message that may be sent.
    pub length: usize,
}

impl Mask {
    /// Masks a message where it is. It never grows, and is not touched before the first field
    /// that is withheld. If it is malformed, it is empty afterwards: nothing of it may be sent.
    pub fn apply(
        &self,
        message: &mut Vec<u8>,
        workspace: &mut Workspace,
    ) -> Result<Applied, MalformedError> {
        let applied = walk(&self.program, InPlace(message), workspace, false);
        message.truncate(applied.map_or(0, |applied| applied.length));
        applied
    }

    /// Masks a message that cannot be changed. If nothing is withheld, `out` is empty and the
    /// message itself may be sent; else `out` is what may be sent, and nothing else is.
    pub fn apply_to(
        &self,
        message: &[u8],
        out: &mut Vec<u8>,
        workspace: &mut Workspace,
    ) -> Result<Applied, MalformedError> {
        out.clear();
        let applied = walk(&self.program, Beside { message, out }, workspace, false);
        if applied.is_err() {
            out.clear();
        }
        applied
    }
}

impl Watch {
    /// Reads whom a message is about into the workspace.
    pub fn read(&self, message: &[u8], workspace: &mut Workspace) -> Result<(), MalformedError> {
        walk(&self.program, Nothing(message), workspace, true).map(|_| ())
    }
}

fn walk<S: Sink>(
    program: &Program,
    sink: S,
    workspace: &mut Workspace,
    is_dark: bool,
) -> Result<Applied, MalformedError> {
    workspace.clear(program.withheld.len());
    let mut walk = Walk {
        program,
        state_id: 0,
        state: program.states.first().unwrap_or(&EMPTY),
        at: 0,
        end: sink.message().len(),
        kept_to: 0,
        written: 0,
        withheld: 0,
        bits: 0,
        is_dark,
        sink,
        workspace,
    };
    match walk.run() {
        Ok(()) => Ok(walk.done()),
        Err(fault) => Err(MalformedError { at: walk.at, fault }),
    }
}

/// Knows no field.
static EMPTY: State = State { dense: Vec::new(), sparse: Vec::new() };

struct Walk<'a, S> {
    program: &'a Program,
    state_id: u32,
    state: &'a State,
    /// Where the next field begins.
    at: usize,
    /// Where the message ends that is read; in a group, the message around it.
    end: usize,
    /// All before this was kept or dropped. What is between this and `at` will be kept, unless
    /// it is in a message of which nothing is.
    kept_to: usize,
    /// The length of the output.
    written: usize,
    withheld: u32,
    /// Which fields were there, of those for which it matters.
    bits: u64,
    /// Whether nothing of the message that is read is kept.
    is_dark: bool,
    sink: S,
    workspace: &'a mut Workspace,
}

/// Where a run of plain fields ended.
enum Stop {
    /// At the end of the message.
    End,
    /// At a field to which there is more: its number, wire type, and where its tag ends.
    At(u32, u8, usize),
    /// At a field that is malformed.
    Fault(Fault),
}

/// Goes over fields that just pass, up to the first other, and says where that begins. Most fields
/// of most messages are seen by this loop only, which is why it has all it needs in hand.
#[inline(always)]
fn pass(message: &[u8], state: &State, begin: usize, end: usize) -> (usize, Stop) {
    let bytes = message.get(..end).unwrap_or_default();
    let mut at = begin;
    while at < bytes.len() {
        let (number, wire, after) = match tag(bytes, at) {
            Ok(read) => read,
            Err(fault) => return (at, Stop::Fault(fault)),
        };
        match state.dense.get(number as usize) {
            Some(action) if action.passes & (1 << wire) != 0 => {}
            _ => return (at, Stop::At(number, wire, after)),
        }
        let next = match wire {
            LENGTH => body(bytes, after, end).map(|(_, next)| next),
            VARINT => varint(bytes, after).map(|(_, next)| next),
            FIXED64 => Ok(after + 8),
            // Groups never just pass.
            _ => Ok(after + 4),
        };
        match next {
            Ok(next) if next <= end => at = next,
            Ok(_) => return (at, Stop::Fault(Fault::Truncated)),
            Err(fault) => return (at, Stop::Fault(fault)),
        }
    }
    (at, Stop::End)
}

impl<S: Sink> Walk<'_, S> {
    fn run(&mut self) -> Result<(), Fault> {
        loop {
            let (at, stop) = pass(self.sink.message(), self.state, self.at, self.end);
            self.at = at;
            match stop {
                Stop::At(number, wire, after) => self.field(number, wire, after)?,
                Stop::Fault(fault) => return Err(fault),
                Stop::End => match self.workspace.frames.pop() {
                    Some(frame) if frame.group != 0 => return Err(Fault::GroupOpen),
                    Some(frame) => self.leave(&frame),
                    None => return Ok(()),
                },
            }
        }
    }

    #[inline(always)]
    fn field(&mut self, number: u32, wire: u8, after: usize) -> Result<(), Fault> {
        let action = self.state.action(number);
        if action.wires >> wire & 1 == 0 {
            return self.stranger(number, wire, after);
        }
        self.check_order(action)?;
        match action.verb {
            Verb::Pass | Verb::Withhold => {
                let field = self.at;
                self.at = self.after(number, wire, after)?;
                if action.is_subject {
                    self.note_subject(after)?;
                }
                if action.verb == Verb::Withhold {
                    self.drop(field, action.path);
                }
                Ok(())
            }
            Verb::Descend | Verb::Search => self.enter(action, number, wire, after),
            Verb::Any => self.any(action, number, wire, after),
        }
    }

    /// Where the value ends that begins at `at`.
    #[inline(always)]
    fn after(&self, number: u32, wire: u8, at: usize) -> Result<usize, Fault> {
        let depth = self.workspace.frames.len();
        let next = skip(self.sink.message(), at, self.end, (number, wire), depth)?;
        if next <= self.end { Ok(next) } else { Err(Fault::Truncated) }
    }

    /// A field that the contract does not know, or not in this wire type: decoders keep it as
    /// unknown. The end of a group is none of these.
    fn stranger(&mut self, number: u32, wire: u8, after: usize) -> Result<(), Fault> {
        if wire == GROUP_END {
            return self.group_end(number, after);
        }
        let field = self.at;
        self.at = self.after(number, wire, after)?;
        self.drop(field, UNKNOWN);
        Ok(())
    }

    #[inline(always)]
    fn check_order(&mut self, action: &Action) -> Result<(), Fault> {
        if action.oneof | action.once == 0 {
            return Ok(());
        }
        let bit = |place: u8| if place == 0 { 0 } else { 1 << (place & 63) };
        let (oneof, once): (u64, u64) = (bit(action.oneof), bit(action.once));
        if self.bits & once != 0 {
            return Err(Fault::Split);
        }
        match action.verb {
            Verb::Withhold | Verb::Search if self.bits & oneof != 0 => Err(Fault::Oneof),
            Verb::Withhold | Verb::Search => Ok(()),
            Verb::Pass | Verb::Descend | Verb::Any => {
                self.bits |= oneof | once;
                Ok(())
            }
        }
    }

    fn note_subject(&mut self, at: usize) -> Result<(), Fault> {
        let message = self.sink.message();
        let (begin, end) = body(message, at, self.end)?;
        self.workspace.note_subject(message.get(begin..end).unwrap_or_default());
        Ok(())
    }

    /// Drops the bytes from the field to where the walk is.
    #[inline(always)]
    fn drop(&mut self, field: usize, path: u16) {
        if self.is_dark {
            return;
        }
        if field > self.kept_to {
            self.sink.keep(self.kept_to, field, self.written);
            self.written += field - self.kept_to;
        }
        self.kept_to = self.at;
        self.withheld = self.withheld.saturating_add(1);
        self.workspace.withhold(path);
    }

    fn enter(&mut self, action: &Action, number: u32, wire: u8, after: usize) -> Result<(), Fault> {
        let depth = self.workspace.frames.len();
        if depth >= DEPTH_MAX {
            return Err(Fault::Depth);
        }
        let (begin, end, group) = match wire {
            LENGTH => {
                let (begin, end) = body(self.sink.message(), after, self.end)?;
                (begin, end, 0)
            }
            _ => (after, self.end, number),
        };
        let out = |at: usize| self.written + at.saturating_sub(self.kept_to);
        self.workspace.frames.push(Frame {
            field: self.at,
            begin,
            end: self.end,
            out_length: out(after),
            out_begin: out(begin),
            group,
            path: action.path,
            is_dark: self.is_dark,
            state: self.state_id,
            bits: self.bits,
        });
        self.at = begin;
        self.end = end;
        self.bits = 0;
        self.is_dark |= action.verb == Verb::Search;
        self.go_to(action.state);
        Ok(())
    }

    #[inline(always)]
    fn go_to(&mut self, state: u32) {
        self.state_id = state;
        // A state that is not there gives nothing.
        self.state = self.program.states.get(state as usize).unwrap_or(&EMPTY);
    }

    /// Back to the message around the one that ended.
    #[inline(always)]
    fn leave(&mut self, frame: &Frame) {
        let was_dark = std::mem::replace(&mut self.is_dark, frame.is_dark);
        if was_dark {
            self.drop(frame.field, frame.path);
        } else if frame.group == 0 {
            let length = self.written + (self.at - self.kept_to) - frame.out_begin;
            if length != self.at - frame.begin {
                let kept = self.sink.kept(self.written);
                self.written -= shorten(kept, frame.out_length, frame.out_begin, length);
            }
        }
        self.end = frame.end;
        self.bits = frame.bits;
        self.go_to(frame.state);
    }

    fn group_end(&mut self, number: u32, after: usize) -> Result<(), Fault> {
        match self.workspace.frames.pop() {
            Some(frame) if frame.group == number && after <= self.end => {
                self.at = after;
                self.leave(&frame);
                Ok(())
            }
            _ => Err(Fault::GroupEnd),
        }
    }

    /// An `Any` is entered if it holds one of the types that are given, else withheld.
    #[cold]
    fn any(&mut self, action: &Action, number: u32, wire: u8, after: usize) -> Result<(), Fault> {
        let message = self.sink.message();
        let (begin, end) = body(message, after, self.end)?;
        let held = any_type(message.get(begin..end).unwrap_or_default())?;
        let types = self.program.anys.get(action.state as usize);
        let known =
            types.and_then(|types| types.iter().find(|known| known.name.as_bytes() == held));
        match known {
            Some(known) => {
                let inside = Action { verb: Verb::Descend, state: known.state, ..*action };
                self.enter(&inside, number, wire, after)
            }
            None => {
                let field = self.at;
                self.at = end;
                self.drop(field, action.path);
                Ok(())
            }
        }
    }

    /// Keeps what is left. A message of which nothing was dropped stays where it is.
    fn done(&mut self) -> Applied {
        if self.withheld > 0 {
            self.sink.keep(self.kept_to, self.end, self.written);
        }
        let length = self.written + (self.end - self.kept_to);
        Applied { withheld: self.withheld, length }
    }
}

/// The name of the type that an `Any` holds: what comes after the last slash of its URL. An `Any`
/// with two types or two values means to decoders only the last of each, so it is refused.
fn any_type(any: &[u8]) -> Result<&[u8], Fault> {
    let mut url = None;
    let mut values = 0;
    each_field(any, |number, value| {
        let is_twice = match (number, value) {
            (1, Value::Bytes(bytes)) => url.replace(bytes).is_some(),
            (2, Value::Bytes(_)) => {
                values += 1;
                values > 1
            }
            _ => false,
        };
        if is_twice { Err(Fault::Any) } else { Ok(()) }
    })?;
    Ok(url.and_then(|url| url.rsplit(|byte| *byte == b'/').next()).unwrap_or_default())
}
