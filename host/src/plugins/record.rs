//! `<data>/revisions/active.json`: what each plugin served last and what was decided about it, so that a restart beside a
//! bad file goes on with the last good one, and a rollback or a stop holds.

use super::revision::sync_folder;
use super::state::{Aside, Stopped};
use crate::causes::chain;
use camino::{Utf8Path, Utf8PathBuf};
use ripost_domain::api::Digest;
use ripost_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};

/// The form that this version writes. It reads 1 as well, which knew `active` and `previous` and nothing else.
const VERSION: u32 = 2;
/// The record itself.
pub const FILE_NAME: &str = "active.json";
/// Where one goes that cannot be understood.
const DAMAGED_NAME: &str = "active.json.damaged";

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

/// What is there cannot be used. It is never written over: it knows what was pushed and what was stopped.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A newer version of this program has written it.
    #[error(
        "{path} is of version {version} and this program reads {VERSION} at most: the data folder was used by a newer version; start that one, or restore a backup"
    )]
    Newer {
        /// The record.
        path: Utf8PathBuf,
        /// Its version.
        version: u32,
    },
    /// It is not what any version writes.
    #[error("{path} cannot be understood")]
    Damaged {
        /// The record.
        path: Utf8PathBuf,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
    /// The disk.
    #[error("reading {path}")]
    Io {
        /// The record.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What every version has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Record {
    pub(super) fn new(plugins: BTreeMap<String, Recorded>, moves: Vec<Move>) -> Self {
        Self { version: VERSION, plugins, moves }
    }

    /// Reads the record; none if there is none.
    pub(super) fn read(folder: &Utf8Path) -> Result<Option<Self>, RecordError> {
        let path = folder.join(FILE_NAME);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(RecordError::Io { path, source }),
            Ok(text) => text,
        };
        // Its version first: what a newer one has added is no damage.
        match serde_json::from_slice(&text) {
            Ok(Versioned { version }) if version > VERSION => Err(RecordError::Newer { path, version }),
            Ok(_) => match serde_json::from_slice::<Self>(&text) {
                Ok(record) => Ok(Some(Self { version: VERSION, ..record })),
                Err(source) => Err(RecordError::Damaged { path, source }),
            },
            Err(source) => Err(RecordError::Damaged { path, source }),
        }
    }

    /// The same; one that is damaged is put out of the way, and none of its revisions is removed while it is there.
    pub(super) fn read_or_set_aside(folder: &Utf8Path) -> Result<Option<Self>, RecordError> {
        match Self::read(folder) {
            Err(error @ RecordError::Damaged { .. }) => {
                let aside = folder.join(DAMAGED_NAME);
                tracing::error!(error = chain(&error), %aside, "What served last, what was pushed and what was stopped is not known: only what is in the plugins folder will serve; mend {aside}, put it back as {FILE_NAME} and start again, or remove it");
                let path = folder.join(FILE_NAME);
                fs::rename(&path, aside).map_err(|source| RecordError::Io { path, source })?;
                Ok(None)
            }
            read => read,
        }
    }

    /// Whether a record was put out of the way: it names revisions that nothing else does.
    pub(super) fn is_set_aside(folder: &Utf8Path) -> bool {
        folder.join(DAMAGED_NAME).exists()
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
        for text in [
            "",
            "{}",
            "{\"version\":1,\"plugins\":{\"a\":{\"active\":\"00\"}}}",
            "{\"version\":2,\"plugins\":{},\"x\":1}",
        ] {
            fs::write(path.join(FILE_NAME), text).unwrap();
            let error = Record::read(path).unwrap_err();
            assert!(matches!(error, RecordError::Damaged { .. }), "{text}: {error}");
            assert!(Record::read_or_set_aside(path).unwrap().is_none() && Record::is_set_aside(path));
            assert_eq!(fs::read_to_string(path.join(DAMAGED_NAME)).unwrap(), text, "it can be mended");
            assert!(Record::read(path).unwrap().is_none());
        }
        let newer = "{\"version\":3,\"plugins\":[],\"more\":{}}";
        fs::write(path.join(FILE_NAME), newer).unwrap();
        let error = Record::read_or_set_aside(path).unwrap_err();
        assert!(matches!(error, RecordError::Newer { version: 3, .. }), "{error}");
    }
}
