//! `<data>/revisions/active.json`: what each plugin served last and what was decided about it, so that a restart beside a
//! bad file goes on with the last good one, and a rollback or a stop holds.

use super::revision::sync_folder;
use super::state::{Aside, Stopped};
use camino::{Utf8Path, Utf8PathBuf};
use ripost_domain::api::Digest;
use ripost_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};

/// The form that this version writes. It reads 1 as well, which knew `active` and `previous` and nothing else.
const VERSION: u32 = 2;
const FILE_NAME: &str = "active.json";

/// What each plugin serves, by its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    version: u32,
    pub(super) plugins: BTreeMap<String, Recorded>,
    /// Requests that are still to be moved from one revision to another.
    #[serde(default)]
    pub(super) moves: Vec<Move>,
}

/// One plugin's revisions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recorded {
    /// None: what was pushed has never served.
    pub(super) active: Option<Digest>,
    pub(super) previous: Option<Digest>,
    /// Since when `active` serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
    /// What was pushed last; none: the plugin is a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pushed: Option<Digest>,
    /// What is not to serve although it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) aside: Option<Aside>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stopped: Option<Stopped>,
}

/// Unfinished requests of one revision are to be answered by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Move {
    pub(super) from: Digest,
    pub(super) to: Digest,
}

impl Default for Record {
    fn default() -> Self {
        Self { version: VERSION, plugins: BTreeMap::new(), moves: Vec::new() }
    }
}

impl Record {
    pub(super) fn new(plugins: BTreeMap<String, Recorded>, moves: Vec<Move>) -> Self {
        Self { version: VERSION, plugins, moves }
    }

    /// Reads the record; none if there is none.
    pub(super) fn read(folder: &Utf8Path) -> io::Result<Option<Self>> {
        let text = match fs::read(folder.join(FILE_NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let record: Self = serde_json::from_slice(&text)?;
        if (1..=VERSION).contains(&record.version) {
            return Ok(Some(Self { version: VERSION, ..record }));
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it has version {}, and this program reads {VERSION} at most", record.version),
        ))
    }

    /// Replaces the record, durably: after a crash there is the old one or this one.
    pub(super) fn write(&self, folder: &Utf8Path) -> io::Result<()> {
        let draft = draft(folder);
        let mut file = File::create(&draft)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
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
    use super::super::state::Why;
    use super::*;

    fn digest(byte: u8) -> Digest {
        Digest::from_bytes([byte; 32])
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        assert!(Record::read(path).unwrap().is_none());
        let now = Timestamp::from_millis(1_700_000_000_000);
        let recorded = Recorded {
            active: Some(digest(1)),
            since: Some(now),
            pushed: Some(digest(2)),
            aside: Some(Aside { digest: digest(2), why: Why::Quarantine, reason: "5 of 6".to_owned(), since: now }),
            stopped: Some(Stopped { digests: vec![digest(1)], revisions: vec![digest(3)], since: now }),
            ..Recorded::default()
        };
        let plugins = BTreeMap::from([("reports".to_owned(), recorded)]);
        let record = Record::new(plugins, vec![Move { from: digest(2), to: digest(1) }]);
        record.write(path).unwrap();
        record.write(path).unwrap();
        assert_eq!(Record::read(path).unwrap(), Some(record));
        assert!(!draft(path).exists());
    }

    #[test]
    fn the_record_of_the_version_before_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        let text = format!(
            "{{\"version\":1,\"plugins\":{{\"a\":{{\"active\":\"{}\",\"previous\":\"{}\"}}}}}}",
            digest(1),
            digest(2)
        );
        fs::write(path.join(FILE_NAME), text).unwrap();
        let recorded = Recorded { active: Some(digest(1)), previous: Some(digest(2)), ..Recorded::default() };
        let record = Record::new(BTreeMap::from([("a".to_owned(), recorded)]), Vec::new());
        assert_eq!(Record::read(path).unwrap(), Some(record));
    }

    #[test]
    fn a_record_that_cannot_be_understood_is_an_error_and_not_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        for text in
            ["", "{}", "{\"version\":3,\"plugins\":{}}", "{\"version\":1,\"plugins\":{\"a\":{\"active\":\"00\"}}}"]
        {
            fs::write(path.join(FILE_NAME), text).unwrap();
            assert!(Record::read(path).is_err(), "{text}");
        }
    }
}
