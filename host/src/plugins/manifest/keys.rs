//! Which keys a manifest may have, what each is for, which ones come with a later version, and what was probably meant
//! by others. The checks and the JSON Schema are made from these tables, and so never differ.

use super::transforms::TRANSFORMS_MAX;
use super::{EXPIRES_IN, MAX_ATTEMPTS, allowance, grants};
use crate::nearest::nearest;
use ripost_domain::delivery::{RETRY_AFTER_MAX, RETRY_WAITS};
use ripost_runtime::LINES;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;
use toml::de::{DeTable, DeValue};

/// A table of a manifest.
#[derive(Debug)]
pub(super) struct Table {
    /// What errors call it.
    place: &'static str,
    pub(super) keys: &'static [Key],
    /// Of these it has exactly one; none named: there is no such rule.
    pub(super) one_of: &'static [&'static str],
    /// Designed, and not served yet: refused rather than ignored.
    later: &'static [&'static str],
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) need: Need,
    pub(super) form: Form,
    /// For whoever writes a manifest.
    pub(super) about: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Required,
    Optional,
}

/// What a key's value looks like.
#[derive(Debug)]
pub(super) enum Form {
    Text(Text),
    Choice(&'static [&'static str]),
    Count(RangeInclusive<u32>),
    Flag,
    List(Text, RangeInclusive<usize>),
    /// A list without the same twice, up to so many.
    Set(Text, usize),
    /// Any keys, each with a text.
    Texts,
    /// `[api.limits]`: what there is to limit is listed in [`LINES`].
    Limits,
    Table(&'static Table),
    Tables(&'static Table),
}

/// What a text looks like.
#[derive(Debug, Clone, Copy)]
pub(super) enum Text {
    Version,
    Name,
    Component,
    Folder,
    Schema,
    Amount,
    Duration { least: Duration, most: Duration },
    Place,
    Url,
    SecretName,
    Origin,
}

/// The key of `[api.limits]` that is not a limit of a run.
pub(super) const CONCURRENCY: &str = "concurrency";

const fn key(name: &'static str, form: Form, about: &'static str) -> Key {
    Key { name, need: Need::Optional, form, about }
}

const fn required(name: &'static str, form: Form, about: &'static str) -> Key {
    Key { name, need: Need::Required, form, about }
}

pub(super) static ROOT: Table = Table {
    place: "a manifest",
    keys: &[
        required("plugin", Form::Table(&PLUGIN), "What the plugin is called."),
        required("api", Form::Tables(&API), "One API that the plugin offers; write [[api]] for each."),
    ],
    one_of: &[],
    later: &[],
};

static PLUGIN: Table = Table {
    place: "[plugin]",
    keys: &[
        required("name", Form::Text(Text::Name), "The plugin's name."),
        required("version", Form::Text(Text::Version), "The plugin's version, as you like; 1 to 64 bytes."),
    ],
    one_of: &[],
    later: &[],
};

static API: Table = Table {
    place: "[[api]]",
    keys: &[
        required("owner", Form::Text(Text::Name), "Who offers it: /api/{owner}/api/{slug}."),
        required("slug", Form::Text(Text::Name), "What it is called: /api/{owner}/api/{slug}."),
        key("handler", Form::Text(Text::Component), "The component that answers, a file in the plugin's folder."),
        key(
            "upstream",
            Form::Text(Text::Url),
            "In place of `handler`: a service of your own that requests are forwarded to, such as http://localhost:8080/process.",
        ),
        key(
            "reply",
            Form::Choice(&["auto", "callback", "inline"]),
            "When the upstream answers. auto: 202, 204 or an empty 2xx mean later (default); callback: always later; inline: at once.",
        ),
        key("price", Form::Text(Text::Amount), "USDC for one request; held when it is accepted. Default 0."),
        key(
            "expires_in",
            Form::Text(Text::Duration { least: *EXPIRES_IN.start(), most: *EXPIRES_IN.end() }),
            "From accept to the end of the last run, 1 s to 7 d. Default 1 h.",
        ),
        key("max_attempts", Form::Count(MAX_ATTEMPTS), "Runs of one request. Default 3."),
        key(
            "delivery",
            Form::Choice(&["webhook", "off"]),
            "webhook: every call is durable (default); off: a plain synchronous API.",
        ),
        key(
            "payload",
            Form::Choice(&["request", "result", "cloudevents"]),
            "What its webhooks look like: the request object (default), the bare result, or CloudEvents.",
        ),
        key(
            "access",
            Form::Choice(&["open", "subscribed"]),
            "Who may call it: whoever has a key (default), or consumers whom the operator has subscribed.",
        ),
        key(
            "cancel",
            Form::Choice(&["any", "before_run", "charged"]),
            "Until when its requests may be cancelled: until they have ended (any, the default), until a run has begun (before_run), or until they have ended with the price charged during a run (charged).",
        ),
        key(
            "near_miss",
            Form::Choice(&["refuse", "allow"]),
            "What becomes of calls with a field named almost like one for the gateway, such as webhookUrl, that `schema` does not name: they are refused (default), or the field is yours.",
        ),
        key("config", Form::Texts, "What the handler's `config.get` answers from."),
        key(
            "limits",
            Form::Limits,
            "What a run may use (above the operator's ceiling is refused), and how much of the API its consumers may have.",
        ),
        key("retry", Form::Table(&RETRY), "How its deliveries are retried."),
        key("grants", Form::Table(&GRANTS), "What its handler may reach; nothing unless it is written here."),
        key("transforms", Form::Table(&TRANSFORMS), "Components between consumer and handler."),
        key(
            "cases",
            Form::Text(Text::Folder),
            "A folder of smoke cases (*.json) that must pass before a revision serves, and that `ripost test` runs.",
        ),
        key(
            "schema",
            Form::Text(Text::Schema),
            "The JSON Schema of its bodies, a file in the plugin's folder: what does not fit is refused before anything is held.",
        ),
        key(
            "cors",
            Form::Table(&CORS),
            "Whose pages may call it from a browser, besides those that the operator lets in.",
        ),
    ],
    one_of: &["handler", "upstream"],
    later: &["capture_on"],
};

static CORS: Table = Table {
    place: "`cors`",
    keys: &[key(
        "origins",
        Form::Set(Text::Origin, grants::LIST_MAX),
        "Origins such as https://shop.example, or * for every page. They may also follow requests.",
    )],
    one_of: &[],
    later: &[],
};

static RETRY: Table = Table {
    place: "`retry`",
    keys: &[key(
        "schedule",
        Form::List(Text::Duration { least: Duration::ZERO, most: RETRY_AFTER_MAX }, RETRY_WAITS),
        "The wait before each attempt, the first one included: 1 to 50 waits, each of 24 h at most.",
    )],
    one_of: &[],
    later: &[],
};

static GRANTS: Table = Table {
    place: "[api.grants]",
    keys: &[
        key("outbound", Form::Set(Text::Place, grants::LIST_MAX), "Where it may call."),
        key("secrets", Form::Set(Text::SecretName, grants::LIST_MAX), "Which of the owner's secrets it may use."),
        key("kv", Form::Flag, "Whether it may use the owner's store."),
    ],
    one_of: &[],
    later: &[],
};

static TRANSFORMS: Table = Table {
    place: "`transforms`",
    keys: &[
        key("request", Form::List(Text::Component, 0..=TRANSFORMS_MAX), "On what the consumer sent, in this order."),
        key("response", Form::List(Text::Component, 0..=TRANSFORMS_MAX), "On the answer, before it is stored."),
        key("webhook", Form::List(Text::Component, 0..=TRANSFORMS_MAX), "On the webhook's payload, when it is made."),
        key(
            "webhook_on_error",
            Form::Choice(&["fail", "send_original"]),
            "What becomes of a webhook whose transform fails: it is not sent (default), or sent without the transforms.",
        ),
    ],
    one_of: &[],
    later: &[],
};

impl Table {
    /// Whether it may have this key.
    pub(super) fn has(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.name == name)
    }

    fn names(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.name).collect()
    }
}

