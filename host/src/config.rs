//! What an operator can set: built-in defaults, then `ripost.toml`, then `RIPOST_*`, then flags. Unknown keys are errors.

mod address;
mod alerts;
mod compile;
mod connections;
mod consumers;
mod cors;
mod delivery;
mod doubt;
mod kv;
mod limits;
mod log;
mod outbound;
mod plugins;
mod push;
mod retention;
mod runs;
mod sandbox;
mod settlement;
mod shutdown;
mod storage;
mod upstream;
mod wall;

pub(crate) use address::{gateway_url, listen_address};
pub use alerts::Alerts;
pub use compile::Compile;
pub use connections::Connections;
pub use consumers::Consumers;
pub use cors::Cors;
pub use delivery::Delivery;
pub use doubt::Doubt;
pub use kv::Kv;
pub use limits::Limits;
pub use log::{Format, Log};
pub use outbound::{Outbound, SecretForm};
pub use plugins::{Plugins, WatchMode};
pub use push::Push;
pub use retention::Retention;
pub use runs::Runs;
pub(crate) use sandbox::CONCURRENCY;
pub use sandbox::Sandbox;
pub use settlement::Settlement;
pub use shutdown::Shutdown;
pub use storage::Storage;
pub use upstream::Upstream;
pub use wall::{Wall, WallMode};

use camino::{Utf8Path, Utf8PathBuf};
use ripost_runtime::MemoryPlan;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use url::Url;

/// The configuration is not usable; exit code 64.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file named on the command line is not there.
    #[error("reading configuration {path}")]
    Read {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong kind.
    #[error("configuration {path}: {message}")]
    Parse {
        /// The file.
        path: Utf8PathBuf,
        /// Line, column and reason.
        message: String,
    },
    /// Each value is fine, together they are not.
    #[error("configuration: {0}")]
    Contradiction(String),
}

/// Everything that can be set, with its value.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address of the data plane.
    #[serde(deserialize_with = "address::deserialize")]
    pub listen: SocketAddr,
    /// Address of `/admin/v1` and `/metrics`; not set: that of the data plane.
    #[serde(deserialize_with = "address::deserialize_some")]
    pub admin_listen: Option<SocketAddr>,
    /// The data folder.
    pub data: Utf8PathBuf,
    /// The folder that is watched for plugins.
    pub plugins_folder: Utf8PathBuf,
    /// Whether somebody named that folder. A start makes the default one only.
    #[serde(skip)]
    pub plugins_named: bool,
    /// What the outside calls us: links and callback URLs begin with it. Not set: the listen address.
    #[serde(deserialize_with = "address::deserialize_url")]
    pub public_url: Option<Url>,
    /// Development mode.
    pub dev: bool,
    /// Lets development mode listen beyond loopback.
    pub dev_expose: bool,
    /// Connections and their times.
    pub connections: Connections,
    /// Sizes of what comes in.
    pub limits: Limits,
    /// What consumers may do.
    pub consumers: Consumers,
    /// Runs of handlers.
    pub runs: Runs,
    /// What handlers and transforms may use.
    pub sandbox: Sandbox,
    /// What owners' handlers may keep.
    pub kv: Kv,
    /// Delivery of webhooks.
    pub delivery: Delivery,
    /// Calls that handlers make.
    pub outbound: Outbound,
    /// Owners' services.
    pub upstream: Upstream,
    /// Where the operator is told of trouble.
    pub alerts: Alerts,
    /// Reload of plugins.
    pub plugins: Plugins,
    /// Whose pages may call.
    pub cors: Cors,
    /// Plugins that come over the wire.
    pub push: Push,
    /// Compiling of components.
    pub compile: Compile,
    /// For how long ended requests are kept.
    pub retention: Retention,
    /// Room on the disk.
    pub storage: Storage,
    /// Shares.
    pub settlement: Settlement,
    /// Stopping.
    pub shutdown: Shutdown,
    /// What the gateway gives up at its start.
    pub wall: Wall,
    /// Logs.
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            admin_listen: None,
            data: "./ripost-data".into(),
            plugins_folder: PLUGINS_FOLDER.into(),
            plugins_named: false,
            public_url: None,
            dev: false,
            dev_expose: false,
            connections: Connections::default(),
            limits: Limits::default(),
            consumers: Consumers::default(),
            runs: Runs::default(),
            sandbox: Sandbox::default(),
            kv: Kv::default(),
            delivery: Delivery::default(),
            outbound: Outbound::default(),
            upstream: Upstream::default(),
            alerts: Alerts::default(),
            plugins: Plugins::default(),
            cors: Cors::default(),
            push: Push::default(),
            compile: Compile::default(),
            retention: Retention::default(),
            storage: Storage::default(),
            settlement: Settlement::default(),
            shutdown: Shutdown::default(),
            wall: Wall::default(),
            log: Log::default(),
        }
    }
}

