//! From a policy's syntax tree to its program.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cedar_policy::pst::{
    ActionConstraint, BinaryOp, Clause, EntityOrSlot, EntityUID, Expr, Literal, PatternElem,
    PrincipalConstraint, ResourceConstraint, SlotId, UnaryOp, Var,
};

use crate::names::{Naming, number};
use crate::program::{
    Actions, Arithmetic, Comparison, ConstantIx, Extension, IpTest, Node, NodeIx, Pattern, Program,
    Scope, SetTest, Side, Slot, SlotIx, Span, Test, TestIx, Truth, Variable,
};
use crate::scalar::Scalar;
use crate::value::Held;
use crate::{Decimal, EntityRef, IpNet, parse_datetime, parse_duration};

/// How deep conditions may nest to be compiled; deeper ones are left to the reference, which
/// looks after the stack itself.
const NESTING_MAX: usize = 96;
/// How many members a set or a record may have in a policy.
const MEMBERS_MAX: usize = 65_536;

/// Why a policy is left to the reference.
pub(crate) type Reason = &'static str;
type Result<T> = std::result::Result<T, Reason>;

/// What turns trees into the instructions of one engine.
pub(crate) struct Lowering<'n> {
    naming: Naming<'n>,
    program: Program,
    slots: HashMap<Slot, SlotIx>,
    constants: BTreeMap<Held, ConstantIx>,
}

/// What a linked policy has in place of its template's slots.
pub(crate) type Slots = HashMap<SlotId, EntityUID>;

impl<'n> Lowering<'n> {
    pub(crate) fn new(naming: Naming<'n>) -> Self {
        let (slots, constants) = Default::default();
        Self { naming, program: Program::default(), slots, constants }
    }

