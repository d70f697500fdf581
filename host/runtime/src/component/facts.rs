//! What a look at a component's bytes found, whatever its limits: kept with the artefact, so that a component that comes
//! from the cache is not validated a second time.

use serde::{Deserialize, Serialize};

use super::LoadError;
use super::admit::exported;
use crate::engine::{SMALL_MEMORY_BYTES_MAX, Scheme};
use crate::limits::Limits;
use crate::role::Role;

/// One component, as looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// What it is for.
    pub(crate) role: Role,
    /// The full name of the interface by which it is called.
    pub(crate) export: String,
    /// Short names of our interfaces, `wasi` for any of that.
    pub(crate) imports: Vec<String>,
    /// What its memories start with, over all its modules.
    pub(crate) first_memory_bytes: u64,
    /// Core instances that it makes.
    pub(crate) instances: usize,
}

impl Facts {
    /// Whether it is what is wanted.
    pub(crate) fn expect(&self, wanted: Role) -> Result<(), LoadError> {
        exported(std::slice::from_ref(&self.export), wanted).map(drop)
    }

    /// Whether it may be loaded under these limits, and where it runs then.
    pub(crate) fn admit(&self, limits: &Limits, small_first_memory_bytes_max: u64) -> Result<Scheme, LoadError> {
        let memory_bytes_max = limits.memory_bytes as u64;
        if self.first_memory_bytes > memory_bytes_max {
            return Err(LoadError::InitialMemory { bytes: self.first_memory_bytes, bytes_max: memory_bytes_max });
        }
        if self.instances > limits.instances {
            return Err(LoadError::TooMany {
                what: "core instances",
                limit: "instances",
                count: self.instances,
                count_max: limits.instances,
            });
        }
        // 0 means none, also of those that start with nothing and grow.
        let small = small_first_memory_bytes_max > 0
            && self.first_memory_bytes <= small_first_memory_bytes_max
            && limits.memory_bytes <= SMALL_MEMORY_BYTES_MAX;
        Ok(if small { Scheme::Small } else { Scheme::Large })
    }
}

/// What an artefact begins with. Changes with what is in it: one in another form is compiled again.
const FORMAT: [u8; 4] = *b"RPF2";

/// Facts and machine code, as they are kept.
pub(crate) fn pack(facts: &Facts, code: &[u8]) -> Vec<u8> {
    let facts = serde_json::to_vec(facts).expect("facts are plain JSON");
    let mut artefact = Vec::with_capacity(FORMAT.len() + 4 + facts.len() + code.len());
    artefact.extend_from_slice(&FORMAT);
    artefact.extend_from_slice(&u32::try_from(facts.len()).unwrap_or(u32::MAX).to_le_bytes());
    artefact.extend_from_slice(&facts);
    artefact.extend_from_slice(code);
    artefact
}

/// The two again; `None`: it was packed by another version.
pub(crate) fn unpack(artefact: &[u8]) -> Option<(Facts, &[u8])> {
    let (len, rest) = artefact.strip_prefix(&FORMAT)?.split_first_chunk::<4>()?;
    let (facts, code) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
    Some((serde_json::from_slice(facts).ok()?, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(first_memory_bytes: u64) -> Facts {
        let imports = vec!["log".to_owned()];
        Facts { role: Role::Handler, export: "h".to_owned(), imports, first_memory_bytes, instances: 1 }
    }

    #[test]
    fn what_starts_with_no_memory_goes_to_the_small_engine_unless_nothing_does() {
        let facts = facts(0);
        assert_eq!(facts.admit(&Limits::default(), 65_536), Ok(Scheme::Small));
        assert_eq!(facts.admit(&Limits::default(), 0), Ok(Scheme::Large));
    }

    #[test]
    fn what_is_packed_comes_back_and_nothing_else_does() {
        let facts = facts(7);
        let artefact = pack(&facts, b"code");
        assert_eq!(unpack(&artefact), Some((facts, &b"code"[..])));
        for len in 0..artefact.len() - b"code".len() {
            assert_eq!(unpack(&artefact[..len]), None, "{len}");
        }
        assert_eq!(unpack(&[0xff; 64]), None);
        assert_eq!(unpack(&artefact[FORMAT.len()..]), None, "what an earlier version kept");
    }
}
