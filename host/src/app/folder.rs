//! Small files and folders of ours.

use super::StartError;
use camino::Utf8Path;

/// Makes a folder if it is not there.
pub(super) fn ensure(path: &Utf8Path) -> Result<(), StartError> {
    std::fs::create_dir_all(path)
        .map_err(|error| StartError::CannotWrite { path: path.to_owned(), message: error.to_string() })
}

/// Writes a small file whole or not at all.
pub(super) fn write(path: &Utf8Path, text: &str) -> Result<(), StartError> {
    let draft = path.with_extension("new");
    std::fs::write(&draft, text)
        .and_then(|()| std::fs::rename(&draft, path))
        .map_err(|error| StartError::CannotWrite { path: path.to_owned(), message: error.to_string() })
}
