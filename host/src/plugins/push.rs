//! Plugins that come over the wire: looked at once they are there, kept durably, and then on the same way into service as
//! a folder.

use super::manifest::{Above, ApiTarget, FILE_NAME, Manifest};
use super::operate::record_of;
use super::scan::{Look, Turn};
use super::source::{self, Source};
use super::state::{News, Stage};
use super::{Plugins, RevisionError, lock};
use crate::causes::chain;
use ripost_domain::address::{UrlPolicy, WebhookUrl};
use ripost_domain::api::{ApiName, Digest, Name};
use ripost_store::failpoint;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

/// What a pushed plugin is asked for by; written `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PushKey {
    /// Who offers its APIs.
    pub owner: Name,
    /// `[plugin] name`.
    pub name: Name,
}

impl fmt::Display for PushKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// What was pushed is not taken. Split by whose turn it is.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Its author's: what is wrong with it, and what to do.
    #[error("{0}")]
    Refused(String),
    /// An API of somebody else's.
    #[error(
        "the plugin offers `{api}`, and {owner} can only offer APIs of its own; change `owner`, or push it as that owner"
    )]
    Foreign {
        /// The API.
        api: ApiName,
        /// Who pushes.
        owner: Name,
    },
    /// The owner has pushed as many as it may have.
    #[error(
        "{owner} has {max} pushed plugins already and may have no more; remove one (DELETE /admin/v1/plugins/{owner}/NAME), or have the operator raise push.plugins_per_owner_max"
    )]
    TooMany {
        /// Who pushes.
        owner: Name,
        /// How many it may have.
        max: usize,
    },
    /// The disk's: it could not be kept.
    #[error("the plugin could not be kept: {}", chain(.0))]
    Kept(RevisionError),
    /// The disk's: that it was pushed could not be written down.
    #[error("writing down what was pushed: {0}")]
    Record(io::Error),
    /// The thread that did the work broke down.
    #[error("the work on a plugin was lost; try again")]
    Lost,
}

impl From<RevisionError> for PushError {
    fn from(error: RevisionError) -> Self {
        Self::Kept(error)
    }
}

impl From<io::Error> for PushError {
    fn from(error: io::Error) -> Self {
        Self::Record(error)
    }
}

/// Whether all upstreams are where an owner's token may lead. What a name resolves to is checked when connecting.
fn vet(manifest: &Manifest, policy: &UrlPolicy) -> Result<(), PushError> {
    for api in &manifest.apis {
        let ApiTarget::Upstream(upstream) = &api.target else { continue };
        WebhookUrl::parse_for_call(upstream.url.as_str(), policy).map_err(|error| {
            PushError::Refused(format!(
                "the upstream of `{}` cannot be set with an owner's token: {error}; or have the operator add its network to [upstream] allow",
                api.name
            ))
        })?;
    }
    Ok(())
}

impl Plugins {
    /// Takes a plugin's files, by name: `plugin.toml`, all that it names (`cases/x.json` with its folder), and nothing
    /// else. When this returns they are kept durably; then they go the way of every revision, which
    /// [`Plugins::plugin_status`] tells.
    ///
    /// The same files again change nothing, and are judged again if they were rejected.
    ///
    /// `guard`: an owner's token pushes, and these are the addresses that its upstreams may name.
    ///
    /// # Errors
    /// The manifest is wrong, names what is not there or belongs to somebody else, or the disk fails. Nothing is changed
    /// then.
    pub async fn push(
        self: &Arc<Self>,
        key: PushKey,
        files: BTreeMap<String, Vec<u8>>,
        guard: Option<&UrlPolicy>,
    ) -> Result<Digest, PushError> {
        let (plugins, guard) = (self.clone(), guard.cloned());
        let taking = tokio::task::spawn_blocking(move || plugins.take(&key, files, guard.as_ref()));
        let digest = taking.await.map_err(|_| PushError::Lost)??;
        let plugins = self.clone();
        // To its end, whoever waits.
        let busy = self.busy();
        tokio::task::spawn_blocking(move || {
            let _busy = busy;
            plugins.scan_now(&Look::pushed())
        });
        Ok(digest)
    }

    fn take(
        &self,
        key: &PushKey,
        files: BTreeMap<String, Vec<u8>>,
        guard: Option<&UrlPolicy>,
    ) -> Result<Digest, PushError> {
        let source = source::of_files(files, FILE_NAME, &self.config.bounds(Above::Refuse));
        let Source { manifest, revision } = source.map_err(|error| PushError::Refused(error.to_string()))?;
        if manifest.plugin != key.name {
            return Err(PushError::Refused(format!(
                "the manifest says [plugin] name = \"{}\" and it is pushed as `{}`; make them the same",
                manifest.plugin, key.name
            )));
        }
        if let Some(api) = manifest.apis.iter().find(|api| api.name.owner != key.owner) {
            return Err(PushError::Foreign { api: api.name.clone(), owner: key.owner.clone() });
        }
        if let Some(policy) = guard {
            vet(&manifest, policy)?;
        }
        // As `Files::digest_by_owner` has it, which is what the owner was shown.
        let revision = if guard.is_some() && manifest.has_upstreams() { revision.guarded() } else { revision };
        let digest = revision.digest();
        // Before anything is kept, and again below: somebody may push at the same time.
        self.check_number(&lock(&self.turn), key)?;
        self.keep(&revision)?;
        failpoint::hit("push.before_record");
        let mut turn = lock(&self.turn);
        self.check_number(&turn, key)?;
        let key = key.to_string();
        let mut record = record_of(&turn);
        record.plugins.entry(key.clone()).or_default().pushed = Some(digest);
        self.write(&mut turn, record)?;
        failpoint::hit("push.after_record");
        let entry = turn.entries.entry(key.clone()).or_default();
        (entry.pushed, entry.refused, entry.retry, entry.taken) = (Some(digest), None, None, None);
        if self.decided(entry, digest).is_none() {
            self.tell(entry, &key, News::compiling(digest, Stage::Compile, &manifest));
        }
        turn.decide(&key);
        if turn.entries.get(&key).is_some_and(|entry| self.decided(entry, digest).is_none()) {
            turn.coming.insert(key, (digest, Arc::new(manifest)));
            self.renew_registry(&turn);
        }
        self.publish(&mut turn);
        Ok(digest)
    }

    /// Each is a name for ever, a revision on the disk and a line in every status, whether it serves or not.
    fn check_number(&self, turn: &Turn, key: &PushKey) -> Result<(), PushError> {
        let (max, own) = (self.config.pushed_per_owner_max, format!("{}/", key.owner));
        let pushed = turn.entries.iter().filter(|(key, entry)| entry.pushed.is_some() && key.starts_with(&own));
        if turn.entries.contains_key(&key.to_string()) || pushed.count() < max {
            return Ok(());
        }
        Err(PushError::TooMany { owner: key.owner.clone(), max })
    }
}
