//! `plugin.toml`: read, checked, and turned into values that cannot be wrong.
//!
//! A key that this version does not serve is an error, never ignored: an owner who asks for something
//! must not believe to have it.

mod allowance;
mod cors;
mod effects;
mod grants;
mod keys;
mod raw;
mod schema;
mod target;
mod transforms;

use crate::config::CONCURRENCY;
use crate::gateway::cors::Origins;
use crate::limits;
pub use allowance::Allowance;
pub use grants::ApiGrants;
use ripost_domain::address::PlainHttp;
use ripost_domain::api::{ApiName, Name};
use ripost_domain::delivery::RetryPolicy;
use ripost_domain::money::Amount;
use ripost_domain::units;
use ripost_runtime::{LINES, Limits, Line, Value};
pub use schema::schema;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
pub use target::{ApiTarget, Reply, Upstream};
use toml::Spanned;
pub use transforms::{ApiTransforms, OnError};

/// The manifest's file name.
pub const FILE_NAME: &str = "plugin.toml";
/// A manifest's size; anything near it is no manifest.
pub(super) const BYTES_MAX: usize = 256 * 1024;

const EXPIRES_IN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(7 * 24);
const EXPIRES_IN_DEFAULT: Duration = Duration::from_hours(1);
const MAX_ATTEMPTS: RangeInclusive<u32> = 1..=10;
const MAX_ATTEMPTS_DEFAULT: u32 = 3;
const VERSION_BYTES_MAX: usize = 64;

/// What a plugin offers.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// `[plugin] name`.
    pub plugin: Name,
    /// `[plugin] version`, as the owner wrote it.
    pub version: String,
    /// At least one; no name twice.
    pub apis: Vec<ApiManifest>,
}

/// One `[[api]]`.
#[derive(Debug, Clone)]
pub struct ApiManifest {
    /// Owner and slug.
    pub name: ApiName,
    /// Who answers.
    pub target: ApiTarget,
    /// Price and bounds of a request.
    pub spec: ApiSpec,
    /// What a run may use.
    pub limits: Arc<Limits>,
    /// What the handler's `config.get` answers from.
    pub config: Arc<BTreeMap<String, String>>,
    /// How its deliveries are retried, if not as the operator has it.
    pub retry: Option<Arc<RetryPolicy>>,
    /// What the handler may reach.
    pub grants: ApiGrants,
    /// What stands between consumer and whoever answers.
    pub transforms: ApiTransforms,
    /// Whose pages may call it, besides those that the operator lets in.
    pub origins: Arc<Origins>,
    /// The folder of its smoke cases: a plain name.
    pub cases: Option<String>,
    /// The file of the schema of its bodies: a plain name, ending in `.json`.
    pub schema: Option<String>,
}

/// Price and bounds of an API's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiSpec {
    /// For one request.
    pub price: Amount,
    /// From accept to the end of the last run, 1 s to 7 d.
    pub expires_in: Duration,
    /// Runs of one request, 1 to 10.
    pub max_attempts: u32,
    /// Runs of this API at once, 1 to 1000.
    pub concurrency: u32,
    /// What its webhooks look like.
    pub payload: PayloadForm,
    /// How its answers reach the consumer.
    pub delivery: DeliveryMode,
    /// Which consumers may call it.
    pub access: Access,
    /// Until when its requests may be cancelled.
    pub cancel: Cancel,
    /// What becomes of calls with a field that is named almost like one for the gateway.
    pub near_miss: NearMiss,
    /// How much of it its consumers may have.
    pub allowance: Allowance,
}

/// What becomes of calls with a field that is named almost like one for the gateway, such as `webhookUrl`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NearMiss {
    /// They are refused, unless the API's schema names the field.
    #[default]
    Refuse,
    /// The field is the owner's, like any other.
    Allow,
}

/// Until when a consumer may cancel an API's requests, and what it costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cancel {
    /// Until they have ended; the hold is released.
    #[default]
    Any,
    /// Until a run has begun.
    BeforeRun,
    /// Until they have ended; during a run the price is charged.
    Charged,
}

/// Which consumers may call an API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Access {
    /// Whoever has a key.
    #[default]
    Open,
    /// Those whom the operator has subscribed.
    Subscribed,
}