/// What flags and `RIPOST_*` may override.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--admin-listen`
    pub admin_listen: Option<SocketAddr>,
    /// `--data`
    pub data: Option<Utf8PathBuf>,
    /// `--plugins`
    pub plugins: Option<Utf8PathBuf>,
    /// `--public-url`
    pub public_url: Option<Url>,
    /// `--dev`
    pub dev: Option<bool>,
    /// `--dev-expose`
    pub dev_expose: Option<bool>,
}

/// The plugins folder that a start makes.
const PLUGINS_FOLDER: &str = "./plugins";
/// The file that is read when none is named, if it is there.
const DEFAULT_FILE: &str = "ripost.toml";

impl Config {
    /// Reads the file (the named one must exist), lays the overrides over it and checks the whole.
    ///
    /// # Errors
    /// [`ConfigError`], in words for the operator.
    pub fn load(file: Option<&Utf8Path>, overrides: Overrides) -> Result<Self, ConfigError> {
        let path = file.unwrap_or(Utf8Path::new(DEFAULT_FILE));
        let mut config = match std::fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|error| ConfigError::Parse {
                path: path.to_owned(),
                message: error.to_string().trim_end().to_owned(),
            })?,
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => Self::default(),
            Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
        };
        config.listen = overrides.listen.unwrap_or(config.listen);
        config.admin_listen = overrides.admin_listen.or(config.admin_listen);
        config.data = overrides.data.unwrap_or(config.data);
        config.plugins_named = overrides.plugins.is_some() || config.plugins_folder != PLUGINS_FOLDER;
        config.plugins_folder = overrides.plugins.unwrap_or(config.plugins_folder);
        config.public_url = overrides.public_url.or(config.public_url);
        config.dev = overrides.dev.unwrap_or(config.dev);
        config.dev_expose = overrides.dev_expose.unwrap_or(config.dev_expose);
        config.check()?;
        Ok(config)
    }

    /// Instances at once: runs, and transforms of calls that are not accepted yet.
    #[must_use]
    pub fn instances(&self) -> u32 {
        self.runs.concurrency + self.runs.transforms()
    }

    /// What guests may have of the machine's memory.
    #[must_use]
    pub fn memory_plan(&self) -> MemoryPlan {
        self.sandbox.memory_plan(self.instances())
    }

    /// The most that a manifest may ask for.
    #[must_use]
    pub fn ceiling(&self) -> ripost_runtime::Limits {
        self.sandbox.ceiling(self.instances())
    }

    /// The memory of all guests, where it leaves one run less than `sandbox.ceiling` would.
    #[must_use]
    pub fn memory_that_bounds_runs(&self) -> Option<usize> {
        (self.ceiling().memory_bytes < self.sandbox.ceiling.memory_bytes).then(|| self.sandbox.memory())
    }

    fn check(&self) -> Result<(), ConfigError> {
        let contradiction = |text: String| Err(ConfigError::Contradiction(text));
        if self.dev && !self.dev_expose && !self.listen.ip().is_loopback() {
            return contradiction(format!(
                "development mode has a well-known key and would listen on {}: use a loopback address, or say --dev-expose",
                self.listen
            ));
        }
        if self.dev_expose && !self.dev {
            return contradiction("--dev-expose goes with --dev".to_owned());
        }
        if let Some(url) = &self.public_url {
            let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
            if !matches!(url.scheme(), "http" | "https") || url.path() != "/" || !plain {
                return contradiction(format!("public_url {url} must be http(s)://host[:port] and nothing more"));
            }
        }
        self.connections
            .check()
            .and_then(|()| self.limits.check())
            .and_then(|()| self.cors.origins().map(|_| ()))
            .and_then(|()| self.runs.check())
            .and_then(|()| self.sandbox.check(self.runs.concurrency))
            .and_then(|()| self.sandbox.check_memory(self.instances()))
            .and_then(|()| self.delivery.check())
            .and_then(|()| self.outbound.check())
            .and_then(|()| self.upstream.check())
            .and_then(|()| self.alerts.check())
            .and_then(|()| self.plugins.check())
            .and_then(|()| self.push.check())
            .and_then(|()| self.compile.check())
            .and_then(|()| self.retention.check())
            .or_else(contradiction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().join("ripost.toml")).unwrap();
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path), Overrides::default())
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it_and_its_line() {
        let error = load("listen = \"127.0.0.1:0\"\n[runs]\nconcurency = 3\n").unwrap_err().to_string();
        assert!(error.contains("concurency") && error.contains("line 3") && error.contains("concurrency"), "{error}");
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let text = toml::to_string(&Config::default()).unwrap();
        assert_eq!(toml::to_string(&load(&text).unwrap()).unwrap(), text);
    }

    #[test]
    fn contradictions_are_refused() {
        for text in [
            "dev = true\nlisten = \"0.0.0.0:3000\"",
            "dev_expose = true",
            "public_url = \"https://example.com/path\"",
            "public_url = \"ftp://example.com\"",
            "[connections]\ntrusted_proxies = [\"10.0.0.1/8\"]",
            "[delivery]\nschedule = []",
            "[delivery]\ndeadline = \"0 s\"",
            "[outbound]\nin_flight = 0",
            "[delivery]\nallow = [\"10.0.0.0/33\"]",
            "[delivery]\ndeny = [\"everything\"]",
            "[plugins]\nrescan = \"0 s\"",
            "[outbound]\nallow = [\"10.0.0.0/33\"]",
            "[upstream]\nallow = [\"10.0.0.0/33\"]",
            "[upstream]\ndeadline = \"0 s\"",
            "[outbound]\nsecrets = \"visible\"",
            "[limits]\nbody = \"0 B\"",
            "[limits]\nanswers_in_memory = \"1 MiB\"",
            "[cors]\norigins = [\"shop.example\"]",
            "[cors]\norigins = [\"https://shop.example/\"]",
            "[connections]\nmax = 0",
            "[connections]\nper_address = 0",
            "[connections]\nanswer_time = \"0 s\"",
            "[connections]\nanswer_rate_min = \"0 B\"",
            "[push]\nbytes_max = \"1 KiB\"",
            "[push]\ntime = \"0 s\"",
            "[push]\nplugins_per_owner_max = 0",
            "[compile]\nwall = \"99 ms\"",
            "[compile]\nmemory = \"31 MiB\"",
            "[compile]\ncache = \"1 KiB\"",
            "[retention]\nresults = \"0 s\"",
            "[retention]\nresults = \"8 d\"\nrequests = \"7 d\"",
            "[retention]\nevery = \"0 s\"",
            "[settlement]\nfee_bps = 10001",
        ] {
            assert!(load(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_named_file_must_be_there() {
        assert!(matches!(
            Config::load(Some("no/such.toml".into()), Overrides::default()),
            Err(ConfigError::Read { .. })
        ));
    }
}