fn limits() -> Vec<&'static str> {
    let allowance = allowance::KEYS.iter().map(|key| key.name);
    LINES.iter().map(|line| line.key).chain([CONCURRENCY]).chain(allowance).collect()
}

pub(super) const LIMITS: &str = "[api.limits]";

/// Something wrong at a byte of the text.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) at: usize,
    pub(super) message: String,
}

/// Refuses the first key that this version does not know or does not serve.
pub(super) fn check(root: &DeTable<'_>) -> Result<(), Wrong> {
    check_table(root, &ROOT)
}

fn check_table(table: &DeTable<'_>, known: &Table) -> Result<(), Wrong> {
    check_names(table, known.place, &known.names(), known.later)?;
    for key in known.keys {
        let Some(value) = table.get(key.name) else { continue };
        match (&key.form, value.get_ref()) {
            (Form::Table(known), DeValue::Table(table)) => check_table(table, known)?,
            (Form::Tables(known), DeValue::Array(list)) => {
                for entry in list {
                    let Some(table) = entry.get_ref().as_table() else { return Err(not_tables(key, entry.span())) };
                    check_table(table, known)?;
                }
            }
            (Form::Tables(_), _) => return Err(not_tables(key, value.span())),
            (Form::Limits, DeValue::Table(table)) => check_names(table, LIMITS, &limits(), &[])?,
            // A list would be read as the values of the keys in some order.
            (Form::Table(_) | Form::Limits | Form::Texts, DeValue::Array(_)) => {
                let message = format!("`{0}` is a table; write `{0} = {{ … }}`, with a name for each value", key.name);
                return Err(Wrong { at: value.span().start, message });
            }
            // Values of another kind are for whoever reads them.
            _ => {}
        }
    }
    Ok(())
}

fn not_tables(key: &Key, span: Range<usize>) -> Wrong {
    let message = format!("`{0}` is a list of tables; write [[{0}]], in two brackets", key.name);
    Wrong { at: span.start, message }
}

fn check_names(table: &DeTable<'_>, place: &str, known: &[&str], later: &[&str]) -> Result<(), Wrong> {
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
    let tables = [&PLUGIN, &API, &GRANTS, &TRANSFORMS].map(|table| (table.place, table.names()));
    let homes = tables.into_iter().chain([(LIMITS, limits())]);
    for (home, keys) in homes {
        if home != place && keys.contains(&key) {
            return format!("unknown key `{key}` in {place}; it belongs in {home}");
        }
    }
    format!("unknown key `{key}` in {place}; the keys there are {}", known.join(", "))
}