    pub(crate) fn naming(&mut self) -> &mut Naming<'n> {
        &mut self.naming
    }

    pub(crate) fn finish(self) -> Program {
        self.program
    }

    /// The tests of all clauses in order; all must hold.
    pub(crate) fn condition(&mut self, clauses: &[Clause], slots: &Slots) -> Result<Vec<Test>> {
        let mut tests = Vec::new();
        for clause in clauses {
            match clause {
                Clause::When(it) => self.conjuncts(it, slots, 0, BinaryOp::And, &mut tests)?,
                Clause::Unless(it) => {
                    let test = self.test(it, slots, 1)?;
                    tests.push(self.negated(test));
                }
            }
        }
        Ok(tests)
    }

    /// The tests on both sides of `&&`, or of `||`, however many stand in a row.
    fn conjuncts(
        &mut self,
        expr: &Arc<Expr>,
        slots: &Slots,
        depth: usize,
        joint: BinaryOp,
        tests: &mut Vec<Test>,
    ) -> Result<()> {
        let mut open = vec![expr];
        while let Some(expr) = open.pop() {
            match &**expr {
                Expr::BinaryOp { op, left, right } if *op == joint => open.extend([right, left]),
                _ => tests.push(self.test(expr, slots, depth + 1)?),
            }
        }
        Ok(())
    }

    /// What is true, false or an error; a value that is no boolean is an error.
    fn test(&mut self, expr: &Arc<Expr>, slots: &Slots, depth: usize) -> Result<Test> {
        if depth > NESTING_MAX {
            return Err("its condition nests too deeply");
        }
        Ok(match &**expr {
            Expr::BinaryOp { op: op @ (BinaryOp::And | BinaryOp::Or), .. } => {
                let mut tests = Vec::new();
                self.conjuncts(expr, slots, depth, *op, &mut tests)?;
                let span = self.place_tests(tests);
                if *op == BinaryOp::And { Test::All(span) } else { Test::Any(span) }
            }
            Expr::UnaryOp { op: UnaryOp::Not, expr } => {
                let test = self.test(expr, slots, depth + 1)?;
                self.negated(test)
            }
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                let mut tests = Vec::with_capacity(3);
                for expr in [cond, then_expr, else_expr] {
                    tests.push(self.test(expr, slots, depth + 1)?);
                }
                Test::If(self.place_tests(tests).start)
            }
            Expr::BinaryOp { op, left, right } => {
                match self.binary_test(*op, left, right, slots, depth)? {
                    Some(test) => test,
                    None => self.boolean(expr, slots, depth)?,
                }
            }
            Expr::UnaryOp { op, expr: inner } => match unary_test(*op) {
                Some(make) => make(self.place(inner, slots, depth)?),
                None => self.boolean(expr, slots, depth)?,
            },
            Expr::HasAttr { expr, attrs } => {
                let node = self.node(expr, slots, depth + 1)?;
                let keys: Vec<_> = attrs.iter().map(|name| self.naming.key(name)).collect();
                match (self.variable(node), keys.as_slice()) {
                    (Some(variable), [key]) => {
                        Test::SlotHas(self.slot(Slot::Attribute(variable, *key)))
                    }
                    _ => {
                        let start = number(self.program.keys.len());
                        let span = Span { start, len: number(keys.len()) };
                        self.program.keys.extend(keys);
                        Test::Has(self.place_node(node), span)
                    }
                }
            }
            Expr::Like { expr, pattern: elements } => {
                let node = self.node(expr, slots, depth + 1)?;
                let ix = number(self.program.patterns.len());
                self.program.patterns.push(pattern(elements));
                match node {
                    Node::Slot(slot) => Test::SlotLike(slot, ix),
                    _ => Test::Like(self.place_node(node), ix),
                }
            }
            Expr::Is { expr, entity_type, in_expr } => {
                let kind = self.naming.kind(&entity_type.to_string());
                let is = match self.node(expr, slots, depth + 1)? {
                    Node::Slot(slot) => Test::SlotIs(slot, kind),
                    node => Test::Is(self.place_node(node), kind),
                };
                let Some(above) = in_expr else { return Ok(is) };
                let both = vec![is, self.inclusion(expr, above, slots, depth)?];
                Test::All(self.place_tests(both))
            }
            _ => self.boolean(expr, slots, depth)?,
        })
    }

    /// A test that takes whatever boolean the expression comes to.
    fn boolean(&mut self, expr: &Arc<Expr>, slots: &Slots, depth: usize) -> Result<Test> {
        let node = self.node(expr, slots, depth + 1)?;
        Ok(match node {
            Node::Slot(slot) => Test::SlotTrue(slot),
            Node::Truth(test) => self.program.tests.get(test as usize).copied().unwrap_or(FAIL),
            Node::Fail => FAIL,
            Node::Constant(ix) => match self.constant(ix) {
                Some(Held::Bool(it)) => Test::Always((*it).into()),
                _ => FAIL,
            },
            _ => Test::Boolean(self.place_node(node)),
        })
    }

    fn binary_test(
        &mut self,
        op: BinaryOp,
        left: &Arc<Expr>,
        right: &Arc<Expr>,
        slots: &Slots,
        depth: usize,
    ) -> Result<Option<Test>> {
        if op == BinaryOp::In {
            return self.inclusion(left, right, slots, depth).map(Some);
        }
        if !is_test(op) {
            return Ok(None);
        }
        let (left, right) =
            (self.node(left, slots, depth + 1)?, self.node(right, slots, depth + 1)?);
        let test = match op {
            BinaryOp::Eq => self.equality(left, right),
            BinaryOp::NotEq => {
                let test = self.equality(left, right);
                self.negated(test)
            }
            BinaryOp::Less => self.comparison(Comparison::Less, left, right),
            BinaryOp::LessEq => self.comparison(Comparison::LessEqual, left, right),
            BinaryOp::Greater => self.comparison(Comparison::Greater, left, right),
            BinaryOp::GreaterEq => self.comparison(Comparison::GreaterEqual, left, right),
            BinaryOp::Contains => match (left, right) {
                (Node::Constant(set), Node::Slot(slot)) => Test::SlotAmong(slot, set),
                (Node::Slot(slot), Node::Constant(value)) => Test::SlotContains(slot, value),
                _ => Test::Contains(self.place_node(left), self.place_node(right)),
            },
            _ => {
                let (left, right) = (self.place_node(left), self.place_node(right));
                match op {
                    BinaryOp::ContainsAll => Test::CompareSets(SetTest::All, left, right),
                    BinaryOp::ContainsAny => Test::CompareSets(SetTest::Any, left, right),
                    BinaryOp::HasTag => Test::HasTag(left, right),
                    BinaryOp::IsInRange => Test::InRange(left, right),
                    BinaryOp::DecimalLessThan => {
                        Test::CompareDecimal(Comparison::Less, left, right)
                    }
                    BinaryOp::DecimalLessEq => {
                        Test::CompareDecimal(Comparison::LessEqual, left, right)
                    }
                    BinaryOp::DecimalGreater => {
                        Test::CompareDecimal(Comparison::Greater, left, right)
                    }
                    BinaryOp::DecimalGreaterEq => {
                        Test::CompareDecimal(Comparison::GreaterEqual, left, right)
                    }
                    _ => return Err("it has an operator that is not known here"),
                }
            }
        };
        Ok(Some(test))
    }

    fn inclusion(
        &mut self,
        left: &Arc<Expr>,
        right: &Arc<Expr>,
        slots: &Slots,
        depth: usize,
    ) -> Result<Test> {
        let (left, right) =
            (self.node(left, slots, depth + 1)?, self.node(right, slots, depth + 1)?);
        Ok(match (left, right) {
            (Node::Slot(slot), Node::Constant(ix)) => Test::SlotIn(slot, ix),
            _ => Test::In(self.place_node(left), self.place_node(right)),
        })
    }

    fn equality(&mut self, left: Node, right: Node) -> Test {
        match (left, right) {
            (Node::Slot(slot), Node::Constant(ix)) | (Node::Constant(ix), Node::Slot(slot)) => {
                Test::SlotEqual(slot, ix)
            }
            (Node::Slot(left), Node::Slot(right)) => Test::SlotsEqual(left, right),
            _ => Test::Equal(self.place_node(left), self.place_node(right)),
        }
    }

    fn comparison(&mut self, comparison: Comparison, left: Node, right: Node) -> Test {
        match (left, right) {
            (Node::Slot(slot), Node::Constant(ix)) => Test::SlotCompare(comparison, slot, ix),
            (Node::Constant(ix), Node::Slot(slot)) => {
                Test::SlotCompare(comparison.turned(), slot, ix)
            }
            _ => Test::Compare(comparison, self.place_node(left), self.place_node(right)),
        }
    }

    fn node(&mut self, expr: &Arc<Expr>, slots: &Slots, depth: usize) -> Result<Node> {
        if depth > NESTING_MAX {
            return Err("its condition nests too deeply");
        }
        Ok(match &**expr {
            Expr::Literal(literal) => self.literal(literal)?,
            Expr::Var(variable) => Node::Slot(self.slot(Slot::Variable(of(variable)))),
            Expr::Slot(slot) => match slots.get(slot) {
                Some(uid) => {
                    let entity = self.entity(uid);
                    self.place_constant(Held::Entity(entity))
                }
                None => Node::Fail,
            },
            Expr::GetAttr { expr, attr } => {
                let base = self.node(expr, slots, depth + 1)?;
                let key = self.naming.key(attr);
                match base {
                    Node::Slot(base) => {
                        let slot = match self.variable(Node::Slot(base)) {
                            Some(variable) => Slot::Attribute(variable, key),
                            None => Slot::Deeper(base, key),
                        };
                        Node::Slot(self.slot(slot))
                    }
                    Node::Fail => Node::Fail,
                    _ => Node::Attribute(self.place_node(base), key),
                }
            }
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                let test = self.test(cond, slots, depth + 1)?;
                let then = self.place(then_expr, slots, depth)?;
                let other = self.place(else_expr, slots, depth)?;
                Node::If(self.place_tests(vec![test]).start, then, other)
            }
            Expr::Set(members) => {
                bounded(members.len())?;
                let members = members.iter().map(|it| self.node(it, slots, depth + 1));
                let members = members.collect::<Result<Vec<_>>>()?;
                match self.constants(&members) {
                    Some(constants) => self.place_constant(Held::set(constants)),
                    None => Node::Set(self.place_nodes(members)),
                }
            }
            Expr::Record(attributes) => self.record(attributes, slots, depth)?,
            Expr::UnaryOp { op, expr: inner } => match unary_node(*op) {
                Some(make) => {
                    let inner = self.node(inner, slots, depth + 1)?;
                    self.folded(make, inner)
                }
                None => Node::Truth(self.place_test(expr, slots, depth)?),
            },
            Expr::BinaryOp { op, left, right } => {
                let Some(make) = binary_node(*op) else {
                    return Ok(Node::Truth(self.place_test(expr, slots, depth)?));
                };
                let left = self.place(left, slots, depth)?;
                make(left, self.place(right, slots, depth)?)
            }
            Expr::HasAttr { .. } | Expr::Like { .. } | Expr::Is { .. } => {
                Node::Truth(self.place_test(expr, slots, depth)?)
            }
            _ => return Err("it has an expression that is not known here"),
        })
    }

    fn record(
        &mut self,
        attributes: &BTreeMap<String, Arc<Expr>>,
        slots: &Slots,
        depth: usize,
    ) -> Result<Node> {
        bounded(attributes.len())?;
        let (mut keys, mut nodes) = (Vec::new(), Vec::new());
        for (name, expr) in attributes {
            keys.push(self.naming.key(name));
            nodes.push(self.node(expr, slots, depth + 1)?);
        }
        if let Some(constants) = self.constants(&nodes) {
            let attributes = keys.into_iter().zip(constants).collect();
            return Ok(self.place_constant(Held::record(attributes)));
        }
        let start = number(self.program.keys.len());
        self.program.keys.extend(keys);
        Ok(Node::Record(self.place_nodes(nodes), start))
    }

    fn literal(&mut self, literal: &Literal) -> Result<Node> {
        let held = match literal {
            Literal::Bool(it) => Held::Bool(*it),
            Literal::Long(it) => Held::Long(*it),
            Literal::String(it) => Held::Str(it.as_str().into()),
            Literal::EntityUID(it) => Held::Entity(self.entity(it)),
            _ => return Err("it has a literal that is not known here"),
        };
        Ok(self.place_constant(held))
    }

    /// The instruction, or its value if that is known already. What fails on a constant goes on
    /// failing where it stands.
    fn folded(&mut self, make: UnaryNode, inner: Node) -> Node {
        let Node::Constant(ix) = inner else {
            let ix = self.place_node(inner);
            return make.node(ix);
        };
        let value = self.constant(ix).and_then(|held| make.value(held));
        match value {
            Some(Some(held)) => self.place_constant(held),
            Some(None) => Node::Fail,
            None => make.node(self.place_node(inner)),
        }
    }

    fn negated(&mut self, test: Test) -> Test {
        match test {
            Test::Always(Truth::False) => Test::Always(Truth::True),
            Test::Always(Truth::True) => Test::Always(Truth::False),
            Test::Always(Truth::Error) => test,
            _ => Test::Not(self.place_tests(vec![test]).start),
        }
    }

    pub(crate) fn place_tests(&mut self, tests: Vec<Test>) -> Span {
        let span = Span { start: number(self.program.tests.len()), len: number(tests.len()) };
        self.program.tests.extend(tests);
        span
    }

    fn place_test(&mut self, expr: &Arc<Expr>, slots: &Slots, depth: usize) -> Result<TestIx> {
        let test = self.test(expr, slots, depth)?;
        Ok(self.place_tests(vec![test]).start)
    }

    fn place(&mut self, expr: &Arc<Expr>, slots: &Slots, depth: usize) -> Result<NodeIx> {
        let node = self.node(expr, slots, depth + 1)?;
        Ok(self.place_node(node))
    }

    fn place_node(&mut self, node: Node) -> NodeIx {
        self.place_nodes(vec![node]).start
    }

    fn place_nodes(&mut self, nodes: Vec<Node>) -> Span {
        let span = Span { start: number(self.program.nodes.len()), len: number(nodes.len()) };
        self.program.nodes.extend(nodes);
        span
    }

    fn place_constant(&mut self, held: Held) -> Node {
        if let Some(ix) = self.constants.get(&held) {
            return Node::Constant(*ix);
        }
        let ix = number(self.program.constants.len());
        self.program.scalars.push(Scalar::of(Some(held.view())));
        self.program.constants.push(held.clone());
        self.constants.insert(held, ix);
        Node::Constant(ix)
    }

    fn slot(&mut self, slot: Slot) -> SlotIx {
        let next = number(self.program.slots.len());
        let ix = *self.slots.entry(slot).or_insert(next);
        if ix == next {
            self.program.slots.push(slot);
        }
        ix
    }

    /// The variable that a node is, if it is one.
    fn variable(&self, node: Node) -> Option<Variable> {
        let Node::Slot(ix) = node else { return None };
        match self.program.slots.get(ix as usize) {
            Some(Slot::Variable(variable)) => Some(*variable),
            _ => None,
        }
    }

    fn constant(&self, ix: ConstantIx) -> Option<&Held> {
        self.program.constants.get(ix as usize)
    }

    fn constants(&self, nodes: &[Node]) -> Option<Vec<Held>> {
        let one = |node: &Node| match node {
            Node::Constant(ix) => self.constant(*ix).cloned(),
            _ => None,
        };
        nodes.iter().map(one).collect()
    }

    fn entity(&mut self, uid: &EntityUID) -> EntityRef {
        self.naming.entity(&uid.ty.to_string(), &uid.eid)
    }

    /// A scope as the syntax tree of a policy without slots has it.
    pub(crate) fn scope(
        &mut self,
        principal: &PrincipalConstraint,
        action: &ActionConstraint,
        resource: &ResourceConstraint,
    ) -> Result<Scope> {
        use {PrincipalConstraint as P, ResourceConstraint as R};
        let principal = match principal {
            P::Any => Side::Any,
            P::Is(kind) => Side::Is(self.naming.kind(&kind.to_string())),
            P::Eq(it) => Side::Equal(self.fixed(it)?),
            P::In(it) => Side::In(self.fixed(it)?),
            P::IsIn(kind, it) => Side::IsIn(self.naming.kind(&kind.to_string()), self.fixed(it)?),
        };
        let resource = match resource {
            R::Any => Side::Any,
            R::Is(kind) => Side::Is(self.naming.kind(&kind.to_string())),
            R::Eq(it) => Side::Equal(self.fixed(it)?),
            R::In(it) => Side::In(self.fixed(it)?),
            R::IsIn(kind, it) => Side::IsIn(self.naming.kind(&kind.to_string()), self.fixed(it)?),
        };
        let action = match action {
            ActionConstraint::Any => Actions::Any,
            ActionConstraint::Eq(it) => Actions::Equal(self.entity(it)),
            ActionConstraint::In(all) => {
                bounded(all.len())?;
                Actions::In(all.iter().map(|it| self.entity(it)).collect())
            }
        };
        Ok(Scope { principal, action, resource })
    }

    fn fixed(&mut self, it: &EntityOrSlot) -> Result<EntityRef> {
        match it {
            EntityOrSlot::Entity(uid) => Ok(self.entity(uid)),
            EntityOrSlot::Slot(_) => Err("its scope has a slot that is not filled"),
        }
    }
}

