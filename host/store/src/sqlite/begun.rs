//! Which runs have begun: a file of fixed places, one for each run under way, that outlives this process and not the
//! machine.
//!
//! A request is leased long before its run has its turn, so the lease cannot say whether a run began. A commit before
//! each run would; this says it for the price of one small write into the page cache, which a killed process leaves
//! behind like any other. After the machine itself has gone down the file proves nothing, so every lease then counts as
//! a run that began: one too many is harmless, one too few would let a guest that takes the machine down run for ever.

use super::refusing::Refusing;
use crate::store::{BegunRun, Places, StoreError};
use camino::{Utf8Path, Utf8PathBuf};
use ripost_domain::id::RequestId;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

const FILE_NAME: &str = "begun";
/// Which boot of the machine the places are of: the kernel's word for it, padded with zeros.
const HEADER_BYTES: usize = 64;
/// A request's id and its epoch, padded.
const PLACE_BYTES: usize = 32;
const ID_BYTES: usize = 16;
/// Places whose room on the disk is taken at the start, so that a full disk stops no run from being noted.
const PLACES_TAKEN: usize = 2046;
/// Changes with each boot (Linux).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What a process before this one had begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Left {
    /// These runs and no others, by request and epoch.
    These(Vec<(RequestId, u32)>),
    /// Nothing is known: any leased request may have been run.
    Unknown,
}

/// The runs that this process has begun.
pub(super) struct Register {
    file: File,
    path: Utf8PathBuf,
    refusing: Refusing,
    places: Arc<Places>,
    left: Mutex<Left>,
}

impl Register {
    /// Opens the file, or makes it, and reads what the process before has left in it. Blocks.
    pub(super) fn open(folder: &Utf8Path, refusing: Refusing) -> io::Result<Self> {
        let path = folder.join(FILE_NAME);
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
        let left = Mutex::new(left(&file, boot())?);
        Ok(Self { file, path, refusing, places: Arc::default(), left })
    }

    pub(super) fn left(&self) -> Left {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was left has been counted: the places are free. Before the first run; blocks.
    pub(super) fn clear(&self) -> Result<(), StoreError> {
        let mut content = vec![0; HEADER_BYTES + PLACES_TAKEN * PLACE_BYTES];
        content[..HEADER_BYTES].copy_from_slice(&boot().unwrap_or([0; HEADER_BYTES]));
        self.write(&content, 0)?;
        self.file.set_len(content.len() as u64).map_err(|error| self.failed(&error))?;
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Left::These(Vec::new());
        Ok(())
    }

    /// Notes that a run begins. Its place is taken until the note is dropped.
    pub(super) fn note(&self, id: RequestId, epoch: u32) -> Result<BegunRun, StoreError> {
        let run = BegunRun::take(&self.places);
        let mut content = [0; PLACE_BYTES];
        content[..ID_BYTES].copy_from_slice(id.as_bytes());
        content[ID_BYTES..ID_BYTES + 4].copy_from_slice(&epoch.to_le_bytes());
        self.write(&content, HEADER_BYTES as u64 + u64::from(run.place()) * PLACE_BYTES as u64)?;
        Ok(run)
    }

    fn write(&self, bytes: &[u8], at: u64) -> Result<(), StoreError> {
        self.file.write_all_at(bytes, at).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> StoreError {
        self.refusing.note_io(&self.path, error)
    }
}

fn left(file: &File, boot: Option<[u8; HEADER_BYTES]>) -> io::Result<Left> {
    let bytes = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut content = vec![0; bytes];
    file.read_exact_at(&mut content, 0)?;
    let Some((header, places)) = content.split_first_chunk::<HEADER_BYTES>() else { return Ok(Left::Unknown) };
    if boot != Some(*header) {
        return Ok(Left::Unknown);
    }
    let run = |place: &[u8; PLACE_BYTES]| {
        let (id, rest) = place.split_first_chunk::<ID_BYTES>()?;
        let epoch = rest.first_chunk::<4>()?;
        Some((RequestId::from_bytes(*id), u32::from_le_bytes(*epoch)))
    };
    let runs = places.as_chunks::<PLACE_BYTES>().0.iter().filter_map(run);
    // No claim has epoch 0: such a place was never taken.
    Ok(Left::These(runs.filter(|(_, epoch)| *epoch > 0).collect()))
}

fn boot() -> Option<[u8; HEADER_BYTES]> {
    let text = std::fs::read(BOOT_ID).ok()?;
    let text = text.trim_ascii();
    let mut header = [0; HEADER_BYTES];
    header.get_mut(..text.len()).filter(|_| !text.is_empty())?.copy_from_slice(text);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripost_domain::time::Timestamp;

    fn id(byte: u8) -> RequestId {
        RequestId::new(Timestamp::from_millis(1), [byte; 10])
    }

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        (folder, path)
    }

    #[test]
    fn what_a_killed_process_had_begun_is_known_to_the_next_and_its_places_are_used_again() {
        let (_guard, path) = folder();
        let register = Register::open(&path, Refusing::default()).unwrap();
        assert_eq!(register.left(), Left::Unknown, "a folder of an earlier version says nothing");
        register.clear().unwrap();
        assert_eq!(register.left(), Left::These(Vec::new()));
        let first = register.note(id(1), 1).unwrap();
        let _second = register.note(id(2), 7).unwrap();
        drop(first);
        let _third = register.note(id(3), 2).unwrap();
        let next = Register::open(&path, Refusing::default()).unwrap();
        assert_eq!(next.left(), Left::These(vec![(id(3), 2), (id(2), 7)]));
        next.clear().unwrap();
        assert_eq!(Register::open(&path, Refusing::default()).unwrap().left(), Left::These(Vec::new()));
    }

    #[test]
    fn after_the_machine_went_down_nothing_is_known() {
        let (_guard, path) = folder();
        let register = Register::open(&path, Refusing::default()).unwrap();
        register.clear().unwrap();
        let _run = register.note(id(1), 1).unwrap();
        register.write(b"another boot", 0).unwrap();
        assert_eq!(Register::open(&path, Refusing::default()).unwrap().left(), Left::Unknown);
        assert_eq!(left(&register.file, None).unwrap(), Left::Unknown, "nor where the kernel does not say");
    }

    #[test]
    fn there_are_as_many_places_as_runs() {
        let (_guard, path) = folder();
        let register = Register::open(&path, Refusing::default()).unwrap();
        register.clear().unwrap();
        let count = u32::try_from(PLACES_TAKEN).unwrap() + 10;
        let runs: Vec<_> = (1..=count).map(|epoch| register.note(id(1), epoch).unwrap()).collect();
        let Left::These(left) = Register::open(&path, Refusing::default()).unwrap().left() else {
            panic!("the same boot")
        };
        assert_eq!(left.len(), runs.len());
    }
}
