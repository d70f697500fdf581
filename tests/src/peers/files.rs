//! File servers that people run, all with the same files.

use super::{Peers, Program, Receiver};
use crate::places;
use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// Where nginx is, if the machine has none: what `cargo xtask setup` has unpacked.
#[must_use]
pub fn nginx_folder() -> Utf8PathBuf {
    places::target().join("peers/nginx")
}

/// The program: the machine's, or that one.
#[must_use]
pub fn nginx() -> Utf8PathBuf {
    let installed = Utf8Path::new("/usr/sbin/nginx");
    if installed.exists() { installed.to_owned() } else { nginx_folder().join("usr/sbin/nginx") }
}

/// A folder `files` that file servers serve, and the servers: each reads `/process/..%2fsecret.txt` in its own way.
/// They are killed when dropped.
pub struct FileServer {
    _process: tokio::process::Child,
    _folder: Option<tempfile::TempDir>,
    /// `127.0.0.1:PORT`
    pub address: String,
}

impl FileServer {
    /// Python's own, or one of node's.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(kind: Program) -> Result<Self> {
        write_files(&Peers::ensure()?.folder)?;
        let Receiver { process, url, .. } =
            Receiver::start(kind, if kind == Program::Node { "files.mjs" } else { "files.py" }).await?;
        let address = url.trim_start_matches("http://").trim_end_matches("/hook").to_owned();
        Ok(Self { _process: process, _folder: None, address })
    }

    /// nginx, as Debian has it.
    ///
    /// # Errors
    /// It is not there, or does not start.
    pub async fn nginx() -> Result<Self> {
        std::fs::create_dir_all(places::target().join("peers"))?;
        let temporary = tempfile::Builder::new().prefix("nginx-").tempdir_in(places::target().join("peers"))?;
        let folder = Utf8PathBuf::from_path_buf(temporary.path().to_owned()).ok().context("a UTF-8 path")?;
        write_files(&folder)?;
        // It cannot choose a port by itself: this one was free a moment ago.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temp: String = temp.iter().map(|name| format!("{name}_temp_path {folder}/{name};\n")).collect();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\nhttp {{\n{temp}access_log off;\nserver {{ listen {address}; root {folder}/files; }}\n}}\n"
        );
        std::fs::write(folder.join("nginx.conf"), config)?;
        let mut command = tokio::process::Command::new(nginx());
        command.args(["-p", folder.as_str(), "-c", folder.join("nginx.conf").as_str(), "-e", "error.log"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let process = command.spawn().context("starting nginx: `cargo xtask setup` gets it")?;
        crate::until("nginx", Duration::from_secs(10), async || Ok(std::net::TcpStream::connect(&address).ok()))
            .await?;
        Ok(Self { _process: process, _folder: Some(temporary), address })
    }
}

fn write_files(folder: &Utf8Path) -> Result<()> {
    std::fs::create_dir_all(folder.join("files/process/sub"))?;
    for (name, text) in [("secret.txt", "SECRET"), ("process/in.txt", "inside"), ("process/sub/in.txt", "below")] {
        // By rename: a server of another test may be reading it.
        let draft = tempfile::NamedTempFile::new_in(folder)?;
        std::fs::write(draft.path(), text)?;
        draft.persist(folder.join("files").join(name))?;
    }
    Ok(())
}
