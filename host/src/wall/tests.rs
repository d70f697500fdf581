//! Each promise, on this kernel. `serve` is put up on a thread that ends; `compile` limits a whole process, so this test
//! binary starts itself again for it.

use super::*;
use nix::errno::Errno;
use nix::libc;
use std::fs;
use std::io::{BufRead as _, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};

/// In the environment of a child: what it is to try.
const TASK: &str = "RIPOST_WALL_TEST";
const LIMITS: CompileLimits =
    CompileLimits { memory_bytes: 256 << 20, address_space_bytes: 1 << 30, cpu_seconds: 1, open_files: 16 };
/// A child's exit code after it could do what it must not.
const BROKEN: i32 = 42;

/// A data and a plugins folder, and one outside; all go with the first value.
fn folders() -> (tempfile::TempDir, ServePaths, Utf8PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(root.path().canonicalize().unwrap()).unwrap();
    let [data, plugins, outside] = ["data", "plugins", "outside"].map(|name| path.join(name));
    for folder in [&data, &plugins, &outside] {
        fs::create_dir_all(folder.join("inner")).unwrap();
        fs::write(folder.join("file"), "text").unwrap();
    }
    (root, ServePaths { data, plugins, ..ServePaths::default() }, outside)
}

/// Runs `body` behind the wall, on a thread of its own, and wants all of the wall to be up.
fn behind<T: Send>(paths: &ServePaths, body: impl FnOnce() -> T + Send) -> T {
    let run = || {
        let report = serve_this_thread(paths);
        assert!(report.is_complete(), "{report}");
        body()
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

fn denied<T>(result: io::Result<T>) -> bool {
    result.err().is_some_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

#[expect(unsafe_code, reason = "system calls that no crate of ours wraps")]
fn call(number: i64, arguments: [usize; 3]) -> Errno {
    // SAFETY: all pointers are null and all numbers such that the call fails, whether it is let through or not.
    let answer = unsafe { libc::syscall(number, arguments[0], arguments[1], arguments[2], 0_usize, 0_usize) };
    Errno::result(answer).err().unwrap_or(Errno::UnknownErrno)
}

#[test]
fn a_gateway_reads_and_writes_its_data_and_reads_its_plugins() {
    let (_root, paths, _) = folders();
    let ServePaths { data, plugins, .. } = &paths;
    behind(&paths, || {
        assert_eq!(fs::read(data.join("file")).unwrap(), b"text");
        fs::write(data.join("new"), "text").unwrap();
        fs::rename(data.join("new"), data.join("inner/moved")).unwrap();
        fs::create_dir(data.join("folder")).unwrap();
        fs::remove_dir(data.join("folder")).unwrap();
        fs::File::options().write(true).truncate(true).open(data.join("file")).unwrap();
        fs::File::open(data).unwrap().sync_all().unwrap();
        fs::remove_file(data.join("inner/moved")).unwrap();

        assert_eq!(fs::read(plugins.join("file")).unwrap(), b"text");
        assert_eq!(fs::read_dir(plugins).unwrap().count(), 2);
        assert!(denied(fs::write(plugins.join("new"), "text")) && denied(fs::write(plugins.join("file"), "text")));
        assert!(denied(fs::remove_file(plugins.join("file"))) && denied(fs::create_dir(plugins.join("folder"))));
        assert!(denied(fs::rename(plugins.join("file"), data.join("stolen"))));
    });
}

#[test]
fn outside_its_folders_a_gateway_reads_writes_and_executes_nothing() {
    let (_root, paths, outside) = folders();
    let program = outside.join("program");
    fs::copy("/bin/true", &program).unwrap();
    fs::copy("/bin/true", paths.data.join("program")).unwrap();
    assert!(Command::new(&program).status().unwrap().success(), "without the wall it runs");
    behind(&paths, || {
        assert!(denied(fs::read(outside.join("file"))) && denied(fs::read_dir(&outside)));
        assert!(denied(fs::write(outside.join("new"), "text")) && denied(fs::write(outside.join("file"), "text")));
        assert!(denied(fs::remove_file(outside.join("file"))) && denied(fs::create_dir(outside.join("folder"))));
        assert!(denied(fs::rename(paths.data.join("file"), outside.join("file"))));
        std::os::unix::fs::symlink(outside.join("file"), paths.data.join("link")).unwrap_err();
        for path in ["/etc/shadow", "/etc/passwd", "/root", "/home", "/tmp", "/proc/1/status", "/dev", "/usr/bin/env"] {
            assert!(denied(fs::File::open(path)), "{path}");
        }
        assert!(denied(Command::new(&program).status()) && denied(Command::new(paths.data.join("program")).status()));
        assert!(denied(Command::new("/bin/sh").arg("-c").arg("true").status()));
    });
    assert_eq!(fs::read(outside.join("file")).unwrap(), b"text", "and nothing was lost");
}

#[test]
fn a_link_out_of_the_plugins_folder_leads_nowhere_unless_the_operator_names_its_end() {
    let (_root, mut paths, outside) = folders();
    let link = paths.plugins.join("link");
    std::os::unix::fs::symlink(outside.join("file"), &link).unwrap();
    behind(&paths, || assert!(denied(fs::read(&link))));
    paths.read.push(outside.clone());
    behind(&paths, || {
        assert_eq!(fs::read(&link).unwrap(), b"text");
        assert!(denied(fs::write(&link, "other")));
    });
    paths.write.push(outside.join("file"));
    behind(&paths, || {
        fs::write(&link, "other").unwrap();
        assert!(denied(fs::write(outside.join("new"), "text")), "the file and not its folder");
    });
}

#[test]
fn what_the_operator_named_and_is_not_there_is_said() {
    let (_root, mut paths, _) = folders();
    paths.read.push("/nowhere/at/all".into());
    let report = std::thread::scope(|scope| scope.spawn(|| serve_this_thread(&paths)).join().unwrap());
    assert!(matches!(&report.missing[..], [line] if line.contains("wall.read /nowhere/at/all")), "{report}");
}

#[test]
fn a_gateway_talks_to_the_world_and_starts_itself() {
    let (_root, paths, _) = folders();
    behind(&paths, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        let mut fds = [0; 2];
        // SAFETY: the two numbers are written into an array of two.
        #[expect(unsafe_code, reason = "what signal handling in tokio is built on")]
        let made = unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, fds.as_mut_ptr()) };
        assert_eq!(made, 0);

        std::thread::spawn(|| ()).join().unwrap();
        let listed = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
        assert!(listed.status.success() && listed.stdout.ends_with(b"benchmarks\n"), "{listed:?}");
        let listed = Command::new("/proc/self/exe").arg("--list").stdin(Stdio::null()).stdout(Stdio::null()).status();
        assert!(listed.unwrap().success());
    });
}