/// How an API's answers reach the consumer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeliveryMode {
    /// Every call is durable; its answer is a webhook, or waited for.
    #[default]
    Webhook,
    /// A plain synchronous API: the answer is on the connection that asked.
    Off,
}

/// What an API's webhooks look like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PayloadForm {
    /// The request object with the result in it.
    #[default]
    Request,
    /// The bare result.
    Result,
    /// CloudEvents 1.0, structured, with the request object as its data.
    CloudEvents,
}

/// What the operator allows.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// For an API that asks for nothing; never above the ceiling.
    pub default: Limits,
    /// The most an API may ask for.
    pub ceiling: Limits,
    /// The memory of all guests, if it is what bounds the memory of one run.
    pub guests_memory: Option<usize>,
    /// What each transform has: small, and the operator's to say.
    pub transform: Limits,
    /// Runs at once of an API that asks for nothing.
    pub concurrency: u32,
    /// Where plain http may be granted.
    pub plain_http: PlainHttp,
    /// What becomes of a wish above it.
    pub above: Above,
}

/// What becomes of a wish above the ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Above {
    /// An error.
    Refuse,
    /// The ceiling: for a revision whose requests were accepted before the operator lowered it.
    Lower,
}

/// What is wrong with a manifest, for its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    /// Which manifest, as its author would look for it: `reports/plugin.toml`.
    pub file: String,
    /// Counted from 1.
    pub line: Option<usize>,
    /// What is wrong and what to do.
    pub message: String,
}

impl std::fmt::Display for ManifestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for ManifestError {}

impl Manifest {
    /// Reads a manifest. `file` is what errors call it.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn parse(file: &str, text: &str, bounds: &Bounds) -> Result<Self, ManifestError> {
        let reader = Reader { file, text, bounds };
        let document = toml::de::DeTable::parse(text).map_err(|error| reader.toml(&error))?;
        keys::check(document.get_ref()).map_err(|wrong| reader.error(wrong.at, wrong.message))?;
        let raw: raw::Manifest = toml::from_str(text).map_err(|error| reader.toml(&error))?;
        reader.manifest(raw)
    }

    /// The files of handlers and transforms, each once, with the role that an error calls it by and the most bytes that
    /// it may have: the widest limit of those who use it.
    pub(super) fn components(&self, transform_bytes_max: usize) -> BTreeMap<&str, (&'static str, usize)> {
        let mut components: BTreeMap<&str, (&'static str, usize)> = BTreeMap::new();
        for api in &self.apis {
            let handler = api.target.handler().map(|file| (file, "handler", api.limits.component_bytes_max));
            let transforms = api.transforms.files().map(|file| (file, "transform", transform_bytes_max));
            for (file, role, bytes_max) in handler.into_iter().chain(transforms) {
                let entry = components.entry(file).or_insert((role, bytes_max));
                entry.1 = entry.1.max(bytes_max);
            }
        }
        components
    }

    /// Whether one of the APIs has an upstream.
    #[must_use]
    pub fn has_upstreams(&self) -> bool {
        self.apis.iter().any(|api| matches!(api.target, ApiTarget::Upstream(_)))
    }

    /// Whether an API is among them.
    #[must_use]
    pub fn offers(&self, api: &ApiName) -> bool {
        self.apis.iter().any(|own| own.name == *api)
    }

    /// The files of schemas, each once.
    pub(super) fn schemas(&self) -> std::collections::BTreeSet<&str> {
        self.apis.iter().filter_map(|api| api.schema.as_deref()).collect()
    }

    /// The folders of smoke cases, each once.
    pub(super) fn cases(&self) -> std::collections::BTreeSet<&str> {
        self.apis.iter().filter_map(|api| api.cases.as_deref()).collect()
    }
}

/// Whether the watcher passes over a file or folder of this name: what editors and tools write beside the real one.
pub(super) fn is_ignored(name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~') || name.ends_with(".tmp") || matches!(name, "4913" | "lost+found")
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    bounds: &'a Bounds,
}

/// Texts of the manifest are quoted in messages, and those in three quotes may have lines of their own.
fn on_one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for char in message.chars() {
        if char.is_control() { line.extend(char.escape_debug()) } else { line.push(char) }
    }
    line
}

