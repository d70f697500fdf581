//! Which keys a manifest may have, which ones come with a later version, and what was probably meant by others.

use crate::nearest::nearest;
use ripost_runtime::LINES;
use toml::de::{DeTable, DeValue};

const ROOT: &[&str] = &["plugin", "api"];
const PLUGIN: &[&str] = &["name", "version"];
const API: &[&str] = &[
    "owner",
    "slug",
    "handler",
    "price",
    "expires_in",
    "max_attempts",
    "delivery",
    "payload",
    "access",
    "config",
    "limits",
    "retry",
    "grants",
];
/// Designed, and not served yet: refused rather than ignored.
const API_LATER: &[&str] = &["upstream", "reply", "cancel", "capture_on", "schema", "cases", "transforms", "cors"];
const GRANTS: &[&str] = &["outbound", "secrets", "kv"];
/// The one key of `[api.limits]` that is not a limit of a run.
pub(super) const CONCURRENCY: &str = "concurrency";

fn limits() -> Vec<&'static str> {
    LINES.iter().map(|line| line.key).chain([CONCURRENCY]).collect()
}

/// Something wrong at a byte of the text.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) at: usize,
    pub(super) message: String,
}

/// Refuses the first key that this version does not know or does not serve.
pub(super) fn check(root: &DeTable<'_>) -> Result<(), Wrong> {
    check_table(root, "a manifest", ROOT, &[])?;
    if let Some(plugin) = root.get("plugin").and_then(|plugin| plugin.get_ref().as_table()) {
        check_table(plugin, "[plugin]", PLUGIN, &[])?;
    }
    let Some(apis) = root.get("api") else { return Ok(()) };
    let DeValue::Array(list) = apis.get_ref() else {
        return Err(Wrong {
            at: apis.span().start,
            message: "`api` is a list; write [[api]], in two brackets".to_owned(),
        });
    };
    for api in list.iter().filter_map(|api| api.get_ref().as_table()) {
        check_table(api, "[[api]]", API, API_LATER)?;
        if let Some(limits) = api.get("limits").and_then(|limits| limits.get_ref().as_table()) {
            check_table(limits, "[api.limits]", &self::limits(), &[])?;
        }
        if let Some(grants) = api.get("grants").and_then(|grants| grants.get_ref().as_table()) {
            check_table(grants, "[api.grants]", GRANTS, &[])?;
        }
    }
    Ok(())
}

fn check_table(table: &DeTable<'_>, place: &str, known: &[&str], later: &[&str]) -> Result<(), Wrong> {
    // In the order of the text, so that the first line that is wrong is the one that is named.
    let mut keys: Vec<(usize, &str)> = table.keys().map(|key| (key.span().start, key.get_ref().as_ref())).collect();
    keys.sort_unstable();
    match keys.into_iter().find(|(_, key)| !known.contains(key)) {
        None => Ok(()),
        Some((at, key)) => Err(Wrong { at, message: explain(key, place, known, later) }),
    }
}

fn explain(key: &str, place: &str, known: &[&str], later: &[&str]) -> String {
    if later.contains(&key) {
        return format!("`{key}` is not available in this version; remove it");
    }
    if let Some(meant) = nearest(key, known.iter().chain(later).copied()) {
        return format!("unknown key `{key}` in {place}; did you mean `{meant}`?");
    }
    let limits = limits();
    let tables = [("[plugin]", PLUGIN), ("[[api]]", API), ("[api.limits]", &limits)];
    if let Some((home, _)) = tables.iter().find(|(home, keys)| *home != place && keys.contains(&key)) {
        return format!("unknown key `{key}` in {place}; it belongs in {home}");
    }
    format!("unknown key `{key}` in {place}; the keys there are {}", known.join(", "))
}
