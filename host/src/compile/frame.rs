//! What parent and compile worker say to each other: one component there, one answer back. Both ends are this program,
//! but behind the worker's there are a stranger's bytes, so the parent believes no length.

use std::io::{self, Read, Write};

/// The longest artefact that is taken from a worker. Machine code has up to ten times the size of its component.
pub(super) const ARTEFACT_BYTES_MAX: u64 = 512 << 20;
/// Of the sentence in which a worker says why not; names in it are the guest's.
const REASON_BYTES_MAX: usize = 2048;

const MAGIC: &[u8; 7] = b"ripostC";
const DONE: u8 = 0;
const REFUSED: u8 = 1;
const MEMORY: u8 = 2;
const CRASHED: u8 = 3;
const UNABLE: u8 = 4;

/// What came of it in the worker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Machine code.
    Done(Vec<u8>),
    /// The compiler says why not.
    Refused(String),
    /// The kernel gave no more memory.
    Memory,
    /// The compiler panicked.
    Crashed(String),
    /// The worker could not begin.
    Unable(String),
}

/// Gives a component to the worker.
pub(super) fn write_component(to: &mut impl Write, wasm: &[u8]) -> io::Result<()> {
    to.write_all(&(wasm.len() as u64).to_le_bytes())?;
    to.write_all(wasm)?;
    to.flush()
}

/// The component; an error unless the whole of it came, and nothing after it.
pub(super) fn read_component(from: &mut impl Read, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut len = [0; 8];
    from.read_exact(&mut len)?;
    let wasm = read_bytes(from, u64::from_le_bytes(len), bytes_max)?;
    read_end(from)?;
    Ok(wasm)
}

pub(super) fn write_answer(to: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let (status, bytes) = match answer {
        Answer::Done(artefact) => (DONE, &artefact[..]),
        Answer::Refused(reason) => (REFUSED, short(reason)),
        Answer::Memory => (MEMORY, &[][..]),
        Answer::Crashed(reason) => (CRASHED, short(reason)),
        Answer::Unable(reason) => (UNABLE, short(reason)),
    };
    to.write_all(MAGIC)?;
    to.write_all(&[status])?;
    to.write_all(&(bytes.len() as u64).to_le_bytes())?;
    to.write_all(bytes)?;
    to.flush()
}

/// The worker's answer; an error unless it is whole, within the bounds, and all there is.
pub(super) fn read_answer(from: &mut impl Read, artefact_bytes_max: u64) -> io::Result<Answer> {
    let mut head = [0; MAGIC.len() + 1 + 8];
    from.read_exact(&mut head)?;
    let Some(rest) = head.strip_prefix(MAGIC) else { return Err(invalid("it is not an answer")) };
    let (status, len) = (rest[0], rest[1..].iter().rev().fold(0, |len, byte| len << 8 | u64::from(*byte)));
    let bytes_max = if status == DONE { artefact_bytes_max } else { REASON_BYTES_MAX as u64 };
    let bytes = read_bytes(from, len, bytes_max)?;
    read_end(from)?;
    let reason = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    match status {
        DONE => Ok(Answer::Done(bytes)),
        REFUSED => Ok(Answer::Refused(reason(bytes))),
        MEMORY => Ok(Answer::Memory),
        CRASHED => Ok(Answer::Crashed(reason(bytes))),
        UNABLE => Ok(Answer::Unable(reason(bytes))),
        _ => Err(invalid("it has an unknown status")),
    }
}

/// The beginning of a sentence, at most as long as the other end takes.
fn short(reason: &str) -> &[u8] {
    &reason.as_bytes()[..reason.floor_char_boundary(REASON_BYTES_MAX)]
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn read_bytes(from: &mut impl Read, len: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
    if len > bytes_max {
        return Err(invalid(&format!("it says {len} bytes and the limit is {bytes_max}")));
    }
    let len = usize::try_from(len).map_err(|_| invalid("it does not fit the address space"))?;
    let mut bytes = Vec::new();
    // One piece and no more: growing would copy, and use twice the memory. Untouched pages cost nothing.
    bytes.try_reserve_exact(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    from.take(len as u64).read_to_end(&mut bytes)?;
    if bytes.len() < len { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
}

fn read_end(from: &mut impl Read) -> io::Result<()> {
    match from.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(invalid("there is more after its end")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> [Answer; 6] {
        let reason = || "a \u{1f980} reason".to_owned();
        [
            Answer::Done(b"code".to_vec()),
            Answer::Done(Vec::new()),
            Answer::Refused(reason()),
            Answer::Memory,
            Answer::Crashed(reason()),
            Answer::Unable(reason()),
        ]
    }

    #[test]
    fn an_answer_arrives_whole_or_not_at_all() {
        for answer in answers() {
            let mut bytes = Vec::new();
            write_answer(&mut bytes, &answer).unwrap();
            assert_eq!(read_answer(&mut &bytes[..], 4).unwrap(), answer);
            for len in 0..bytes.len() {
                assert!(read_answer(&mut &bytes[..len], 4).is_err(), "{answer:?} {len}");
            }
            bytes.push(0);
            assert!(read_answer(&mut &bytes[..], 4).is_err(), "{answer:?} and more");
        }
    }

    #[test]
    fn a_length_is_not_believed() {
        let mut bytes = Vec::new();
        write_answer(&mut bytes, &Answer::Done(b"code".to_vec())).unwrap();
        assert!(read_answer(&mut &bytes[..], 3).is_err());
        bytes[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(read_answer(&mut &bytes[..], u64::MAX).is_err());
        bytes[0] ^= 1;
        assert!(read_answer(&mut &bytes[..], 4).is_err());
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let mut bytes = Vec::new();
        write_answer(&mut bytes, &Answer::Refused("é".repeat(REASON_BYTES_MAX).split_at(2).1.to_owned() + "x"))
            .unwrap();
        let Answer::Refused(reason) = read_answer(&mut &bytes[..], 0).unwrap() else { panic!("another answer") };
        assert_eq!(reason, "é".repeat(REASON_BYTES_MAX / 2));
    }

    #[test]
    fn a_component_arrives_whole_or_not_at_all() {
        let mut bytes = Vec::new();
        write_component(&mut bytes, b"wasm").unwrap();
        assert_eq!(read_component(&mut &bytes[..], 4).unwrap(), b"wasm");
        assert!(read_component(&mut &bytes[..], 3).is_err());
        assert!(read_component(&mut &bytes[..11], 4).is_err());
        bytes.push(0);
        assert!(read_component(&mut &bytes[..], 4).is_err());
    }
}