impl Reader<'_> {
    fn error(&self, at: usize, message: impl Into<String>) -> ManifestError {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        ManifestError { file: self.file.to_owned(), line: Some(line), message: on_one_line(&message.into()) }
    }

    fn toml(&self, error: &toml::de::Error) -> ManifestError {
        let mut message = error.message().trim().replace('\n', ", ");
        if message.ends_with("expected a string") {
            message.push_str("; write it in quotes");
        } else if message.ends_with("expected a sequence") {
            message.push_str("; write a list, in [ and ]");
        } else if let Some(wrong) = message.strip_suffix("expected i64") {
            message = format!("{wrong}expected a whole number");
        } else if let Some(wrong) = message.strip_suffix("expected a boolean") {
            message = format!("{wrong}expected true or false, without quotes");
        }
        match error.span() {
            Some(span) => self.error(span.start, message),
            None => ManifestError { file: self.file.to_owned(), line: None, message },
        }
    }

    fn manifest(&self, raw: raw::Manifest) -> Result<Manifest, ManifestError> {
        let Some(plugin) = raw.plugin else {
            return Err(self.error(0, "there is no [plugin]; begin with [plugin], name = \"…\" and version = \"…\""));
        };
        let at = plugin.span().start;
        let raw::Plugin { name, version } = plugin.into_inner();
        let name = name.ok_or_else(|| self.error(at, "[plugin] has no `name`; add name = \"my-plugin\""))?;
        let version = version.ok_or_else(|| self.error(at, "[plugin] has no `version`; add version = \"1.0.0\""))?;
        if version.get_ref().is_empty() || version.get_ref().len() > VERSION_BYTES_MAX {
            let message = format!("`version` must have 1 to {VERSION_BYTES_MAX} bytes");
            return Err(self.error(version.span().start, message));
        }
        let plugin = self.parsed("name", &name)?;
        if raw.api.is_empty() {
            return Err(
                self.error(self.text.len(), "the plugin offers no API; add an [[api]] with owner, slug and handler")
            );
        }
        let mut apis: Vec<ApiManifest> = Vec::with_capacity(raw.api.len());
        let mut first_at = BTreeMap::new();
        for api in raw.api {
            let at = api.span().start;
            let api = self.api(at, api.into_inner())?;
            if let Some(first) = first_at.insert(api.name.clone(), at) {
                let first = self.error(first, "").line.unwrap_or_default();
                let message =
                    format!("`{}` is offered twice, first on line {first}; change owner or slug of one", api.name);
                return Err(self.error(at, message));
            }
            apis.push(api);
        }
        Ok(Manifest { plugin, version: version.into_inner(), apis })
    }

    fn api(&self, at: usize, raw: raw::Api) -> Result<ApiManifest, ManifestError> {
        let missing =
            |key: &str, example: &str| self.error(at, format!("an [[api]] has no `{key}`; add {key} = \"{example}\""));
        let owner = self.parsed("owner", raw.owner.as_ref().ok_or_else(|| missing("owner", "demo"))?)?;
        let slug = self.parsed("slug", raw.slug.as_ref().ok_or_else(|| missing("slug", "my-api"))?)?;
        let delivery = self.choice(
            "delivery",
            raw.delivery.as_ref(),
            &[("webhook", DeliveryMode::Webhook), ("off", DeliveryMode::Off)],
        )?;
        let target = self.target(at, &raw, delivery)?;
        self.check_effects(&raw, delivery)?;
        let payload = self.choice(
            "payload",
            raw.payload.as_ref(),
            &[
                ("request", PayloadForm::Request),
                ("result", PayloadForm::Result),
                ("cloudevents", PayloadForm::CloudEvents),
            ],
        )?;
        let retry = raw.retry.map(|retry| self.retry(&retry)).transpose()?.flatten();
        let access =
            self.choice("access", raw.access.as_ref(), &[("open", Access::Open), ("subscribed", Access::Subscribed)])?;
        let cancel = self.choice(
            "cancel",
            raw.cancel.as_ref(),
            &[("any", Cancel::Any), ("before_run", Cancel::BeforeRun), ("charged", Cancel::Charged)],
        )?;
        let near_miss = self.choice(
            "near_miss",
            raw.near_miss.as_ref(),
            &[("refuse", NearMiss::Refuse), ("allow", NearMiss::Allow)],
        )?;
        let price = raw.price.map_or(Ok(Amount::ZERO), |price| self.parsed("price", &price))?;
        let expires_in = match &raw.expires_in {
            None => EXPIRES_IN_DEFAULT,
            Some(text) => {
                let duration = self.quantity("expires_in", text, units::parse_duration)?;
                if !EXPIRES_IN.contains(&duration) {
                    let message = format!("`expires_in` is {} and must be between 1 s and 7 d", text.get_ref());
                    return Err(self.error(text.span().start, message));
                }
                duration
            }
        };
        let max_attempts =
            self.count("max_attempts", raw.max_attempts.as_ref(), &MAX_ATTEMPTS, MAX_ATTEMPTS_DEFAULT)?;
        let (limits, concurrency, allowance) = self.limits(raw.limits)?;
        let grants = self.grants(&raw.grants.unwrap_or_default())?;
        let transforms = self.transforms(raw.transforms.as_ref(), delivery)?;
        let origins = self.origins(raw.cors.as_ref())?;
        if let Some(cases) = &raw.cases {
            check_cases(cases.get_ref()).map_err(|message| self.error(cases.span().start, message))?;
        }
        if let Some(schema) = &raw.schema {
            check_schema(schema.get_ref()).map_err(|message| self.error(schema.span().start, message))?;
        }
        Ok(ApiManifest {
            name: ApiName { owner, slug },
            target,
            spec: ApiSpec {
                price,
                expires_in,
                max_attempts,
                concurrency,
                payload,
                delivery,
                access,
                cancel,
                near_miss,
                allowance,
            },
            limits: Arc::new(limits),
            config: Arc::new(raw.config),
            retry,
            grants,
            transforms,
            origins,
            cases: raw.cases.map(Spanned::into_inner),
            schema: raw.schema.map(Spanned::into_inner),
        })
    }

    /// One of the words that a key may have, or the default.
    fn choice<T: Copy + Default>(
        &self,
        key: &str,
        text: Option<&Spanned<String>>,
        words: &[(&str, T)],
    ) -> Result<T, ManifestError> {
        let Some(text) = text else { return Ok(T::default()) };
        let given = text.get_ref();
        if let Some((_, value)) = words.iter().find(|(word, _)| word == given) {
            return Ok(*value);
        }
        let quoted = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>();
        let (last, others) = quoted.split_last().expect("a key has words");
        let message = format!("{key} = \"{given}\" means nothing; write {} or {last}", others.join(", "));
        Err(self.error(text.span().start, message))
    }

    fn retry(&self, raw: &Spanned<raw::Retry>) -> Result<Option<Arc<RetryPolicy>>, ManifestError> {
        let Some(schedule) = &raw.get_ref().schedule else { return Ok(None) };
        let waits = schedule.iter().map(|wait| self.quantity("retry.schedule", wait, units::parse_duration));
        let waits = waits.collect::<Result<Vec<_>, _>>()?;
        let at = schedule.first().map_or(raw.span().start, |wait| wait.span().start);
        let policy = RetryPolicy::new(waits).map_err(|error| self.error(at, format!("`retry.schedule`: {error}")))?;
        Ok(Some(Arc::new(policy)))
    }

    /// What a run may use, how many there may be at once, and how much its consumers may have.
    fn limits(&self, raw: raw::Limits) -> Result<(Limits, u32, Allowance), ManifestError> {
        let Bounds { default, ceiling, concurrency, .. } = self.bounds;
        let (mut limits, mut concurrency, mut allowance) = (default.clone(), *concurrency, Allowance::default());
        for line in LINES.iter().filter(|line| line.get(default).exceeds(line.get(ceiling))) {
            set(line, &mut limits, line.get(ceiling));
        }
        // In the order of the text, so that the first line that is wrong is the one that is named.
        let mut asked: Vec<(String, Spanned<limits::Written>)> = raw.into_iter().collect();
        asked.sort_by_key(|(_, written)| written.span().start);
        for (key, written) in asked {
            if key == keys::CONCURRENCY {
                concurrency = self.concurrency(&written)?;
            } else if allowance::is_key(&key) {
                self.allow(&mut allowance, &key, &written)?;
            } else if let Some(line) = Line::named(&key) {
                set(line, &mut limits, self.limit(line, &written)?);
            }
        }
        Ok((limits, concurrency, allowance))
    }

    /// A limit: more than nothing, and at most the ceiling.
    fn limit(&self, line: &Line, written: &Spanned<limits::Written>) -> Result<Value, ManifestError> {
        let at = written.span().start;
        let ceiling = line.get(&self.bounds.ceiling);
        let wish = limits::read_wish(line, written.get_ref(), ceiling).map_err(|message| self.error(at, message))?;
        if !wish.exceeds(ceiling) {
            return Ok(wish);
        }
        match self.bounds.above {
            Above::Lower => Ok(ceiling),
            Above::Refuse => {
                let most = match self.bounds.guests_memory {
                    Some(all) if line.key == "memory" => {
                        format!(
                            "one run on this host can have {ceiling} of the {} that all guests share",
                            units::format_size(all)
                        )
                    }
                    _ => format!("this host's ceiling is {ceiling}"),
                };
                let message =
                    format!("`{}` asks for {wish} and {most}; ask for less, or have the operator raise it", line.key);
                Err(self.error(at, message))
            }
        }
    }

    fn concurrency(&self, written: &Spanned<limits::Written>) -> Result<u32, ManifestError> {
        let (key, at) = (keys::CONCURRENCY, written.span().start);
        let limits::Written::Number(number) = written.get_ref() else {
            return Err(self.error(at, format!("`{key}` is a number; write {key} = 16 without quotes")));
        };
        self.within(key, at, *number, &CONCURRENCY)
    }

    fn quantity<T, E: std::fmt::Display>(
        &self,
        key: &str,
        text: &Spanned<String>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, ManifestError> {
        parse(text.get_ref()).map_err(|error| self.error(text.span().start, format!("`{key}`: {error}")))
    }

    fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        key: &str,
        text: &Spanned<String>,
    ) -> Result<T, ManifestError> {
        self.quantity(key, text, str::parse)
    }

    fn count(
        &self,
        key: &str,
        value: Option<&Spanned<i64>>,
        range: &RangeInclusive<u32>,
        default: u32,
    ) -> Result<u32, ManifestError> {
        let Some(value) = value else { return Ok(default) };
        self.within(key, value.span().start, *value.get_ref(), range)
    }

    fn within(&self, key: &str, at: usize, number: i64, range: &RangeInclusive<u32>) -> Result<u32, ManifestError> {
        u32::try_from(number).ok().filter(|count| range.contains(count)).ok_or_else(|| {
            self.error(at, format!("`{key}` is {number} and must be between {} and {}", range.start(), range.end()))
        })
    }
}

