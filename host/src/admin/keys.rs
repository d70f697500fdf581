//! Keys of consumers: several at a time, so that a new one is in use before the old one ends.

use super::Admin;
use super::consumers::{consumer_of, name_of, quoted};
use crate::keyring;
use crate::problem::{Kind, Problem};
use ripost_domain::time::Timestamp;
use ripost_domain::units::{format_duration, parse_duration};
use ripost_store::{AddKey, AddedKey, EndKey, EndedKey, IfLast, Key, KeySummary};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// More than a consumer rotates through; a list stays one page.
const KEYS_MAX: u32 = 100;
/// The longest time that can be asked for.
const TIME_MAX: Duration = Duration::from_hours(24 * 3650);

/// A key to add.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AddConsumerKey {
    /// For people; unique among the consumer's keys. Left out: `key-2` and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it will be printed where anybody can read it.
    pub public: bool,
    /// After which time it opens nothing, such as `90 d`. Left out: it is good until it is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
}

/// A key, which is shown this once.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AddedConsumerKey {
    /// What is known of it from now on.
    #[serde(flatten)]
    pub line: KeyLine,
    /// The key itself.
    pub key: String,
}

/// One line of the list of a consumer's keys.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct KeyLine {
    /// For people.
    pub name: String,
    /// How the key begins and ends; null for keys of versions that kept only the hash.
    pub hint: Option<String>,
    /// Whether it is printed where anybody can read it.
    pub public: bool,
    /// When it was added.
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    /// From then on it opens nothing; null: it is good until it is revoked.
    #[schemars(with = "Option<String>")]
    pub expires_at: Option<Timestamp>,
    /// Whether it opens nothing any more.
    pub expired: bool,
}

impl KeyLine {
    fn new(summary: KeySummary, now: Timestamp) -> Self {
        let KeySummary { name, hint, public, created_at, expires_at } = summary;
        let expired = expires_at.is_some_and(|at| at <= now);
        Self { name, hint, public, created_at, expires_at, expired }
    }
}

/// How a key is to end.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RevokeKey {
    /// How long it is still good, such as `24 h`. Left out: it ends at once.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// It may be the last one with which the consumer can do what this one can.
    pub last: bool,
}

/// A key that ends.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RevokedKey {
    /// Its name.
    pub name: String,
    /// From then on it opens nothing.
    #[schemars(with = "String")]
    pub ends_at: Timestamp,
}

pub(super) async fn list(admin: &Admin, consumer: &str) -> Result<Vec<KeyLine>, Problem> {
    let (id, now) = (consumer_of(admin, consumer).await?, admin.clock.now());
    Ok(admin.store.keys(id).await?.into_iter().map(|summary| KeyLine::new(summary, now)).collect())
}

pub(super) async fn add(admin: &Admin, consumer: &str, fields: AddConsumerKey) -> Result<AddedConsumerKey, Problem> {
    let AddConsumerKey { name, public, expires_in } = fields;
    let (id, now) = (consumer_of(admin, consumer).await?, admin.clock.now());
    let expires_at = match expires_in {
        None => None,
        Some(text) => Some(now.after(time("expires_in", &text)?)),
    };
    let name = match name {
        Some(name) => name_of(&name)?,
        None => free_name(&admin.store.keys(id).await?),
    };
    let (text, key) = generate(name.clone(), public, expires_at);
    let hint = Some(key.hint.clone());
    match admin.store.add_key(AddKey { consumer: id, key, at: now, keys_max: KEYS_MAX }).await? {
        AddedKey::Yes => {}
        AddedKey::NameTaken => {
            let detail = format!("{consumer} has a key `{name}` already. Choose another name.");
            return Err(Problem::new(Kind::NameTaken, detail));
        }
        AddedKey::TooMany => {
            let detail = format!("{consumer} has {KEYS_MAX} keys, which is the most there can be. Revoke one first.");
            return Err(Problem::new(Kind::InvalidValue, detail));
        }
        AddedKey::Unknown => return Err(Problem::new(Kind::NotFound, format!("`{consumer}` was erased."))),
    }
    tracing::info!(consumer.id = %id, name, public, "Added a key");
    let summary = KeySummary { name, hint, public, created_at: now, expires_at };
    Ok(AddedConsumerKey { line: KeyLine::new(summary, now), key: text })
}

pub(super) async fn revoke(
    admin: &Admin,
    consumer: &str,
    name: &str,
    fields: RevokeKey,
) -> Result<RevokedKey, Problem> {
    let RevokeKey { after, last } = fields;
    let (id, now) = (consumer_of(admin, consumer).await?, admin.clock.now());
    let ends_at = match after {
        None => now,
        Some(text) => now.after(time("in", &text)?),
    };
    let if_last = if last { IfLast::End } else { IfLast::Refuse };
    let end = EndKey { consumer: id, name: name.to_owned(), now, ends_at, if_last };
    match admin.identity.end_key(end).await? {
        EndedKey::At(ends_at) => {
            tracing::info!(consumer.id = %id, name, %ends_at, "Revoked a key");
            Ok(RevokedKey { name: name.to_owned(), ends_at })
        }
        EndedKey::Unknown => {
            let detail = format!(
                "{consumer} has no key `{name}`; `ripost consumers keys list {}` shows them.",
                quoted(consumer)
            );
            Err(Problem::new(Kind::NotFound, detail))
        }
        EndedKey::IsLast => {
            let detail = format!(
                "Without `{name}` {consumer} would have no key that can do as much. Add one first (`ripost consumers keys add {}`), or say that this may be the last: `--last` (`\"last\": true`).",
                quoted(consumer)
            );
            Err(Problem::new(Kind::LastKey, detail))
        }
    }
}

fn time(field: &str, text: &str) -> Result<Duration, Problem> {
    let wrong = |what: String| Problem::new(Kind::InvalidValue, format!("`{field}`: {what}."));
    let time = parse_duration(text).map_err(|error| wrong(error.to_string()))?;
    if time.is_zero() || time > TIME_MAX {
        return Err(wrong(format!("a time is more than zero and at most {}", format_duration(TIME_MAX))));
    }
    Ok(time)
}

/// One more than there are, or the next that is free.
fn free_name(keys: &[KeySummary]) -> String {
    let numbered = (keys.len() + 1..).map(|number| format!("key-{number}"));
    let mut free = numbered.filter(|name| keys.iter().all(|key| key.name != *name));
    free.next().expect("there are more numbers than keys")
}

/// A new key, and what of it is kept.
pub(super) fn generate(name: String, public: bool, expires_at: Option<Timestamp>) -> (String, Key) {
    let text = keyring::new_consumer_key();
    let (hash, hint) = (keyring::hash(text.as_bytes()), keyring::hint(&text));
    (text, Key { hash, name, hint, public, expires_at })
}
