//! The parent: starts a compile worker, feeds it, bounds it, and tells from how it ended whose fault that was.

use super::frame::{self, ARTEFACT_BYTES_MAX, Answer};
use crate::config;
use nix::sys::signal::Signal;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use ripost_runtime::{CompileError, Job, Target};
use std::io::{self, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// This very program, whatever has become of its file since it was started.
const PROGRAM: &str = "/proc/self/exe";
/// Address space for the program itself (38 MiB), its stack, and what the allocator reserves and cannot write.
const OWN_BYTES: u64 = 128 << 20;
/// Address space for each byte of memory. The kernel bounds the memory that the worker can write, which is what it may
/// have; this bounds what it may reserve or map besides.
const ADDRESS_SPACE_FACTOR: u64 = 2;
/// Its pipes, and a few more.
const OPEN_FILES: u64 = 16;
/// How often a worker at work is looked at: for the gateway's end, and for its CPU time.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Between its answer and its end; beyond that it is killed.
const END_MAX: Duration = Duration::from_secs(1);
/// Of its standard error, which nobody else reads.
const STDERR_BYTES_MAX: u64 = 16 << 10;
/// What Rust says before it aborts for want of memory.
const NO_MEMORY: &str = "memory allocation of";

/// Starts compile workers, one for each call; how many there are at once is for `turns` to say.
pub struct Process {
    program: PathBuf,
    cpu: Duration,
    wall: Duration,
    memory_bytes: u64,
    stopping: CancellationToken,
}

/// How a worker ended, and what is known of it.
struct End {
    /// `None`: it was killed before it answered.
    answer: Option<io::Result<Answer>>,
    killed: Option<Killed>,
    status: ExitStatus,
    stderr: String,
    /// The CPU time it used.
    cpu: Duration,
}

/// Why we killed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Killed {
    Late,
    Busy,
    Stopping,
    Interrupted,
}

