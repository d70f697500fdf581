//! Compile bombs through the real compile worker: each is compiled within the limits or refused, none hangs, costs the
//! gateway memory, or leaves a process behind.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use ripost::compile::Process;
use ripost_runtime::{CompileError, Job, Scheme, Target};
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const MIB: u64 = 1 << 20;
/// What the parent may grow by, beyond what it was given and what it got.
const GROWTH_BYTES_MAX: u64 = 64 * MIB;
/// Above the wall: starting, killing, and a machine that is busy.
const GRACE: Duration = Duration::from_secs(4);

/// WebAssembly, byte by byte.
mod wasm {
    /// `(param i32) (result i32)`
    pub(super) const MAPS: &[u8] = &[0x60, 1, 0x7f, 1, 0x7f];
    /// `local.get 0`
    pub(super) const GET: &[u8] = &[0x20, 0];
    /// `(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const 7)) (i32.const 3)))`
    pub(super) const STEP: &[u8] = &[0x20, 0, 0x41, 7, 0x6c, 0x41, 3, 0x6a, 0x21, 0];
    /// `block`, `if`, without a result.
    pub(super) const BLOCK: &[u8] = &[0x02, 0x40];
    pub(super) const IF: &[u8] = &[0x04, 0x40];
    pub(super) const END: &[u8] = &[0x0b];

    pub(super) fn number(mut n: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while n > 0x7f {
            bytes.push(u8::try_from(n & 0x7f).unwrap() | 0x80);
            n >>= 7;
        }
        bytes.push(u8::try_from(n).unwrap());
        bytes
    }

    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        [&[id], &number(content.len())[..], content].concat()
    }

    fn list(items: &[Vec<u8>]) -> Vec<u8> {
        [number(items.len()), items.concat()].concat()
    }

    /// A component around a module with these types; each body is a function of the first.
    pub(super) fn component(types: &[Vec<u8>], bodies: &[Vec<u8>]) -> Vec<u8> {
        let codes: Vec<Vec<u8>> =
            bodies.iter().map(|body| [&number(body.len() + 2)[..], &[0], body, END].concat()).collect();
        let functions = vec![vec![0]; bodies.len()];
        let sections = [section(1, &list(types)), section(3, &list(&functions)), section(10, &list(&codes))];
        let module = [b"\0asm\x01\0\0\0".to_vec(), sections.concat()].concat();
        [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &module)].concat()
    }

    /// One function of this code, which leaves nothing on the stack.
    pub(super) fn function(code: &[u8]) -> Vec<u8> {
        component(&[MAPS.to_vec()], &[[code, GET].concat()])
    }
}
use wasm::{BLOCK, END, GET, IF, MAPS, STEP, component, function, number};

/// One test at a time: they look at the processes of this one.
static ONE: Mutex<()> = Mutex::new(());

struct Lab {
    process: Process,
    wall: Duration,
    stopping: CancellationToken,
    _turn: MutexGuard<'static, ()>,
}

fn lab(wall_ms: u64, memory_bytes: u64) -> Lab {
    let turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (wall, stopping) = (Duration::from_millis(wall_ms), CancellationToken::new());
    let process = Process::new(wall, memory_bytes, stopping.clone()).program(env!("CARGO_BIN_EXE_ripost"));
    Lab { process, wall, stopping, _turn: turn }
}

fn target() -> Target {
    Target { scheme: Scheme::Small, memory_reservation_bytes: 64 << 20 }
}

impl Lab {
    /// What comes of a component, with everything checked that holds for all of them.
    fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
        let (started, before) = (Instant::now(), memory("VmRSS"));
        let made = self.process.compile(target(), wasm, &Job::default());
        let (took, grown) = (started.elapsed(), memory("VmHWM").saturating_sub(before));
        assert!(took < self.wall + GRACE, "{took:?} with a limit of {:?}", self.wall);
        let artefact = made.as_ref().map_or(0, Vec::len) as u64;
        assert!(grown < GROWTH_BYTES_MAX + artefact, "the parent grew by {grown} bytes for {artefact}");
        assert!(workers().is_empty(), "a worker was left behind");
        made
    }

    /// For bombs that some machines may be quick enough for.
    fn compile_or_refuse(&self, wasm: &[u8]) {
        if let Err(error) = self.compile(wasm) {
            let limit =
                matches!(error, CompileError::CpuTime { .. } | CompileError::Time { .. } | CompileError::Memory { .. });
            assert!(limit || matches!(error, CompileError::Refused(_)), "{error:?}");
        }
    }
}

