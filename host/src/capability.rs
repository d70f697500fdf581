//! What handlers may reach beyond the sandbox: from the grants of a manifest to what a run is given.

pub mod kv;
pub mod outbound;
mod placeholder;
pub mod secrets;

pub use kv::{KvOfStore, OwnerKv};
pub use secrets::{OwnerSecrets, SecretLine, SecretName};

use crate::config::SecretForm;
use crate::keyring::Keyring;
use crate::plugins::ApiGrants;
use outbound::{ApiOutbound, Outlet};
use placeholder::{ApiSecrets, Placeholders};
use ripost_domain::api::{ApiName, Name};
use ripost_runtime::{Grants, Kv, Outbound, Secrets};
use secrecy::SecretString;
use std::sync::Arc;

/// The secrets that owners have set. Called on async threads, for each use: it must not block.
pub trait SecretValues: Send + Sync {
    /// The value, if that owner has set one of that name.
    fn get(&self, owner: &Name, name: &str) -> Option<SecretString>;
}

/// The stores of the owners. Called when a revision is made ready.
pub trait KvOfOwners: Send + Sync {
    /// The store of one owner.
    fn of(&self, owner: &Name) -> Arc<dyn Kv>;
}

/// Turns what a manifest grants into what a run is given. Called for each API when a revision is made ready.
pub trait Granting: Send + Sync {
    /// Cannot fail: what the operator does not allow any more is refused when it is used.
    fn grants(&self, api: &ApiName, granted: &ApiGrants) -> Grants;
}

/// Grants nothing, whatever a manifest says.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoGrants;

impl Granting for NoGrants {
    fn grants(&self, _api: &ApiName, _granted: &ApiGrants) -> Grants {
        Grants::default()
    }
}

/// What this gateway has to grant.
pub struct Capabilities {
    /// The way out of all handlers.
    pub outlet: Arc<Outlet>,
    /// The owners' secrets.
    pub secrets: Arc<dyn SecretValues>,
    /// What a handler gets when it asks for one.
    pub secret_form: SecretForm,
    /// Makes placeholders that nobody can guess.
    pub keyring: Arc<Keyring>,
    /// The owners' stores; none: `kv` is refused.
    pub kv: Option<Arc<dyn KvOfOwners>>,
}

impl Granting for Capabilities {
    fn grants(&self, api: &ApiName, granted: &ApiGrants) -> Grants {
        let owner: Arc<str> = api.owner.as_str().into();
        let placeholders =
            Arc::new(Placeholders::new(api.owner.clone(), &granted.secrets, self.secrets.clone(), &self.keyring));
        let outbound = (!granted.outbound.is_empty()).then(|| {
            // A handler that has the values itself has nothing to be put in.
            let placeholders = (self.secret_form == SecretForm::Placeholder).then(|| placeholders.clone());
            let outlet = self.outlet.clone();
            let rules = granted.outbound.clone();
            Arc::new(ApiOutbound::new(outlet, owner.clone(), rules, placeholders)) as Arc<dyn Outbound>
        });
        let secrets = (!granted.secrets.is_empty())
            .then(|| Arc::new(ApiSecrets::new(placeholders, self.secret_form)) as Arc<dyn Secrets>);
        let kv = self.kv.as_ref().filter(|_| granted.kv).map(|kv| kv.of(&api.owner));
        Grants { kv, secrets, outbound }
    }
}
