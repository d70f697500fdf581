//! Small files and folders of ours.

use super::StartError;
use crate::config::Config;
use camino::{Utf8Path, Utf8PathBuf};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// When a file that could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Makes the default plugins folder; [`check_plugins`] has seen one that somebody named.
pub(super) fn ensure_plugins(config: &Config) -> Result<(), StartError> {
    let path = &config.plugins_folder;
    match config.plugins_named {
        true => Ok(()),
        false => std::fs::create_dir_all(path).map_err(|source| StartError::cannot_write(path, source)),
    }
}

/// Whether the plugins folder is a folder, and there if somebody named it: otherwise its name has a typing error.
pub(crate) fn check_plugins(config: &Config) -> Result<(), StartError> {
    let path = &config.plugins_folder;
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && config.plugins_named => {
            Err(StartError::NoPluginsFolder(path.clone()))
        }
        Ok(metadata) if !metadata.is_dir() => {
            Err(StartError::PluginsFolder { path: path.clone(), source: io::ErrorKind::NotADirectory.into() })
        }
        // One that cannot be read now keeps changes from being seen, and the gateway from nothing else.
        _ => Ok(()),
    }
}

/// Makes a folder for nobody but this user, as the store does.
pub(super) fn ensure_private(path: &Utf8Path) -> Result<(), StartError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| StartError::cannot_write(path, source))
}

/// Writes small files that tell others where this process is. One that cannot be written keeps the gateway from nothing:
/// it is told, and tried again.
pub(super) async fn write_in_time<const N: usize>(
    files: [(Utf8PathBuf, String); N],
    tasks: &TaskTracker,
    stopping: CancellationToken,
) {
    for (path, text) in files {
        let Err(error) = write(&path, &text) else { continue };
        tracing::error!(%path, %error, "Where the gateway listens could not be written: commands on this machine need --to until it is");
        let stopping = stopping.clone();
        tasks.spawn(async move {
            while write(&path, &text).is_err() {
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = tokio::time::sleep(AGAIN) => {}
                }
            }
        });
    }
}

/// Writes a small file whole or not at all; on a full disk over the one that is there, which has its room already.
fn write(path: &Utf8Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("new");
    let drafted = std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, path));
    drafted.or_else(|error| {
        let _ = std::fs::remove_file(&draft);
        let file = std::fs::File::options().write(true).open(path).map_err(|_| error)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.set_len(text.len() as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_is_replaced_and_where_no_draft_can_be_made_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().join("address")).unwrap();
        for text in ["http://127.0.0.1:43210\n", "short\n"] {
            write(&path, text).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        // A folder in the draft's place: it can be neither made nor removed.
        std::fs::create_dir(path.with_extension("new")).unwrap();
        for text in ["http://127.0.0.1:43210\n", "short\n"] {
            write(&path, text).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert!(write(&path.with_file_name("absent").join("x"), "").is_err());
    }
}
