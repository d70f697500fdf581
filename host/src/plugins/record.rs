//! `<data>/revisions/active.json`: which revision each plugin served last, so that a restart beside a bad file goes
//! on with the last good one.

use super::revision::sync_folder;
use camino::{Utf8Path, Utf8PathBuf};
use ripost_domain::api::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};

/// The form that this version writes, and the only one that it reads.
const VERSION: u32 = 1;
const FILE_NAME: &str = "active.json";

/// What each plugin serves, by its place in the plugins folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    version: u32,
    pub(super) plugins: BTreeMap<String, Recorded>,
}

/// One plugin's revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recorded {
    pub(super) active: Digest,
    pub(super) previous: Option<Digest>,
}

impl Record {
    pub(super) fn new(plugins: BTreeMap<String, Recorded>) -> Self {
        Self { version: VERSION, plugins }
    }

    /// Reads the record; none if there is none.
    pub(super) fn read(folder: &Utf8Path) -> io::Result<Option<Self>> {
        let text = match fs::read(folder.join(FILE_NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let record: Self = serde_json::from_slice(&text)?;
        if record.version == VERSION {
            return Ok(Some(record));
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("it has version {}, not {VERSION}", record.version)))
    }

    /// Replaces the record, durably: after a crash there is the old one or this one.
    pub(super) fn write(&self, folder: &Utf8Path) -> io::Result<()> {
        let draft = draft(folder);
        let mut file = File::create(&draft)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&draft, folder.join(FILE_NAME))?;
        sync_folder(folder).map_err(io::Error::other)
    }
}

fn draft(folder: &Utf8Path) -> Utf8PathBuf {
    folder.join(format!(".draft-{FILE_NAME}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        assert!(Record::read(path).unwrap().is_none());
        let recorded = Recorded { active: Digest::from_bytes([1; 32]), previous: None };
        let record = Record::new(BTreeMap::from([("reports".to_owned(), recorded)]));
        record.write(path).unwrap();
        record.write(path).unwrap();
        assert_eq!(Record::read(path).unwrap(), Some(record));
        assert!(!draft(path).exists());
    }

    #[test]
    fn a_record_that_cannot_be_understood_is_an_error_and_not_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        for text in
            ["", "{}", "{\"version\":2,\"plugins\":{}}", "{\"version\":1,\"plugins\":{\"a\":{\"active\":\"00\"}}}"]
        {
            fs::write(path.join(FILE_NAME), text).unwrap();
            assert!(Record::read(path).is_err(), "{text}");
        }
    }
}
