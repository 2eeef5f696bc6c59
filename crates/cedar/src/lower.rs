//! From a policy's syntax tree to its program.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cedar_policy::pst::{BinaryOp, Clause, EntityUID, Expr, Literal, SlotId, UnaryOp};

use crate::bounds::{self, Result};
use crate::names::{Naming, number};
use crate::operators::{
    FAIL, UnaryNode, binary_node, is_test, pattern, rare_test, unary_node, unary_test, variable,
};
use crate::program::{
    Comparison, ConstantIx, Node, NodeIx, Program, Slot, SlotIx, Span, Test, TestIx, Truth,
    Variable,
};
use crate::scalar::Scalar;
use crate::value::Held;
use crate::{EntityRef, Key};

/// How deep conditions may nest to be compiled; deeper ones are left to the reference, which
/// looks after the stack itself.
const NESTING_MAX: usize = 96;

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
            return Err("its condition nests too deeply".into());
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
                let keys = attrs.iter().map(|name| self.naming.key(name)).collect();
                self.has(expr, keys, slots, depth)?
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

    /// Whether what the expression comes to has an attribute, or one within the other.
    fn has(
        &mut self,
        expr: &Arc<Expr>,
        keys: Vec<Key>,
        slots: &Slots,
        depth: usize,
    ) -> Result<Test> {
        let node = self.node(expr, slots, depth + 1)?;
        Ok(match (self.variable(node), node, keys.as_slice()) {
            (Some(variable), _, [key]) => Test::SlotHas(self.slot(Slot::Attribute(variable, *key))),
            (None, Node::Slot(base), [key]) => {
                Test::SlotHasDeeper(base, self.slot(Slot::Deeper(base, *key)))
            }
            _ => {
                let start = number(self.program.keys.len());
                let span = Span { start, len: number(keys.len()) };
                self.program.keys.extend(keys);
                Test::Has(self.place_node(node), span)
            }
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
            BinaryOp::IsInRange if let (Node::Slot(slot), Node::Constant(ix)) = (left, right) => {
                Test::SlotInRange(slot, ix)
            }
            _ => {
                let (left, right) = (self.place_node(left), self.place_node(right));
                let test = rare_test(op, left, right);
                test.ok_or("it has an operator that is not known here")?
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
            return Err("its condition nests too deeply".into());
        }
        Ok(match &**expr {
            Expr::Literal(literal) => self.literal(literal)?,
            Expr::Var(var) => Node::Slot(self.slot(Slot::Variable(variable(var)))),
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
                bounds::members(members.len())?;
                let members = members.iter().map(|it| self.node(it, slots, depth + 1));
                let members = members.collect::<Result<Vec<_>>>()?;
                match self.constants(&members) {
                    Some(constants) => self.place_constant(Held::set(constants)),
                    None => {
                        bounds::made(&members, &self.program.nodes)?;
                        Node::Set(self.place_nodes(members))
                    }
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
            _ => return Err("it has an expression that is not known here".into()),
        })
    }

    fn record(
        &mut self,
        attributes: &BTreeMap<String, Arc<Expr>>,
        slots: &Slots,
        depth: usize,
    ) -> Result<Node> {
        bounds::members(attributes.len())?;
        let (mut keys, mut nodes) = (Vec::new(), Vec::new());
        for (name, expr) in attributes {
            keys.push(self.naming.key(name));
            nodes.push(self.node(expr, slots, depth + 1)?);
        }
        if let Some(constants) = self.constants(&nodes) {
            let attributes = keys.into_iter().zip(constants).collect();
            return Ok(self.place_constant(Held::record(attributes)));
        }
        bounds::made(&nodes, &self.program.nodes)?;
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
            _ => return Err("it has a literal that is not known here".into()),
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
            // Trees have `>=` as the negation of `<`, and so on.
            Test::SlotCompare(how, slot, ix) => Test::SlotCompare(how.negated(), slot, ix),
            Test::Compare(how, left, right) => Test::Compare(how.negated(), left, right),
            Test::SlotEqual(slot, ix) => Test::SlotUnequal(slot, ix),
            Test::SlotUnequal(slot, ix) => Test::SlotEqual(slot, ix),
            Test::Not(ix) => self.program.tests.get(ix as usize).copied().unwrap_or(FAIL),
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
        self.program.scalars.push(Scalar::of_held(&held));
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

    pub(crate) fn entity(&mut self, uid: &EntityUID) -> EntityRef {
        self.naming.entity(&uid.ty.to_string(), &uid.eid)
    }
}
