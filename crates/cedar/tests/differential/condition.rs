//! Expressions that are true or false.

use super::expression::{Expression, Writer, loose, tight};
use super::paths;
use super::strings::{EXTENSIONS, Extension, pattern};
use super::vocabulary::{ACTION, Kind};

impl Writer<'_, '_, '_> {
    pub(crate) fn boolean(&mut self, depth: usize) -> Expression {
        if depth == 0 {
            return match self.choices.weighted(&[4, 3, 2]) {
                0 => self.leaf(&Kind::Bool),
                1 => self.equality(0),
                _ => self.has(0),
            };
        }
        let depth = depth - 1;
        match self.choices.weighted(&[1, 5, 4, 1, 5, 5, 4, 2, 3, 2, 3, 4, 4]) {
            0 => self.leaf(&Kind::Bool),
            1 => self.chain("&&", depth),
            2 => self.chain("||", depth),
            3 => {
                let test = self.condition(depth).text;
                let (yes, no) = (self.condition(depth).text, self.condition(depth).text);
                loose(format!("if {test} then {yes} else {no}"))
            }
            4 => self.equality(depth),
            5 => self.order(depth),
            6 => self.within(depth),
            7 => self.is(depth),
            8 => self.has(depth),
            9 => self.has_tag(depth),
            10 => self.like(depth),
            11 => self.contains(depth),
            _ if self.choices.percent(30) => self.negation(depth),
            _ => self.extension_test(depth),
        }
    }

    fn chain(&mut self, operator: &str, depth: usize) -> Expression {
        let count = self.choices.between(2, 4);
        let mut terms: Vec<String> = Vec::new();
        for _ in 0..count {
            terms.push(self.condition(depth).operand());
        }
        loose(terms.join(&format!(" {operator} ")))
    }

    fn negation(&mut self, depth: usize) -> Expression {
        let marks = *self.choices.pick(&["!", "!", "!!", "!!!"]);
        loose(format!("{marks}{}", self.condition(depth).operand()))
    }

    fn equality(&mut self, depth: usize) -> Expression {
        let kind = self.any_kind();
        if self.choices.percent(12) {
            return self.sets_alike(&kind, depth);
        }
        let left = self.of(&kind, depth).operand();
        let right = if self.choices.percent(50) {
            self.constant(&kind).operand()
        } else {
            self.of(&kind, depth).operand()
        };
        let operator = if self.choices.percent(75) { "==" } else { "!=" };
        if self.choices.percent(20) {
            return loose(format!("{right} {operator} {left}"));
        }
        loose(format!("{left} {operator} {right}"))
    }

    /// Two sets made of the same few members.
    fn sets_alike(&mut self, kind: &Kind, depth: usize) -> Expression {
        let count = self.choices.between(1, 3);
        let members: Vec<String> = (0..count).map(|_| self.of(kind, depth).text).collect();
        let mut set = || {
            let mut items = vec![self.choices.pick(&members).clone()];
            items.extend(self.choices.some(&members, 60));
            format!("[{}]", items.join(", "))
        };
        let (left, right) = (set(), set());
        match self.choices.below(4) {
            0 => tight(format!("{left}.containsAll({right})")),
            1 => tight(format!("[{left}].contains({right})")),
            2 => loose(format!("{{a: {left}, b: 1}} == {{b: 1, a: {right}}}")),
            _ => loose(format!("{left} == {right}")),
        }
    }

    fn order(&mut self, depth: usize) -> Expression {
        let kind = match self.choices.below(3) {
            0 => Kind::Long,
            1 => Kind::Extension(Extension::Datetime),
            _ => Kind::Extension(Extension::Duration),
        };
        let other = if !self.words.strict && self.choices.percent(5) {
            Kind::Extension(*self.choices.pick(&EXTENSIONS))
        } else {
            kind.clone()
        };
        let (left, right) = (self.of(&kind, depth), self.of(&other, depth));
        let operator = *self.choices.pick(&["<", "<=", ">", ">="]);
        loose(format!("{} {operator} {}", left.operand(), right.operand()))
    }

    /// Any entity, most often principal, resource or action.
    fn entity(&mut self, depth: usize) -> Expression {
        if self.choices.percent(60) {
            return tight(*self.choices.pick(&["principal", "resource", "action"]));
        }
        let at = self.any_type();
        self.of(&Kind::Entity(at), depth)
    }

    fn within(&mut self, depth: usize) -> Expression {
        let left = self.entity(depth).operand();
        let at = self.any_type();
        let right = match self.choices.below(3) {
            0 => tight(self.uid(at)),
            1 => self.of(&Kind::Entity(at), depth),
            2 if !self.words.strict && self.choices.percent(40) => self.entities(),
            _ => self.of(&Kind::Set(Box::new(Kind::Entity(at))), depth),
        };
        loose(format!("{left} in {}", right.operand()))
    }

    /// A set of entities of all types.
    fn entities(&mut self) -> Expression {
        let high = if self.choices.percent(30) { 30 } else { 5 };
        let mut items = Vec::new();
        for _ in 0..self.choices.between(0, high) {
            let at = self.any_type();
            items.push(self.uid(at));
        }
        tight(format!("[{}]", items.join(", ")))
    }

    fn is(&mut self, depth: usize) -> Expression {
        let left = self.entity(depth).operand();
        let at = self.any_type();
        let unknown = !self.words.strict && self.choices.percent(5);
        let name = if unknown { "No::Such" } else { &self.words.types[at].name };
        if self.choices.percent(60) {
            return loose(format!("{left} is {name}"));
        }
        let mut above = Kind::Entity(self.any_type());
        if !self.words.strict && self.choices.percent(8) {
            above = self.any_kind();
        }
        let above = self.of(&above, depth).operand();
        loose(format!("{left} is {name} in {above}"))
    }

    fn has(&mut self, depth: usize) -> Expression {
        if self.choices.percent(35)
            && let Some(nested) = self.nested_has()
        {
            return nested;
        }
        let (left, kind) = match self.choices.below(4) {
            0 | 1 => {
                let able = |kind: &Kind| matches!(kind, Kind::Entity(_) | Kind::Record(_));
                let fits: Vec<usize> = (0..self.paths.len())
                    .filter(|at| able(&self.paths[*at].kind) || self.words.odd > 20)
                    .collect();
                let path = &self.paths[*self.choices.pick(&fits)];
                let guards = path.guards.clone();
                let inner = loose(format!("{} has {}", path.text, self.some_key(&path.kind)));
                return self.guarded(&guards, inner);
            }
            2 => (tight("context"), Kind::Record(vec![])),
            _ => {
                let at = self.any_type();
                (self.of(&Kind::Entity(at), depth), Kind::Entity(at))
            }
        };
        loose(format!("{} has {}", left.operand(), self.some_key(&kind)))
    }

    fn some_key(&mut self, kind: &Kind) -> String {
        let names = super::strings::NAMES;
        let fields = paths::fields(self.words, kind);
        if fields.is_empty() || self.choices.percent(20) {
            return (*self.choices.pick(names)).to_owned();
        }
        let name = self.choices.pick(fields).name.clone();
        paths::key(&name, self.choices)
    }

    /// `e has a.b.c` along a path that may be there.
    fn nested_has(&mut self) -> Option<Expression> {
        let deep: Vec<usize> = (0..self.paths.len())
            .filter(|at| self.paths[*at].depth > 1 && !self.paths[*at].text.contains('['))
            .collect();
        if deep.is_empty() {
            return None;
        }
        let path = &self.paths[*self.choices.pick(&deep)];
        let (root, rest) = path.text.split_once('.')?;
        let able = matches!(path.kind, Kind::Entity(_) | Kind::Record(_)) || !self.words.strict;
        let tail = if able && self.choices.percent(15) { ".nope" } else { "" };
        Some(loose(format!("{root} has {rest}{tail}")))
    }

    fn has_tag(&mut self, depth: usize) -> Expression {
        let entity = if self.words.strict {
            let tagged = self.words.types.iter().position(|ty| ty.tags.is_some());
            let Some(at) = tagged else { return self.leaf(&Kind::Bool) };
            self.of(&Kind::Entity(at), depth)
        } else {
            self.entity(depth)
        };
        let key = self.of(&Kind::Text, depth).text;
        tight(format!("{}.hasTag({key})", entity.operand()))
    }

    fn like(&mut self, depth: usize) -> Expression {
        let left = self.of(&Kind::Text, depth).operand();
        let text = self.choices.pick(&self.words.strings);
        loose(format!("{left} like {}", pattern(text, self.choices)))
    }

    fn contains(&mut self, depth: usize) -> Expression {
        let inner = match self.any_kind() {
            Kind::Set(inner) => *inner,
            other => other,
        };
        let set = Kind::Set(Box::new(inner.clone()));
        let left = self.of(&set, depth).operand();
        let call = *self.choices.pick(&["contains", "containsAll", "containsAny", "isEmpty"]);
        let argument = match call {
            "isEmpty" => String::new(),
            "contains" => self.of(&inner, depth).text,
            _ => self.of(&set, depth).text,
        };
        tight(format!("{left}.{call}({argument})"))
    }

    fn extension_test(&mut self, depth: usize) -> Expression {
        if !self.words.strict && self.choices.permille(20) {
            return self.wrong_count(depth);
        }
        let ip = Kind::Extension(Extension::Ip);
        if self.choices.percent(50) {
            let decimal = Kind::Extension(Extension::Decimal);
            let calls = ["lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"];
            let call = *self.choices.pick(&calls);
            let (left, right) = (self.of(&decimal, depth), self.of(&decimal, depth));
            return tight(format!("{}.{call}({})", left.operand(), right.text));
        }
        let left = self.of(&ip, depth).operand();
        if self.choices.percent(50) {
            let right = self.of(&ip, depth).text;
            return tight(format!("{left}.isInRange({right})"));
        }
        let call = *self.choices.pick(&["isIpv4", "isIpv6", "isLoopback", "isMulticast"]);
        tight(format!("{left}.{call}({})", self.surplus()))
    }

    /// A call with more or fewer arguments than the function has.
    fn wrong_count(&mut self, depth: usize) -> Expression {
        let ext = *self.choices.pick(&EXTENSIONS);
        let value = self.of(&Kind::Extension(ext), depth);
        let text = self.leaf(&Kind::Text).text;
        match self.choices.below(4) {
            0 => loose(format!("{}() == {}", ext.constructor(), value.operand())),
            1 => loose(format!("{}({text}, {text}) == {}", ext.constructor(), value.operand())),
            2 => tight(format!("{}.isInRange()", value.operand())),
            _ => tight(format!("{}.lessThan({text}, {text})", value.operand())),
        }
    }

    /// A comparison with a constant that a policy may begin with: what sets of thousands of
    /// policies for everybody look like.
    pub(crate) fn leading(&mut self) -> Expression {
        let short: Vec<usize> = (0..self.paths.len())
            .filter(|at| {
                let path = &self.paths[*at];
                let simple = !matches!(path.kind, Kind::Record(_)) || self.choices.percent(10);
                simple && (path.depth <= 2 || self.choices.percent(10))
            })
            .collect();
        let path = self.paths[*self.choices.pick(&short)].clone();
        let kind = if self.choices.permille(self.words.odd) {
            self.words.kind(self.choices, 0)
        } else if path.text == "action" {
            Kind::Entity(ACTION)
        } else {
            path.kind.clone()
        };
        let mut left = path.text.clone();
        if !self.words.strict && self.choices.percent(3) {
            left.push_str(".nope");
        }
        let inner = match (&kind, self.choices.weighted(&[12, 5, 1, 1, 1])) {
            (Kind::Set(inner), 0..=2) => {
                let item = self.constant(inner).text;
                tight(format!("{left}.contains({item})"))
            }
            (_, 0) => loose(format!("{left} == {}", self.constant(&kind).operand())),
            (_, 1) => loose(format!("{} == {left}", self.constant(&kind).operand())),
            (_, 2) => loose(format!("{left} != {}", self.constant(&kind).operand())),
            (_, 3) => {
                let set = self.constant(&Kind::Set(Box::new(kind.clone()))).text;
                tight(format!("{set}.contains({left})"))
            }
            _ => {
                let (one, other) = (self.constant(&kind), self.constant(&kind));
                loose(format!("{left} == {} || {left} == {}", one.operand(), other.operand()))
            }
        };
        self.guarded(&path.guards, inner)
    }
}
