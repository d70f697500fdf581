//! The second wall: what this process gives up, so that a hole in the first one (wasmtime, and all code that reads what
//! strangers send) opens as little as possible.
//!
//! Two profiles. [`serve`] is for the gateway: its folders and nothing else of the disk, no call that only an
//! administrator or a debugger needs. [`compile`] is for the child that compiles a stranger's component: no file, no
//! network, no other process, little memory, little time.
//!
//! **Invariant:** nothing here can be taken back, and it holds for the thread that puts it up and for what that thread
//! starts later, threads and processes. So a gateway calls [`serve`] on its first thread, before there is a second.
//! What the kernel does not have is in the [`Report`]; whether that is good enough is the caller's to say.

mod calls;
mod files;
mod kernel;
mod limits;
mod own;
#[cfg(test)]
mod tests;

pub use limits::{CompileLimits, LimitError};

use crate::config::Config;
use camino::{Utf8Path, Utf8PathBuf};
use nix::unistd::{AccessFlags, access};
use serde::Serialize;
use std::fmt;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;

/// What was put up and what could not be; each a short line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What holds from now on.
    pub up: Vec<String>,
    /// What does not, and why.
    pub missing: Vec<String>,
}

impl Report {
    fn up(&mut self, line: impl Into<String>) {
        self.up.push(line.into());
    }

    fn missing(&mut self, line: impl Into<String>) {
        self.missing.push(line.into());
    }

    /// Whether all of it is up.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = |lines: &[String]| if lines.is_empty() { "nothing".to_owned() } else { lines.join(", ") };
        write!(formatter, "up: {}", lines(&self.up))?;
        if self.is_complete() { Ok(()) } else { write!(formatter, "; missing: {}", lines(&self.missing)) }
    }
}

/// What a gateway goes on needing of the disk, besides its own program and a few files of the system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServePaths {
    /// The data folder: everything in it can be read and written.
    pub data: Utf8PathBuf,
    /// The plugins folder: everything in it can be read. The one that is there now, and not one that takes its place.
    ///
    /// A rule of Landlock is for a whole tree, so letting others take its place would mean to open the folder above it,
    /// or the one above where its link leads, for good. A gateway that was broken into could then read all that is beside
    /// the plugins: the `.env` of a release, a home folder, a repository. What is there only the operator knows, who can
    /// name that folder in `read`. (The gateway's own process cannot be given a folder later: rules only ever take away,
    /// and an open folder that is handed in from outside is still checked by its path when a file in it is opened.)
    pub plugins: Utf8PathBuf,
    /// Files and folders that can be read besides.
    pub read: Vec<Utf8PathBuf>,
    /// Files and folders that can be read and written besides.
    pub write: Vec<Utf8PathBuf>,
}

impl ServePaths {
    /// What a configuration names. The configuration file itself is read before the wall is put up.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            data: config.data.clone(),
            plugins: config.plugins_folder.clone(),
            read: config.wall.read.iter().chain(&config.delivery.ca_file).cloned().collect(),
            write: config.wall.write.clone(),
        }
    }
}

/// Puts up the wall around a gateway: for this thread and all that it starts from now on. The folders must be there:
/// a rule is for the folder that has the path now, and not for one that takes its place.
#[must_use]
pub fn serve(paths: &ServePaths) -> Report {
    let mut report = serve_this_thread(paths);
    match kernel::threads() {
        Some(1) => {}
        Some(threads) => report.missing(format!("{} of this process's threads are outside", threads - 1)),
        None => report.missing("whether other threads are outside cannot be told: /proc/self/status is not readable"),
    }
    report
}

/// The same without asking for other threads: for `ripost doctor` and for tests, which put it up on a thread that ends.
#[must_use]
pub(crate) fn serve_this_thread(paths: &ServePaths) -> Report {
    let mut report = Report::default();
    no_new_privileges(&mut report);
    files::serve(paths, &mut report);
    calls::serve(&mut report);
    report
}

/// Puts up the wall around a compile worker, which has read nothing of the stranger's yet. The resource limits are the
/// whole process's. The process is killed when the **thread** that started it ends, so that thread should wait for it.
///
/// # Errors
/// [`LimitError`]: a resource limit could not be set, which every kernel can. What only some kernels can is in the report.
pub fn compile(limits: &CompileLimits) -> Result<Report, LimitError> {
    let mut report = Report::default();
    limits::apply(limits)?;
    report.up(limits.to_string());
    no_new_privileges(&mut report);
    files::compile(&mut report);
    calls::compile(&mut report);
    Ok(report)
}

fn no_new_privileges(report: &mut Report) {
    match nix::sys::prctl::set_no_new_privs() {
        Ok(()) => report.up("no new privileges"),
        Err(errno) => report.missing(format!("no new privileges: {errno}")),
    }
}

/// Which Landlock this kernel has, in words, and whether it is all that we would use.
pub(crate) fn landlock() -> Result<String, String> {
    files::described()
}

/// Whether this kernel has seccomp filters, in words.
pub(crate) fn seccomp() -> Result<String, String> {
    kernel::seccomp().map(|()| "filters are available".to_owned())
}

/// Whether the wall is what keeps this process from reading a file or folder: the file's own permissions let it. The
/// kernel answers [`access`] by those alone, and Landlock only has a say when something is opened.
#[must_use]
pub fn holds_back(path: &Utf8Path) -> bool {
    // Without waiting for the other end of a pipe.
    let opened = std::fs::File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
    let refused = opened.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    refused && access(path.as_std_path(), AccessFlags::R_OK).is_ok()
}

/// What goes behind an error of reading that the operator can do something about; nothing for other errors.
#[must_use]
pub fn hint(path: &Utf8Path, error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied if holds_back(path) => {
            " (the gateway's sandbox does not let it read there: name the folder where it really is in `wall.read` and start again)"
        }
        io::ErrorKind::PermissionDenied => " (let the user that runs the gateway read it)",
        _ => "",
    }
}
