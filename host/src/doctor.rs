//! What of this machine and this configuration will make trouble, and what to do about it; before it does.
//!
//! **Invariant:** looking changes nothing: it works beside a running gateway, and where none has ever run.

mod database;
mod folders;
mod keys;
mod network;
mod process;
mod program;
mod resources;
mod settings;
mod wall;

use crate::config::Config;
use serde::Serialize;
use std::fmt;

/// How much one finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and not as well as it could.
    Warn,
    /// It does not work.
    Fail,
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    level: Level,
    says: String,
    to_do: Option<String>,
}

impl Finding {
    fn ok(says: impl Into<String>) -> Self {
        Self { level: Level::Ok, says: says.into(), to_do: None }
    }

    fn warn(says: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { level: Level::Warn, says: says.into(), to_do: Some(to_do.into()) }
    }

    fn fail(says: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { level: Level::Fail, says: says.into(), to_do: Some(to_do.into()) }
    }
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What was looked at.
    pub check: &'static str,
    /// How it is.
    pub level: Level,
    /// In words.
    pub says: String,
    /// What would mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_do: Option<String>,
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:<5}{}: {}", self.level, self.check, self.says)?;
        self.to_do.as_ref().map_or(Ok(()), |to_do| write!(formatter, "; {to_do}"))
    }
}

/// For reasons that say themselves what to do.
const NO_START: &str = "the gateway will not start";

/// A name, and how to find out.
type Check = (&'static str, fn(&Config) -> Finding);

/// All checks, in the order in which they are told. A new one is a function and a line here.
const CHECKS: &[Check] = &[
    ("program", program::version),
    ("configuration", settings::configuration),
    ("engines", program::engines),
    ("compiler", program::compiler),
    ("gateway", network::gateway),
    ("data folder", folders::data),
    ("key files", folders::keys),
    ("database", database::version),
    ("revisions", database::revisions),
    ("master key", keys::master_key),
    ("admin token", keys::admin_token),
    ("plugins folder", folders::plugins),
    ("disk space", folders::space),
    ("user", process::user),
    ("open files", process::open_files),
    ("memory", resources::memory),
    ("swap", resources::swap),
    ("clock", resources::clock),
    ("resolver", network::resolver),
    ("IPv6", network::ipv6),
    ("landlock", wall::landlock),
    ("seccomp", wall::seccomp),
    // The last: it puts the wall up, on a thread that ends.
    ("wall", wall::probe),
];

/// Runs all checks.
#[must_use]
pub fn examine(config: &Config) -> Vec<Line> {
    let line = |&(check, look): &Check| {
        let Finding { level, says, to_do } = look(config);
        Line { check, level, says, to_do }
    };
    CHECKS.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_it_is_and_what_to_do() {
        let line = Line { check: "swap", level: Level::Warn, says: "on".to_owned(), to_do: Some("off".to_owned()) };
        assert_eq!(line.to_string(), "warn swap: on; off");
        let line = Line { level: Level::Ok, to_do: None, ..line };
        assert_eq!(line.to_string(), "ok   swap: on");
        assert_eq!(
            serde_json::to_value(&line).unwrap(),
            serde_json::json!({ "check": "swap", "level": "ok", "says": "on" })
        );
    }

    #[test]
    fn the_checks_have_different_names() {
        let names: std::collections::BTreeSet<_> = CHECKS.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), CHECKS.len());
    }
}
