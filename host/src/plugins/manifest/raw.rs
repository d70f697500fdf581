//! The manifest's tables as serde reads them: every value optional and with its place, so that each error can be
//! worded for the author.

use crate::limits::Written;
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) plugin: Option<Spanned<Plugin>>,
    #[serde(default)]
    pub(super) api: Vec<Spanned<Api>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plugin {
    pub(super) name: Option<Spanned<String>>,
    pub(super) version: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Api {
    pub(super) owner: Option<Spanned<String>>,
    pub(super) slug: Option<Spanned<String>>,
    pub(super) handler: Option<Spanned<String>>,
    pub(super) upstream: Option<Spanned<String>>,
    pub(super) reply: Option<Spanned<String>>,
    pub(super) price: Option<Spanned<String>>,
    pub(super) expires_in: Option<Spanned<String>>,
    pub(super) max_attempts: Option<Spanned<i64>>,
    pub(super) delivery: Option<Spanned<String>>,
    pub(super) payload: Option<Spanned<String>>,
    pub(super) access: Option<Spanned<String>>,
    pub(super) cancel: Option<Spanned<String>>,
    pub(super) near_miss: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) config: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) limits: Limits,
    pub(super) retry: Option<Spanned<Retry>>,
    pub(super) grants: Option<Grants>,
    pub(super) transforms: Option<Spanned<Transforms>>,
    pub(super) cases: Option<Spanned<String>>,
    pub(super) schema: Option<Spanned<String>>,
    pub(super) cors: Option<Cors>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cors {
    #[serde(default)]
    pub(super) origins: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Transforms {
    #[serde(default)]
    pub(super) request: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) response: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) webhook: Vec<Spanned<String>>,
    pub(super) webhook_on_error: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Retry {
    pub(super) schedule: Option<Vec<Spanned<String>>>,
}

/// The keys are checked before; each limit has its unit, which only [`ripost_runtime::LINES`] knows.
pub(super) type Limits = BTreeMap<String, Spanned<Written>>;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Grants {
    #[serde(default)]
    pub(super) outbound: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) secrets: Vec<Spanned<String>>,
    pub(super) kv: Option<bool>,
}
