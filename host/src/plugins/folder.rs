//! The plugins folder: where it is now, and why it cannot be read.
//!
//! It is known by the name that the operator gave it. Links in that name are followed anew at each look, so that a link
//! which is switched to another release, or a folder that another takes the place of, is found without a restart.

use super::source::{Place, places};
use crate::wall;
use camino::{Utf8Path, Utf8PathBuf};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;

/// The plugins folder, by its name.
#[derive(Debug, Clone)]
pub(super) struct Folder(Utf8PathBuf);

/// Which folder of the disk something is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Of what a path leads to.
    pub(super) fn of(path: &Utf8Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// The folder cannot be read, in words for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FolderError {
    #[error("the plugins folder {0} does not exist: make it again, or point the link to a folder that exists")]
    Gone(Utf8PathBuf),
    #[error(
        "the plugins folder {named} is another folder ({real}) than at the start, and the gateway's sandbox lets it read only that one: restart the gateway. To replace the folder without a restart, name the folder above {real} in `wall.read`"
    )]
    Walled { named: Utf8PathBuf, real: Utf8PathBuf },
    #[error("the plugins folder {0} may not be read: let the user that runs the gateway read it")]
    Denied(Utf8PathBuf),
    #[error("reading the plugins folder {folder}: {cause}")]
    Other { folder: Utf8PathBuf, cause: String },
}

impl Folder {
    /// Makes the folder if it is not there.
    pub(super) fn open(named: &Utf8Path) -> io::Result<Self> {
        fs::create_dir_all(named)?;
        // Not resolved any further: its links are the operator's to switch.
        let named = Utf8PathBuf::from_path_buf(std::path::absolute(named)?);
        named.map(Self).map_err(|_| io::Error::new(ErrorKind::InvalidFilename, "the current folder is not UTF-8"))
    }

    /// Its name.
    pub(super) fn named(&self) -> &Utf8Path {
        &self.0
    }

    /// Where it is now. File events carry this path.
    pub(super) fn real(&self) -> io::Result<Utf8PathBuf> {
        self.0.canonicalize_utf8()
    }

    /// The plugins in it, in the order of their names.
    pub(super) fn places(&self) -> Result<Vec<Place>, FolderError> {
        let real = self.real().map_err(|error| self.failed(None, &error))?;
        places(&real).map_err(|error| self.failed(Some(real), &error))
    }

    fn failed(&self, real: Option<Utf8PathBuf>, error: &io::Error) -> FolderError {
        let folder = self.0.clone();
        match (error.kind(), real) {
            (ErrorKind::NotFound, _) => FolderError::Gone(folder),
            (ErrorKind::PermissionDenied, Some(real)) if wall::holds_back(&real) => {
                FolderError::Walled { named: folder, real }
            }
            (ErrorKind::PermissionDenied, _) => FolderError::Denied(folder),
            (_, _) => FolderError::Other { folder, cause: error.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().canonicalize().unwrap()).unwrap();
        (folder, path)
    }

    #[test]
    fn links_in_its_name_are_followed_at_each_look() {
        let (_keep, root) = root();
        for release in ["1", "2"] {
            fs::create_dir_all(root.join("releases").join(release).join(format!("plugin-{release}"))).unwrap();
        }
        symlink("releases/1", root.join("current")).unwrap();
        let folder = Folder::open(&root.join("current")).unwrap();
        let keys = || folder.places().unwrap().into_iter().map(|place| place.key).collect::<Vec<_>>();
        assert_eq!(keys(), ["plugin-1"]);
        symlink("releases/2", root.join("next")).unwrap();
        fs::rename(root.join("next"), root.join("current")).unwrap();
        assert_eq!(keys(), ["plugin-2"]);
        assert_eq!(folder.real().unwrap(), root.join("releases/2"));
    }

    #[test]
    fn why_it_cannot_be_read_is_told_with_what_to_do() {
        let (_keep, root) = root();
        let folder = Folder::open(&root.join("plugins")).unwrap();
        fs::remove_dir(root.join("plugins")).unwrap();
        assert_eq!(folder.places().unwrap_err(), FolderError::Gone(root.join("plugins")));
        symlink("nowhere", root.join("plugins")).unwrap();
        assert_eq!(folder.places().unwrap_err(), FolderError::Gone(root.join("plugins")));
        fs::remove_file(root.join("plugins")).unwrap();
        fs::write(root.join("plugins"), "a file").unwrap();
        let told = folder.places().unwrap_err().to_string();
        assert!(told.contains("plugins") && told.contains("Not a directory"), "{told}");
    }
}
