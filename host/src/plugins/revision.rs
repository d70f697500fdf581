//! A revision: a manifest, its components and its smoke cases, known by the digest of the set, kept in the data folder for as long
//! as anything needs it.
//!
//! A folder under its final name is whole: it is written beside it, synced, and renamed. Reading one checks its
//! digest again, so that a damaged disk or a helping hand never becomes code that runs.

use super::{lock, manifest};
use crate::causes::chain;
use camino::{Utf8Path, Utf8PathBuf};
use ripost_domain::api::Digest;
use ripost_store::failpoint;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// What a draft's name begins with; a draft outlives only a crash, and goes at the next start.
const DRAFT: &str = ".draft-";
/// Files of one revision; a folder with more was not written by us.
const FILES_MAX: usize = 1000;
/// One file of a revision, bytes; above any ceiling that makes sense.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// The empty file that marks a revision whose upstreams pass the address guard. Nothing that a manifest names begins with
/// a dot.
const GUARDED: &str = ".guarded";

/// A plugin's files as loaded, immutable.
#[derive(Debug)]
pub(super) struct Revision {
    digest: Digest,
    files: BTreeMap<String, RevisionFile>,
}

#[derive(Debug)]
struct RevisionFile {
    bytes: Vec<u8>,
    digest: Digest,
}

impl Revision {
    /// Of these files, by name; a case's name has its folder in front, and no other name has a slash.
    pub(super) fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
        let of = |bytes: Vec<u8>| RevisionFile { digest: Digest::from_bytes(Sha256::digest(&bytes).into()), bytes };
        let files = files.into_iter().map(|(name, bytes)| (name, of(bytes))).collect();
        Self { digest: digest(&files), files }
    }

    /// The same, set by an owner's token: whatever its upstreams name passes the address guard. That is part of what
    /// the revision is, so that it goes with it wherever it is loaded.
    pub(super) fn guarded(self) -> Self {
        let mut files = self.into_files();
        files.insert(GUARDED.to_owned(), Vec::new());
        Self::new(files)
    }

    /// What it would be if an owner's token set it.
    pub(super) fn guarded_digest(&self) -> Digest {
        let marker = RevisionFile { bytes: Vec::new(), digest: Digest::from_bytes(Sha256::digest([]).into()) };
        let mut lines: Vec<_> = self.files.iter().map(|(name, file)| (name.as_str(), file)).collect();
        lines.push((GUARDED, &marker));
        lines.sort_unstable_by_key(|(name, _)| *name);
        digest_of(lines.into_iter())
    }

    /// Whether an owner's token set it.
    pub(super) fn is_guarded(&self) -> bool {
        self.files.contains_key(GUARDED)
    }

    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    pub(super) fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(|file| file.bytes.as_slice())
    }

    /// All files, by name.
    pub(super) fn into_files(self) -> BTreeMap<String, Vec<u8>> {
        self.files.into_iter().map(|(name, file)| (name, file.bytes)).collect()
    }

    /// The cases in one of its folders, by name.
    pub(super) fn cases<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let prefix = format!("{folder}/");
        let files = self.files.iter().filter(move |(name, _)| name.starts_with(&prefix));
        files.map(|(name, file)| (name.as_str(), file.bytes.as_slice()))
    }

    /// SHA-256 of one file.
    pub(super) fn file_digest(&self, name: &str) -> Option<Digest> {
        self.files.get(name).map(|file| file.digest)
    }

    /// The manifest's text.
    pub(super) fn manifest(&self) -> Option<&str> {
        std::str::from_utf8(self.file(manifest::FILE_NAME)?).ok()
    }
}

/// SHA-256 over a line a file, in the order of their names: name, length, SHA-256.
fn digest(files: &BTreeMap<String, RevisionFile>) -> Digest {
    digest_of(files.iter().map(|(name, file)| (name.as_str(), file)))
}

fn digest_of<'a>(files: impl Iterator<Item = (&'a str, &'a RevisionFile)>) -> Digest {
    let mut set = Sha256::new_with_prefix(b"ripost revision 1\n");
    for (name, RevisionFile { bytes, digest }) in files {
        // Neither names nor figures can contain a NUL, so no two sets give the same text.
        set.update(format!("{name}\0{}\0{digest}\n", bytes.len()));
    }
    Digest::from_bytes(set.finalize().into())
}

