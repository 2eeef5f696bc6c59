//! Runs programs: three-valued tests, and nodes that have a value or fail.
//!
//! Recursion is as deep as conditions nest, which lowering bounds. Nothing is allocated except in
//! the scratch, which the workspace keeps from one request to the next.

use crate::engine::Engine;
use crate::glances::Glances;
use crate::program::{
    Arithmetic, Comparison, ConstantIx, Extension, HOLDS, IpTest, Node, NodeIx, SetTest, SlotIx,
    Span, StepIx, Test, Truth, Variable,
};
use crate::request::Request;
use crate::scalar::Glance;
use crate::sets::Scratch;
use crate::store::Stored;
use crate::time::{DAY_MS, parse_datetime, parse_duration};
use crate::value::{Held, Key, Record, RecordForm, Set, SetForm, Value};
use crate::{Decimal, EntityRef, IpNet};

/// One request at work.
pub(crate) struct Run<'a, 'w> {
    pub(crate) engine: &'a Engine,
    pub(crate) request: Request<'a>,
    pub(crate) glances: &'w mut Glances,
    pub(crate) scratch: Scratch<'a>,
}

impl<'a> Run<'a, '_> {
    /// What the steps from here on come to.
    #[inline(always)]
    pub(crate) fn follow(&mut self, start: StepIx) -> Truth {
        let engine = self.engine;
        let mut at = start;
        while let Some(step) = engine.program.steps.get(at as usize) {
            let truth = match self.quick(&step.test) {
                Some(truth) => truth,
                None => self.alone(step.test),
            };
            at = match truth {
                Truth::True => step.then,
                Truth::False => step.otherwise,
                Truth::Error => return Truth::Error,
            };
        }
        (at == HOLDS).into()
    }

    /// What a test of a step comes to, after which nothing needs the values that it made.
    #[inline(never)]
    fn alone(&mut self, test: Test) -> Truth {
        let truth = self.common(test);
        self.scratch.clear();
        truth
    }

    fn test(&mut self, test: Test) -> Truth {
        match self.quick(&test) {
            Some(truth) => truth,
            None => self.common(test),
        }
    }

    /// The tests that policies mostly have: they stand in the caller's loop.
    #[inline(always)]
    fn quick(&mut self, test: &Test) -> Option<Truth> {
        let scalars = &self.engine.program.scalars;
        let truth = match *test {
            Test::SlotEqual(slot, constant) => Some(self.slot_equal(slot, constant)),
            Test::SlotCompare(how, slot, constant) => scalars
                .get(constant as usize)
                .and_then(|constant| self.seen(slot).numbers(constant))
                .map(|(left, right)| how.holds(&left, &right).into()),
            Test::SlotTrue(slot) => self.seen(slot).boolean().map(Truth::from),
            Test::SlotHas(slot) => Some((!self.seen(slot).is_absent()).into()),
            Test::SlotInRange(slot, constant) => scalars
                .get(constant as usize)
                .and_then(|constant| self.seen(slot).is_in_range(constant))
                .map(Truth::from),
            _ => return None,
        };
        Some(truth.unwrap_or(Truth::Error))
    }

    #[inline(always)]
    fn slot_equal(&mut self, slot: SlotIx, constant: ConstantIx) -> Truth {
        let Some(scalar) = self.engine.program.scalars.get(constant as usize) else {
            return Truth::Error;
        };
        let seen = self.seen(slot);
        match seen.glance(scalar) {
            Glance::Equal => Truth::True,
            Glance::Unequal if seen.is_absent() => Truth::Error,
            Glance::Unequal => Truth::False,
            Glance::Unclear => self.equal_in_full(slot, constant),
        }
    }

    #[inline(never)]
    fn equal_in_full(&mut self, slot: SlotIx, constant: ConstantIx) -> Truth {
        self.with(slot, constant, |run, value, constant| run.equal(value, constant.view()).into())
    }

    #[inline(never)]
    fn common(&mut self, test: Test) -> Truth {
        match test {
            Test::SlotUnequal(slot, constant) => self.slot_equal(slot, constant).negated(),
            Test::SlotHasDeeper(base, slot) => {
                if !self.glance(slot).is_absent() {
                    return Truth::True;
                }
                match self.load(base) {
                    Some(Value::Record(_) | Value::Entity(_)) => Truth::False,
                    _ => Truth::Error,
                }
            }
            Test::SlotsEqual(left, right) => {
                let (first, second) = (self.glance(left), self.glance(right));
                if first.is_absent() || second.is_absent() {
                    return Truth::Error;
                }
                match (first.glance(&second), self.load(left), self.load(right)) {
                    (Glance::Unequal, ..) => Truth::False,
                    (Glance::Equal, ..) => Truth::True,
                    (_, Some(left), Some(right)) => self.equal(left, right).into(),
                    _ => Truth::Error,
                }
            }
            Test::SlotIn(slot, ix) => {
                self.with(slot, ix, |run, value, constant| run.is_in(value, constant.view()))
            }
            Test::SlotIs(slot, kind) => is(self.load(slot), kind),
            Test::SlotLike(slot, pattern) => {
                let value = self.load(slot);
                self.like(value, pattern)
            }
            Test::SlotAmong(slot, ix) => {
                self.with(slot, ix, |run, value, set| run.contains(set.view(), value))
            }
            Test::SlotContains(slot, ix) => {
                self.with(slot, ix, |run, set, constant| run.contains(set, constant.view()))
            }
            _ => self.rare(test),
        }
    }

    fn rare(&mut self, test: Test) -> Truth {
        let engine = self.engine;
        match test {
            Test::Always(truth) => truth,
            Test::Reference(ix) => engine.ask_reference(ix, &self.request),
            Test::All(span) => self.first(span, Truth::True),
            Test::Any(span) => self.first(span, Truth::False),
            Test::Not(ix) => self.test_at(ix).negated(),
            Test::If(ix) => match self.test_at(ix) {
                Truth::True => self.test_at(ix + 1),
                Truth::False => self.test_at(ix + 2),
                Truth::Error => Truth::Error,
            },
            Test::Boolean(ix) => match self.node_at(ix) {
                Some(Value::Bool(it)) => it.into(),
                _ => Truth::Error,
            },
            Test::Has(ix, keys) => self.has_all(ix, keys.of(&engine.program.keys)),
            Test::Like(ix, pattern) => {
                let value = self.node_at(ix);
                self.like(value, pattern)
            }
            Test::Is(ix, kind) => is(self.node_at(ix), kind),
            Test::IsEmpty(ix) => match self.node_at(ix) {
                Some(Value::Set(set)) => (self.len(set) == 0).into(),
                _ => Truth::Error,
            },
            Test::Ip(ask, ix) => match self.node_at(ix) {
                Some(Value::Ip(it)) => match ask {
                    IpTest::Ipv4 => it.is_ipv4(),
                    IpTest::Ipv6 => it.is_ipv6(),
                    IpTest::Loopback => it.is_loopback(),
                    IpTest::Multicast => it.is_multicast(),
                }
                .into(),
                _ => Truth::Error,
            },
            _ => self.binary(test),
        }
    }

    fn binary(&mut self, test: Test) -> Truth {
        let (Test::Equal(left, right)
        | Test::Compare(_, left, right)
        | Test::CompareDecimal(_, left, right)
        | Test::In(left, right)
        | Test::Contains(left, right)
        | Test::CompareSets(_, left, right)
        | Test::HasTag(left, right)
        | Test::InRange(left, right)) = test
        else {
            return Truth::Error;
        };
        let (Some(left), Some(right)) = (self.node_at(left), self.node_at(right)) else {
            return Truth::Error;
        };
        match (test, left, right) {
            (Test::Equal(..), _, _) => self.equal(left, right).into(),
            (Test::Compare(how, ..), _, _) => compare(how, left, right),
            (Test::CompareDecimal(how, ..), Value::Decimal(left), Value::Decimal(right)) => {
                how.holds(&left, &right).into()
            }
            (Test::In(..), _, _) => self.is_in(left, right),
            (Test::Contains(..), _, _) => self.contains(left, right),
            (Test::CompareSets(SetTest::All, ..), Value::Set(left), Value::Set(right)) => {
                self.covers(left, right).into()
            }
            (Test::CompareSets(SetTest::Any, ..), Value::Set(left), Value::Set(right)) => {
                self.meets(left, right).into()
            }
            (Test::HasTag(..), Value::Entity(entity), Value::Str(name)) => {
                self.stored(entity).is_some_and(|it| it.tag(name).is_some()).into()
            }
            (Test::InRange(..), Value::Ip(left), Value::Ip(right)) => left.is_in(&right).into(),
            _ => Truth::Error,
        }
    }

    #[inline(never)]
    fn test_at(&mut self, ix: u32) -> Truth {
        match self.engine.program.tests.get(ix as usize) {
            Some(test) => self.test(*test),
            None => Truth::Error,
        }
    }

    /// The first truth that is not `rest`, else `rest`.
    fn first(&mut self, span: Span, rest: Truth) -> Truth {
        let engine = self.engine;
        for test in span.of(&engine.program.tests) {
            let truth = self.test(*test);
            if truth != rest {
                return truth;
            }
        }
        rest
    }

    fn with(
        &mut self,
        slot: SlotIx,
        constant: ConstantIx,
        then: impl FnOnce(&Self, Value<'a>, &'a Held) -> Truth,
    ) -> Truth {
        match (self.load(slot), self.constant(constant)) {
            (Some(value), Some(constant)) => then(self, value, constant),
            _ => Truth::Error,
        }
    }

    fn constant(&self, ix: u32) -> Option<&'a Held> {
        self.engine.program.constants.get(ix as usize)
    }

    pub(crate) fn stored(&self, entity: EntityRef) -> Option<&'a Stored> {
        self.engine.store.get(entity.ix as usize).filter(|it| it.present)
    }

    pub(crate) fn entity(&self, variable: Variable) -> Option<EntityRef> {
        match variable {
            Variable::Principal => Some(self.request.principal),
            Variable::Action => Some(self.request.action),
            Variable::Resource => Some(self.request.resource),
            Variable::Context => None,
        }
    }

    /// An attribute of a record or an entity.
    pub(crate) fn select(&self, value: Value<'a>, key: Key) -> Option<Value<'a>> {
        match value {
            Value::Record(record) => self.attribute(record, key),
            Value::Entity(entity) => self.stored(entity)?.attribute(key).map(Held::view),
            _ => None,
        }
    }

    /// Whether a chain of attributes is there; asking what has none is an error.
    fn has_all(&mut self, ix: NodeIx, keys: &[Key]) -> Truth {
        let Some(mut value) = self.node_at(ix) else { return Truth::Error };
        for key in keys {
            if !matches!(value, Value::Record(_) | Value::Entity(_)) {
                return Truth::Error;
            }
            match self.select(value, *key) {
                Some(next) => value = next,
                None => return Truth::False,
            }
        }
        Truth::True
    }

    fn like(&self, value: Option<Value<'a>>, pattern: u32) -> Truth {
        match (value, self.engine.program.patterns.get(pattern as usize)) {
            (Some(Value::Str(text)), Some(pattern)) => pattern.matches(text).into(),
            _ => Truth::Error,
        }
    }

    fn node_at(&mut self, ix: NodeIx) -> Option<Value<'a>> {
        let node = *self.engine.program.nodes.get(ix as usize)?;
        self.node(node)
    }

    fn node(&mut self, node: Node) -> Option<Value<'a>> {
        match node {
            Node::Slot(slot) => self.load(slot),
            Node::Constant(ix) => self.constant(ix).map(Held::view),
            Node::Attribute(ix, key) => {
                let value = self.node_at(ix)?;
                self.select(value, key)
            }
            Node::Fail => None,
            Node::Truth(ix) => match self.test_at(ix) {
                Truth::True => Some(Value::Bool(true)),
                Truth::False => Some(Value::Bool(false)),
                Truth::Error => None,
            },
            Node::If(test, then, other) => match self.test_at(test) {
                Truth::True => self.node_at(then),
                Truth::False => self.node_at(other),
                Truth::Error => None,
            },
            Node::Set(span) => {
                let (start, len) = self.values(span)?;
                let first = self.scratch.members.len();
                self.scratch.members.extend(self.scratch.pending.drain(start..));
                Some(Value::Set(Set(SetForm::Scratch(first, len))))
            }
            Node::Record(span, keys) => {
                let (start, len) = self.values(span)?;
                let first = self.scratch.attributes.len();
                let keys = Span { start: keys, len: span.len }.of(&self.engine.program.keys);
                let values = self.scratch.pending.drain(start..);
                self.scratch.attributes.extend(keys.iter().copied().zip(values));
                Some(Value::Record(Record(RecordForm::Scratch(first, len))))
            }
            Node::Tag(entity, name) => match (self.node_at(entity)?, self.node_at(name)?) {
                (Value::Entity(entity), Value::Str(name)) => {
                    self.stored(entity)?.tag(name).map(Held::view)
                }
                _ => None,
            },
            Node::Parse(extension, ix) => match self.node_at(ix)? {
                Value::Str(text) => parse(extension, text),
                _ => None,
            },
            _ => self.calculate(node),
        }
    }

    fn calculate(&mut self, node: Node) -> Option<Value<'a>> {
        let (Node::Negate(first)
        | Node::ToDate(first)
        | Node::ToTime(first)
        | Node::ToUnit(first, _)
        | Node::Arithmetic(_, first, _)
        | Node::Offset(first, _)
        | Node::DurationSince(first, _)) = node
        else {
            return None;
        };
        let first = self.node_at(first)?;
        let (Node::Arithmetic(_, _, second)
        | Node::Offset(_, second)
        | Node::DurationSince(_, second)) = node
        else {
            return match (node, first) {
                (Node::Negate(_), Value::Long(it)) => it.checked_neg().map(Value::Long),
                (Node::ToDate(_), Value::Datetime(it)) => {
                    it.checked_sub(it.rem_euclid(DAY_MS)).map(Value::Datetime)
                }
                (Node::ToTime(_), Value::Datetime(it)) => {
                    Some(Value::Duration(it.rem_euclid(DAY_MS)))
                }
                (Node::ToUnit(_, ms), Value::Duration(it)) => {
                    it.checked_div(i64::from(ms)).map(Value::Long)
                }
                _ => None,
            };
        };
        match (node, first, self.node_at(second)?) {
            (Node::Arithmetic(how, ..), Value::Long(left), Value::Long(right)) => match how {
                Arithmetic::Add => left.checked_add(right),
                Arithmetic::Subtract => left.checked_sub(right),
                Arithmetic::Multiply => left.checked_mul(right),
            }
            .map(Value::Long),
            (Node::Offset(..), Value::Datetime(left), Value::Duration(right)) => {
                left.checked_add(right).map(Value::Datetime)
            }
            (Node::DurationSince(..), Value::Datetime(left), Value::Datetime(right)) => {
                left.checked_sub(right).map(Value::Duration)
            }
            _ => None,
        }
    }

    /// Values of nodes in a row, left pending from the returned place on. What they made
    /// themselves is in the scratch before.
    fn values(&mut self, nodes: Span) -> Option<(usize, usize)> {
        let engine = self.engine;
        let start = self.scratch.pending.len();
        for node in nodes.of(&engine.program.nodes) {
            let value = self.node(*node)?;
            self.scratch.pending.push(value);
        }
        Some((start, nodes.len as usize))
    }
}

fn is(value: Option<Value<'_>>, kind: u32) -> Truth {
    match value {
        Some(Value::Entity(it)) => (it.kind == kind).into(),
        _ => Truth::Error,
    }
}

fn compare(how: Comparison, left: Value<'_>, right: Value<'_>) -> Truth {
    match (left, right) {
        (Value::Long(a), Value::Long(b))
        | (Value::Datetime(a), Value::Datetime(b))
        | (Value::Duration(a), Value::Duration(b)) => how.holds(&a, &b).into(),
        _ => Truth::Error,
    }
}

fn parse<'a>(extension: Extension, text: &str) -> Option<Value<'a>> {
    match extension {
        Extension::Decimal => text.parse::<Decimal>().ok().map(Value::Decimal),
        Extension::Datetime => parse_datetime(text).map(Value::Datetime),
        Extension::Duration => parse_duration(text).map(Value::Duration),
        Extension::Ip => text.parse::<IpNet>().ok().map(Value::Ip),
    }
}
