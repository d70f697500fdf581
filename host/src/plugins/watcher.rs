//! Which folders are watched for file events, and what an event says.
//!
//! The watcher walks real folders only: followed on its walk, a link that leads back into the plugins folder gives a
//! watched folder a second name, and its events carry that one. Where links to plugins lead is watched besides, each
//! under the plugin's name.

use super::folder::{Folder, Identity};
use super::manifest::{FILE_NAME, is_ignored};
use super::pending::Change;
use camino::{Utf8Path, Utf8PathBuf};
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Config, Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Links whose ends are watched; what more of them lead to is found by the rescan.
const LINKS_MAX: usize = 256;

/// What an event says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// Of a path in the plugins folder.
    Changed(PathBuf, Change),
    /// Events were lost, or the folder itself was moved or replaced: look at everything.
    Lost,
}

/// What is watched. Where that has changed, the watcher is another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Watched {
    real: Utf8PathBuf,
    identity: Identity,
    links: Vec<Link>,
}

/// A link to a plugin's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Link {
    key: String,
    to: Utf8PathBuf,
    identity: Identity,
    /// It is a plugin: then what is in its folders matters too.
    has_manifest: bool,
}

/// The watcher of the plugins folder, if there is one.
pub(super) struct Watch {
    folder: Folder,
    hints: mpsc::Sender<Hint>,
    watcher: Option<(Arc<Watched>, RecommendedWatcher)>,
    /// That there is no watching was logged.
    told: bool,
}

impl Watch {
    /// Of nothing yet.
    pub(super) fn new(folder: Folder, hints: mpsc::Sender<Hint>) -> Self {
        Self { folder, hints, watcher: None, told: false }
    }

    /// Whether events come.
    pub(super) fn is_up(&self) -> bool {
        self.watcher.is_some()
    }

    /// Watches the folder that is there now, if it does not already. It walks the folder, hence the thread.
    pub(super) async fn renewed(self) -> Self {
        let (folder, hints) = (self.folder.clone(), self.hints.clone());
        match tokio::task::spawn_blocking(move || self.renew()).await {
            Ok(watch) => watch,
            Err(_) => Self::new(folder, hints),
        }
    }

    fn renew(mut self) -> Self {
        let watched = Watched::now(&self.folder);
        if let (Ok(now), Some((watched, _))) = (&watched, &self.watcher)
            && **watched == *now
        {
            return self;
        }
        self.watcher = None;
        match watched.map_err(notify::Error::io).and_then(|watched| watched.watch(&self.hints)) {
            Ok(watcher) => {
                self.watcher = Some(watcher);
                if std::mem::take(&mut self.told) {
                    tracing::info!(folder = %self.folder.named(), "The plugins folder is watched again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.told, true) {
                    tracing::warn!(folder = %self.folder.named(), %error, "The plugins folder cannot be watched; it is read every second at least");
                }
            }
        }
        self
    }
}

impl Watched {
    fn now(folder: &Folder) -> io::Result<Self> {
        let real = folder.real()?;
        let identity = Identity::of(&real)?;
        // A folder that may not be read can be watched all the same.
        let entries = real.read_dir_utf8().into_iter().flatten().filter_map(Result::ok);
        let links = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
        let mut links: Vec<Link> = links.filter_map(|entry| Link::of(entry.path())).take(LINKS_MAX).collect();
        // One that leads above the plugins is no plugin's, and there may be anything.
        links.retain(|link| !real.starts_with(&link.to));
        links.sort_unstable_by(|left, right| left.key.cmp(&right.key));
        Ok(Self { real, identity, links })
    }

