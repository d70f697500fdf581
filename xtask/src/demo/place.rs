//! Where the demonstration runs: a fresh folder, a free port.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
};

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};
use ripost_tests::places;

use super::told::say;

/// An empty folder named by this process. Those of demonstrations that have ended are removed, others may go on.
pub(super) fn fresh() -> Result<Utf8PathBuf> {
    let all = places::target().join("demo");
    fs::create_dir_all(&all).with_context(|| format!("making {all}"))?;
    for entry in all.read_dir_utf8().with_context(|| format!("listing {all}"))? {
        let folder = entry.with_context(|| format!("listing {all}"))?.into_path();
        if !is_alive(folder.file_name().unwrap_or_default()) {
            fs::remove_dir_all(&folder).with_context(|| format!("removing {folder}"))?;
        }
    }
    let folder = all.join(std::process::id().to_string());
    // Of a process that had this id before.
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {folder}"))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("making {folder}"))?;
    Ok(folder)
}

fn is_alive(process: &str) -> bool {
    Utf8Path::new("/proc").join(process).is_dir()
}

/// `wanted`, or any free port of the same address when another program has it.
pub(super) fn free(wanted: SocketAddr) -> Result<String> {
    match TcpListener::bind(wanted) {
        Ok(_) => Ok(wanted.to_string()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            say(&format!("{wanted} is in use by another program: taking a free port instead"));
            Ok(SocketAddr::new(wanted.ip(), 0).to_string())
        }
        Err(error) => Err(error).with_context(|| format!("listening on {wanted}")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::{free, is_alive};

    #[test]
    fn a_port_in_use_is_replaced_by_any_free_one() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let wanted = other.local_addr().unwrap();
        assert_eq!(free(wanted).unwrap(), "127.0.0.1:0");
        drop(other);
        assert_eq!(free(wanted).unwrap(), wanted.to_string());
    }

    #[test]
    fn a_folder_belongs_to_a_process_as_long_as_it_runs() {
        assert!(is_alive(&std::process::id().to_string()));
        assert!(!is_alive("4194999"));
    }
}