/// A revision cannot be kept or had.
#[derive(Debug, thiserror::Error)]
pub enum RevisionError {
    /// It is not in the data folder.
    #[error("revision {} is not in the data folder", .0.short())]
    Missing(Digest),
    /// What is there is not what its name says.
    #[error("revision {} in the data folder is damaged; restore the folder from a backup, or put the plugin's files in place again", .0.short())]
    Damaged(Digest),
    /// The disk.
    #[error("{doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file or folder.
        path: Utf8PathBuf,
        /// Why not.
        source: io::Error,
    },
}

fn at<T>(doing: &'static str, path: &Utf8Path, result: io::Result<T>) -> Result<T, RevisionError> {
    result.map_err(|source| RevisionError::Io { doing, path: path.to_owned(), source })
}

/// The folder `<data>/revisions`. One process at a time uses it.
#[derive(Debug)]
pub(super) struct Revisions {
    folder: Utf8PathBuf,
    drafts: AtomicU64,
    /// Held while one is looked for and written: the same files may come twice at once, pushed or put into a folder.
    saving: Mutex<()>,
}

impl Revisions {
    /// Makes the folder if it is not there, and clears what a crash left half written.
    pub(super) fn open(folder: Utf8PathBuf) -> Result<Self, RevisionError> {
        at("making", &folder, fs::create_dir_all(&folder))?;
        for entry in at("reading", &folder, folder.read_dir_utf8())? {
            let entry = at("reading", &folder, entry)?;
            if entry.file_name().starts_with(DRAFT) {
                at("removing", entry.path(), remove(entry.path()))?;
            }
        }
        Ok(Self { folder, drafts: AtomicU64::new(0), saving: Mutex::default() })
    }

    pub(super) fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// Copies a revision into the folder and syncs it; one that is there and whole is left alone.
    pub(super) fn save(&self, revision: &Revision) -> Result<(), RevisionError> {
        let _saving = lock(&self.saving);
        let place = self.place(&revision.digest);
        match self.load(&revision.digest) {
            Ok(_) => return sync_folder(&self.folder),
            Err(RevisionError::Missing(_)) => {}
            Err(error) => {
                tracing::warn!(revision = %revision.digest.short(), error = chain(&error), "A damaged revision is replaced");
                self.discard(&place)?;
            }
        }
        let draft = self.draft();
        at("making", &draft, fs::create_dir(&draft))?;
        let written = self.write(revision, &draft, &place);
        if written.is_err() {
            // The reason is in `written`; what cannot be removed goes at the next start.
            let _ = fs::remove_dir_all(&draft);
        }
        written
    }

    fn write(&self, revision: &Revision, draft: &Utf8Path, place: &Utf8Path) -> Result<(), RevisionError> {
        let mut folders = BTreeSet::new();
        for (name, RevisionFile { bytes, .. }) in &revision.files {
            let path = draft.join(name);
            if let Some((folder, _)) = name.split_once('/')
                && folders.insert(folder)
            {
                let folder = draft.join(folder);
                at("making", &folder, fs::create_dir(&folder))?;
            }
            let mut file = at("making", &path, File::create_new(&path))?;
            at("writing", &path, file.write_all(bytes))?;
            at("syncing", &path, file.sync_all())?;
        }
        for folder in folders {
            sync_folder(&draft.join(folder))?;
        }
        sync_folder(draft)?;
        failpoint::hit("revision.before_rename");
        at("renaming into place", place, fs::rename(draft, place))?;
        failpoint::hit("revision.after_rename");
        sync_folder(&self.folder)
    }

