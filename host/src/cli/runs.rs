//! `ripost runs`

use super::out::{one_line, out, outln};
use super::{Failure, client};
use crate::admin::{RunShown, StepShown};
use anyhow::Context as _;
use clap::Args;
use http::Method;
use ripost_domain::id::RequestId;
use serde_json::Value;

/// Show the runs of a request: how each ended, what it used, what it wrote to its log; and the steps they have committed.
#[derive(Args)]
pub(super) struct Runs {
    /// The request
    request: RequestId,
    /// Print the runs as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: client::Gateway,
}

impl Runs {
    pub(super) fn run(self) -> Result<(), Failure> {
        let path = format!("/admin/v1/requests/{}/runs", self.request);
        let runs: Vec<RunShown> = self.gateway.ask(Method::GET, &path, None)?;
        if self.json {
            outln!("{}", serde_json::to_string_pretty(&runs).context("writing JSON")?);
            return Ok(());
        }
        if runs.is_empty() {
            outln!("no run has ended");
        }
        for run in &runs {
            out!("{}", text(run));
        }
        let path = format!("/admin/v1/requests/{}/steps", self.request);
        let steps: Vec<StepShown> = self.gateway.ask(Method::GET, &path, None)?;
        for step in &steps {
            out!("{}", step_text(step));
        }
        Ok(())
    }
}

/// A line of figures, and one for each line of the log. What an owner wrote cannot steer the terminal.
pub(super) fn text(run: &RunShown) -> String {
    let mut text = format!(
        "run {}  {}  {}  cpu {:.3} ms  wall {:.3} ms  memory {} KiB  host calls {}  outbound {} ({} bytes)  log {} bytes\n",
        run.attempt,
        run.started_at,
        one_line(&run.outcome),
        run.cpu_ms,
        run.wall_ms,
        run.memory_bytes.div_ceil(1024),
        run.host_calls,
        run.outbound_calls,
        run.outbound_bytes,
        run.log_bytes,
    );
    for line in &run.log {
        text.push_str(&format!("  {}\n", one_line(&log_line(line))));
    }
    text
}

pub(super) fn step_text(step: &StepShown) -> String {
    let StepShown { name, bytes, attempt, committed_at } = step;
    format!("step {}  {committed_at}  run {attempt}  {bytes} bytes\n", one_line(name))
}

fn log_line(line: &Value) -> String {
    let (Some(level), Some(message)) = (line["level"].as_str(), line["message"].as_str()) else {
        return line["dropped"]
            .as_u64()
            .map_or_else(|| line.to_string(), |dropped| format!("({dropped} lines dropped)"));
    };
    // What the gateway says of the run, and not the guest.
    let level = if line["by"] == "host" { "host" } else { level };
    match &line["fields"] {
        Value::Object(fields) if !fields.is_empty() => format!("{level:<5} {message}  {}", line["fields"]),
        _ => format!("{level:<5} {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripost_domain::time::Timestamp;
    use serde_json::json;

    #[test]
    fn what_an_owner_logged_is_on_its_own_line_and_cannot_steer_a_terminal() {
        let run = RunShown {
            attempt: 2,
            started_at: Timestamp::from_millis(0),
            outcome: "answered".to_owned(),
            cpu_ms: 1.25,
            wall_ms: 3.5,
            memory_bytes: 65_536,
            host_calls: 4,
            outbound_calls: 1,
            outbound_bytes: 99,
            log_bytes: 12,
            log: vec![
                json!({ "level": "warn", "message": "a\u{1b}[2J\nrun 9", "fields": { "k\u{1b}": "v" } }),
                json!({ "level": "info", "message": "plain", "fields": {} }),
                json!({ "level": "error", "message": "the handler trapped", "fields": {}, "by": "host" }),
                json!({ "dropped": 7 }),
                json!("\u{1b}broken"),
            ],
        };
        let shown = text(&run);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 6, "{shown}");
        assert!(
            lines[0]
                .starts_with("run 2  1970-01-01T00:00:00.000Z  answered  cpu 1.250 ms  wall 3.500 ms  memory 64 KiB")
        );
        assert_eq!(lines[1], "  warn  a\\u001b[2J\\nrun 9  {\"k\\u001b\":\"v\"}");
        assert_eq!(
            (lines[2], lines[3], lines[4]),
            ("  info  plain", "  host  the handler trapped", "  (7 lines dropped)")
        );
        assert!(!shown.contains('\u{1b}'));
        let committed_at = Timestamp::from_millis(0);
        let step = StepShown { name: "charge\u{1b}".to_owned(), bytes: 12, attempt: 1, committed_at };
        assert_eq!(step_text(&step), "step charge\\u001b  1970-01-01T00:00:00.000Z  run 1  12 bytes\n");
    }
}
