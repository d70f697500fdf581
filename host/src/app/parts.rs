//! The parts that a section of the configuration makes, each from its own.

use super::StartError;
use crate::capability::outbound::Outlet;
use crate::causes::chain;
use crate::compile::Compile;
use crate::config::Config;
use crate::egress::{EgressClient, OwnAddresses, Settings, SystemResolver};
use crate::keyring::Keyring;
use crate::plugins::{Bare, PluginsConfig};
use crate::upstreams::{Upstreams, Way, any_address};
use anyhow::Context as _;
use ripost_domain::address::UrlPolicy;
use ripost_runtime::Runtime;
use ripost_store::sqlite::{SqliteConfig, SqliteStore};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// Exit code after the disk has failed (`EX_IOERR`): nothing that was answered is in doubt, nothing more is.
const EXIT_IO: i32 = 74;
/// Unused connections of one owner's calls to one origin, and of all calls: a run makes few calls, and each owner has
/// connections of its own.
const OUTBOUND_IDLE_PER_ORIGIN: usize = 8;
const OUTBOUND_IDLE_TOTAL: usize = 256;

pub(super) async fn open_store(data: &camino::Utf8Path) -> Result<SqliteStore, StartError> {
    let config = SqliteConfig::new(data.to_owned());
    let fatal = Arc::new(|reason: String| {
        tracing::error!(reason, "The disk has failed; ending, because an answer given now could not be trusted");
        std::process::exit(EXIT_IO);
    });
    let opened = tokio::task::spawn_blocking(move || SqliteStore::open(config, fatal)).await;
    Ok(opened.context("opening the store")??)
}

pub(crate) fn start_runtime(config: &Config, compile: Compile) -> Result<Runtime, StartError> {
    let runtime = config.sandbox.runtime(config.instances());
    Ok(Runtime::start_with(runtime, Arc::new(compile)).context("starting the sandbox")?)
}

pub(super) fn plugins_config(config: &Config) -> PluginsConfig {
    PluginsConfig {
        plain_http: config.outbound.plain_http(config.dev),
        quiet: config.plugins.quiet,
        rename_settle: config.plugins.rename_settle,
        rescan: config.plugins.rescan,
        deleted_grace: config.plugins.deleted_grace,
        watch: config.plugins.watch,
        probation: config.plugins.probation,
        quarantine_after: config.plugins.quarantine_after,
        smoke_wall: config.plugins.smoke_wall,
        pushed_per_owner_max: config.push.plugins_per_owner_max,
        compile_workers: config.compile.workers,
        compile_budget: config.compile.budget,
        bare: if config.dev { Bare::Serve } else { Bare::Refuse },
        limits: config.sandbox.handler.clone(),
        ceiling: config.ceiling(),
        guests_memory: config.memory_that_bounds_runs(),
        transform: config.sandbox.transform.clone(),
        concurrency: config.sandbox.concurrency,
        ..PluginsConfig::new(config.plugins_folder.clone(), config.data.join("revisions"))
    }
}

/// The way out of handlers: apart from that of webhooks, whose connections no flood of calls may take.
pub(super) fn start_outlet(config: &Config, own: Vec<SocketAddr>) -> Result<Outlet, StartError> {
    let url_policy = config.outbound.url_policy(config.dev).map_err(StartError::Configuration)?;
    let settings = Settings {
        policy: url_policy.addresses.clone(),
        ca_file: config.outbound.ca_file.clone(),
        idle_per_origin: OUTBOUND_IDLE_PER_ORIGIN,
        idle_total: OUTBOUND_IDLE_TOTAL,
        ..Settings::default()
    };
    Ok(Outlet::new(start_egress(config, settings, own)?, url_policy, config.outbound.bounds()))
}

/// The ways to owners' services: apart from each other, and from all else.
pub(super) fn start_upstreams(
    config: &Config,
    own: Vec<SocketAddr>,
    keyring: Arc<Keyring>,
    base: Arc<str>,
) -> Result<Upstreams, StartError> {
    let way = |url_policy: UrlPolicy| {
        let settings = Settings {
            policy: url_policy.addresses.clone(),
            ca_file: config.upstream.ca_file.clone(),
            ..Settings::default()
        };
        Ok::<_, StartError>(Way { client: start_egress(config, settings, own.clone())?, url_policy })
    };
    Ok(Upstreams {
        any: way(any_address())?,
        guarded: way(config.upstream.url_policy(config.dev).map_err(StartError::Configuration)?)?,
        deadline: config.upstream.deadline,
        keyring,
        base,
    })
}

pub(super) fn start_egress(
    config: &Config,
    settings: Settings,
    own: Vec<SocketAddr>,
) -> Result<EgressClient, StartError> {
    let addresses = OwnAddresses::new(config.public_url.as_ref());
    addresses.set_listeners(own);
    let resolver = SystemResolver::new().map_err(|error| StartError::Other(error.into()))?;
    EgressClient::new(settings, Arc::new(addresses), Arc::new(resolver), &TaskTracker::new())
        .map_err(|error| StartError::Configuration(chain(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;
    use crate::plugins::Above;

    #[test]
    fn a_manifest_is_checked_by_the_bounds_of_the_gateway_in_development_mode_and_out_of_it() {
        let mut config = Config::default();
        config.sandbox.handler.memory_bytes = 9 << 20;
        config.sandbox.transform.log_bytes = 7;
        config.sandbox.concurrency = 3;
        for (dev, plain_http) in [(false, false), (true, false), (false, true)] {
            (config.dev, config.outbound.plain_http) = (dev, plain_http);
            let gateways = plugins_config(&config).bounds(Above::Refuse);
            assert_eq!(format!("{:?}", check::bounds(&config)), format!("{gateways:?}"));
        }
    }
}