    fn watch(self, hints: &mpsc::Sender<Hint>) -> notify::Result<(Arc<Self>, RecommendedWatcher)> {
        let watched = Arc::new(self);
        let handler = watched.clone().handler(hints.clone());
        let mut watcher = RecommendedWatcher::new(handler, Config::default().with_follow_symlinks(false))?;
        watcher.watch(watched.real.as_std_path(), RecursiveMode::Recursive)?;
        for link in watched.links.iter().filter(|link| !link.to.starts_with(&watched.real)) {
            let mode = if link.has_manifest { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
            if let Err(error) = watcher.watch(link.to.as_std_path(), mode) {
                tracing::warn!(plugin = link.key, folder = %link.to, %error, "What a link in the plugins folder leads to cannot be watched; the regular rescan covers it");
            }
        }
        Ok((watched, watcher))
    }

    /// Called on the watcher's own thread.
    fn handler(self: Arc<Self>, hints: mpsc::Sender<Hint>) -> impl Fn(notify::Result<Event>) + Send + 'static {
        move |event| {
            let found = match event {
                Ok(event) => self.hints_of(&event),
                Err(error) => {
                    tracing::warn!(folder = %self.real, %error, "Watching the plugins folder failed for a part of it; the regular rescan covers it");
                    vec![Hint::Lost]
                }
            };
            for hint in found {
                // Full: those before it bring about the scan.
                let _ = hints.try_send(hint);
            }
        }
    }

    fn hints_of(&self, event: &Event) -> Vec<Hint> {
        let change = match event.kind {
            _ if event.need_rescan() => return vec![Hint::Lost],
            EventKind::Modify(ModifyKind::Name(_)) => Change::Renamed,
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Change::Written,
            // Our own reading.
            EventKind::Access(_) => return Vec::new(),
            EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => {
                Change::Written
            }
        };
        let mut hints = Vec::new();
        for path in &event.paths {
            if path == self.real.as_std_path() {
                hints.push(Hint::Lost);
                continue;
            }
            if let Ok(inside) = path.strip_prefix(&self.real) {
                hints.push(Hint::Changed(inside.to_owned(), change));
            }
            for link in &self.links {
                if let Ok(inside) = path.strip_prefix(&link.to) {
                    hints.push(Hint::Changed(Utf8Path::new(&link.key).as_std_path().join(inside), change));
                }
            }
        }
        hints
    }
}

impl Link {
    /// None: it leads to no folder, or its name is that of no plugin.
    fn of(path: &Utf8Path) -> Option<Self> {
        let key = path.file_name().filter(|name| !is_ignored(name))?.to_owned();
        let to = path.canonicalize_utf8().ok().filter(|to| to.is_dir())?;
        Some(Self { key, identity: Identity::of(&to).ok()?, has_manifest: to.join(FILE_NAME).exists(), to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn changed(path: &str) -> Hint {
        Hint::Changed(path.into(), Change::Renamed)
    }

    #[test]
    fn an_event_is_told_under_each_name_that_a_plugin_has_and_none_of_the_folder_itself() {
        let keep = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(keep.path().canonicalize().unwrap()).unwrap();
        let (plugins, elsewhere) = (root.join("plugins"), root.join("releases/word"));
        for folder in [&plugins.join("real"), &elsewhere] {
            fs::create_dir_all(folder).unwrap();
        }
        for (to, name) in [
            (elsewhere.as_str(), "word"),
            ("real", "alias"),
            ("..", "up"),
            (plugins.as_str(), "self"),
            ("no", "broken"),
        ] {
            symlink(to, plugins.join(name)).unwrap();
        }
        let watched = Watched::now(&Folder::open(&plugins).unwrap()).unwrap();
        let links: Vec<&str> = watched.links.iter().map(|link| link.key.as_str()).collect();
        assert_eq!(links, ["alias", "word"], "what leads above the plugins is not followed");

        let renamed = |path: Utf8PathBuf| {
            let kind = EventKind::Modify(ModifyKind::Name(notify::event::RenameMode::To));
            watched.hints_of(&Event::new(kind).add_path(path.into()))
        };
        assert_eq!(renamed(elsewhere.join("plugin.toml")), [changed("word/plugin.toml")]);
        assert_eq!(renamed(plugins.join("real/a.wasm")), [changed("real/a.wasm"), changed("alias/a.wasm")]);
        assert_eq!(renamed(plugins.join("word")), [changed("word")]);
        assert_eq!(renamed(plugins.clone()), [Hint::Lost]);
        assert_eq!(renamed(root.join("releases/other/a.wasm")), []);
    }
}
