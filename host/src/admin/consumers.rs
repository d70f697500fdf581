//! Consumers: who may call, and with how much.

use super::{Admin, balances, keys};
use crate::keyring;
use crate::problem::{Kind, Problem};
use ripost_domain::id::ConsumerId;
use ripost_domain::money::Amount;
use ripost_domain::time::Timestamp;
use ripost_store::NewConsumer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Long enough for a company, short enough for a column.
const NAME_CHARS_MAX: usize = 100;

/// A consumer to add.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddConsumer {
    /// For people; unique.
    pub name: String,
    /// The first balance.
    #[serde(default)]
    #[schemars(with = "String")]
    pub credit: Amount,
    /// Whether the key will be printed where anybody can read it.
    #[serde(default)]
    pub public: bool,
}

/// The consumer with its key, which is shown this once.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AddedConsumer {
    /// Its id.
    #[schemars(with = "String")]
    pub consumer: ConsumerId,
    /// For people.
    pub name: String,
    /// What it calls with.
    pub key: String,
    /// What it has.
    #[schemars(with = "String")]
    pub balance: Amount,
}

/// One line of the list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConsumerLine {
    /// Its id.
    #[schemars(with = "String")]
    pub consumer: ConsumerId,
    /// For people.
    pub name: String,
    /// Can be spent.
    #[schemars(with = "String")]
    pub available: Amount,
    /// Set aside.
    #[schemars(with = "String")]
    pub held: Amount,
    /// When it was added.
    #[schemars(with = "String")]
    pub created_at: Timestamp,
}

pub(super) async fn add(admin: &Admin, fields: AddConsumer) -> Result<AddedConsumer, Problem> {
    let name = name_of(&fields.name)?;
    balances::within(fields.credit)?;
    let (key, first) = keys::generate(keyring::FIRST_KEY.to_owned(), fields.public, None);
    let now = admin.clock.now();
    let id = ConsumerId::new(now, keyring::random());
    let consumer = NewConsumer {
        id,
        name: name.clone(),
        key: first,
        sealed_secret: admin.keyring.seal(id.as_bytes(), &keyring::new_webhook_secret()),
        credit: fields.credit,
        created_at: now,
    };
    if !admin.store.add_consumer(consumer).await? {
        return Err(Problem::new(
            Kind::NameTaken,
            format!("There is a consumer `{name}` already. Choose another name."),
        ));
    }
    tracing::info!(consumer.id = %id, name, credit = %fields.credit, "Added a consumer");
    Ok(AddedConsumer { consumer: id, name, key, balance: fields.credit })
}

/// A name for people, without the space around it.
///
/// # Errors
/// It is empty, too long, or has control characters.
pub(super) fn name_of(text: &str) -> Result<String, Problem> {
    let name = text.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        let detail = format!("A name has 1 to {NAME_CHARS_MAX} characters, none of them a control character.");
        return Err(Problem::new(Kind::InvalidValue, detail));
    }
    Ok(name.to_owned())
}

/// A name as a shell reads it, for commands in messages.
pub(super) fn quoted(name: &str) -> String {
    let is_plain = name.chars().all(|char| char.is_alphanumeric() || "-_.".contains(char));
    if is_plain { name.to_owned() } else { format!("'{}'", name.replace('\'', r"'\''")) }
}

pub(super) async fn list(admin: &Admin) -> Result<Vec<ConsumerLine>, Problem> {
    let consumers = admin.store.consumers().await?;
    Ok(consumers
        .into_iter()
        .map(|summary| ConsumerLine {
            consumer: summary.id,
            name: summary.name,
            available: summary.balances.available,
            held: summary.balances.held,
            created_at: summary.created_at,
        })
        .collect())
}

/// A consumer by its name, or by its id.
pub(super) async fn consumer_of(admin: &Admin, name: &str) -> Result<ConsumerId, Problem> {
    let all = admin.store.consumers().await?;
    let found = all.into_iter().find(|consumer| consumer.name == name || consumer.id.to_string() == name);
    found.map(|consumer| consumer.id).ok_or_else(|| {
        Problem::new(Kind::NotFound, format!("There is no consumer `{name}`; `ripost consumers list` shows them."))
    })
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_name_in_a_command_is_one_argument_to_a_shell() {
        for (name, argument) in [
            ("acme-1.eu", "acme-1.eu"),
            ("Café", "Café"),
            ("Blue Bottle", "'Blue Bottle'"),
            ("O'Hara & $ons", r"'O'\''Hara & $ons'"),
        ] {
            assert_eq!(quoted(name), argument);
        }
    }
}
