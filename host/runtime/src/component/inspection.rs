//! What a component is, for people, found out without compiling it or running any of it.

use super::{Facts, hex};
use crate::engine::Scheme;

/// A component that may be loaded under the limits it was looked at with, as far as its bytes tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// Its size.
    pub bytes: usize,
    /// The full name of the interface by which it is called.
    pub export: String,
    /// The capabilities it imports, by their short names (`log`, `kv`), and `wasi` if it imports any of that.
    pub imports: Vec<String>,
    /// What its memories start with, over all its modules.
    pub first_memory_bytes: u64,
    /// Core instances that it makes.
    pub instances: usize,
    /// Which engine it would run in.
    pub scheme: Scheme,
}

impl Inspection {
    pub(crate) fn new(wasm: &[u8], digest: &[u8; 32], facts: Facts, scheme: Scheme) -> Self {
        let Facts { role: _, export, imports, first_memory_bytes, instances } = facts;
        let (digest, bytes) = (hex(digest), wasm.len());
        Inspection { digest, bytes, export, imports, first_memory_bytes, instances, scheme }
    }
}
