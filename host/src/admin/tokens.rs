//! Tokens of the management API: who bears one is an operator, or one owner.

use super::Admin;
use super::access::Principal;
use crate::keyring::{self, AdminToken};
use crate::problem::{Kind, Problem};
use ripost_domain::api::Name;
use ripost_domain::id::TokenId;
use ripost_domain::time::{Clock, Timestamp};
use ripost_store::{Role, Store, StoreError, Token};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

/// Long enough for a sentence, short enough for a column.
const NAME_CHARS_MAX: usize = 100;

/// All tokens; the store has them too, by their hashes.
pub struct Tokens {
    /// That of the data folder: an operator's.
    admin: AdminToken,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    known: RwLock<HashMap<[u8; 32], Token>>,
    /// One change at a time, so that memory and store agree on which was the last.
    changes: Mutex<()>,
    /// Who owns a change that has begun: who asked for it may hang up before memory knows what the store does.
    tasks: TaskTracker,
}

impl Tokens {
    /// Reads all there are.
    ///
    /// # Errors
    /// The store fails.
    pub async fn load(
        admin: AdminToken,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        tasks: TaskTracker,
    ) -> Result<Arc<Self>, StoreError> {
        let known = store.tokens().await?.into_iter().map(|token| (token.hash, token)).collect();
        Ok(Arc::new(Self { admin, store, clock, known: RwLock::new(known), changes: Mutex::default(), tasks }))
    }

    /// Whose token this is; `None`: nobody's.
    #[must_use]
    pub fn principal(&self, offered: &str) -> Option<Principal> {
        if self.admin.matches(offered) {
            return Some(Principal::Operator);
        }
        // Looked up by its hash, so the time that takes says nothing about a token.
        let hash = keyring::hash(offered.as_bytes());
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&hash).map(|token| token.role.clone().into())
    }

    async fn add(self: &Arc<Self>, name: String, role: Role) -> Result<Option<(Token, String)>, StoreError> {
        let this = self.clone();
        let add = async move {
            let _change = this.changes.lock().await;
            let (text, now) = (keyring::new_token(), this.clock.now());
            let (id, hash) = (TokenId::new(now, keyring::random()), keyring::hash(text.as_bytes()));
            let token = Token { id, name, hash, role, created_at: now };
            if !this.store.add_token(token.clone()).await? {
                return Ok(None);
            }
            this.known.write().unwrap_or_else(PoisonError::into_inner).insert(hash, token.clone());
            Ok(Some((token, text)))
        };
        self.tasks.spawn(add).await.unwrap_or(Err(StoreError::Closed))
    }

    async fn remove(self: &Arc<Self>, name: String) -> Result<bool, StoreError> {
        let this = self.clone();
        let remove = async move {
            let _change = this.changes.lock().await;
            let removed = this.store.remove_token(&name).await?;
            this.known.write().unwrap_or_else(PoisonError::into_inner).retain(|_, token| token.name != name);
            Ok(removed)
        };
        self.tasks.spawn(remove).await.unwrap_or(Err(StoreError::Closed))
    }

    fn list(&self) -> Vec<Token> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut tokens: Vec<Token> = known.values().cloned().collect();
        tokens.sort_by(|a, b| a.name.cmp(&b.name));
        tokens
    }
}

/// The names of the roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoleName {
    /// May do everything.
    Operator,
    /// May do what concerns one owner alone.
    Owner,
}

/// A token to add.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddToken {
    /// For people; unique.
    pub name: String,
    /// What its bearer may do.
    pub role: RoleName,
    /// Whose, with the role owner.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub owner: Option<Name>,
}

/// The token, which is shown this once.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct AddedToken {
    /// What is known of it from now on.
    #[serde(flatten)]
    pub line: TokenLine,
    /// The token itself.
    pub token: String,
}

/// One line of the list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TokenLine {
    /// Its id.
    #[schemars(with = "String")]
    pub id: TokenId,
    /// For people.
    pub name: String,
    /// What its bearer may do.
    pub role: RoleName,
    /// Whose, with the role owner.
    #[schemars(with = "Option<String>")]
    pub owner: Option<Name>,
    /// When it was added.
    #[schemars(with = "String")]
    pub created_at: Timestamp,
}

impl From<Token> for TokenLine {
    fn from(token: Token) -> Self {
        let (role, owner) = match token.role {
            Role::Operator => (RoleName::Operator, None),
            Role::Owner(owner) => (RoleName::Owner, Some(owner)),
        };
        Self { id: token.id, name: token.name, role, owner, created_at: token.created_at }
    }
}

pub(super) async fn add(admin: &Admin, fields: AddToken) -> Result<AddedToken, Problem> {
    let name = fields.name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(Problem::new(Kind::InvalidValue, format!("A name has 1 to {NAME_CHARS_MAX} characters.")));
    }
    let role = match (fields.role, fields.owner) {
        (RoleName::Operator, None) => Role::Operator,
        (RoleName::Owner, Some(owner)) => Role::Owner(owner),
        (RoleName::Operator, Some(_)) => {
            return Err(Problem::new(Kind::InvalidValue, "An operator's token is for no owner; leave `owner` out."));
        }
        (RoleName::Owner, None) => {
            return Err(Problem::new(Kind::InvalidValue, "An owner's token is for one owner; name it in `owner`."));
        }
    };
    let added = admin.tokens.add(name.to_owned(), role).await?;
    let (token, text) = added.ok_or_else(|| {
        Problem::new(Kind::NameTaken, format!("There is a token `{name}` already. Choose another name."))
    })?;
    let line = TokenLine::from(token);
    tracing::info!(token.id = %line.id, name, role = ?line.role, owner = line.owner.as_ref().map(Name::as_str), "Added a token");
    Ok(AddedToken { line, token: text })
}

pub(super) fn list(admin: &Admin) -> Vec<TokenLine> {
    admin.tokens.list().into_iter().map(TokenLine::from).collect()
}

pub(super) async fn remove(admin: &Admin, name: &str) -> Result<(), Problem> {
    if !admin.tokens.remove(name.to_owned()).await? {
        let detail = format!("There is no token `{name}`; `ripost tokens list` shows them.");
        return Err(Problem::new(Kind::NotFound, detail));
    }
    tracing::info!(name, "Removed a token");
    Ok(())
}
