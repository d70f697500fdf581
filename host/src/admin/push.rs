//! Plugins that come over the wire: uploads, what became of them, and their end.

use super::Admin;
use super::access::Principal;
use super::routes::Parameters;
use crate::archive;
use crate::config;
use crate::plugins::{PluginError, PluginStatus, PushError, PushKey};
use crate::problem::{Kind, Problem};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use ripost_domain::api::{Digest, Name};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What an upload is.
pub const CONTENT_TYPE: &str = "application/x-tar";
/// RFC 9530.
pub const CONTENT_DIGEST: &str = "content-digest";
const SHA_256: &str = "sha-256=:";

/// Uploads at once, because each is held in memory; one of an owner.
const AT_ONCE: usize = 2;
/// Of what is too long so much is still read, and for so long, so that who sends it gets to read the answer.
const LINGER_BYTES: usize = 8 << 20;
const LINGER_TIME: Duration = Duration::from_secs(2);

/// Room for uploads.
#[derive(Clone)]
pub struct Uploads {
    config: config::Push,
    room: Arc<Semaphore>,
    /// Owners whose upload is under way: none takes all the room by sending slowly.
    owners: Arc<Mutex<HashSet<Name>>>,
}

/// One owner's upload.
struct Upload {
    owners: Arc<Mutex<HashSet<Name>>>,
    owner: Name,
    _room: OwnedSemaphorePermit,
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.owner);
    }
}

impl Uploads {
    /// None is under way yet.
    #[must_use]
    pub fn new(config: config::Push) -> Self {
        Self { config, room: Arc::new(Semaphore::new(AT_ONCE)), owners: Arc::default() }
    }

    fn enter(&self, owner: &Name) -> Result<Upload, Problem> {
        let busy = |what: String| {
            let detail = format!("{what}. Nothing was taken; push again.");
            Err(Problem::new(Kind::Overloaded, detail).retry_after(Duration::from_secs(5)))
        };
        let Ok(room) = self.room.clone().try_acquire_owned() else {
            return busy(format!("{AT_ONCE} plugins are being uploaded"));
        };
        if !self.owners.lock().unwrap_or_else(PoisonError::into_inner).insert(owner.clone()) {
            return busy(format!("Another plugin of `{owner}` is being uploaded"));
        }
        Ok(Upload { owners: self.owners.clone(), owner: owner.clone(), _room: room })
    }

    /// Of one upload: whoever asks first need not send in vain.
    pub(super) const fn bytes_max(&self) -> usize {
        self.config.bytes_max
    }
}

/// A plugin that was pushed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pushed {
    /// `owner/name`.
    pub plugin: String,
    /// What was pushed.
    pub revision: Digest,
    /// How the plugin is now.
    pub status: Option<PluginStatus>,
}

/// `Content-Digest` of some bytes.
#[must_use]
pub fn content_digest(bytes: &[u8]) -> String {
    format!("{SHA_256}{}:", STANDARD.encode(Sha256::digest(bytes)))
}

fn key(parameters: &Parameters<'_>) -> Result<PushKey, Problem> {
    let name = |index: usize| {
        let parsed = parameters.at(index).parse();
        parsed.map_err(|error: ripost_domain::api::ParseNameError| Problem::new(Kind::InvalidValue, error.to_string()))
    };
    Ok(PushKey { owner: name(0)?, name: name(1)? })
}

fn unknown(key: &PushKey) -> Problem {
    Problem::new(Kind::NotFound, format!("No plugin `{key}` was pushed here; `ripost status` shows all plugins."))
}