/// Killed and reaped when dropped, whatever happens in between.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Workers may take `wall` and `memory_bytes` for one component; all are killed when `stopping` is cancelled.
    #[must_use]
    pub fn new(wall: Duration, memory_bytes: u64, stopping: CancellationToken) -> Self {
        Self { program: PROGRAM.into(), cpu: wall, wall, memory_bytes, stopping }
    }

    /// With another program than this one: `ripost`, for tests that are not it.
    #[must_use]
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = path.into();
        self
    }

    /// As the configuration says.
    #[must_use]
    pub fn of(config: &config::Compile, stopping: CancellationToken) -> Self {
        Self::new(config.wall, config.memory as u64, stopping).cpu(config.cpu)
    }

    /// With a bound of CPU time below that of wall time.
    #[must_use]
    pub fn cpu(mut self, cpu: Duration) -> Self {
        self.cpu = cpu;
        self
    }

    /// Machine code of a component for a target. **Blocking**, for `wall` at most.
    ///
    /// # Errors
    /// [`CompileError`].
    pub fn compile(&self, target: Target, wasm: &[u8], job: &Job) -> Result<Vec<u8>, CompileError> {
        if self.stopping.is_cancelled() {
            return Err(stopping());
        }
        let end = self.work(target, wasm, job).map_err(|error| {
            tracing::error!(program = %self.program.display(), %error, "The compile worker cannot be started");
            CompileError::Unavailable(error.to_string())
        })?;
        job.add_cpu(end.cpu);
        if !end.stderr.is_empty() {
            tracing::debug!(stderr = end.stderr, status = %end.status, "What a compile worker said");
        }
        self.judge(end)
    }

    fn address_space_bytes(&self) -> u64 {
        self.memory_bytes.saturating_mul(ADDRESS_SPACE_FACTOR).saturating_add(OWN_BYTES)
    }

    fn command(&self, target: Target) -> Command {
        let mut command = Command::new(&self.program);
        // Wall and CPU time begin together; the CPU limit is for a parent that does not come back.
        // Rounded up: the kernel counts in whole seconds.
        let cpu_seconds = self.cpu.as_secs() + 1;
        command.arg0("ripost").arg("compile-worker");
        for (name, value) in [
            ("--target", target.to_string()),
            ("--parent", std::process::id().to_string()),
            ("--memory-bytes", self.memory_bytes.to_string()),
            ("--address-space-bytes", self.address_space_bytes().to_string()),
            ("--cpu-seconds", cpu_seconds.to_string()),
            ("--open-files", OPEN_FILES.to_string()),
        ] {
            command.arg(name).arg(value);
        }
        command.env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn work(&self, target: Target, wasm: &[u8], job: &Job) -> io::Result<End> {
        let mut worker = Worker(self.command(target).spawn()?);
        let deadline = Instant::now() + self.wall;
        let (stdin, stdout, stderr) = (worker.0.stdin.take(), worker.0.stdout.take(), worker.0.stderr.take());
        let (Some(mut stdin), Some(mut stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err(io::Error::other("it has no pipes"));
        };
        thread::scope(|scope| {
            // Whatever ends this closure ends the worker first, and with it the pipes that the threads wait for.
            let worker = &mut worker;
            let started = (|| {
                thread::Builder::new().name("compile-in".to_owned()).spawn_scoped(scope, move || {
                    // A worker that does not listen says so in its answer, or by its end.
                    let _ = frame::write_component(&mut stdin, wasm);
                })?;
                let said = thread::Builder::new()
                    .name("compile-err".to_owned())
                    .spawn_scoped(scope, move || read_stderr(stderr))?;
                let (answered, answer) = mpsc::sync_channel(1);
                thread::Builder::new().name("compile-out".to_owned()).spawn_scoped(scope, move || {
                    let _ = answered.send(frame::read_answer(&mut stdout, ARTEFACT_BYTES_MAX));
                })?;
                Ok((said, answer))
            })();
            let (said, answer) = match started {
                Ok(started) => started,
                Err(error) => {
                    let _ = worker.0.kill();
                    return Err(error);
                }
            };
            let mut cpu = Duration::ZERO;
            let (answer, killed) = loop {
                match answer.recv_timeout(LOOK_EVERY.min(deadline.saturating_duration_since(Instant::now()))) {
                    Ok(answer) => break (Some(answer), None),
                    Err(RecvTimeoutError::Disconnected) => break (None, None),
                    Err(RecvTimeoutError::Timeout) => {}
                }
                cpu = cpu_time(worker.0.id()).unwrap_or(cpu);
                if cpu > self.cpu {
                    break (None, Some(Killed::Busy));
                }
                if self.stopping.is_cancelled() {
                    break (None, Some(Killed::Stopping));
                }
                if job.is_interrupted() {
                    break (None, Some(Killed::Interrupted));
                }
                if Instant::now() >= deadline {
                    break (None, Some(Killed::Late));
                }
            };
            // Nobody has waited for it yet, so that the kernel still knows.
            cpu = cpu_time(worker.0.id()).unwrap_or(cpu);
            let status = match killed {
                Some(_) => worker.0.kill().and_then(|()| worker.0.wait()),
                None => ended(&mut worker.0),
            };
            if status.is_err() {
                let _ = worker.0.kill();
            }
            let status = status?;
            Ok(End { answer, killed, status, stderr: said.join().unwrap_or_default(), cpu })
        })
    }

    fn judge(&self, end: End) -> Result<Vec<u8>, CompileError> {
        let (time, memory) =
            (CompileError::Time { limit: self.wall }, CompileError::Memory { limit_bytes: self.memory_bytes });
        match (end.killed, end.answer) {
            (Some(Killed::Late), _) => return Err(time),
            (Some(Killed::Busy), _) => return Err(CompileError::CpuTime { limit: self.cpu }),
            (Some(Killed::Interrupted), _) => return Err(CompileError::Interrupted),
            (Some(Killed::Stopping), _) => return Err(stopping()),
            (None, Some(Ok(answer))) => {
                return match answer {
                    Answer::Done(artefact) => Ok(artefact),
                    Answer::Refused(reason) => Err(CompileError::Refused(reason)),
                    Answer::Memory => Err(memory),
                    Answer::Crashed(reason) => Err(CompileError::Crashed(reason)),
                    Answer::Unable(reason) => Err(CompileError::Unavailable(reason)),
                };
            }
            (None, Some(Err(error))) if error.kind() == io::ErrorKind::OutOfMemory => {
                return Err(CompileError::Unavailable("the gateway has no memory for what it made".to_owned()));
            }
            (None, _) => {}
        }
        let last = end.stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim();
        let Some(signal) = end.status.signal() else {
            // It answers before it ends by itself: this one is not our worker, or was not let.
            return Err(CompileError::Unavailable(format!("{}: {last}", end.status)));
        };
        Err(match Signal::try_from(signal) {
            Ok(Signal::SIGXCPU) => CompileError::CpuTime { limit: self.cpu },
            Ok(Signal::SIGABRT) if end.stderr.contains(NO_MEMORY) => memory,
            Ok(Signal::SIGKILL | Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP) => {
                CompileError::Unavailable("somebody killed it, perhaps the kernel for want of memory".to_owned())
            }
            Ok(signal) => CompileError::Crashed(format!("{signal}: {last}")),
            Err(_) => CompileError::Crashed(format!("signal {signal}: {last}")),
        })
    }
}

fn stopping() -> CompileError {
    CompileError::Unavailable("the gateway is stopping".to_owned())
}

/// Waits for a worker that has closed its pipe, not for long.
fn ended(child: &mut Child) -> io::Result<ExitStatus> {
    let until = Instant::now() + END_MAX;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= until {
            child.kill()?;
            return child.wait();
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// The beginning of what it says; the rest is read too, so that it never waits for us.
fn read_stderr(mut stderr: impl Read) -> String {
    let mut kept = Vec::new();
    let _ = stderr.by_ref().take(STDERR_BYTES_MAX).read_to_end(&mut kept);
    let _ = io::copy(&mut stderr, &mut io::sink());
    String::from_utf8_lossy(&kept).into_owned()
}

/// The CPU time that a process has used, also of one that has ended and that nobody has waited for. From its clock: behind
/// the gateway's wall `/proc` shows nobody but itself.
fn cpu_time(pid: u32) -> Option<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid).ok()?)).ok()?;
    Some(clock_gettime(clock).ok()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripost_runtime::Scheme;

    const MEMORY_BYTES: u64 = 100 << 20;

    fn process() -> Process {
        Process::new(Duration::from_secs(2), MEMORY_BYTES, CancellationToken::new())
    }

    fn target() -> Target {
        Target { scheme: Scheme::Small, memory_reservation_bytes: 64 << 20 }
    }

    fn judged(signal: i32, stderr: &str) -> CompileError {
        let answer = Some(Err(io::ErrorKind::UnexpectedEof.into()));
        let status = ExitStatus::from_raw(signal);
        let (stderr, cpu) = (stderr.to_owned(), Duration::ZERO);
        process().judge(End { answer, killed: None, status, stderr, cpu }).unwrap_err()
    }

    #[test]
    fn how_a_worker_ended_says_whose_fault_it_was() {
        let memory = CompileError::Memory { limit_bytes: MEMORY_BYTES };
        let time = CompileError::CpuTime { limit: Duration::from_secs(2) };
        let (xcpu, abort, segv, kill) = (24, 6, 11, 9);
        assert_eq!(judged(xcpu, ""), time);
        assert_eq!(judged(abort, "memory allocation of 7 bytes failed\n"), memory);
        assert_eq!(judged(segv, ""), CompileError::Crashed("SIGSEGV: it said nothing".to_owned()));
        let overflow = "\nthread 'main' has overflowed its stack\nfatal runtime error: stack overflow\n";
        assert_eq!(
            judged(abort, overflow),
            CompileError::Crashed("SIGABRT: fatal runtime error: stack overflow".to_owned())
        );
        assert!(matches!(judged(kill, ""), CompileError::Unavailable(_)));
        let exit_64 = 64 << 8;
        assert_eq!(
            judged(exit_64, "no such command\n"),
            CompileError::Unavailable("exit status: 64: no such command".to_owned())
        );
    }

    #[test]
    fn the_time_that_a_process_has_used_can_be_told_until_somebody_has_waited_for_it() {
        let mut spins = Command::new("/bin/sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let pid = spins.id();
        while cpu_time(pid).unwrap() < Duration::from_millis(50) {
            thread::sleep(LOOK_EVERY);
        }
        spins.kill().unwrap();
        assert!(cpu_time(pid).unwrap() >= Duration::from_millis(50));
        spins.wait().unwrap();
        assert_eq!(cpu_time(pid), None);
    }

    #[test]
    fn a_program_that_is_not_there_is_no_fault_of_the_component() {
        let made = process().program("/nowhere/ripost").compile(target(), b"", &Job::default());
        assert!(matches!(made, Err(CompileError::Unavailable(_))), "{made:?}");
    }

    #[test]
    fn a_program_that_is_another_one_is_not_believed() {
        for (program, what) in [("/bin/true", "exit status: 0"), ("/bin/false", "exit status: 1")] {
            let made = process().program(program).compile(target(), &[0; 1 << 20], &Job::default());
            let Err(CompileError::Unavailable(reason)) = made else { panic!("{made:?}") };
            assert!(reason.starts_with(what), "{reason}");
        }
    }

    #[test]
    fn nothing_is_started_once_the_gateway_stops() {
        let stopping = CancellationToken::new();
        stopping.cancel();
        let made = Process::new(Duration::from_secs(2), MEMORY_BYTES, stopping).compile(target(), b"", &Job::default());
        assert_eq!(made, Err(super::stopping()));
    }
}
