//! What a person sees while something long goes on: a spinner with the time and the last line on a terminal, and a plain
//! line now and then where output is kept (CI, a pipe).

use std::{
    env,
    io::IsTerminal,
    sync::{
        Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use crate::setup::Progress;

/// Off a terminal, one line so often says that it is still going on.
const STILL_EVERY: Duration = Duration::from_secs(30);
/// What is done sooner is not worth a line of its own.
const WORTH_A_LINE: Duration = Duration::from_millis(500);

/// Runs a task under a name and says how long it took, when it took long.
pub(crate) fn task<T>(name: &str, task: impl FnOnce(Progress<'_>) -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let result = if on_a_terminal() { with_spinner(name, task) } else { with_lines(name, task) };
    let took = started.elapsed();
    if took >= WORTH_A_LINE {
        let mark = if result.is_ok() { "done" } else { "FAILED" };
        eprintln!("  {name}: {mark} in {}", seconds(took));
    }
    result
}

/// `4.2 s`, `3 min 20 s`.
pub(crate) fn seconds(time: Duration) -> String {
    match time.as_secs() {
        whole @ 120.. => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

fn on_a_terminal() -> bool {
    std::io::stderr().is_terminal() && env::var_os("CI").is_none()
}

fn with_spinner<T>(name: &str, task: impl FnOnce(Progress<'_>) -> Result<T>) -> Result<T> {
    let style =
        ProgressStyle::with_template("{spinner} {prefix} [{elapsed}] {wide_msg}").expect("the template is fixed");
    let bar = ProgressBar::new_spinner().with_style(style).with_prefix(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    let result = task(&|line| bar.set_message(line.to_owned()));
    bar.finish_and_clear();
    result
}

fn with_lines<T>(name: &str, task: impl FnOnce(Progress<'_>) -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let last = Mutex::new(String::new());
    thread::scope(|scope| {
        let (ended, waiting) = mpsc::channel::<()>();
        // By itself, since a compiler can be at one crate for minutes and print nothing.
        scope.spawn(|| {
            let waiting = waiting;
            while waiting.recv_timeout(STILL_EVERY) == Err(RecvTimeoutError::Timeout) {
                let line = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
                eprintln!("  {name}: {} so far, {line}", seconds(started.elapsed()));
            }
        });
        let result = task(&|line| line.clone_into(&mut last.lock().unwrap_or_else(PoisonError::into_inner)));
        drop(ended);
        result
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::seconds;

    #[test]
    fn times_are_read_at_a_glance() {
        assert_eq!(seconds(Duration::from_millis(4210)), "4.2 s");
        assert_eq!(seconds(Duration::from_secs(200)), "3 min 20 s");
    }
}
