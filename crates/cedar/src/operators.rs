//! Operators of syntax trees and the instructions they become.

use cedar_policy::pst::{BinaryOp, PatternElem, UnaryOp, Var};

use crate::pattern::Pattern;
use crate::program::{
    Arithmetic, Comparison, Extension, IpTest, Node, NodeIx, SetTest, Test, Truth, Variable,
};
use crate::value::Held;
use crate::{Decimal, IpNet, parse_datetime, parse_duration};

pub(crate) const FAIL: Test = Test::Always(Truth::Error);

pub(crate) fn variable(var: &Var) -> Variable {
    match var {
        Var::Principal => Variable::Principal,
        Var::Action => Variable::Action,
        Var::Resource => Variable::Resource,
        Var::Context => Variable::Context,
    }
}

pub(crate) fn pattern(elements: &[PatternElem]) -> Pattern {
    let mut parts = vec![String::new()];
    for element in elements {
        match (element, parts.last_mut()) {
            (PatternElem::Char(it), Some(part)) => part.push(*it),
            _ => parts.push(String::new()),
        }
    }
    Pattern::new(&parts)
}

/// Whether the operator always has a boolean.
pub(crate) fn is_test(op: BinaryOp) -> bool {
    binary_node(op).is_none()
}

/// Tests of two values that have no shorter form.
pub(crate) fn rare_test(op: BinaryOp, left: NodeIx, right: NodeIx) -> Option<Test> {
    Some(match op {
        BinaryOp::ContainsAll => Test::CompareSets(SetTest::All, left, right),
        BinaryOp::ContainsAny => Test::CompareSets(SetTest::Any, left, right),
        BinaryOp::HasTag => Test::HasTag(left, right),
        BinaryOp::IsInRange => Test::InRange(left, right),
        BinaryOp::DecimalLessThan => Test::CompareDecimal(Comparison::Less, left, right),
        BinaryOp::DecimalLessEq => Test::CompareDecimal(Comparison::LessEqual, left, right),
        BinaryOp::DecimalGreater => Test::CompareDecimal(Comparison::Greater, left, right),
        BinaryOp::DecimalGreaterEq => Test::CompareDecimal(Comparison::GreaterEqual, left, right),
        _ => return None,
    })
}

pub(crate) fn unary_test(op: UnaryOp) -> Option<fn(NodeIx) -> Test> {
    Some(match op {
        UnaryOp::IsEmpty => Test::IsEmpty,
        UnaryOp::IsIPv4 => |it| Test::Ip(IpTest::Ipv4, it),
        UnaryOp::IsIPV6 => |it| Test::Ip(IpTest::Ipv6, it),
        UnaryOp::IsLoopback => |it| Test::Ip(IpTest::Loopback, it),
        UnaryOp::IsMulticast => |it| Test::Ip(IpTest::Multicast, it),
        _ => return None,
    })
}

pub(crate) fn binary_node(op: BinaryOp) -> Option<fn(NodeIx, NodeIx) -> Node> {
    Some(match op {
        BinaryOp::Add => |l, r| Node::Arithmetic(Arithmetic::Add, l, r),
        BinaryOp::Sub => |l, r| Node::Arithmetic(Arithmetic::Subtract, l, r),
        BinaryOp::Mul => |l, r| Node::Arithmetic(Arithmetic::Multiply, l, r),
        BinaryOp::GetTag => Node::Tag,
        BinaryOp::Offset => Node::Offset,
        BinaryOp::DurationSince => Node::DurationSince,
        _ => return None,
    })
}

/// Operators with one operand and a value.
#[derive(Clone, Copy)]
pub(crate) enum UnaryNode {
    Negate,
    Parse(Extension),
    ToDate,
    ToTime,
    ToUnit(u32),
}

impl UnaryNode {
    pub(crate) fn node(self, ix: NodeIx) -> Node {
        match self {
            UnaryNode::Negate => Node::Negate(ix),
            UnaryNode::Parse(extension) => Node::Parse(extension, ix),
            UnaryNode::ToDate => Node::ToDate(ix),
            UnaryNode::ToTime => Node::ToTime(ix),
            UnaryNode::ToUnit(ms) => Node::ToUnit(ix, ms),
        }
    }

    /// What comes of a constant: nothing known here, or a value, or an error.
    pub(crate) fn value(self, held: &Held) -> Option<Option<Held>> {
        match (self, held) {
            (UnaryNode::Negate, Held::Long(it)) => Some(it.checked_neg().map(Held::Long)),
            (UnaryNode::Parse(extension), Held::Str(text)) => Some(parse(extension, text)),
            _ => None,
        }
    }
}

fn parse(extension: Extension, text: &str) -> Option<Held> {
    match extension {
        Extension::Decimal => text.parse::<Decimal>().ok().map(Held::Decimal),
        Extension::Datetime => parse_datetime(text).map(Held::Datetime),
        Extension::Duration => parse_duration(text).map(Held::Duration),
        Extension::Ip => text.parse::<IpNet>().ok().map(Held::Ip),
    }
}

pub(crate) fn unary_node(op: UnaryOp) -> Option<UnaryNode> {
    Some(match op {
        UnaryOp::Neg => UnaryNode::Negate,
        UnaryOp::Decimal => UnaryNode::Parse(Extension::Decimal),
        UnaryOp::Datetime => UnaryNode::Parse(Extension::Datetime),
        UnaryOp::Duration => UnaryNode::Parse(Extension::Duration),
        UnaryOp::Ip => UnaryNode::Parse(Extension::Ip),
        UnaryOp::ToDate => UnaryNode::ToDate,
        UnaryOp::ToTime => UnaryNode::ToTime,
        UnaryOp::ToMilliseconds => UnaryNode::ToUnit(1),
        UnaryOp::ToSeconds => UnaryNode::ToUnit(1000),
        UnaryOp::ToMinutes => UnaryNode::ToUnit(60_000),
        UnaryOp::ToHours => UnaryNode::ToUnit(3_600_000),
        UnaryOp::ToDays => UnaryNode::ToUnit(86_400_000),
        _ => return None,
    })
}
