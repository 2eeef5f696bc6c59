//! Conditions in steps: what `&&`, `||`, `!` and `if` join becomes jumps between single tests.
//!
//! All of them look at their operands one after the other and err where the operand does that
//! they have come to, so that each is only a matter of where to go on.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::names::number;
use crate::program::{FAILS, HOLDS, Program, Span, Step, StepIx, Test, Truth};

/// Lays out conditions, each once wherever it is filed.
pub(crate) struct Steps<'p> {
    program: &'p mut Program,
    starts: HashMap<(u32, u32), StepIx, RandomState>,
}

impl<'p> Steps<'p> {
    pub(crate) fn new(program: &'p mut Program) -> Self {
        Self { program, starts: HashMap::default() }
    }

    pub(crate) fn program(&self) -> &Program {
        self.program
    }

    /// The first step of a condition: all of these tests must hold.
    pub(crate) fn start(&mut self, tests: Span) -> StepIx {
        if let Some(start) = self.starts.get(&(tests.start, tests.len)) {
            return *start;
        }
        let start = self.row(tests, Truth::True, HOLDS, FAILS);
        self.starts.insert((tests.start, tests.len), start);
        start
    }

    /// Tests in a row, the last laid out first: one that comes to `rest` leads to the next.
    fn row(&mut self, tests: Span, rest: Truth, then: StepIx, otherwise: StepIx) -> StepIx {
        let mut next = if rest == Truth::True { then } else { otherwise };
        for ix in (tests.start..tests.start + tests.len).rev() {
            next = match rest {
                Truth::True => self.lay(ix, next, otherwise),
                _ => self.lay(ix, then, next),
            };
        }
        next
    }

    /// Lays out a test, and says where it begins.
    fn lay(&mut self, ix: u32, then: StepIx, otherwise: StepIx) -> StepIx {
        let Some(test) = self.program.tests.get(ix as usize).copied() else { return otherwise };
        match test {
            Test::Always(Truth::True) => then,
            Test::Always(Truth::False) => otherwise,
            Test::All(tests) => self.row(tests, Truth::True, then, otherwise),
            Test::Any(tests) => self.row(tests, Truth::False, then, otherwise),
            Test::Not(inner) => self.lay(inner, otherwise, then),
            Test::SlotUnequal(slot, constant) => {
                self.step(Test::SlotEqual(slot, constant), otherwise, then)
            }
            Test::If(first) => {
                let [yes, no] = [first + 1, first + 2].map(|ix| self.lay(ix, then, otherwise));
                self.lay(first, yes, no)
            }
            _ => self.step(test, then, otherwise),
        }
    }

    fn step(&mut self, test: Test, then: StepIx, otherwise: StepIx) -> StepIx {
        self.program.steps.push(Step { test, then, otherwise });
        number(self.program.steps.len() - 1)
    }
}
