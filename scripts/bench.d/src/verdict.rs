//! What a benchmark found, beside what does the least work possible, and what it is held to.

use serde_json::json;

/// What a benchmark prints.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

/// One figure.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was measured, and in which unit.
    pub(crate) what: String,
    /// Of job-worker.
    pub(crate) ours: f64,
    /// Of whatever does the least work possible; `None` where nothing can be compared.
    pub(crate) raw: Option<f64>,
    /// What is judged.
    pub(crate) bound: Bound,
}

/// What a figure is held to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// Ours ÷ raw is at least this.
    RatioAtLeast { goal: f64, floor: f64 },
    /// Ours ÷ raw is at most this.
    RatioAtMost { goal: f64, floor: f64 },
    /// Ours is at least this.
    AtLeast { goal: f64, floor: f64 },
    /// Ours is at most this.
    AtMost { goal: f64, floor: f64 },
    /// It explains the others.
    Shown,
}

/// How a figure stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// The goal is reached.
    Goal,
    /// The floor is kept.
    Floor,
    /// The floor is missed.
    Missed,
    /// It is not judged.
    Shown,
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        self.raw.map(|raw| self.ours / raw)
    }

    /// Judges the figure; one that is no number misses every floor.
    pub(crate) fn verdict(&self) -> Verdict {
        let ratio = self.ratio().unwrap_or(f64::NAN);
        let (holds, fails) = (Verdict::Goal, Verdict::Missed);
        let at_least = |value: f64, goal: f64, floor: f64| match value {
            value if value >= goal => holds,
            value if value >= floor => Verdict::Floor,
            _ => fails,
        };
        let at_most = |value: f64, goal: f64, floor: f64| match value {
            value if value <= goal => holds,
            value if value <= floor => Verdict::Floor,
            _ => fails,
        };
        match self.bound {
            Bound::RatioAtLeast { goal, floor } => at_least(ratio, goal, floor),
            Bound::RatioAtMost { goal, floor } => at_most(ratio, goal, floor),
            Bound::AtLeast { goal, floor } => at_least(self.ours, goal, floor),
            Bound::AtMost { goal, floor } => at_most(self.ours, goal, floor),
            Bound::Shown => Verdict::Shown,
        }
    }
}

impl Bound {
    /// The goal and the floor in words.
    fn words(self) -> (String, String) {
        match self {
            Self::RatioAtLeast { goal, floor } => (format!("≥ {goal}×"), format!("≥ {floor}×")),
            Self::RatioAtMost { goal, floor } => (format!("≤ {goal}×"), format!("≤ {floor}×")),
            Self::AtLeast { goal, floor } => (
                format!("≥ {}", short(Some(goal))),
                format!("≥ {}", short(Some(floor))),
            ),
            Self::AtMost { goal, floor } => (
                format!("≤ {}", short(Some(goal))),
                format!("≤ {}", short(Some(floor))),
            ),
            Self::Shown => (String::new(), String::new()),
        }
    }
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Goal => "goal",
            Self::Floor => "floor",
            Self::Missed => "MISSED",
            Self::Shown => "",
        }
    }
}

impl Table {
    /// Adds a figure.
    pub(crate) fn add(&mut self, what: impl Into<String>, ours: f64, raw: Option<f64>, bound: Bound) {
        self.0.push(Row {
            what: what.into(),
            ours,
            raw,
            bound,
        });
    }

    /// Prints the figures, one a line, and tells whether every floor is kept.
    pub(crate) fn print(&self, as_json: bool) -> bool {
        if as_json {
            self.print_json();
        } else {
            self.print_text();
        }
        self.0.iter().all(|row| row.verdict() != Verdict::Missed)
    }

    fn print_json(&self) {
        for row in &self.0 {
            let (goal, floor) = row.bound.words();
            let line = json!({
                "what": row.what,
                "ours": row.ours,
                "raw": row.raw,
                "ratio": row.ratio(),
                "goal": goal,
                "floor": floor,
                "verdict": row.verdict().word(),
            });
            println!("{line}");
        }
    }

    fn print_text(&self) {
        let width = self
            .0
            .iter()
            .map(|row| row.what.chars().count())
            .max()
            .unwrap_or(0);
        println!(
            "{:<width$} {:>10} {:>10} {:>8} {:>9} {:>9}  verdict",
            "what", "ours", "raw", "ratio", "goal", "floor"
        );
        for row in &self.0 {
            let (goal, floor) = row.bound.words();
            println!(
                "{:<width$} {:>10} {:>10} {:>8} {goal:>9} {floor:>9}  {}",
                row.what,
                short(Some(row.ours)),
                short(row.raw),
                row.ratio().map_or(String::new(), |ratio| format!("{ratio:.3}")),
                row.verdict().word()
            );
        }
    }
}

/// A figure in at most seven characters or so: `1.23 M`, `456`, `0.0123`.
fn short(value: Option<f64>) -> String {
    let Some(value) = value else {
        return String::new();
    };
    match value.abs() {
        size if size >= 1e6 => format!("{:.2} M", value / 1e6),
        size if size >= 1e4 => format!("{:.1} k", value / 1e3),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.2}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(ours: f64, raw: Option<f64>, bound: Bound) -> Verdict {
        let what = String::new();
        Row {
            what,
            ours,
            raw,
            bound,
        }
        .verdict()
    }

    #[test]
    fn a_figure_is_held_to_its_goal_and_its_floor() {
        let (goal, floor) = (0.9, 0.8);
        let least = Bound::RatioAtLeast { goal, floor };
        assert_eq!(verdict(90.0, Some(100.0), least), Verdict::Goal);
        assert_eq!(verdict(85.0, Some(100.0), least), Verdict::Floor);
        assert_eq!(verdict(79.0, Some(100.0), least), Verdict::Missed);
        let (goal, floor) = (1.6, 2.0);
        let most = Bound::RatioAtMost { goal, floor };
        assert_eq!(verdict(1.5, Some(1.0), most), Verdict::Goal);
        assert_eq!(verdict(2.0, Some(1.0), most), Verdict::Floor);
        assert_eq!(verdict(2.1, Some(1.0), most), Verdict::Missed);
        let (goal, floor) = (400.0, 900.0);
        assert_eq!(
            verdict(900.0, None, Bound::AtMost { goal, floor }),
            Verdict::Floor
        );
        assert_eq!(
            verdict(899.0, None, Bound::AtLeast { goal, floor }),
            Verdict::Goal
        );
    }

    #[test]
    fn what_is_no_number_misses_every_floor() {
        let (goal, floor) = (0.9, 0.8);
        assert_eq!(
            verdict(1.0, None, Bound::RatioAtLeast { goal, floor }),
            Verdict::Missed
        );
        assert_eq!(
            verdict(f64::NAN, None, Bound::AtMost { goal, floor }),
            Verdict::Missed
        );
        assert_eq!(verdict(f64::NAN, None, Bound::Shown), Verdict::Shown);
    }
}
