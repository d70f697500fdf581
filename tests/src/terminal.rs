//! A terminal, for programs that print something else on one than into a file.

use crate::until;
use anyhow::{Context as _, Result};
use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Stdio;
use std::time::Duration;

/// A pseudo-terminal, as a terminal emulator holds it.
pub struct Terminal {
    near: PtyMaster,
    shown: Vec<u8>,
}

impl Terminal {
    /// A new one.
    ///
    /// # Errors
    /// The system has none left.
    pub fn open() -> Result<Self> {
        let near = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK).context("opening a terminal")?;
        grantpt(&near)?;
        unlockpt(&near)?;
        Ok(Self { near, shown: Vec::new() })
    }

    /// The end that a program prints to.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn other_end(&self) -> Result<Stdio> {
        // Not as the terminal that controls this process.
        let options = std::fs::File::options().write(true).custom_flags(OFlag::O_NOCTTY.bits()).to_owned();
        Ok(options.open(ptsname_r(&self.near)?).context("opening a terminal")?.into())
    }

    /// Waits until it has shown a certain text; all that it has shown by then.
    ///
    /// # Errors
    /// It did not within ten seconds.
    pub async fn shows(&mut self, text: &str) -> Result<String> {
        until(&format!("`{text}` on the terminal"), Duration::from_secs(10), async || {
            let mut bytes = [0; 4096];
            match self.near.read(&mut bytes) {
                Ok(len) => self.shown.extend_from_slice(&bytes[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            let shown = String::from_utf8_lossy(&self.shown).into_owned();
            Ok(shown.contains(text).then_some(shown))
        })
        .await
    }
}