    /// Reads a revision and checks that it is what its name says.
    pub(super) fn load(&self, digest: &Digest) -> Result<Revision, RevisionError> {
        let place = self.place(digest);
        let mut files = BTreeMap::new();
        let entries = match place.read_dir_utf8() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(RevisionError::Missing(*digest)),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(RevisionError::Damaged(*digest)),
            entries => at("reading", &place, entries)?,
        };
        for entry in entries {
            let entry = at("reading", &place, entry)?;
            let name = entry.file_name();
            let kind = at("reading", entry.path(), entry.file_type())?;
            if !kind.is_dir() {
                read_into(&mut files, name.to_owned(), entry.path(), *digest)?;
                continue;
            }
            for case in at("reading", entry.path(), entry.path().read_dir_utf8())? {
                let case = at("reading", entry.path(), case)?;
                read_into(&mut files, format!("{name}/{}", case.file_name()), case.path(), *digest)?;
            }
        }
        let revision = Revision::new(files);
        if revision.digest == *digest { Ok(revision) } else { Err(RevisionError::Damaged(*digest)) }
    }

    /// A kept revision's manifest as it stands there, for whoever only looks: the digest is not checked.
    pub(super) fn manifest(&self, digest: &Digest) -> Option<String> {
        fs::read_to_string(self.place(digest).join(manifest::FILE_NAME)).ok()
    }

    /// Since when a revision is kept, and its bytes.
    pub(super) fn size(&self, digest: &Digest) -> Result<(SystemTime, u64), RevisionError> {
        let place = self.place(digest);
        let made = at("reading", &place, place.metadata().and_then(|metadata| metadata.modified()))?;
        Ok((made, at("reading", &place, bytes_in(&place))?))
    }

    /// The digests that folders are named by, whole or not.
    pub(super) fn list(&self) -> Result<Vec<Digest>, RevisionError> {
        let mut digests = Vec::new();
        for entry in at("reading", &self.folder, self.folder.read_dir_utf8())? {
            digests.extend(at("reading", &self.folder, entry)?.file_name().parse::<Digest>().ok());
        }
        digests.sort_unstable();
        Ok(digests)
    }

    pub(super) fn remove(&self, digest: &Digest) -> Result<(), RevisionError> {
        self.discard(&self.place(digest))
    }

    /// By way of a draft's name, so that a crash in between leaves no half of a revision under its own.
    fn discard(&self, place: &Utf8Path) -> Result<(), RevisionError> {
        let draft = self.draft();
        at("renaming away", place, fs::rename(place, &draft))?;
        at("removing", &draft, remove(&draft))
    }

    fn place(&self, digest: &Digest) -> Utf8PathBuf {
        self.folder.join(digest.to_string())
    }

    fn draft(&self) -> Utf8PathBuf {
        self.folder.join(format!("{DRAFT}{}", self.drafts.fetch_add(1, Ordering::Relaxed)))
    }
}

