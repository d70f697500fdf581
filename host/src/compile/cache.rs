//! Artefacts in the data folder. Machine code is run as it is, so a file is only as good as its MAC, whose key is not
//! in this folder: what was changed, swapped or made by somebody else is thrown away and compiled again.

use camino::{Utf8Path, Utf8PathBuf};
use hmac::{Hmac, Mac as _};
use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;
use ripost_runtime::{Key, Scheme};
use sha2::Sha256;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// At the beginning of each file: what it is, and the version of this form.
const MAGIC: &[u8; 8] = b"ripostA\x01";
const MAC_BYTES: usize = 32;
const HEAD_BYTES: usize = MAGIC.len() + MAC_BYTES;
const SUFFIX: &str = ".artefact";
/// Of files that are being written; one that is found at the start is what a crash left.
const DRAFT_PREFIX: &str = ".draft-";
/// The longest file that is read: an artefact and what the runtime adds to it.
const FILE_BYTES_MAX: u64 = super::frame::ARTEFACT_BYTES_MAX + (1 << 20);
/// A file that is used says so in its time of change, this often at most: for the order after the next start.
const TOUCH_EVERY: Duration = Duration::from_secs(3600);

/// The cache cannot be used. What is in it would be run, so a doubtful folder is left alone.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Not to be made or read.
    #[error("the cache folder {path} cannot be used")]
    Folder {
        /// The folder.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Open to others.
    #[error("the cache folder {path} is open to others (mode {mode:o}): remove it, or close it with `chmod 700`")]
    Wide {
        /// The folder.
        path: Utf8PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Somebody else's, or a link.
    #[error("the cache folder {path} is not a folder of this user's: remove it")]
    NotOurs {
        /// The folder.
        path: Utf8PathBuf,
    },
}

/// What is there for a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// What was kept, to the byte.
    Artefact(Vec<u8>),
    /// Nothing.
    Nothing,
    /// Something else than what was kept. It is removed.
    Rejected,
}

/// Artefacts by key, up to a size all together. One in a process, and one process for each folder.
pub struct Cache {
    folder: Utf8PathBuf,
    mac: Hmac<Sha256>,
    bytes_max: u64,
    index: Mutex<Index>,
}

/// What is in the folder, as far as this process knows. It is never believed about a file's content.
#[derive(Default)]
struct Index {
    files: HashMap<String, Kept>,
    bytes: u64,
    /// Grows with each use.
    uses: u64,
    drafts: u64,
}

struct Kept {
    bytes: u64,
    used: u64,
    touched: Option<Instant>,
}

impl Index {
    fn insert(&mut self, name: &str, bytes: u64, touched: Option<Instant>) {
        self.forget(name);
        self.uses += 1;
        self.bytes += bytes;
        self.files.insert(name.to_owned(), Kept { bytes, used: self.uses, touched });
    }

    /// Takes note of a use; whether it is time to say so in the file. One that is not known was removed a moment ago.
    fn used(&mut self, name: &str) -> bool {
        self.uses += 1;
        let Some(kept) = self.files.get_mut(name) else { return false };
        kept.used = self.uses;
        let due = kept.touched.is_none_or(|touched| touched.elapsed() >= TOUCH_EVERY);
        if due {
            kept.touched = Some(Instant::now());
        }
        due
    }

    fn forget(&mut self, name: &str) {
        if let Some(kept) = self.files.remove(name) {
            self.bytes -= kept.bytes;
        }
    }

    fn oldest(&self) -> Option<String> {
        self.files.iter().min_by_key(|(_, kept)| kept.used).map(|(name, _)| name.clone())
    }
}

