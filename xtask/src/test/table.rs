//! What the steps came to.

use std::{fmt::Write, time::Duration};

use crate::terminal::seconds;

pub(super) enum Outcome {
    Passed,
    /// Passed, but something could not be checked here.
    PassedWithout(String),
    Failed,
    NotRun(String),
}

impl Outcome {
    pub(super) fn is_bad(&self) -> bool {
        matches!(self, Self::Failed | Self::NotRun(_))
    }
}

pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
    pub(super) budget: Duration,
}

/// One line a step: name, time beside its budget, outcome, and what was not checked.
pub(super) fn text(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Row { name, outcome, took, budget } in rows {
        let (word, why) = match outcome {
            Outcome::Passed => ("ok", String::new()),
            Outcome::PassedWithout(why) => ("ok", format!("  skipped: {why}")),
            Outcome::Failed => ("FAILED", String::new()),
            Outcome::NotRun(why) => ("not run", format!("  {why}")),
        };
        let over = if took > budget { "  over its budget" } else { "" };
        let (took, budget) = (seconds(*took), seconds(*budget));
        writeln!(text, "{name:<width$}  {took:>12} of {budget:>12}  {word}{over}{why}")
            .expect("writing to a String cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Outcome, Row, text};

    #[test]
    fn a_step_that_could_not_run_says_so_and_why() {
        let row = |name, outcome, budget| {
            let (took, budget) = (Duration::from_secs(3), Duration::from_secs(budget));
            Row { name, outcome, took, budget }
        };
        let rows = [
            row("build", Outcome::Failed, 600),
            row("tests", Outcome::NotRun("`build` failed".to_owned()), 3),
            row("deny", Outcome::PassedWithout("advisories (database not reachable)".to_owned()), 2),
        ];
        assert_eq!(
            text(&rows),
            "build         3.0 s of  10 min 00 s  FAILED\n\
             tests         3.0 s of        3.0 s  not run  `build` failed\n\
             deny          3.0 s of        2.0 s  ok  over its budget  skipped: advisories (database not reachable)\n"
        );
        assert!(rows[0].outcome.is_bad() && rows[1].outcome.is_bad() && !rows[2].outcome.is_bad());
    }
}