fn read_into(
    files: &mut BTreeMap<String, Vec<u8>>,
    name: String,
    path: &Utf8Path,
    digest: Digest,
) -> Result<(), RevisionError> {
    let metadata = at("reading", path, path.symlink_metadata())?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX || files.len() == FILES_MAX {
        return Err(RevisionError::Damaged(digest));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    let file = at("opening", path, File::open(path))?;
    at("reading", path, file.take(FILE_BYTES_MAX).read_to_end(&mut bytes))?;
    files.insert(name, bytes);
    Ok(())
}

fn bytes_in(folder: &Utf8Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in folder.read_dir_utf8()? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { bytes_in(entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

fn remove(path: &Utf8Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Utf8Path) -> Result<(), RevisionError> {
    at("syncing", folder, File::open(folder).and_then(|folder| folder.sync_all()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        list.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
    }

    fn revisions() -> (tempfile::TempDir, Revisions) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("revisions");
        (folder, Revisions::open(path).unwrap())
    }

    #[test]
    fn a_digest_tells_names_bytes_and_their_borders_apart() {
        let sets = [
            files(&[("a", "bc"), ("d", "")]),
            files(&[("ab", "c"), ("d", "")]),
            files(&[("a", "bc")]),
            files(&[("a", ""), ("d", "bc")]),
            files(&[]),
        ];
        let digests: BTreeSet<Digest> = sets.iter().cloned().map(|files| Revision::new(files).digest()).collect();
        assert_eq!(digests.len(), sets.len());
        assert_eq!(
            Revision::new(files(&[("plugin.toml", "x")])).digest().to_string(),
            "d57e2ecd40a068f94ae1b17a68dac49e9b5098d2a74361aa34eece18a5bcb5ea",
            "what is in data folders out there must keep its name"
        );
    }

    #[test]
    fn who_set_it_is_part_of_what_a_revision_with_upstreams_is() {
        let (_folder, revisions) = revisions();
        for names in [&["plugin.toml", "!a.wasm", "a.wasm", "cases/a.json"][..], &["plugin.toml"]] {
            let list: Vec<_> = names.iter().map(|name| (*name, "x")).collect();
            let (free, expected) = (Revision::new(files(&list)), Revision::new(files(&list)).guarded_digest());
            let guarded = Revision::new(files(&list)).guarded();
            assert_eq!((guarded.digest(), free.is_guarded()), (expected, false));
            assert_ne!(guarded.digest(), free.digest());
            revisions.save(&guarded).unwrap();
            assert!(revisions.load(&guarded.digest()).unwrap().is_guarded());
        }
    }

    #[test]
    fn a_revision_is_kept_whole_and_read_back() {
        let (_folder, revisions) = revisions();
        let revision = Revision::new(files(&[("plugin.toml", "text"), ("a.wasm", "bytes")]));
        assert!(matches!(revisions.load(&revision.digest()), Err(RevisionError::Missing(_))));
        revisions.save(&revision).unwrap();
        revisions.save(&revision).unwrap();
        let read = revisions.load(&revision.digest()).unwrap();
        assert_eq!((read.manifest(), read.file("a.wasm")), (Some("text"), Some(&b"bytes"[..])));
        assert_eq!(revisions.list().unwrap(), [revision.digest()]);
        assert_eq!(revisions.folder().read_dir_utf8().unwrap().count(), 1, "no draft is left");
        revisions.remove(&revision.digest()).unwrap();
        assert_eq!(revisions.folder().read_dir_utf8().unwrap().count(), 0);
    }

    #[test]
    fn a_revision_that_comes_twice_at_once_is_kept_once_and_nobody_is_told_otherwise() {
        let (_folder, revisions) = revisions();
        let large = vec![7; 1 << 20];
        let set = |mark: u8| BTreeMap::from([("a.wasm".to_owned(), large.clone()), ("b.wasm".to_owned(), vec![mark])]);
        for mark in 0..10 {
            std::thread::scope(|scope| {
                let saves = [(); 4].map(|()| scope.spawn(|| revisions.save(&Revision::new(set(mark)))));
                for saved in saves {
                    saved.join().unwrap().unwrap();
                }
            });
        }
        assert_eq!(revisions.folder().read_dir_utf8().unwrap().count(), 10, "no draft is left");
    }

    #[test]
    fn the_cases_of_a_revision_are_kept_in_their_folder() {
        let (_folder, revisions) = revisions();
        let revision = Revision::new(files(&[("plugin.toml", "text"), ("cases/a.json", "{}"), ("cases/b.json", "[]")]));
        revisions.save(&revision).unwrap();
        let read = revisions.load(&revision.digest()).unwrap();
        assert_eq!((read.file("cases/a.json"), read.file("cases/b.json")), (Some(&b"{}"[..]), Some(&b"[]"[..])));
        let place = revisions.folder().join(revision.digest().to_string());
        fs::create_dir_all(place.join("cases/more")).unwrap();
        assert!(matches!(revisions.load(&revision.digest()), Err(RevisionError::Damaged(_))));
        revisions.save(&revision).unwrap();
        fs::rename(place.join("cases"), place.join("other")).unwrap();
        assert!(matches!(revisions.load(&revision.digest()), Err(RevisionError::Damaged(_))));
        revisions.save(&revision).unwrap();
        revisions.remove(&revision.digest()).unwrap();
        assert_eq!(revisions.folder().read_dir_utf8().unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_revision_is_never_read_and_is_replaced_when_saved() {
        let (_folder, revisions) = revisions();
        let revision = Revision::new(files(&[("plugin.toml", "text"), ("a.wasm", "bytes")]));
        let place = revisions.folder().join(revision.digest().to_string());
        let damages: [&dyn Fn(); 4] = [
            &|| fs::write(place.join("a.wasm"), "bytez").unwrap(),
            &|| fs::write(place.join("b.wasm"), "more").unwrap(),
            &|| fs::remove_file(place.join("a.wasm")).unwrap(),
            &|| {
                fs::remove_dir_all(&place).unwrap();
                fs::write(&place, "a file").unwrap();
            },
        ];
        for damage in damages {
            revisions.save(&revision).unwrap();
            damage();
            assert!(matches!(revisions.load(&revision.digest()), Err(RevisionError::Damaged(_))));
            revisions.save(&revision).unwrap();
            assert!(revisions.load(&revision.digest()).is_ok());
        }
    }

    #[test]
    fn what_a_crash_left_half_written_goes_at_the_next_start() {
        let (_folder, revisions) = revisions();
        let half = revisions.folder().join(".draft-0");
        fs::create_dir(&half).unwrap();
        fs::write(half.join("plugin.toml"), "ha").unwrap();
        Revisions::open(revisions.folder().to_owned()).unwrap();
        assert!(!half.exists());
    }
}
