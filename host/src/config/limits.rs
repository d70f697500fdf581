//! Section `[limits]` of the configuration.

use ripost_domain::units::size_text;
use serde::{Deserialize, Serialize};

/// Least that `answers_in_memory` can be.
const ANSWERS_MIN: usize = 64 << 20;

/// Section `[limits]`: sizes of what consumers send and are sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// A request's body, in bytes; a longer one is 413. Default 1 MiB.
    #[serde(with = "size_text")]
    pub body: usize,
    /// Bodies that are being read at the same time, in bytes all together; beyond that 503. Default 256 MiB.
    #[serde(with = "size_text")]
    pub bodies_in_memory: usize,
    /// Answers over 64 KiB that are being sent from memory at the same time, in bytes all together; beyond that 503
    /// until others are read. Stored results are sent from their files and take no part of it. Default 256 MiB.
    #[serde(with = "size_text")]
    pub answers_in_memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: 1 << 20, bodies_in_memory: 256 << 20, answers_in_memory: 256 << 20 }
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), String> {
        if !(1..=64 << 20).contains(&self.body) {
            return Err("limits.body must be between 1 B and 64 MiB".to_owned());
        }
        if self.bodies_in_memory < self.body || self.bodies_in_memory > u32::MAX as usize {
            return Err("limits.bodies_in_memory must be at least limits.body and below 4 GiB".to_owned());
        }
        // An answer of the largest size that an owner may give has to fit, with others beside it.
        if self.answers_in_memory < ANSWERS_MIN || self.answers_in_memory > u32::MAX as usize {
            return Err("limits.answers_in_memory must be at least 64 MiB and below 4 GiB".to_owned());
        }
        Ok(())
    }
}
