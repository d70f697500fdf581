//! Small files and folders of ours.

use super::StartError;
use camino::Utf8Path;
use std::os::unix::fs::DirBuilderExt as _;

/// Makes a folder if it is not there.
pub(super) fn ensure(path: &Utf8Path) -> Result<(), StartError> {
    std::fs::create_dir_all(path)
        .map_err(|error| StartError::CannotWrite { path: path.to_owned(), message: error.to_string() })
}

/// The same for nobody but this user, as the store makes its folder.
pub(super) fn ensure_private(path: &Utf8Path) -> Result<(), StartError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| StartError::CannotWrite { path: path.to_owned(), message: error.to_string() })
}

/// Writes a small file whole or not at all.
pub(super) fn write(path: &Utf8Path, text: &str) -> Result<(), StartError> {
    let draft = path.with_extension("new");
    std::fs::write(&draft, text)
        .and_then(|()| std::fs::rename(&draft, path))
        .map_err(|error| StartError::CannotWrite { path: path.to_owned(), message: error.to_string() })
}
