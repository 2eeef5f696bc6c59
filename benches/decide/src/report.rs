//! What was found: a table to read while it grows, and JSON of the same.

use serde_json::{Value, json};

/// Rows so far.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Value>,
    missed: usize,
}

/// What a figure is to be.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// None: it is there to compare with.
    None,
    /// Ours is at most so much, in the unit of the row.
    AtMost(f64),
    /// Ours is at most so many times the peer's.
    TimesAtMost(f64),
    /// The peer's is at least so many times ours.
    Faster(f64),
    /// Ours is at most so much more than the peer's, in the unit of the row.
    More(f64),
}

/// One line: at how many agreements what was measured, ours and the peer's.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    pub what: &'a str,
    pub at: usize,
    pub unit: &'a str,
    pub ours: f64,
    pub peer: Option<(&'a str, f64)>,
    pub goal: Goal,
}

impl Report {
    pub fn head(&self) {
        println!(
            "{:<44} {:>9} {:>12} {:<26} {:>14} {:>11}  {}",
            "what", "N", "ours", "peer", "peer's", "ratio", "goal"
        );
    }

    pub fn add(&mut self, row: Row<'_>) {
        let Row { what, at, unit, ours, peer, goal } = row;
        let (name, theirs) = peer.unzip();
        // How many times the slower takes what the faster does, and which is which.
        let ratio = theirs.map(|theirs| if theirs > ours { theirs / ours } else { ours / theirs });
        let faster = theirs.map(|theirs| theirs > ours);
        let (goal_text, met) = judge(goal, ours, theirs.unwrap_or(f64::NAN), unit);
        self.missed += usize::from(met == Some(false));
        println!(
            "{what:<44} {at:>9} {:>12} {:<26} {:>14} {:>11}  {goal_text}{}",
            format!("{} {unit}", figure(ours)),
            name.unwrap_or_default(),
            theirs.map(|it| format!("{} {unit}", figure(it))).unwrap_or_default(),
            match (ratio, faster) {
                (Some(ratio), Some(true)) => format!("{}x faster", figure(ratio)),
                (Some(ratio), _) => format!("{}x slower", figure(ratio)),
                _ => String::new(),
            },
            match met {
                Some(true) => ": met",
                Some(false) => ": MISSED",
                None => "",
            }
        );
        self.rows.push(json!({
            "what": what, "agreements": at, "unit": unit, "ours": ours, "peer": name,
            "peers": theirs, "peers_over_ours": theirs.map(|it| it / ours), "goal": goal_text,
            "met": met,
        }));
    }

    pub fn note(&self, text: &str) {
        println!("  ({text})");
    }

    pub fn missed(&self) -> usize {
        self.missed
    }

    pub fn json(&self, machine: &Value) -> Value {
        json!({ "machine": machine, "rows": self.rows })
    }
}

fn judge(goal: Goal, ours: f64, theirs: f64, unit: &str) -> (String, Option<bool>) {
    match goal {
        Goal::None => (String::new(), None),
        Goal::AtMost(max) => (format!("≤ {} {unit}", figure(max)), Some(ours <= max)),
        Goal::TimesAtMost(max) => (format!("≤ {}x", figure(max)), Some(ours <= theirs * max)),
        Goal::Faster(min) => (format!("≥ {}x faster", figure(min)), Some(theirs >= ours * min)),
        Goal::More(max) => (format!("≤ {} {unit} more", figure(max)), Some(ours - theirs <= max)),
    }
}

/// Three digits that say something, thousands apart.
fn figure(number: f64) -> String {
    let decimals = match number.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    let text = format!("{number:.decimals$}");
    let (whole, fraction) =
        text.split_once('.').map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
    let mut grouped = String::new();
    for (ix, digit) in whole.chars().enumerate() {
        if ix > 0 && (whole.len() - ix) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match fraction {
        Some(fraction) => format!("{grouped}.{fraction}"),
        None => grouped,
    }
}
