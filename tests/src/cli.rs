//! The program's command line, as an operator uses it.

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// The key of development mode.
pub const DEMO_KEY: &str = "demo-public-key-2026";

/// A command answers at once; one that does not has failed.
const COMMAND_MAX: Duration = Duration::from_secs(15);

/// What a command said.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// This output if the command ended with that code.
    ///
    /// # Errors
    /// It ended with another.
    pub fn expect(self, code: i32) -> Result<Self> {
        anyhow::ensure!(self.code == Some(code), "expected exit code {code}: {self:?}");
        Ok(self)
    }

    /// Standard output as JSON.
    ///
    /// # Errors
    /// It is not.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("not JSON: {self:?}"))
    }
}

/// Runs the host's program with these arguments and no other `RIPOST_*` than those given.
///
/// # Errors
/// It is not there, or did not end within 15 s (it is killed then).
pub async fn ripost(binary: Utf8PathBuf, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Output> {
    ripost_with_input(binary, arguments, environment, "").await
}

/// The same with something on its standard input.
///
/// # Errors
/// It is not there, or did not end within 15 s (it is killed then).
pub async fn ripost_with_input(
    binary: Utf8PathBuf,
    arguments: &[&str],
    environment: &[(&str, &str)],
    input: &str,
) -> Result<Output> {
    let mut command = clean(&binary, arguments, environment);
    if input.is_empty() {
        command.stdin(Stdio::null());
    } else {
        // A pipe holds 64 KiB: it is filled before anybody reads.
        let (reader, mut writer) = std::io::pipe().context("making a pipe")?;
        anyhow::ensure!(input.len() <= 60 << 10, "more input than a pipe holds");
        std::io::Write::write_all(&mut writer, input.as_bytes()).context("filling the pipe")?;
        command.stdin(reader);
    }
    to_the_end(command).await.with_context(|| format!("{binary} {}", arguments.join(" ")))
}

/// The same with nobody who reads its standard output: the pipe is closed before the program starts. Standard error is
/// kept.
///
/// # Errors
/// It is not there, or did not end within 15 s (it is killed then).
pub async fn ripost_unread(binary: Utf8PathBuf, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Output> {
    let mut command = clean(&binary, arguments, environment);
    command.stdin(Stdio::null()).stdout(closed_pipe()?).stderr(Stdio::piped());
    ended(command, COMMAND_MAX).await.with_context(|| format!("{binary} {}", arguments.join(" ")))
}

/// The writing end of a pipe that nobody reads.
///
/// # Errors
/// The system has no pipes left.
pub fn closed_pipe() -> Result<Stdio> {
    let (_, writer) = std::io::pipe().context("making a pipe")?;
    Ok(writer.into())
}

/// The program with no other `RIPOST_*` than those given.
fn clean(binary: &Utf8Path, arguments: &[&str], environment: &[(&str, &str)]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(binary);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RIPOST_")) {
        command.env_remove(name);
    }
    command.args(arguments).envs(environment.iter().copied());
    command
}

/// Runs any program to its end.
///
/// # Errors
/// It is not there, or did not end within 15 s (it is killed then).
pub async fn run(mut command: tokio::process::Command) -> Result<Output> {
    command.stdin(Stdio::null());
    to_the_end(command).await
}

/// The same for one that has a lot to do.
///
/// # Errors
/// It is not there, or did not end in this time (it is killed then).
pub async fn run_within(mut command: tokio::process::Command, limit: Duration) -> Result<Output> {
    command.stdin(Stdio::null());
    to_the_end_within(command, limit).await
}

async fn to_the_end(command: tokio::process::Command) -> Result<Output> {
    to_the_end_within(command, COMMAND_MAX).await
}

async fn to_the_end_within(mut command: tokio::process::Command, limit: Duration) -> Result<Output> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    ended(command, limit).await
}

async fn ended(mut command: tokio::process::Command, limit: Duration) -> Result<Output> {
    let child = command.kill_on_drop(true).spawn()?;
    let output = tokio::time::timeout(limit, child.wait_with_output()).await.context("it did not end in time")??;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) })
}