fn set(line: &Line, limits: &mut Limits, value: Value) {
    let set = line.set(limits, value);
    debug_assert!(set, "it is in the limit's own unit");
}

/// A component's file: inside the plugin's own folder, and seen by the watcher.
fn check_component(key: &str, name: &str) -> Result<(), String> {
    let what = match key {
        "handler" => format!("handler = \"{name}\""),
        _ => format!("`{key}`: \"{name}\""),
    };
    if !is_plain(name) {
        return Err(format!("{what} is a path; name a file inside the plugin's own folder, such as \"my-api.wasm\""));
    }
    if is_ignored(name) {
        return Err(format!("{what} is a name that is passed over as an editor's draft; rename the file"));
    }
    if name.len() <= ".wasm".len() || !name.ends_with(".wasm") {
        return Err(format!("{what} is no component's name; name a file that ends in .wasm"));
    }
    Ok(())
}

fn check_cases(name: &str) -> Result<(), String> {
    if !is_plain(name) {
        return Err(format!("cases = \"{name}\" is a path; name a folder inside the plugin's own, such as \"cases\""));
    }
    if is_ignored(name) || name == FILE_NAME || name.ends_with(".wasm") {
        return Err(format!("cases = \"{name}\" is no folder of cases; name it \"cases\""));
    }
    Ok(())
}

fn check_schema(name: &str) -> Result<(), String> {
    if !is_plain(name) {
        return Err(format!(
            "schema = \"{name}\" is a path; name a file inside the plugin's own folder, such as \"schema.json\""
        ));
    }
    if is_ignored(name) {
        return Err(format!("schema = \"{name}\" is a name that is passed over as an editor's draft; rename the file"));
    }
    if name.len() <= ".json".len() || !name.ends_with(".json") {
        return Err(format!("schema = \"{name}\" is no schema's name; name a file that ends in .json"));
    }
    Ok(())
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "." && name != ".."
}

#[cfg(test)]
pub(crate) mod tests;
