//! An edit that nobody can have built before: a copy of the example, with this moment in the title of its reports.

use std::fs;

use anyhow::{Context, Result, ensure};
use camino::Utf8PathBuf;
use ripost_domain::time::{Clock, SystemClock};
use ripost_tests::places;

use super::PLUGIN;
use crate::guests;

/// A plugin's copy that was edited and not built yet.
pub(crate) struct Edited {
    /// The copy's folder.
    pub(crate) dir: Utf8PathBuf,
    /// Where its plugin is to be built.
    pub(crate) out: Utf8PathBuf,
    /// The edited file.
    pub(crate) source: Utf8PathBuf,
    /// As it was.
    pub(crate) old_line: String,
    /// As it is.
    pub(crate) new_line: String,
    /// What reports of the new revision are called.
    pub(crate) title: String,
}

/// Copies the example and puts the time into the title that its reports have now.
///
/// # Errors
/// The example is not what it was when this was written: no such line, or several.
pub(crate) fn edit(title: &str) -> Result<Edited> {
    edit_to(title, &format!("{title}, edited at {}", SystemClock::start().now()))
}

/// The same with a title of the caller's.
///
/// # Errors
/// As [`edit`].
pub(crate) fn edit_to(title: &str, new_title: &str) -> Result<Edited> {
    let root = places::target().join("edited").join(std::process::id().to_string());
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("removing {root}"))?;
    }
    let dir = guests::copy_example(PLUGIN, &root.join("source"))?;
    let source = dir.join("src/report.rs");
    let text = fs::read_to_string(&source).with_context(|| format!("reading {source}"))?;
    let literal = format!("\"{title}\"");
    let mut lines = text.lines().filter(|line| line.contains(&literal));
    let old_line = lines.next().with_context(|| format!("{source} has no line with {literal}"))?.trim().to_owned();
    ensure!(lines.next().is_none(), "{source} has several lines with {literal}");
    let new_literal = format!("\"{new_title}\"");
    fs::write(&source, text.replace(&literal, &new_literal)).with_context(|| format!("writing {source}"))?;
    let new_line = old_line.replace(&literal, &new_literal);
    Ok(Edited { dir, out: root.join("plugins"), source, old_line, new_line, title: new_title.to_owned() })
}

impl Drop for Edited {
    fn drop(&mut self) {
        if let Some(root) = self.out.parent() {
            // A few files in target/; the next demonstration does not need them gone.
            fs::remove_dir_all(root).ok();
        }
    }
}
