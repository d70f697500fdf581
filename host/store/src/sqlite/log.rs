//! Whether SQLite's log is whole. SQLite itself reads it up to the first frame that does not add up, and forgets the rest
//! without a word: after a damage in the middle, what was committed and answered would be gone and nobody told.
//!
//! A log may end in the middle of a commit, because the process or the machine went down: nothing of that one was
//! answered. What tells a damage from that is a commit *behind* it. Each frame's checksum continues the one before, and is
//! stored in it, so that every frame can be checked from its predecessor alone.
//!
//! The format: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use camino::Utf8Path;
use std::fs::File;
use std::io::{self, BufReader, Read};

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
const MAGIC_LITTLE: u32 = 0x377f_0682;
const MAGIC_BIG: u32 = 0x377f_0683;
const PAGE_BYTES_MAX: u32 = 65_536;
/// Of every database that this program makes.
const PAGE_BYTES: usize = 4096;
const READ_BYTES: usize = 1 << 20;

/// How a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Everything that was committed can be read; or there is none.
    Whole,
    /// From this frame on SQLite would forget commits that were answered.
    Damaged {
        /// The first frame that does not add up, from 1; 0 is the header.
        frame: u64,
        /// Commits behind it.
        commits: u64,
    },
}

/// The two running sums of SQLite's checksum.
type Sums = (u32, u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    const fn word(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    /// Continues `sums` over pairs of words.
    fn continued(self, sums: Sums, bytes: &[u8]) -> Sums {
        let words = bytes.as_chunks::<4>().0;
        words.as_chunks::<2>().0.iter().fold(sums, |(first, second), [left, right]| {
            let first = first.wrapping_add(self.word(*left)).wrapping_add(second);
            (first, second.wrapping_add(self.word(*right)).wrapping_add(first))
        })
    }
}

struct Header {
    order: Order,
    page_bytes: usize,
    salt: [u8; 8],
    sums: Sums,
    adds_up: bool,
}

/// Big-endian, as all numbers of the format are.
fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
}

impl Header {
    fn read(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let order = match number(bytes, 0) {
            MAGIC_LITTLE => Order::Little,
            MAGIC_BIG => Order::Big,
            _ => return None,
        };
        let page_bytes = number(bytes, 8);
        let salt = bytes[16..24].try_into().ok()?;
        let is_size = page_bytes.is_power_of_two() && (512..=PAGE_BYTES_MAX).contains(&page_bytes);
        let sums = (number(bytes, 24), number(bytes, 28));
        let adds_up = is_size && order.continued((0, 0), &bytes[..24]) == sums;
        Some(Self { order, page_bytes: page_bytes as usize, salt, sums, adds_up })
    }
}

/// What may have cut a log off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// This process's predecessor was killed at most: what it wrote is there in the order in which it wrote it.
    InOrder,
    /// The machine may have gone down: of the last commit, which nobody was told of, any part may be missing.
    AnyPartOfTheLast,
}

/// Looks at the log of a database that nobody has open. Blocks.
pub(super) fn state(database: &Utf8Path, cut: Cut) -> io::Result<State> {
    match File::open(format!("{database}-wal")) {
        Ok(file) => read(&mut BufReader::with_capacity(READ_BYTES, file), cut),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::Whole),
        Err(error) => Err(error),
    }
}

/// A frame as it is stored.
struct Frame<'a> {
    is_commit: bool,
    salt: &'a [u8],
    /// Of all frames up to this one.
    sums: Sums,
    head: &'a [u8],
    page: &'a [u8],
}

impl<'a> Frame<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let (head, page) = bytes.split_at(FRAME_HEADER_BYTES);
        Self {
            is_commit: number(head, 4) != 0,
            salt: &head[8..16],
            sums: (number(head, 16), number(head, 20)),
            head,
            page,
        }
    }

    fn continues(&self, before: Sums, order: Order) -> bool {
        order.continued(order.continued(before, &self.head[..8]), self.page) == self.sums
    }
}

fn read(log: &mut impl Read, cut: Cut) -> io::Result<State> {
    let mut bytes = [0; HEADER_BYTES];
    if !filled(log, &mut bytes)? {
        return Ok(State::Whole);
    }
    let Some(header) = Header::read(&bytes).filter(|header| header.adds_up) else { return without_a_header(log) };
    let mut bytes = vec![0; FRAME_HEADER_BYTES + header.page_bytes];
    let (mut before, mut count) = (header.sums, 0);
    let mut broken: Option<Broken> = None;
    while filled(log, &mut bytes)? {
        count += 1;
        let frame = Frame::of(&bytes);
        let adds_up = frame.salt == header.salt && frame.continues(before, header.order);
        // As it is stored, right or wrong: the next one is checked from it.
        before = frame.sums;
        match &mut broken {
            None if adds_up => {}
            None => broken = Some(Broken { frame: count, is_over: frame.is_commit, ..Broken::default() }),
            Some(broken) => broken.followed_by(&frame, adds_up),
        }
    }
    Ok(broken.map_or(State::Whole, |broken| broken.state(cut)))
}

/// A frame that does not add up, and what comes behind it.
#[derive(Default)]
struct Broken {
    frame: u64,
    /// Whether its commit is over: what comes now was written after that one had been answered.
    is_over: bool,
    frames: u64,
    frames_of_later_commits: u64,
    commits: u64,
}

impl Broken {
    fn followed_by(&mut self, frame: &Frame<'_>, adds_up: bool) {
        if adds_up {
            self.frames += 1;
            self.frames_of_later_commits += u64::from(self.is_over);
            self.commits += u64::from(frame.is_commit);
            self.is_over |= frame.is_commit;
        }
    }

