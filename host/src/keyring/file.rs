//! Small files that hold a secret.

use super::KeyringError;
use camino::Utf8Path;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

/// What it holds; `None`: it is not there.
pub(super) fn read(path: &Utf8Path) -> Result<Option<String>, KeyringError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(KeyringError::File { path: path.to_owned(), source }),
    }
}

pub(super) fn read_or_create(path: &Utf8Path, make: impl FnOnce() -> String) -> Result<String, KeyringError> {
    match read(path)? {
        Some(text) => Ok(text),
        None => create(path, make()),
    }
}

/// Writes it for its owner alone, to a temporary name first: a crash leaves the whole file or the one before.
pub(super) fn create(path: &Utf8Path, text: String) -> Result<String, KeyringError> {
    let draft = path.with_extension("new");
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&draft, path)?;
        path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
    };
    write().map_err(|source| KeyringError::File { path: path.to_owned(), source })?;
    Ok(text)
}
