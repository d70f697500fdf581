//! Which plugins are being written: a pure reckoning of events and times.

use super::manifest::{FILE_NAME, is_ignored};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// Paths remembered of one plugin; with more, the newest event stands for all of them.
const PATHS_MAX: usize = 256;

/// What an event says of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Renamed: whole as it is.
    Renamed,
    /// Written, made or removed: more may follow.
    Written,
}

/// Plugins with events that have not come to rest.
#[derive(Debug)]
pub(super) struct Pending {
    quiet: Duration,
    rename_settle: Duration,
    /// However long it is written to, it is looked at after this time.
    wait_max: Duration,
    plugins: HashMap<String, Moving>,
}

#[derive(Debug)]
struct Moving {
    since: Instant,
    /// When each path is at rest. A file that is renamed into place need not wait for a draft beside it, and a draft
    /// that was renamed away holds up nothing.
    paths: HashMap<PathBuf, Instant>,
}

impl Moving {
    fn at_rest_at(&self, wait_max: Duration) -> Instant {
        self.paths.values().max().map_or(self.since, |last| (*last).min(self.since + wait_max))
    }
}

impl Pending {
    pub(super) fn new(quiet: Duration, rename_settle: Duration, wait_max: Duration) -> Self {
        Self { quiet, rename_settle, wait_max, plugins: HashMap::new() }
    }

    /// Takes note of an event on a path, which is relative to the plugins folder.
    pub(super) fn add(&mut self, path: &Path, change: Change, now: Instant) {
        let Some(plugin) = plugin_of(path) else { return };
        let wait = match change {
            Change::Renamed => self.rename_settle,
            Change::Written => self.quiet,
        };
        let moving = self.plugins.entry(plugin).or_insert_with(|| Moving { since: now, paths: HashMap::new() });
        if moving.paths.len() >= PATHS_MAX {
            moving.paths.clear();
        }
        moving.paths.insert(path.to_owned(), now + wait);
    }

    /// When the first plugin is at rest.
    pub(super) fn due(&self) -> Option<Instant> {
        self.plugins.values().map(|moving| moving.at_rest_at(self.wait_max)).min()
    }

    /// The plugins that are at rest, which are then forgotten, and those that are not.
    pub(super) fn take(&mut self, now: Instant) -> (HashSet<String>, HashSet<String>) {
        let wait_max = self.wait_max;
        let at_rest: HashSet<String> =
            self.plugins.extract_if(|_, moving| moving.at_rest_at(wait_max) <= now).map(|(plugin, _)| plugin).collect();
        (at_rest, self.plugins.keys().cloned().collect())
    }
}

/// The link that a Kubernetes volume swaps to put a whole new set of files in place.
const VOLUME_LINK: &str = "..data";

/// The plugin that a path belongs to, if a change of it means anything: a plugin's folder, its manifest, a component, a
/// schema, a case, or the folder or link that they are in.
fn plugin_of(path: &Path) -> Option<String> {
    let parts: Vec<&str> = path.components().map(|part| part.as_os_str().to_str()).collect::<Option<_>>()?;
    if let [plugin, VOLUME_LINK] = parts[..]
        && !is_ignored(plugin)
    {
        return Some(plugin.to_owned());
    }
    if parts.iter().any(|part| is_ignored(part)) {
        return None;
    }
    match parts[..] {
        [plugin] => Some(plugin.to_owned()),
        [plugin, file] if file == FILE_NAME || file.ends_with(".wasm") || file.ends_with(".json") => {
            Some(plugin.to_owned())
        }
        // Perhaps the folder of its cases, renamed or removed.
        [plugin, file] if !file.contains('.') => Some(plugin.to_owned()),
        [plugin, _, case] if case.ends_with(".json") => Some(plugin.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_millis(250);
    const SETTLE: Duration = Duration::from_millis(20);

    fn pending() -> (Pending, Instant) {
        (Pending::new(QUIET, SETTLE, Duration::from_secs(5)), Instant::now())
    }

    fn names(list: &[&str]) -> HashSet<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_rename_settles_soon_and_a_write_only_after_quiet() {
        let (mut pending, now) = pending();
        pending.add(Path::new("a/a.wasm"), Change::Renamed, now);
        pending.add(Path::new("b/b.wasm"), Change::Written, now);
        assert_eq!(pending.due(), Some(now + SETTLE));
        assert_eq!(pending.take(now), (names(&[]), names(&["a", "b"])));
        assert_eq!(pending.take(now + SETTLE), (names(&["a"]), names(&["b"])));
        pending.add(Path::new("b/plugin.toml"), Change::Written, now + QUIET / 2);
        assert_eq!(pending.take(now + QUIET), (names(&[]), names(&["b"])), "the last write counts");
        assert_eq!(pending.take(now + QUIET + QUIET / 2), (names(&["b"]), names(&[])));
        assert_eq!(pending.due(), None);
    }

    #[test]
    fn a_rename_into_place_waits_for_another_file_that_is_being_written() {
        let (mut pending, now) = pending();
        pending.add(Path::new("a/one.wasm"), Change::Written, now);
        pending.add(Path::new("a/two.wasm"), Change::Renamed, now);
        assert_eq!(pending.due(), Some(now + QUIET));
        pending.add(Path::new("a/one.wasm"), Change::Renamed, now);
        assert_eq!(pending.due(), Some(now + SETTLE), "the one that was written is whole now");
    }

    #[test]
    fn a_file_that_is_written_for_ever_is_looked_at_in_the_end() {
        let (mut pending, now) = pending();
        for step in 0..100 {
            pending.add(Path::new("a/a.wasm"), Change::Written, now + QUIET / 2 * step);
        }
        assert_eq!(pending.due(), Some(now + Duration::from_secs(5)));
    }

    #[test]
    fn what_editors_leave_beside_the_files_means_nothing() {
        let (mut pending, now) = pending();
        for path in [
            "",
            ".a",
            "a~",
            "a.tmp",
            "4913",
            "a/.a.wasm.swp",
            "a/4913",
            "a/a.wasm.tmp",
            "a/a.wasm~",
            "a/notes.txt",
            "a/cases/x.json.tmp",
            "a/cases/b/x.json",
            "..data",
            "a/..data_tmp",
            "a/b/c.wasm",
        ] {
            pending.add(Path::new(path), Change::Written, now);
            assert_eq!(pending.due(), None, "{path}");
        }
        for path in
            ["a", "a/plugin.toml", "a/a.wasm", "a.wasm", "a/schema.json", "a/cases", "a/cases/x.json", "a/..data"]
        {
            pending.add(Path::new(path), Change::Written, now);
            assert!(!pending.take(now + QUIET).0.is_empty(), "{path}");
        }
    }
}