    const fn state(&self, cut: Cut) -> State {
        let proof = match cut {
            Cut::InOrder => self.frames,
            Cut::AnyPartOfTheLast => self.frames_of_later_commits,
        };
        if proof > 0 { State::Damaged { frame: self.frame, commits: self.commits } } else { State::Whole }
    }
}

/// Without its header SQLite takes the whole log for empty. Whether it was is seen from the frames, each from the one
/// before it. A reset leaves old frames behind, but never without a header that adds up: it is written and synced first.
fn without_a_header(log: &mut impl Read) -> io::Result<State> {
    let mut bytes = vec![0; FRAME_HEADER_BYTES + PAGE_BYTES];
    let (mut before, mut commits) = (None, 0);
    while filled(log, &mut bytes)? {
        let frame = Frame::of(&bytes);
        let adds_up = before
            .is_some_and(|before| [Order::Little, Order::Big].iter().any(|order| frame.continues(before, *order)));
        before = Some(frame.sums);
        // A frame of zeros adds up as well, and is no commit.
        commits += u64::from(adds_up && frame.is_commit);
    }
    Ok(if commits > 0 { State::Damaged { frame: 0, commits } } else { State::Whole })
}

/// False: the end comes first.
fn filled(log: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rusqlite::Connection;
    use std::sync::OnceLock;

    const COMMITS: usize = 6;
    const FRAME: usize = FRAME_HEADER_BYTES + PAGE_BYTES;

    /// A log as SQLite leaves it behind, with commits of several frames each.
    fn log() -> &'static [u8] {
        static LOG: OnceLock<Vec<u8>> = OnceLock::new();
        LOG.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.sqlite3");
            let connection = Connection::open(&path).unwrap();
            connection
                .execute_batch("PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; CREATE TABLE t (a BLOB) STRICT")
                .unwrap();
            for _ in 0..COMMITS {
                connection.execute("INSERT INTO t VALUES (randomblob(20000))", []).unwrap();
            }
            // Copied while it is open: the end of the last connection removes it.
            std::fs::read(folder.path().join("a.sqlite3-wal")).unwrap()
        })
    }

    fn state_of(bytes: &[u8], cut: Cut) -> State {
        read(&mut &bytes[..], cut).unwrap()
    }

    /// Where each frame begins, and whether it is a commit.
    fn frames() -> Vec<(usize, bool)> {
        let begins = (HEADER_BYTES..log().len()).step_by(FRAME);
        begins.map(|at| (at, Frame::of(&log()[at..at + FRAME]).is_commit)).collect()
    }

    /// Where the last commit but one ends.
    fn last_commit_begins() -> usize {
        let commits: Vec<_> = frames().into_iter().filter(|(_, is_commit)| *is_commit).collect();
        commits[commits.len() - 2].0 + FRAME
    }

    #[test]
    fn a_log_that_sqlite_wrote_is_whole_and_so_is_none() {
        assert!(frames().len() > COMMITS * 4 && (log().len() - HEADER_BYTES).is_multiple_of(FRAME));
        for cut in [Cut::InOrder, Cut::AnyPartOfTheLast] {
            assert_eq!(state_of(log(), cut), State::Whole);
            assert_eq!(state_of(&[], cut), State::Whole);
            assert_eq!(state_of(&[0; HEADER_BYTES + 3 * FRAME], cut), State::Whole, "zeros are no commits");
        }
    }

    #[test]
    fn what_the_end_of_a_machine_leaves_of_its_last_commit_is_no_damage() {
        let mut bytes = log().to_vec();
        let begins = last_commit_begins();
        bytes[begins..begins + FRAME].fill(0);
        assert_eq!(state_of(&bytes, Cut::AnyPartOfTheLast), State::Whole);
        assert_eq!(state_of(&bytes, Cut::InOrder), State::Damaged { frame: frame_at(begins), commits: 1 });
    }

    fn frame_at(byte: usize) -> u64 {
        ((byte - HEADER_BYTES) / FRAME + 1) as u64
    }

    #[test]
    fn old_frames_behind_the_newest_are_no_damage() {
        // A reset begins at the top again, with another salt, and leaves the rest as it was.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite3");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a BLOB) STRICT").unwrap();
        connection.execute("INSERT INTO t VALUES (randomblob(90000))", []).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
        connection.execute("INSERT INTO t VALUES (randomblob(100))", []).unwrap();
        let bytes = std::fs::read(folder.path().join("a.sqlite3-wal")).unwrap();
        assert!(bytes.len() > 20 * FRAME);
        assert_eq!(state_of(&bytes, Cut::InOrder), State::Whole);
    }

    proptest! {
        #[test]
        fn wherever_a_log_ends_it_is_whole(at in 0..log().len()) {
            prop_assert_eq!(state_of(&log()[..at], Cut::InOrder), State::Whole);
        }

        #[test]
        fn a_flipped_bit_before_the_last_commit_is_a_damage(at in 0..last_commit_begins(), bit in 0..8) {
            let mut bytes = log().to_vec();
            bytes[at] ^= 1_u8 << bit;
            let State::Damaged { frame, commits } = state_of(&bytes, Cut::InOrder) else { panic!("{at}") };
            // A stored checksum that is wrong spoils its own frame; the commit behind it is checked from the next.
            prop_assert_eq!(frame, if at < HEADER_BYTES { 0 } else { frame_at(at) });
            prop_assert!(commits >= 1);
        }
    }
}