#[test]
fn calls_that_no_gateway_makes_are_refused_with_eperm() {
    let (_root, paths, _) = folders();
    behind(&paths, || {
        for number in [
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_mount,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_io_uring_setup,
            libc::SYS_keyctl,
            libc::SYS_open_by_handle_at,
            libc::SYS_init_module,
            libc::SYS_settimeofday,
            libc::SYS_chroot,
        ] {
            assert_eq!(call(number, [usize::MAX, 0, 0]), Errno::EPERM, "{number}");
        }
        let flags = usize::try_from(libc::CLONE_NEWUSER | libc::SIGCHLD).unwrap();
        assert_eq!(call(libc::SYS_clone, [flags, 0, 0]), Errno::EPERM, "a namespace");
        assert_eq!(call(libc::SYS_clone3, [0, 0, 0]), Errno::ENOSYS);
        for family in [libc::AF_PACKET, libc::AF_ALG, libc::AF_NETLINK, libc::AF_VSOCK] {
            let kind = usize::try_from(libc::SOCK_RAW).unwrap();
            assert_eq!(call(libc::SYS_socket, [family.unsigned_abs() as usize, kind, 0]), Errno::EPERM, "{family}");
        }
        assert_eq!(call(libc::SYS_ioctl, [0, usize::try_from(libc::TIOCSTI).unwrap(), 0]), Errno::EPERM);
        // Of itself, as wasmtime gives memory back; of any other process, by whatever descriptor, never.
        let own = usize::try_from((-10_000_i32).cast_unsigned()).unwrap();
        assert_ne!(call(libc::SYS_process_madvise, [own, 0, 0]), Errno::EPERM);
        assert_eq!(call(libc::SYS_process_madvise, [3, 0, 0]), Errno::EPERM);
        // The same calls by their numbers of x32.
        assert_eq!(call(0x4000_0000 | 521, [0, 0, 0]), Errno::ENOSYS);
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        assert!(status.contains("NoNewPrivs:\t1\n") && status.contains("Seccomp:\t2\n"), "{status}");
    });
    assert_ne!(call(libc::SYS_ptrace, [usize::MAX, 0, 0]), Errno::EPERM, "without the wall it is another error");
}