/// A line of `/proc/self/status`, in bytes.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// The children of this process that are there, zombies included.
fn workers() -> Vec<u32> {
    let us = std::process::id().to_string();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_ours = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // After the name, which may have anything in it: the state, then the parent.
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)) == Some(&us)
    };
    processes.filter(is_ours).collect()
}

fn wait_for_worker() -> u32 {
    let started = Instant::now();
    loop {
        if let Some(pid) = workers().first() {
            return *pid;
        }
        assert!(started.elapsed() < Duration::from_secs(5), "no worker came");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn fifty_thousand_functions() -> Vec<u8> {
    component(&[MAPS.to_vec()], &vec![[STEP.repeat(4), GET.to_vec()].concat(); 50_000])
}

/// A worker that is always busy reaches both limits at the same moment.
fn ends_in_time(bomb: &[u8]) {
    let made = lab(1000, 1024 * MIB).compile(bomb);
    let second = Duration::from_secs(1);
    assert!(
        matches!(made, Err(CompileError::Time { limit } | CompileError::CpuTime { limit }) if limit == second),
        "{made:?}"
    );
}

#[test]
fn fifty_thousand_functions_end_in_time() {
    ends_in_time(&fifty_thousand_functions());
}

#[test]
fn a_function_of_five_megabytes_ends_in_time() {
    ends_in_time(&function(&STEP.repeat(500_000)));
}

#[test]
fn a_function_of_many_branches_ends_at_the_limit_of_memory() {
    let bomb = function(&[GET, IF, STEP, END].concat().repeat(330_000));
    assert_eq!(lab(8000, 64 * MIB).compile(&bomb), Err(CompileError::Memory { limit_bytes: 64 * MIB }));
}

#[test]
fn blocks_nested_two_million_deep_end_at_a_limit() {
    let bomb = function(&[BLOCK.repeat(2_000_000), END.repeat(2_000_000)].concat());
    let made = lab(3000, 256 * MIB).compile(&bomb);
    assert!(
        matches!(made, Err(CompileError::CpuTime { .. } | CompileError::Time { .. } | CompileError::Memory { .. })),
        "{made:?}"
    );
}

#[test]
fn conditions_nested_a_hundred_thousand_deep_break_nothing() {
    lab(3000, 1024 * MIB)
        .compile_or_refuse(&function(&[[GET, IF].concat().repeat(100_000), END.repeat(100_000)].concat()));
}

#[test]
fn a_jump_table_of_a_million_is_refused_and_many_of_the_longest_break_nothing() {
    let table = |len: usize| [BLOCK, GET, &[0x0e], &number(len), &vec![0; len + 1], END].concat();
    let lab = lab(3000, 1024 * MIB);
    let Err(CompileError::Refused(reason)) = lab.compile(&function(&table(1_000_000))) else {
        panic!("it was not refused")
    };
    assert!(reason.contains("br_table"), "{reason}");
    lab.compile_or_refuse(&function(&table(65_000).repeat(60)));
}

#[test]
fn a_hundred_thousand_types_break_nothing() {
    let types: Vec<Vec<u8>> =
        (0..100_000).map(|n| [vec![0x60], number(n % 300), vec![0x7f; n % 300], vec![0]].concat()).collect();
    lab(3000, 1024 * MIB).compile_or_refuse(&component(&types, &[]));
}

#[test]
fn a_component_that_breaks_off_anywhere_is_refused() {
    let whole = function(&STEP.repeat(100));
    let lab = lab(5000, 256 * MIB);
    lab.compile(&whole).unwrap();
    // What begins like a component and has nothing in it is a component.
    for len in [0, 4, 7, 9, whole.len() / 2, whole.len() - 1] {
        let made = lab.compile(&whole[..len]);
        assert!(matches!(made, Err(CompileError::Refused(_))), "{len} bytes: {made:?}");
    }
}

#[test]
fn a_worker_has_no_environment_no_folder_and_no_files_but_its_pipes() {
    let lab = lab(2000, 512 * MIB);
    // As if the gateway had been started with a file left open.
    let left_open = fs::File::open("/proc/self/status").unwrap();
    nix::fcntl::fcntl(&left_open, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let bomb = fifty_thousand_functions();
    std::thread::scope(|scope| {
        let compiling = scope.spawn(|| lab.process.compile(target(), &bomb, &Job::default()));
        let pid = wait_for_worker();
        let of = |name: &str| format!("/proc/{pid}/{name}");
        // The limit is set when the walls are up.
        let limited = |name: &str| {
            let limits = fs::read_to_string(of("limits")).unwrap();
            let line = limits.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
            line.trim_start_matches(name).split_whitespace().next().unwrap().to_owned()
        };
        while limited("Max address space") != (1152 * MIB).to_string() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(limited("Max core file size"), "0");
        assert_eq!(limited("Max file size"), "0");
        let status = fs::read_to_string(of("status")).unwrap();
        for wall in ["Seccomp:\t2", "NoNewPrivs:\t1"] {
            assert!(status.contains(wall), "{status}");
        }
        assert_eq!(fs::read(of("environ")).unwrap(), b"");
        assert_eq!(fs::read_link(of("cwd")).unwrap().to_str(), Some("/"));
        let mut open: Vec<String> =
            fs::read_dir(of("fd")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        open.sort();
        assert_eq!(open, ["0", "1", "2"]);
        assert_eq!(compiling.join().unwrap(), Err(CompileError::Time { limit: Duration::from_secs(2) }));
    });
    assert!(workers().is_empty());
}

#[test]
fn stopping_ends_all_that_is_being_compiled_at_once() {
    let lab = lab(60_000, 1024 * MIB);
    let bomb = fifty_thousand_functions();
    std::thread::scope(|scope| {
        let compiling = [(); 2].map(|()| scope.spawn(|| lab.process.compile(target(), &bomb, &Job::default())));
        wait_for_worker();
        lab.stopping.cancel();
        let stopped = Instant::now();
        for compiling in compiling {
            let made = compiling.join().unwrap();
            assert!(matches!(made, Err(CompileError::Unavailable(_))), "{made:?}");
        }
        assert!(stopped.elapsed() < Duration::from_secs(2), "{:?}", stopped.elapsed());
    });
    assert!(workers().is_empty());
}

#[test]
fn one_that_is_interrupted_ends_at_once_and_another_goes_on() {
    let lab = lab(3000, 1024 * MIB);
    let bomb = fifty_thousand_functions();
    let (first, second) = (Job::default(), Job::default());
    std::thread::scope(|scope| {
        let goes_on = scope.spawn(|| lab.process.compile(target(), &bomb, &first));
        let interrupted = scope.spawn(|| lab.process.compile(target(), &bomb, &second));
        while workers().len() < 2 {
            std::thread::sleep(Duration::from_millis(2));
        }
        let asked = Instant::now();
        second.interrupt();
        assert_eq!(interrupted.join().unwrap(), Err(CompileError::Interrupted));
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        assert_eq!(goes_on.join().unwrap(), Err(CompileError::Time { limit: Duration::from_secs(3) }));
    });
    assert!(first.cpu() > second.cpu(), "{:?}, {:?}", first.cpu(), second.cpu());
}

#[test]
fn what_used_too_much_cpu_time_is_told_so_and_the_time_is_counted() {
    let turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = Duration::from_secs(1);
    let process = Process::new(Duration::from_secs(60), 1024 * MIB, CancellationToken::new());
    let process = process.program(env!("CARGO_BIN_EXE_ripost")).cpu(limit);
    let job = Job::default();
    let made = process.compile(target(), &fifty_thousand_functions(), &job);
    assert_eq!(made, Err(CompileError::CpuTime { limit }));
    assert!((limit..limit * 3 / 2).contains(&job.cpu()), "{:?}", job.cpu());
    let text = CompileError::CpuTime { limit }.to_string();
    assert!(text.contains("1 s of CPU time, the operator's limit `compile.cpu`"), "{text}");
    drop(turn);
}