impl Cache {
    /// Opens the folder, made if it is not there, and removes what is over `bytes_max`.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn open(folder: impl Into<Utf8PathBuf>, key: &[u8; 32], bytes_max: u64) -> Result<Self, CacheError> {
        let folder = folder.into();
        check(&folder)?;
        let index = read(&folder).map_err(|source| CacheError::Folder { path: folder.clone(), source })?;
        let mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
        let cache = Self { folder, mac, bytes_max, index: Mutex::new(index) };
        cache.make_room(&mut cache.index());
        Ok(cache)
    }

    /// What was kept under a key. Blocking, for a read and a MAC.
    #[must_use]
    pub fn find(&self, key: &Key) -> Found {
        let name = name(key);
        let path = self.folder.join(&name);
        let (file, bytes) = match self.read(key, &path) {
            Ok(Some(found)) => found,
            Ok(None) => return Found::Nothing,
            Err(error) => {
                tracing::warn!(
                    %path, %error,
                    "A compiled component in the cache is not what was kept there, so it was damaged or somebody changed it; it is removed and compiled again"
                );
                let mut index = self.index();
                index.forget(&name);
                if let Err(error) = fs::remove_file(&path) {
                    tracing::warn!(%path, %error, "A file cannot be removed from the cache");
                }
                return Found::Rejected;
            }
        };
        if self.index().used(&name) {
            // Only the order of removal hangs on it.
            let _ = futimens(&file, &TimeSpec::UTIME_OMIT, &TimeSpec::UTIME_NOW);
        }
        Found::Artefact(bytes)
    }

    /// Keeps an artefact, and removes what was not used for longest if that is too much. Failing is told in the log.
    pub fn keep(&self, key: &Key, artefact: &[u8]) {
        let bytes = (HEAD_BYTES + artefact.len()) as u64;
        if bytes > self.bytes_max.min(FILE_BYTES_MAX) {
            tracing::warn!(
                bytes,
                bytes_max = self.bytes_max,
                "A compiled component is larger than the cache; it is not kept"
            );
            return;
        }
        let name = name(key);
        let mut index = self.index();
        index.drafts += 1;
        let draft = self.folder.join(format!("{DRAFT_PREFIX}{}", index.drafts));
        drop(index);
        // Not synced: what a power cut leaves of it fails its MAC, and is compiled again.
        let written = self.write(key, artefact, &draft);
        // What comes into the folder and goes from it does so under the lock: the reckoning is that of the folder.
        let mut index = self.index();
        if let Err(error) = written.and_then(|()| fs::rename(&draft, self.folder.join(&name))) {
            let _ = fs::remove_file(&draft);
            tracing::warn!(folder = %self.folder, %error, "A compiled component cannot be kept; it is compiled again at the next start");
            return;
        }
        index.insert(&name, bytes, Some(Instant::now()));
        self.make_room(&mut index);
    }

    /// `None`: there is no such file.
    fn read(&self, key: &Key, path: &Utf8Path) -> io::Result<Option<(File, Vec<u8>)>> {
        let no_link = nix::fcntl::OFlag::O_NOFOLLOW.bits() | nix::fcntl::OFlag::O_NONBLOCK.bits();
        let mut file = match OpenOptions::new().read(true).custom_flags(no_link).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why);
        let about = file.metadata()?;
        if !about.is_file() || about.len() > FILE_BYTES_MAX {
            return Err(invalid("it is not a file of a usual size"));
        }
        let mut head = [0; HEAD_BYTES];
        file.read_exact(&mut head)?;
        let Some(mac) = head.strip_prefix(MAGIC) else { return Err(invalid("it does not begin like one of ours")) };
        let len = usize::try_from(about.len()).unwrap_or(usize::MAX).saturating_sub(HEAD_BYTES);
        let mut artefact = Vec::with_capacity(len);
        // What is checked is what is in memory now, whatever happens to the file.
        (&file).take(FILE_BYTES_MAX).read_to_end(&mut artefact)?;
        self.mac_of(key, &artefact).verify_slice(mac).map_err(|_| invalid("its MAC is another one"))?;
        Ok(Some((file, artefact)))
    }

    fn write(&self, key: &Key, artefact: &[u8], draft: &Utf8Path) -> io::Result<()> {
        let mac = self.mac_of(key, artefact).finalize().into_bytes();
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
        file.write_all(MAGIC)?;
        file.write_all(&mac)?;
        file.write_all(artefact)
    }

    fn mac_of(&self, key: &Key, artefact: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(MAGIC);
        mac.update(&key.component);
        mac.update(&[match key.target.scheme {
            Scheme::Small => 0,
            Scheme::Large => 1,
        }]);
        mac.update(&key.target.memory_reservation_bytes.to_be_bytes());
        mac.update(&key.compatibility.to_be_bytes());
        mac.update(artefact);
        mac
    }

    fn make_room(&self, index: &mut Index) {
        while index.bytes > self.bytes_max {
            let Some(name) = index.oldest() else { return };
            index.forget(&name);
            match fs::remove_file(self.folder.join(&name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(name, %error, "A file cannot be removed from the cache");
                }
                _ => {}
            }
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything in it is of one length or plain: no two keys share a name.
fn name(key: &Key) -> String {
    let mut name = String::with_capacity(128);
    for byte in key.component {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    let (target, compatibility) = (key.target, key.compatibility);
    let _ = write!(name, "-{}-{}-{compatibility:016x}{SUFFIX}", target.scheme, target.memory_reservation_bytes);
    name
}

/// Makes the folder, or makes sure that it is ours and nobody else's.
fn check(folder: &Utf8Path) -> Result<(), CacheError> {
    let failed = |source| CacheError::Folder { path: folder.to_owned(), source };
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.map_err(failed)?,
    }
    let about = fs::symlink_metadata(folder).map_err(failed)?;
    if !about.is_dir() || about.uid() != nix::unistd::geteuid().as_raw() {
        return Err(CacheError::NotOurs { path: folder.to_owned() });
    }
    match about.mode() & 0o777 {
        mode if mode & 0o077 != 0 => Err(CacheError::Wide { path: folder.to_owned(), mode }),
        _ => Ok(()),
    }
}

/// What is in the folder, in the order of its last use. Drafts are removed, strange files left alone.
fn read(folder: &Utf8Path) -> io::Result<Index> {
    let mut files: Vec<(SystemTime, String, u64)> = Vec::new();
    for entry in folder.read_dir_utf8()? {
        let entry = entry?;
        let name = entry.file_name();
        if name.starts_with(DRAFT_PREFIX) {
            fs::remove_file(entry.path())?;
        } else if name.ends_with(SUFFIX) {
            let about: Metadata = entry.metadata()?;
            files.push((about.modified()?, name.to_owned(), about.len()));
        }
    }
    files.sort_unstable();
    let mut index = Index::default();
    for (_, name, bytes) in files {
        index.insert(&name, bytes, None);
    }
    Ok(index)
}

#[cfg(test)]
mod tests;
