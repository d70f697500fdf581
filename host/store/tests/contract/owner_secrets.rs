//! Owners' secrets: kept sealed, by owner and name.

use crate::fixture::{Fixture, NOW};
use bytes::Bytes;
use ripost_domain::api::Name;
use ripost_store::{SealedOwnerSecret, Store as _};
use std::time::Duration;

fn secret(owner: &str, name: &str, sealed: &'static [u8], second: u64) -> SealedOwnerSecret {
    let updated_at = NOW.after(Duration::from_secs(second));
    SealedOwnerSecret {
        owner: owner.parse().unwrap(),
        name: name.to_owned(),
        sealed: Bytes::from_static(sealed),
        updated_at,
    }
}

#[tokio::test]
async fn a_secret_is_its_owners_is_replaced_and_is_removed() {
    let store = Fixture::new();
    let (one, two): (Name, Name) = ("one".parse().unwrap(), "two".parse().unwrap());
    for secret in [
        secret("two", "KEY", b"2", 1),
        secret("one", "KEY", b"1", 2),
        secret("one", "OTHER", b"3", 3),
        secret("one", "KEY", b"4", 4),
    ] {
        store.set_owner_secret(&secret.owner, &secret.name, secret.sealed, secret.updated_at).await.unwrap();
    }
    let store = store.reopened().await;
    let all = [secret("one", "KEY", b"4", 4), secret("one", "OTHER", b"3", 3), secret("two", "KEY", b"2", 1)];
    assert_eq!(store.owner_secrets().await.unwrap(), all);
    assert!(store.delete_owner_secret(&one, "KEY").await.unwrap());
    assert!(!store.delete_owner_secret(&one, "KEY").await.unwrap());
    assert!(!store.delete_owner_secret(&two, "OTHER").await.unwrap());
    assert_eq!(store.owner_secrets().await.unwrap(), all[1..]);
}
