//! `ripost push DIR`

use super::failure::is_there;
use super::out::{counted, one_line, outln};
use super::{Failure, client};
use crate::admin::{CONTENT_DIGEST, CONTENT_TYPE, Pushed, content_digest};
use crate::archive;
use crate::config::Sandbox;
use crate::plugins::{Above, Bounds, PluginStatus, State, read_folder};
use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use camino::Utf8PathBuf;
use clap::Args;
use http::{HeaderMap, HeaderValue, Method, header};
use ripost_domain::address::PlainHttp;
use ripost_domain::api::{Digest, Name};
use serde_json::Value;
use std::time::{Duration, Instant};

/// For an upload and its answer; the gateway has a bound of its own.
const UPLOAD_TIME: Duration = Duration::from_secs(900);
/// Components are read whole; which are too large, the gateway says.
const COMPONENT_BYTES_MAX: usize = 1 << 30;
/// Between two looks at how far the plugin is, and how long it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOK_TIME: Duration = Duration::from_secs(900);

/// Send a plugin's folder to a running gateway and show what becomes of it.
///
/// Only what the manifest names is sent. All its APIs must be of one owner, and with an owner's token of that one.
/// Exits with 0 once the plugin serves, 1 if it is refused or rejected; what served before serves on then.
#[derive(Args)]
pub(super) struct Push {
    /// The plugin's folder
    #[arg(value_name = "DIR")]
    folder: Utf8PathBuf,
    #[command(flatten)]
    gateway: client::Gateway,
}

impl Push {
    pub(super) fn run(self) -> Result<(), Failure> {
        let gateway = self.gateway.open()?;
        is_there(&self.folder)?;
        let files =
            read_folder(&self.folder, &bounds()).with_context(|| format!("reading the plugin {}", self.folder))?;
        let owner = owner_of(files.manifest.apis.iter().map(|api| &api.name.owner))?;
        let plugin = format!("{owner}/{}", files.manifest.plugin);
        let (by_operator, by_owner) = (files.digest(), files.digest_by_owner());
        let files = files.into_files();
        let archive = archive::pack(&files).context("packing the plugin")?;
        // Asked first: whoever is refused while sending may not get to read why.
        let gateway_has: Value = gateway.ask(Method::GET, "/admin/v1", None)?;
        let bytes_max = gateway_has["push_bytes_max"].as_u64().unwrap_or(u64::MAX);
        if archive.len() as u64 > bytes_max {
            let has = archive.len();
            let text = format!(
                "{plugin} has {has} bytes and the gateway takes {bytes_max} ([push] bytes_max); send less, or have the operator raise it"
            );
            return Err(anyhow!(text).into());
        }
        let expected = if gateway_has["owner"].is_string() { by_owner } else { by_operator };
        let files = counted(files.len(), "file", "files");
        outln!("sending {plugin}: {files}, {} bytes, revision {}", archive.len(), expected.short());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        let digest = HeaderValue::from_str(&content_digest(&archive)).context("writing the digest")?;
        headers.insert(CONTENT_DIGEST, digest);
        let path = format!("/admin/v1/plugins/{plugin}");
        let pushed: Pushed = gateway.send(Method::PUT, &path, headers, Bytes::from(archive), UPLOAD_TIME)?;
        let revision = pushed.revision;
        if revision != expected {
            return Err(
                anyhow!("the gateway took it for revision {}: it is of another version", revision.short()).into()
            );
        }
        let mut status = pushed.status;
        let (mut told, began) = (String::new(), Instant::now());
        loop {
            if let Some(status) = &status {
                let line = progress(status, revision);
                if line != told {
                    outln!("{line}");
                    told = line;
                }
                if let Some(end) = end(status, revision) {
                    return Ok(end.map(|()| outln!("{plugin} serves revision {}", revision.short()))?);
                }
            }
            if began.elapsed() > LOOK_TIME {
                return Err(
                    anyhow!("{plugin} was sent and is still not ready; `ripost status` shows how far it is").into()
                );
            }
            std::thread::sleep(LOOK_EVERY);
            status = Some(gateway.ask(Method::GET, &path, None)?);
        }
    }
}

/// The gateway judges by its own; here nothing is refused that it might take.
fn bounds() -> Bounds {
    let mut sandbox = Sandbox::default();
    for limits in [&mut sandbox.handler, &mut sandbox.ceiling, &mut sandbox.transform] {
        limits.component_bytes_max = COMPONENT_BYTES_MAX;
    }
    Bounds {
        default: sandbox.handler,
        ceiling: sandbox.ceiling,
        guests_memory: None,
        transform: sandbox.transform,
        concurrency: sandbox.concurrency,
        plain_http: PlainHttp::Everywhere,
        above: Above::Lower,
    }
}

fn owner_of<'a>(mut owners: impl Iterator<Item = &'a Name>) -> anyhow::Result<&'a Name> {
    let first = owners.next().context("the plugin offers no API")?;
    match owners.find(|other| *other != first) {
        Some(other) => {
            bail!("a pushed plugin is one owner's, and this one offers APIs of {first} and of {other}; push them apart")
        }
        None => Ok(first),
    }
}

fn progress(status: &PluginStatus, revision: Digest) -> String {
    if status.candidate != Some(revision) {
        return one_line(status.state.as_str());
    }
    if let (State::Compiling, Some(stage)) = (status.state, status.stage) {
        return format!("{stage} …");
    }
    let stage = status.stage.map_or_else(String::new, |stage| format!(" at {stage}"));
    let reason = status.reason.as_deref().map_or_else(String::new, |reason| format!(": {}", one_line(reason)));
    format!("{}{stage}{reason}", status.state.as_str())
}

/// How it ended; `None`: not yet.
fn end(status: &PluginStatus, revision: Digest) -> Option<anyhow::Result<()>> {
    let serving = status.active.map_or_else(|| "nothing".to_owned(), |active| format!("revision {}", active.short()));
    let is_candidate = status.candidate == Some(revision);
    match status.state {
        State::Active if status.active == Some(revision) => Some(Ok(())),
        State::Active if !is_candidate => Some(Err(anyhow!("another revision was pushed meanwhile; {serving} serves"))),
        State::Rejected | State::Quarantined | State::Stopped if is_candidate => {
            Some(Err(anyhow!("the plugin does not serve ({}); {serving} serves", status.state.as_str())))
        }
        State::Stopped => Some(Err(anyhow!("the plugin is stopped; an operator starts it again"))),
        State::Active | State::Compiling | State::Missing | State::Rejected | State::Quarantined => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_of_two_owners_is_not_pushed() {
        let names: Vec<Name> = ["a", "a", "b"].iter().map(|name| name.parse().unwrap()).collect();
        assert_eq!(owner_of(names[..2].iter()).unwrap().as_str(), "a");
        let refused = owner_of(names.iter()).unwrap_err().to_string();
        assert!(refused.contains("of a and of b"), "{refused}");
        assert!(owner_of(names[..0].iter()).is_err());
    }
}
