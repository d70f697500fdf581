//! `cargo xtask test`: every check, step by step, and a table of them at the end.

mod deny;
mod newest;
mod steps;
mod table;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::builder::PossibleValuesParser;

use self::{
    steps::STEPS,
    table::{Outcome, Row},
};
use crate::terminal;

/// What a step that did not fail has to say.
pub(crate) enum Done {
    /// Everything was checked.
    Whole,
    /// Something could not be checked, and why.
    Without(String),
}

/// One check.
pub(crate) struct Step {
    name: &'static str,
    /// For people.
    what: &'static str,
    /// Steps without which this one would only repeat their failure.
    needs: &'static [&'static str],
    /// What it may take on two cores when nothing is built yet. More is printed, and fails nothing: machines differ.
    budget: Duration,
    run: fn() -> Result<Done>,
}

/// The names that `--only` and `--skip` take.
pub(crate) fn step_names() -> PossibleValuesParser {
    PossibleValuesParser::new(STEPS.iter().map(|step| step.name))
}

/// Runs the steps in order; one that fails does not keep others from running that do not need it.
///
/// # Errors
/// A step failed: its output was printed.
pub(crate) fn run(only: &[String], skip: &[String]) -> Result<()> {
    let started = Instant::now();
    let names = |names: &[String], step: &Step| names.iter().any(|name| name == step.name);
    let chosen = STEPS.iter().filter(|step| (only.is_empty() || names(only, step)) && !names(skip, step));
    let mut rows: Vec<Row> = Vec::new();
    for step in chosen {
        let began = Instant::now();
        let broken = step.needs.iter().find(|need| rows.iter().any(|row| row.name == **need && row.outcome.is_bad()));
        let outcome = match broken {
            Some(need) => Outcome::NotRun(format!("`{need}` failed")),
            None => {
                println!("== {}: {}", step.name, step.what);
                match (step.run)() {
                    Ok(Done::Whole) => Outcome::Passed,
                    Ok(Done::Without(why)) => Outcome::PassedWithout(why),
                    Err(error) => {
                        eprintln!("{error:#}");
                        Outcome::Failed
                    }
                }
            }
        };
        rows.push(Row { name: step.name, outcome, took: began.elapsed(), budget: step.budget });
    }
    println!("\n{}", table::text(&rows));
    let bad: Vec<&str> = rows.iter().filter(|row| row.outcome.is_bad()).map(|row| row.name).collect();
    let time = terminal::seconds(started.elapsed());
    if !bad.is_empty() {
        bail!("{} of {} steps did not pass in {time}: {}", bad.len(), rows.len(), bad.join(", "));
    }
    let budget = terminal::seconds(rows.iter().map(|row| row.budget).sum());
    println!("All {} steps are fine, in {time} of {budget}.", rows.len());
    Ok(())
}
