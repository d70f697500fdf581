//! Counts and delays a host's syncs to disk, by a library that is loaded before libc (`shim/sync_count.c`).

use crate::places;
use anyhow::{Context as _, Result, ensure};
use camino::Utf8PathBuf;
use std::process::Command;
use std::time::Duration;

/// The name of the counter file in the environment of the host.
const COUNTER: &str = "SYNC_COUNT_FILE";
/// Milliseconds that each sync is to take longer.
const DELAY: &str = "SYNC_DELAY_MS";

/// The counter of one host.
pub struct Syncs {
    library: Utf8PathBuf,
    file: tempfile::NamedTempFile,
}

impl Syncs {
    /// Compiles the library with `cc` and makes an empty counter.
    ///
    /// # Errors
    /// There is no C compiler.
    pub fn new() -> Result<Self> {
        let source = places::workspace().join("tests/shim/sync_count.c");
        let folder = places::target().join("shim");
        std::fs::create_dir_all(&folder)?;
        // Tests run in several processes: each makes its own and renames it over what is there.
        let draft = folder.join(format!("sync_count.{}.so", std::process::id()));
        let library = folder.join("sync_count.so");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", draft.as_str(), source.as_str(), "-ldl"])
            .status()
            .context("running cc: the tests of syncs need a C compiler (Debian: apt-get install gcc)")?;
        ensure!(status.success(), "cc refused {source}");
        std::fs::rename(&draft, &library)?;
        let file = tempfile::NamedTempFile::new().context("making the counter")?;
        file.as_file().set_len(8)?;
        Ok(Self { library, file })
    }

    /// What goes into the host's environment; each sync takes `delay` longer.
    #[must_use]
    pub fn environment(&self, delay: Duration) -> [(&'static str, String); 3] {
        [
            ("LD_PRELOAD", self.library.to_string()),
            (COUNTER, self.file.path().display().to_string()),
            (DELAY, delay.as_millis().to_string()),
        ]
    }

    /// Calls of `fsync` and `fdatasync` so far.
    ///
    /// # Errors
    /// The counter is gone.
    pub fn count(&self) -> Result<u64> {
        let bytes: [u8; 8] = std::fs::read(self.file.path())?.try_into().ok().context("a counter has eight bytes")?;
        Ok(u64::from_ne_bytes(bytes))
    }
}