#[test]
fn other_threads_that_run_already_are_told_to_be_outside() {
    let (_root, paths, _) = folders();
    let report = std::thread::scope(|scope| scope.spawn(|| serve(&paths)).join().unwrap());
    assert!(report.missing.iter().any(|line| line.contains("threads are outside")), "{report}");
}

/// Starts this test binary again, which runs [`in_a_child`] alone.
fn task(task: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "wall::tests::in_a_child", "--nocapture", "--test-threads=1"]);
    command.env(TASK, task).env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    command
}

/// Its end, and what it said.
fn child(name: &str) -> (ExitStatus, String) {
    let output = task(name).output().unwrap();
    (output.status, String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

/// Not a test by itself: what a child does, behind the wall of a compile worker.
#[test]
fn in_a_child() {
    let Ok(task) = std::env::var(TASK) else { return };
    // Open already: the wall is about what is opened later.
    let inherited = fs::File::open("/proc/self/exe").unwrap();
    let report = compile(&LIMITS).unwrap();
    assert!(report.is_complete(), "{report}");
    let holds = match task.as_str() {
        "calls" => calls_of_a_compiler(inherited),
        // More than it may write, and less than its address space has room for.
        "memory" => Vec::<u8>::new().try_reserve_exact(300 << 20).is_err(),
        "waits" => {
            println!("walled");
            io::stdin().read(&mut [0]).is_err()
        }
        "allocates" => {
            // What an allocation without `try_` does: it aborts this process and no other.
            std::hint::black_box(vec![1_u8; 300 << 20]);
            false
        }
        other => panic!("no such task: {other}"),
    };
    std::process::exit(if holds { 0 } else { BROKEN });
}

fn calls_of_a_compiler(mut inherited: fs::File) -> bool {
    inherited.read_exact(&mut [0; 64]).unwrap();
    let sums = std::thread::scope(|scope| {
        let threads = (0..4_u64).map(|from| scope.spawn(move || (from..1_000_000).fold(0_u64, u64::wrapping_add)));
        threads.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(sums.len(), 4);
    assert!(std::panic::catch_unwind(|| panic!("a panic is caught as ever")).is_err());
    std::thread::sleep(std::time::Duration::from_millis(1));
    assert_eq!(vec![1_u8; 100 << 20].len(), 100 << 20);

    for path in ["/etc/passwd", "/dev/null", "/proc/self/status", "/", "Cargo.toml"] {
        assert_eq!(fs::File::open(path).unwrap_err().raw_os_error(), Some(libc::EPERM), "{path}");
    }
    let refused = |error: io::Error| error.raw_os_error() == Some(libc::EPERM);
    assert!(refused(fs::write("/tmp/ripost-wall-test", "").unwrap_err()));
    assert!(
        refused(TcpStream::connect("127.0.0.1:9").unwrap_err())
            && refused(TcpListener::bind("127.0.0.1:0").unwrap_err())
    );
    assert!(refused(std::os::unix::net::UnixStream::pair().unwrap_err()));
    assert!(refused(Command::new("/bin/true").status().unwrap_err()));
    for number in [
        libc::SYS_ptrace,
        libc::SYS_kill,
        libc::SYS_execve,
        libc::SYS_socket,
        libc::SYS_memfd_create,
        libc::SYS_setpriority,
        libc::SYS_seccomp,
        libc::SYS_setsid,
        libc::SYS_unlinkat,
        libc::SYS_process_vm_writev,
        libc::SYS_mount,
    ] {
        assert_eq!(call(number, [usize::MAX, 0, 0]), Errno::EPERM, "{number}");
    }
    let fork = usize::try_from(libc::SIGCHLD).unwrap();
    assert_eq!(call(libc::SYS_clone, [fork, 0, 0]), Errno::EPERM, "another process");
    // Its parent, which it could kill as far as users go.
    let parent = usize::try_from(nix::unistd::getppid().as_raw()).unwrap_or(1);
    assert_eq!(call(libc::SYS_tgkill, [parent, parent, 0]), Errno::EPERM);
    // SAFETY: a new mapping of one page that nobody uses.
    #[expect(unsafe_code, reason = "mapping code is what is tried")]
    let mapped = unsafe {
        let access = libc::PROT_READ | libc::PROT_EXEC;
        libc::mmap(std::ptr::null_mut(), 4096, access, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    };
    mapped == libc::MAP_FAILED && Errno::last() == Errno::EPERM
}

#[test]
fn a_compile_worker_computes_with_threads_and_reaches_no_file_no_network_and_no_process() {
    let (status, said) = child("calls");
    assert_eq!(status.code(), Some(0), "{said}");
}

#[test]
fn a_gateway_behind_its_wall_starts_compile_workers_behind_theirs() {
    let (_root, paths, _) = folders();
    let (status, said) = behind(&paths, || child("calls"));
    assert_eq!(status.code(), Some(0), "{said}");
}

#[test]
fn a_compile_worker_has_no_memory_beyond_its_own() {
    let (status, said) = child("memory");
    assert_eq!(status.code(), Some(0), "{said}");
    let (_root, paths, _) = folders();
    let (status, said) = behind(&paths, || child("memory"));
    assert_eq!(status.code(), Some(0), "behind a gateway's wall too: {said}");
    let (status, said) = child("allocates");
    assert_eq!(status.signal(), Some(libc::SIGABRT), "{said}");
}

#[test]
fn a_compile_worker_has_its_limits_and_a_low_priority() {
    let mut child = task("waits").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let said = io::BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(said.map_while(Result::ok).any(|line| line.ends_with("walled")));
    let read = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", child.id())).unwrap();
    // The test runs on a thread of its own; the limits are those of the process.
    let threads = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    let thread = threads.map(|thread| thread.unwrap().file_name().into_string().unwrap().parse::<u32>().unwrap()).max();
    let of_thread = |name: &str| read(&format!("task/{}/{name}", thread.unwrap()));
    let (limits, status, stat) = (read("limits"), of_thread("status"), of_thread("stat"));
    for (name, soft, hard) in [
        ("Max cpu time", "1", "2"),
        ("Max file size", "0", "0"),
        ("Max core file size", "0", "0"),
        ("Max open files", "16", "16"),
        ("Max data size", "268435456", "268435456"),
        ("Max address space", "1073741824", "1073741824"),
    ] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert_eq!(line.split_ascii_whitespace().take(2).collect::<Vec<_>>(), [soft, hard], "{name}");
    }
    // Field 19 of proc_pid_stat(5); the second, a name in brackets, may have blanks.
    assert_eq!(stat.rsplit(')').next().unwrap().split_ascii_whitespace().nth(16), Some("10"), "{stat}");
    assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_compile_worker_dies_with_the_thread_that_started_it() {
    let start = || {
        let mut child = task("waits").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let said = io::BufReader::new(child.stdout.as_mut().unwrap()).lines();
        assert!(said.map_while(Result::ok).any(|line| line.ends_with("walled")));
        child
    };
    let mut child = std::thread::spawn(start).join().unwrap();
    // Its standard input is open as ever.
    let _input = child.stdin.take();
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
}

#[test]
fn the_report_says_both_halves_in_one_line() {
    let mut report = Report::default();
    assert_eq!(report.to_string(), "up: nothing");
    report.up("a");
    report.up("b");
    report.missing("c");
    assert_eq!(report.to_string(), "up: a, b; missing: c");
    assert_eq!(serde_json::to_value(&report).unwrap(), serde_json::json!({ "up": ["a", "b"], "missing": ["c"] }));
}

#[test]
fn a_refusal_to_read_says_whether_the_wall_or_the_permissions_are_to_be_changed() {
    let (_root, paths, outside) = folders();
    let denied = io::Error::from(ErrorKind::PermissionDenied);
    behind(&paths, || {
        assert!(holds_back(&outside) && holds_back(&outside.join("file")));
        assert!(!holds_back(&paths.plugins) && !holds_back(&paths.data.join("file")));
        assert!(hint(&outside, &denied).contains("wall.read"));
        assert!(hint(&paths.plugins, &denied).contains("let the user"));
        assert!(hint(&outside, &ErrorKind::NotFound.into()).is_empty());
    });
    assert!(!holds_back(&outside), "there is no wall");
}
