//! The one place that runs other programs: their lines go to the progress, their output is shown when they fail.

use std::{
    collections::VecDeque,
    env,
    io::{BufRead, BufReader, PipeReader, Read},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use camino::Utf8Path;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::setup::{Progress, repository};

/// Lines of a failed command's output that are shown.
const OUTPUT_LINES_MAX: usize = 400;

/// `cargo` in the checkout, told nothing of the cargo that runs this program.
pub(crate) fn cargo() -> Command {
    const ABOUT_XTASK: [&str; 5] = ["CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_PRIMARY_"];
    let mut command = Command::new("cargo");
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name == "OUT_DIR" || ABOUT_XTASK.iter().any(|own| name.starts_with(own))) {
            command.env_remove(name);
        }
    }
    command.current_dir(repository());
    command
}

/// The same in another workspace of the checkout, which builds what it needs natively into one folder for all of them.
pub(crate) fn cargo_in(workspace: &str) -> Command {
    let mut command = cargo();
    command.current_dir(repository().join(workspace));
    command.env("CARGO_TARGET_DIR", ripost_tests::places::target().join("guests-native"));
    command
}

/// Runs a command to its end; what it prints is kept back.
///
/// # Errors
/// It does not start, or fails: with the command and the end of its output.
pub(crate) fn run(mut command: Command, progress: Progress<'_>) -> Result<()> {
    let line = line_of(&command);
    let (mut child, reader) = start(&mut command, &line)?;
    // Its ends of the pipe.
    drop(command);
    let output = read_lines(reader, progress);
    check(&line, child.wait(), output)
}

/// The same with a time limit, for what may wait for a network; the command and its children are killed then.
///
/// # Errors
/// As [`run`], and when it takes too long.
pub(crate) fn run_within(mut command: Command, limit: Duration, progress: Progress<'_>) -> Result<()> {
    let line = line_of(&command);
    // A group of its own, to be killed whole: children would outlive it and keep the pipe open.
    command.process_group(0);
    let (mut child, reader) = start(&mut command, &line)?;
    drop(command);
    let group = Pid::from_raw(i32::try_from(child.id()).context("a process id")?);
    let (ended, watched) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        let late = watched.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
        if late {
            // Not waited for yet, so the id is still its own.
            killpg(group, Signal::SIGKILL).ok();
        }
        late
    });
    let output = read_lines(reader, progress);
    drop(ended);
    let late = watchdog.join().unwrap_or(false);
    let done = check(&line, child.wait(), output);
    if late { done.with_context(|| format!("`{line}` took longer than {} s", limit.as_secs_f64())) } else { done }
}

/// One pipe for both outputs, so that their lines stay in order.
fn start(command: &mut Command, line: &str) -> Result<(Child, PipeReader)> {
    let (reader, writer) = std::io::pipe().context("making a pipe")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone().context("making a pipe")?).stderr(writer);
    let child = command.spawn().with_context(|| format!("starting {line}"))?;
    Ok((child, reader))
}

fn check(line: &str, status: std::io::Result<ExitStatus>, output: std::io::Result<String>) -> Result<()> {
    let status = status.with_context(|| format!("waiting for {line}"))?;
    let output = output.with_context(|| format!("reading what {line} says"))?;
    if !status.success() {
        bail!("`{line}` failed ({status}):\n{output}");
    }
    Ok(())
}

/// Runs a command that speaks for itself: what it prints is shown as it comes.
///
/// # Errors
/// It does not start, or fails; what it had to say was said.
pub(crate) fn run_shown(mut command: Command) -> Result<()> {
    let line = line_of(&command);
    let started = Instant::now();
    let status: ExitStatus = command.stdin(Stdio::null()).status().with_context(|| format!("starting {line}"))?;
    if !status.success() {
        bail!("`{line}` failed ({status}) after {:.0} s", started.elapsed().as_secs_f64());
    }
    Ok(())
}

fn read_lines(from: impl Read, progress: Progress<'_>) -> std::io::Result<String> {
    let mut last = VecDeque::<String>::new();
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    // Bytes, not text: nobody promises that a command prints UTF-8.
    while reader.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if !text.is_empty() {
            progress(text.trim());
        }
        if last.len() == OUTPUT_LINES_MAX {
            last.pop_front();
        }
        last.push_back(text);
        line.clear();
    }
    Ok(last.make_contiguous().join("\n"))
}

/// As a person would type it, in the folder it runs in.
fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let here = repository();
    match command.get_current_dir().and_then(|dir| Utf8Path::from_path(dir)?.strip_prefix(&here).ok()) {
        Some(dir) if !dir.as_str().is_empty() => format!("cd {dir} && {line}"),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, process::Command, time::Duration};

    use super::{line_of, run, run_within};
    use crate::setup::repository;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_command_that_fails_is_named_with_all_that_it_said_in_order() {
        let seen = RefCell::new(Vec::new());
        let error = run(shell("echo one; echo two >&2; echo three; exit 3"), &|line| {
            seen.borrow_mut().push(line.to_owned());
        })
        .unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.contains("sh -c") && text.contains("exit status: 3") && text.ends_with("one\ntwo\nthree"),
            "{text}"
        );
        assert_eq!(*seen.borrow(), ["one", "two", "three"]);
        run(shell("exit 0"), &|_| ()).unwrap();
    }

    #[test]
    fn a_command_that_takes_too_long_ends_with_its_children() {
        let script = "echo here; sleep 30 & sleep 30";
        let error = format!("{:#}", run_within(shell(script), Duration::from_millis(200), &|_| ()).unwrap_err());
        assert!(error.contains("took longer") && error.ends_with("here"), "{error}");
    }

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = shell("true");
        command.current_dir(repository().join("examples"));
        assert_eq!(line_of(&command), "cd examples && sh -c true");
        assert_eq!(line_of(command.current_dir(repository())), "sh -c true");
    }
}
