//! Conditions as programs: flat tables of small instructions that refer to each other by number.

use crate::EntityRef;
use crate::pattern::Pattern;
use crate::scalar::Scalar;
use crate::value::{Held, Key};

/// What a condition comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Truth {
    False,
    True,
    Error,
}

impl Truth {
    pub(crate) fn negated(self) -> Self {
        match self {
            Truth::True => Truth::False,
            Truth::False => Truth::True,
            Truth::Error => Truth::Error,
        }
    }
}

impl From<bool> for Truth {
    fn from(it: bool) -> Self {
        if it { Truth::True } else { Truth::False }
    }
}

/// A run of entries in one of the tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Span {
    pub(crate) fn of<T>(self, table: &[T]) -> &[T] {
        let start = self.start as usize;
        table.get(start..start + self.len as usize).unwrap_or_default()
    }
}

/// The four variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Variable {
    Principal,
    Action,
    Resource,
    Context,
}

/// A value that conditions ask for again and again: a variable, or what attributes lead to from
/// one. Each is looked up once for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    Variable(Variable),
    Attribute(Variable, Key),
    /// An attribute of what is in another slot.
    Deeper(SlotIx, Key),
}

/// The number of an instruction.
pub(crate) type SlotIx = u32;
pub(crate) type TestIx = u32;
pub(crate) type NodeIx = u32;
pub(crate) type ConstantIx = u32;

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Comparison {
    pub(crate) fn holds<T: Ord>(self, left: &T, right: &T) -> bool {
        match self {
            Comparison::Less => left < right,
            Comparison::LessEqual => left <= right,
            Comparison::Greater => left > right,
            Comparison::GreaterEqual => left >= right,
        }
    }

    /// What holds exactly if this does not.
    pub(crate) fn negated(self) -> Self {
        match self {
            Comparison::Less => Comparison::GreaterEqual,
            Comparison::LessEqual => Comparison::Greater,
            Comparison::Greater => Comparison::LessEqual,
            Comparison::GreaterEqual => Comparison::Less,
        }
    }

    /// The same with the sides changed.
    pub(crate) fn turned(self) -> Self {
        match self {
            Comparison::Less => Comparison::Greater,
            Comparison::LessEqual => Comparison::GreaterEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterEqual => Comparison::LessEqual,
        }
    }
}

/// Questions about an address.
#[derive(Debug, Clone, Copy)]
pub(crate) enum IpTest {
    Ipv4,
    Ipv6,
    Loopback,
    Multicast,
}

/// How two sets are compared.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SetTest {
    All,
    Any,
}

/// What is true, false or an error. The first group are the shapes that policies mostly have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Test {
    SlotTrue(SlotIx),
    /// The slot is an attribute of a variable.
    SlotHas(SlotIx),
    SlotEqual(SlotIx, ConstantIx),
    SlotUnequal(SlotIx, ConstantIx),
    SlotsEqual(SlotIx, SlotIx),
    SlotCompare(Comparison, SlotIx, ConstantIx),
    SlotIn(SlotIx, ConstantIx),
    SlotIs(SlotIx, u32),
    SlotLike(SlotIx, u32),
    /// `constant.contains(slot)`.
    SlotAmong(SlotIx, ConstantIx),
    /// `slot.contains(constant)`.
    SlotContains(SlotIx, ConstantIx),
    /// `slot.isInRange(constant)`.
    SlotInRange(SlotIx, ConstantIx),
    /// Whether what is in the first slot has the attribute that is in the second.
    SlotHasDeeper(SlotIx, SlotIx),

    Always(Truth),
    /// One of the policies left to the reference.
    Reference(u32),
    All(Span),
    Any(Span),
    Not(TestIx),
    /// Three tests from here: condition, then, else.
    If(TestIx),
    Boolean(NodeIx),
    Equal(NodeIx, NodeIx),
    Compare(Comparison, NodeIx, NodeIx),
    CompareDecimal(Comparison, NodeIx, NodeIx),
    In(NodeIx, NodeIx),
    Contains(NodeIx, NodeIx),
    CompareSets(SetTest, NodeIx, NodeIx),
    IsEmpty(NodeIx),
    Has(NodeIx, Span),
    HasTag(NodeIx, NodeIx),
    Like(NodeIx, u32),
    Is(NodeIx, u32),
    Ip(IpTest, NodeIx),
    InRange(NodeIx, NodeIx),
}

pub(crate) type StepIx = u32;
/// The end of a condition that holds.
pub(crate) const HOLDS: StepIx = u32::MAX;
/// The end of a condition that does not hold.
pub(crate) const FAILS: StepIx = u32::MAX - 1;

/// A test, and where to go on from it. Where a test errs, the condition does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) test: Test,
    pub(crate) then: StepIx,
    pub(crate) otherwise: StepIx,
}

/// Arithmetic on integers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
}

/// Extension types as their constructors name them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Extension {
    Decimal,
    Datetime,
    Duration,
    Ip,
}

/// What has a value or is an error.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Node {
    Slot(SlotIx),
    Constant(ConstantIx),
    Attribute(NodeIx, Key),
    Fail,
    Truth(TestIx),
    If(TestIx, NodeIx, NodeIx),
    Negate(NodeIx),
    Arithmetic(Arithmetic, NodeIx, NodeIx),
    /// Members one after the other among the nodes.
    Set(Span),
    /// Values one after the other among the nodes, and where their keys begin.
    Record(Span, u32),
    Tag(NodeIx, NodeIx),
    Parse(Extension, NodeIx),
    Offset(NodeIx, NodeIx),
    DurationSince(NodeIx, NodeIx),
    ToDate(NodeIx),
    ToTime(NodeIx),
    /// A duration in whole units of so many milliseconds.
    ToUnit(NodeIx, u32),
}

/// All conditions of an engine.
#[derive(Debug, Default)]
pub(crate) struct Program {
    pub(crate) tests: Vec<Test>,
    pub(crate) steps: Vec<Step>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) keys: Vec<Key>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) constants: Vec<Held>,
    /// The constants at a glance.
    pub(crate) scalars: Vec<Scalar>,
    pub(crate) patterns: Vec<Pattern>,
}

/// What a scope asks of the principal or the resource.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    Any,
    Is(u32),
    Equal(EntityRef),
    In(EntityRef),
    IsIn(u32, EntityRef),
}

/// What a scope asks of the action.
#[derive(Debug, Clone)]
pub(crate) enum Actions {
    Any,
    Equal(EntityRef),
    In(Vec<EntityRef>),
}

/// A policy's scope.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) principal: Side,
    pub(crate) action: Actions,
    pub(crate) resource: Side,
}