/// Nothing is kept of an upload until all of it is there and is what its digest says.
pub(super) async fn put(
    admin: &Admin,
    parameters: &Parameters<'_>,
    headers: &HeaderMap,
    body: Incoming,
    principal: &Principal,
) -> Result<Pushed, Problem> {
    let key = key(parameters)?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(CONTENT_TYPE) {
        let detail = format!("A plugin is sent as a tar with Content-Type: {CONTENT_TYPE}; `ripost push DIR` does it.");
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    let expected = digest_of(headers)?;
    let upload = admin.uploads.enter(&key.owner)?;
    let (archive, digest) = receive(body, headers, &admin.uploads.config).await?;
    if digest != expected {
        let detail = "What arrived is not what Content-Digest says: it was torn or changed on its way. Nothing was kept; push again.";
        return Err(Problem::new(Kind::UploadTorn, detail));
    }
    let unpacking = tokio::task::spawn_blocking(move || archive::unpack(&archive)).await;
    let files = unpacking.map_err(|_| Problem::new(Kind::Internal, "Unpacking broke down."))?;
    let files =
        files.map_err(|error| Problem::new(Kind::InvalidArchive, format!("The archive is refused: {error}.")))?;
    // Whoever answers for the network may name any address in it.
    let guard = principal.only().is_some().then_some(&admin.upstream_policy);
    let revision = admin.plugins.push(key.clone(), files, guard).await.map_err(refused)?;
    drop(upload);
    tracing::info!(plugin = %key, revision = %revision.short(), "A plugin was pushed");
    let plugin = key.to_string();
    Ok(Pushed { status: admin.plugins.plugin_status(&plugin), plugin, revision })
}

fn digest_of(headers: &HeaderMap) -> Result<[u8; 32], Problem> {
    let lines = headers.get_all(CONTENT_DIGEST).iter().filter_map(|line| line.to_str().ok());
    let sha_256 = lines.flat_map(|line| line.split(',')).find_map(|one| one.trim().strip_prefix(SHA_256));
    let digest = sha_256.and_then(|text| STANDARD.decode(text.strip_suffix(':')?).ok()?.try_into().ok());
    digest.ok_or_else(|| {
        let detail =
            "Send Content-Digest: sha-256=:BASE64: of the body (RFC 9530), so that a torn upload is found out.";
        Problem::new(Kind::UploadTorn, detail)
    })
}

/// The body and its SHA-256, within size and time.
async fn receive(
    mut body: Incoming,
    headers: &HeaderMap,
    config: &config::Push,
) -> Result<(Vec<u8>, [u8; 32]), Problem> {
    let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    if announced.is_some_and(|bytes| bytes > config.bytes_max) {
        // Who asks before sending has not sent anything yet.
        if !headers.contains_key(header::EXPECT) {
            linger(&mut body).await;
        }
        return Err(too_large(config));
    }
    let reading = async {
        let (mut bytes, mut hash) = (Vec::with_capacity(announced.unwrap_or_default()), Sha256::new());
        while let Some(frame) = body.frame().await {
            let torn = |_| Problem::new(Kind::UploadTorn, "The upload broke off. Nothing was kept; push again.");
            let Ok(data) = frame.map_err(torn)?.into_data() else { continue };
            if bytes.len() + data.len() > config.bytes_max {
                linger(&mut body).await;
                return Err(too_large(config));
            }
            hash.update(&data);
            bytes.extend_from_slice(&data);
        }
        Ok((bytes, hash.finalize().into()))
    };
    tokio::time::timeout(config.time, reading).await.map_err(|_| {
        let detail = format!("An upload must arrive within {} s. Nothing was kept.", config.time.as_secs());
        Problem::new(Kind::RequestTimeout, detail)
    })?
}

fn too_large(config: &config::Push) -> Problem {
    let max = config.bytes_max;
    let detail =
        format!("A plugin has at most {max} bytes here ([push] bytes_max). Send less, or have the operator raise it.");
    Problem::new(Kind::BodyTooLarge, detail).with("bytes_max", max)
}

/// Closing a connection with unread bytes in it would throw away the answer too.
async fn linger(body: &mut Incoming) {
    let reading = async {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, bytes::Bytes::len);
            if read > LINGER_BYTES {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(LINGER_TIME, reading).await;
}

fn refused(error: PushError) -> Problem {
    match error {
        PushError::TooMany { .. } => Problem::new(Kind::PluginRefused, format!("Nothing was kept: {error}.")),
        PushError::Refused(_) => Problem::new(Kind::PluginRefused, format!("The plugin is refused: {error}.")),
        PushError::Foreign { .. } => {
            Problem::new(Kind::Forbidden, format!("Nothing was kept: {error}.")).with("role", "owner")
        }
        PushError::Kept(_) | PushError::Record(_) => {
            tracing::error!(%error, "A plugin that was pushed could not be kept");
            Problem::new(
                Kind::StoreUnavailable,
                "The plugin could not be written to the disk. Look into the gateway's log.",
            )
        }
        PushError::Lost => Problem::new(Kind::Internal, "The work on the plugin was lost. Push it again."),
    }
}

pub(super) fn get(admin: &Admin, parameters: &Parameters<'_>) -> Result<PluginStatus, Problem> {
    let key = key(parameters)?;
    admin.plugins.plugin_status(&key.to_string()).ok_or_else(|| unknown(&key))
}

/// Requests that were accepted run to their end.
pub(super) async fn remove(admin: &Admin, parameters: &Parameters<'_>) -> Result<(), Problem> {
    let key = key(parameters)?;
    match admin.plugins.remove(&key.to_string()).await {
        Ok(()) => Ok(()),
        Err(PluginError::Unknown(_)) => Err(unknown(&key)),
        Err(error) => {
            tracing::error!(plugin = %key, %error, "A plugin could not be removed");
            Err(Problem::new(Kind::Internal, "The plugin could not be removed. Look into the gateway's log."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_does_not_take_the_room_of_all() {
        let uploads = Uploads::new(config::Push::default());
        let [one, other, third]: [Name; 3] = ["one", "other", "third"].map(|name| name.parse().unwrap());
        let first = uploads.enter(&one).ok().unwrap();
        assert!(uploads.enter(&one).err().unwrap().is(Kind::Overloaded));
        let _second = uploads.enter(&other).ok().unwrap();
        assert!(uploads.enter(&third).err().unwrap().is(Kind::Overloaded));
        drop(first);
        assert!(uploads.enter(&third).is_ok());
        assert!(uploads.enter(&one).is_ok());
    }

    #[test]
    fn the_digest_is_read_as_rfc_9530_writes_it_and_nothing_else_is() {
        let read = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CONTENT_DIGEST, line.parse().unwrap());
            }
            digest_of(&headers).ok()
        };
        let (good, of) = (content_digest(b"a plugin"), Some(Sha256::digest(b"a plugin").into()));
        assert_eq!(read(&[&good]), of);
        assert_eq!(read(&[&format!("sha-512=:AAAA:, {good}")]), of);
        assert_eq!(read(&["sha-512=:AAAA:", &good]), of);
        for bad in ["", "sha-512=:AAAA:", "sha-256=:AAAA:", "sha-256=AAAA", good.trim_end_matches(':'), "sha-256=::"] {
            assert_eq!(read(&[bad]), None, "{bad}");
        }
        assert_eq!(read(&[]), None);
    }
}
