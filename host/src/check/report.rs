//! What was found, for people and for scripts.

use serde::Serialize;
use std::fmt;

/// All that was found about one file or folder.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// As it was asked for.
    pub(crate) path: String,
    /// If it is a plugin.
    pub(crate) plugin: Option<Plugin>,
    /// Those that are admitted.
    pub(crate) components: Vec<Component>,
    /// Capabilities that need a grant, for each API that uses one.
    pub(crate) uses: Vec<Use>,
    /// In the order in which they were found.
    pub(crate) findings: Vec<Finding>,
}

/// A plugin.
#[derive(Debug, Serialize)]
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Of the revision that it would be in the plugins folder, or pushed by an operator.
    pub(crate) digest: String,
    /// Of the one that it would be pushed with an owner's token, if that is another: it has upstreams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) digest_by_owner: Option<String>,
}

/// A component that would be loaded.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Component {
    pub(crate) file: String,
    /// SHA-256.
    pub(crate) digest: String,
    pub(crate) bytes: usize,
    pub(crate) export: String,
    pub(crate) engine: String,
    pub(crate) first_memory_bytes: u64,
    pub(crate) instances: usize,
    /// In the pool, for each run.
    pub(crate) places: u32,
    pub(crate) capabilities: Vec<String>,
}

/// A capability that an API's handler uses.
#[derive(Debug, Serialize)]
pub(crate) struct Use {
    pub(crate) api: String,
    pub(crate) capability: String,
    pub(crate) granted: bool,
}

/// One line.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) grade: Grade,
    /// A file's or an API's name.
    pub(crate) subject: String,
    pub(crate) message: String,
}

/// What a finding means for a deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grade {
    Ok,
    /// Admitted, and worth knowing.
    Note,
    /// Refused.
    Error,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Error => "error",
        })
    }
}

impl Report {
    /// Reasons for which the host would refuse it.
    pub(crate) fn errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.grade == Grade::Error).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Plugin { name, version, digest, digest_by_owner }) = &self.plugin {
            writeln!(f, "{name} {version}, revision {digest}")?;
            if let Some(digest) = digest_by_owner {
                writeln!(f, "{name} {version}, revision {digest} if it is pushed with an owner's token")?;
            }
        }
        for Finding { grade, subject, message } in &self.findings {
            // What stands in a file's name must not speak to the terminal.
            let subject: String = subject.chars().flat_map(char::escape_debug).collect();
            writeln!(f, "{grade:<5} {subject}: {message}")?;
        }
        Ok(())
    }
}
