//! The master key of a start: the one that the data folder was used with, or none.

use super::{GivenUp, StartError};
use crate::keyring::master_key::{Fit, Place};
use crate::keyring::{Keyring, KeyringError, new_webhook_secret};
use anyhow::Context as _;
use camino::Utf8Path;
use ripost_domain::time::Timestamp;
use ripost_store::{Mark, Resealed, Sealed, Store};

/// Names of one line of the log; `ripost consumers list` has all.
const NAMED_MAX: usize = 200;

/// Finds the key. One that does not fit is refused, unless the operator gives up what it sealed.
pub(super) async fn open(
    store: &dyn Store,
    data: &Utf8Path,
    given_up: GivenUp,
    now: Timestamp,
) -> Result<Keyring, StartError> {
    let place = Place::of(data);
    let found = match place.read() {
        Err(KeyringError::NotAKey(_)) if given_up.new_master_key => {
            place.set_aside()?;
            None
        }
        found => found?,
    };
    let check = store.mark(Mark::MasterKey).await.context("reading which master key the data has")?;
    let sample = match check {
        Some(_) => None,
        None => store.sealed_sample().await.context("reading what is sealed")?,
    };
    let fit = Fit::of(found.as_ref(), check.as_deref(), sample.as_ref());
    let keyring = match fit {
        Fit::Missing | Fit::Other if given_up.new_master_key => return renew(store, &place, now).await,
        Fit::Missing | Fit::Other => return Err(StartError::MasterKey { fit, place }),
        Fit::First | Fit::Fits => place.read_or_create()?,
    };
    if given_up.new_master_key && fit == Fit::Fits {
        tracing::warn!(
            "--new-master-key has nothing to do: the master key is the one of this data folder. Take the flag away"
        );
    }
    if check.is_none()
        && let Err(error) = store.set_mark(Mark::MasterKey, keyring.check().to_vec().into()).await
    {
        tracing::warn!(%error, "Which master key the data has could not be written down; the next start does it");
    }
    Ok(keyring)
}

/// Makes the gateway work with another key. The file comes first: a crash before the commit leaves a key that does not
/// fit, and nothing is lost until this is asked for again.
async fn renew(store: &dyn Store, place: &Place, now: Timestamp) -> Result<Keyring, StartError> {
    let keyring = place.read_or_create()?;
    let lost = store.sealed().await.context("reading what is sealed")?;
    let webhook_secrets =
        lost.consumers.iter().map(|(id, _)| (*id, keyring.seal(id.as_bytes(), &new_webhook_secret())));
    let resealed =
        Resealed { check: keyring.check().to_vec().into(), webhook_secrets: webhook_secrets.collect(), at: now };
    store.reseal(resealed).await.context("writing what is sealed with the new master key")?;
    tell(place, &lost);
    Ok(keyring)
}

fn tell(place: &Place, lost: &Sealed) {
    tracing::warn!(%place, "This data folder has a new master key. What the one before had sealed is lost; take the flag --new-master-key away");
    if !lost.consumers.is_empty() {
        let consumers = named(lost.consumers.iter().map(|(_, name)| name.clone()));
        tracing::warn!(
            consumers,
            "Each consumer has a new webhook secret: tell them to fetch it (GET /consumer/webhook-secret) and to verify with it"
        );
    }
    if !lost.owner_secrets.is_empty() {
        let secrets = named(lost.owner_secrets.iter().map(|(owner, name)| format!("{owner}/{name}")));
        tracing::warn!(secrets, "Owners' secrets are gone: set them again with `ripost secrets set`");
    }
    if lost.requests_awaiting > 0 {
        let requests = lost.requests_awaiting;
        tracing::warn!(
            requests,
            "The callback URLs of requests that await one no longer work: these requests expire, and their holds are released"
        );
    }
    tracing::warn!(
        "Receipts and v1a signatures have a new public key (/.well-known/webhook-keys), upstreams a new signing secret (`ripost upstream secret`), and links to results that were sent before no longer work"
    );
}

fn named(names: impl ExactSizeIterator<Item = String>) -> String {
    let count = names.len();
    let text = names.take(NAMED_MAX).collect::<Vec<_>>().join(", ");
    match count.checked_sub(NAMED_MAX) {
        None | Some(0) => text,
        Some(more) => format!("{text} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_a_bounded_line() {
        let names = |count: usize| named((0..count).map(|number| number.to_string()).collect::<Vec<_>>().into_iter());
        assert_eq!(names(3), "0, 1, 2");
        assert!(names(NAMED_MAX).ends_with(", 199"));
        assert!(names(NAMED_MAX + 2).ends_with(", 199 and 2 more"));
    }
}