const FAIL: Test = Test::Always(Truth::Error);

fn bounded(members: usize) -> Result<()> {
    if members > MEMBERS_MAX { Err("it has a set or record that is too large") } else { Ok(()) }
}

fn of(variable: &Var) -> Variable {
    match variable {
        Var::Principal => Variable::Principal,
        Var::Action => Variable::Action,
        Var::Resource => Variable::Resource,
        Var::Context => Variable::Context,
    }
}

fn pattern(elements: &[PatternElem]) -> Pattern {
    let mut parts = vec![String::new()];
    for element in elements {
        match (element, parts.last_mut()) {
            (PatternElem::Char(it), Some(part)) => part.push(*it),
            _ => parts.push(String::new()),
        }
    }
    let mut parts = parts.into_iter().map(String::into_boxed_str);
    Pattern { first: parts.next().unwrap_or_default(), rest: parts.collect() }
}

/// Whether the operator always has a boolean.
fn is_test(op: BinaryOp) -> bool {
    binary_node(op).is_none()
}

fn unary_test(op: UnaryOp) -> Option<fn(NodeIx) -> Test> {
    Some(match op {
        UnaryOp::IsEmpty => Test::IsEmpty,
        UnaryOp::IsIPv4 => |it| Test::Ip(IpTest::Ipv4, it),
        UnaryOp::IsIPV6 => |it| Test::Ip(IpTest::Ipv6, it),
        UnaryOp::IsLoopback => |it| Test::Ip(IpTest::Loopback, it),
        UnaryOp::IsMulticast => |it| Test::Ip(IpTest::Multicast, it),
        _ => return None,
    })
}

fn binary_node(op: BinaryOp) -> Option<fn(NodeIx, NodeIx) -> Node> {
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
enum UnaryNode {
    Negate,
    Parse(Extension),
    ToDate,
    ToTime,
    ToUnit(u32),
}

impl UnaryNode {
    fn node(self, ix: NodeIx) -> Node {
        match self {
            UnaryNode::Negate => Node::Negate(ix),
            UnaryNode::Parse(extension) => Node::Parse(extension, ix),
            UnaryNode::ToDate => Node::ToDate(ix),
            UnaryNode::ToTime => Node::ToTime(ix),
            UnaryNode::ToUnit(ms) => Node::ToUnit(ix, ms),
        }
    }

    /// What comes of a constant: nothing known here, or a value, or an error.
    fn value(self, held: &Held) -> Option<Option<Held>> {
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

fn unary_node(op: UnaryOp) -> Option<UnaryNode> {
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
