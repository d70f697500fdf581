//! Builds the parts in order, owns every task, and stops them in reverse.

pub(crate) mod clock;
mod development;
mod folder;
mod given_up;
mod keys;
mod parts;
mod pins;
pub(crate) mod preflight;
mod recover;
mod revisions;
mod signals;
mod start_error;

pub(crate) use folder::check_plugins;
pub use given_up::GivenUp;
pub(crate) use parts::start_runtime;
pub use start_error::StartError;

use crate::admin::{Admin, Tokens, Uploads};
use crate::capability::outbound::Outlet;
use crate::capability::{Capabilities, KvOfStore, OwnerSecrets};
use crate::cli;
use crate::compile::Compile;
use crate::config::{Config, WallMode};
use crate::delivery::webhooks::Webhooks;
use crate::delivery::{self, Alerts, Disabled, News, Secrets, Sender};
use crate::egress::{EgressClient, Settings};
use crate::gateway::access::Access;
use crate::gateway::idempotency::InFlight;
use crate::gateway::identity::Identity;
use crate::gateway::limits::{Limiter, Unfinished};
use crate::gateway::listener::{self, Serving, Shares};
use crate::gateway::stream::Streams;
use crate::gateway::{Gateway, TrustedProxies, cors};
use crate::heap;
use crate::keyring::{self, AdminToken};
use crate::live::Live;
use crate::plugins::{Look, Plugins};
use crate::readiness;
use crate::reconcile::{Every, Reconcile};
use crate::retention::Retention;
use crate::runs::{self, Runs};
use crate::storage::{self, Beside, Room};
use crate::telemetry::metrics::Metrics;
use crate::upstreams::Upstreams;
use crate::wall::{self, ServePaths};
use anyhow::Context as _;
use ripost_domain::time::{Clock, SystemClock};
use ripost_store::Store;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A start reads plugins for so long before it listens; the rest it reads afterwards.
const READ_MAX: Duration = Duration::from_secs(10);
/// Where the data plane says where it listens.
const ADDRESS_FILE: &str = "address";

/// A started gateway.
pub struct App {
    config: Config,
    store: Arc<dyn Store>,
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    trusted_proxies: TrustedProxies,
    tasks: TaskTracker,
    egress: Arc<EgressClient>,
    outlet: Arc<Outlet>,
    upstreams: Arc<Upstreams>,
    /// Cancelled first: no new work.
    stopping: CancellationToken,
    /// If this start made it.
    new_token: Option<AdminToken>,
}

async fn bind(address: SocketAddr, flag: &'static str) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::cannot_listen(address, flag, source);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Makes the folders that the wall is built around, and puts it up as the configuration says. For the process's first
/// thread, before there is a second.
///
/// # Errors
/// A folder cannot be made, or the wall is required and this kernel does not have all of it.
pub fn enclose(config: &Config) -> Result<(), StartError> {
    // First, so that a wrong name leaves no new data folder behind.
    check_plugins(config)?;
    folder::ensure_private(&config.data)?;
    folder::ensure_plugins(config)?;
    if config.wall.mode == WallMode::Off {
        tracing::warn!("The wall is off (wall.mode): a hole in the sandbox opens all that this user can do");
        return Ok(());
    }
    let wall = wall::serve(&ServePaths::of(config));
    preflight::check_wall(config, &wall)?;
    match wall.is_complete() {
        true => tracing::info!(%wall, "Put up the wall"),
        false => tracing::warn!(%wall, "Put up a part of the wall; `ripost doctor` says more"),
    }
    Ok(())
}

impl App {
    /// Starts everything; when this returns, calls are answered.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start(config: Config, given_up: GivenUp) -> Result<Self, StartError> {
        // The address first: who cannot listen should not have touched the data.
        let (listener, address) = bind(config.listen, "--listen").await?;
        let admin_listener = match config.admin_listen {
            Some(address) => Some(bind(address, "--admin-listen").await?),
            None => None,
        };
        let data = config.data.clone();
        let (store, clock): (Arc<dyn Store>, Arc<dyn Clock>) =
            (Arc::new(parts::open_store(&data).await?), Arc::new(SystemClock::start()));
        let keyring = Arc::new(keys::open(&*store, &data, given_up, clock.now()).await?);
        clock::check(&*store, &*clock).await?;
        let (token, origin_of_token) = AdminToken::open(&data)?;
        if config.dev {
            development::seed(&*store, &keyring, &*clock).await?;
        }

        let base: Arc<str> = match &config.public_url {
            Some(url) => url.as_str().trim_end_matches('/').into(),
            None => format!("http://{address}").into(),
        };
        let tasks = TaskTracker::new();
        let stopping = CancellationToken::new();
        let metrics = Arc::new(Metrics::new());
        let live = Live::new();

        let compile = Compile::open(&config.compile, &data, &keyring.artefact_key(), metrics.clone(), stopping.clone());
        let runtime = Arc::new(parts::start_runtime(&config, compile)?);
        tracing::info!(runtime = %runtime.describe(), "Started the sandbox");
        let own =
            std::iter::once(address).chain(admin_listener.as_ref().map(|(_, address)| *address)).collect::<Vec<_>>();
        let owner_secrets = OwnerSecrets::load(store.clone(), keyring.clone(), clock.clone(), tasks.clone()).await;
        let owner_secrets = owner_secrets.context("reading the owners' secrets")?;
        let outlet = Arc::new(parts::start_outlet(&config, own.clone())?);
        let upstreams = Arc::new(parts::start_upstreams(&config, own.clone(), keyring.clone(), base.clone())?);
        let capabilities = Capabilities {
            outlet: outlet.clone(),
            secrets: owner_secrets.clone(),
            secret_form: config.outbound.secrets,
            keyring: keyring.clone(),
            kv: Some(Arc::new(KvOfStore { store: store.clone(), clock: clock.clone(), quota: config.kv.quota() })),
        };
        let plugins_config = parts::plugins_config(&config);
        let revisions_folder = plugins_config.revisions_folder.clone();
        revisions::check(&*store, &revisions_folder, given_up).await?;
        let plugins = Plugins::open(plugins_config, runtime.clone(), Arc::new(capabilities), clock.clone())?;
        revisions::mark(&*store, &plugins).await;
        // Before anything runs: what was rolled back shortly before a crash takes its requests along now.
        plugins.set_pins(Arc::new(pins::PinsOfStore(store.clone()))).await;
        // What needs no compiling; the rest goes on by itself.
        let reading = plugins.look(Look::settled());
        if tokio::time::timeout(READ_MAX.max(config.plugins.start_wait), reading).await.is_err()
            || tokio::time::timeout(config.plugins.start_wait, plugins.settled()).await.is_err()
        {
            let apis = plugins.registry().awaited().len();
            tracing::warn!(
                apis_that_served_before = apis,
                "Some plugins are still being made ready; their calls are answered 503 until they are"
            );
        }

        let url_policy = config.delivery.url_policy(config.dev).map_err(StartError::Configuration)?;
        let settings = Settings {
            policy: url_policy.addresses.clone(),
            ca_file: config.delivery.ca_file.clone(),
            ..Settings::default()
        };
        let egress = Arc::new(parts::start_egress(&config, settings, own)?);
        let policy = config.delivery.policy().map_err(StartError::Configuration)?;
        let secrets = Arc::new(Secrets::new(store.clone(), keyring.clone(), clock.clone()));
        let disabled = Arc::new(Disabled::load(&*store).await.context("reading which URLs are disabled")?);
        let signing_key = Arc::new(keyring.signing_key());
        let news = Arc::new(News::default());
        let target = config.alerts.target().map_err(StartError::Configuration)?;
        let alerts = Alerts::start(target, &url_policy, egress.clone(), clock.clone(), &tasks, stopping.clone())
            .map_err(StartError::Configuration)?;
        let sender = Sender::new(
            &config.delivery,
            config.dev,
            policy,
            url_policy.clone(),
            delivery::Needs {
                store: store.clone(),
                egress: egress.clone(),
                secrets: secrets.clone(),
                disabled: disabled.clone(),
                alerts,
                keyring: keyring.clone(),
                signing_key: signing_key.clone(),
                news: news.clone(),
                live: live.clone(),
                metrics: metrics.clone(),
                runtime: runtime.clone(),
                plugins: plugins.clone(),
                clock: clock.clone(),
                tasks: tasks.clone(),
                stopping: stopping.clone(),
            },
        );
        let webhooks = Arc::new(Webhooks {
            store: store.clone(),
            sender: sender.clone(),
            egress: egress.clone(),
            url_policy,
            disabled,
            news,
            keyring: keyring.clone(),
            signing_key,
            clock: clock.clone(),
            plugins: plugins.clone(),
            base: base.clone(),
        });
        let unfinished = Unfinished::load(&*store).await.context("counting the requests that have not ended")?;
        let runs = Runs::new(
            config.runs.clone(),
            runs::Needs {
                store: store.clone(),
                runtime,
                plugins: plugins.clone(),
                live: live.clone(),
                unfinished: unfinished.clone(),
                sender: sender.clone(),
                keyring: keyring.clone(),
                metrics: metrics.clone(),
                clock: clock.clone(),
                base: base.clone(),
                result_url_ttl: config.delivery.result_url_ttl,
                upstreams: upstreams.clone(),
                exchanges: (config.upstream.in_flight, config.upstream.in_flight_per_owner),
                owner_concurrency: config.sandbox.owner_concurrency(config.runs.concurrency),
                tasks: tasks.clone(),
                stopping: stopping.clone(),
            },
        );
        let access = Access::load(store.clone(), clock.clone(), tasks.clone()).await;
        let access = access.context("reading subscriptions and paused APIs")?;
        let limiter = Limiter::load(
            config.consumers.clone(),
            unfinished,
            store.clone(),
            metrics.clone(),
            clock.clone(),
            tasks.clone(),
        );
        let limiter = limiter.await.context("reading the consumers' limits")?;
        runs.count_backlog().await.context("counting the requests that wait")?;
        let tokens = Tokens::load(token.clone(), store.clone(), clock.clone(), tasks.clone()).await;
        let tokens = tokens.context("reading the tokens")?;
        let barred = (!config.dev).then(development::key_hash);
        let identity = Identity::new(store.clone(), clock.clone(), tasks.clone(), barred);
        let room = Arc::new(Room::new(data.clone(), config.storage.clone()));
        let beside = Arc::new(Beside::new(&data, &keyring, revisions_folder));
        let readiness = Arc::new(readiness::Sources {
            plugins: plugins.clone(),
            room: room.clone(),
            beside: beside.clone(),
            store: store.clone(),
        });
        let retention = Arc::new(Retention {
            store: store.clone(),
            config: config.retention.clone(),
            metrics: metrics.clone(),
            clock: clock.clone(),
            asked: Notify::new(),
            stopping: stopping.clone(),
        });
        let trusted_proxies = config.connections.trusted_proxies().map_err(StartError::Configuration)?;
        let gateway = Arc::new(Gateway {
            store: store.clone(),
            plugins: plugins.clone(),
            live: live.clone(),
            runs: runs.clone(),
            identity: identity.clone(),
            room: room.clone(),
            readiness: readiness.clone(),
            access: access.clone(),
            limiter: limiter.clone(),
            keys: Arc::new(InFlight::default()),
            keyring: keyring.clone(),
            webhooks: webhooks.clone(),
            secrets,
            result_url_ttl: config.delivery.result_url_ttl,
            metrics: metrics.clone(),
            clock: clock.clone(),
            fee: config.settlement.fee,
            base: base.clone(),
            limits: config.limits.clone(),
            requests_kept: config.retention.requests,
            body_time: config.connections.body_time,
            body_bytes: Arc::new(Semaphore::new(config.limits.bodies_in_memory)),
            answer_bytes: Arc::new(Semaphore::new(config.limits.answers_in_memory)),
            streams: Streams::new(config.connections.streams_max, config.connections.streams_per_consumer),
            cors: cors::Policy {
                origins: config.cors.origins().map_err(StartError::Configuration)?,
                loopback: config.dev,
            },
            trusted_proxies: trusted_proxies.clone(),
            tasks: tasks.clone(),
            stopping: stopping.clone(),
        });
        let upstreams_guarded = upstreams.guarded.url_policy.clone();
        let app = Self {
            config,
            store: store.clone(),
            live: live.clone(),
            metrics: metrics.clone(),
            clock: clock.clone(),
            trusted_proxies,
            tasks: tasks.clone(),
            egress,
            outlet,
            upstreams,
            stopping: stopping.clone(),
            new_token: (origin_of_token != keyring::Origin::File).then_some(token),
        };

        let reconcile = Reconcile {
            store: store.clone(),
            runs: runs.clone(),
            sender: sender.clone(),
            plugins: plugins.clone(),
            clock: clock.clone(),
            stopping: stopping.clone(),
        };
        let every = Every { runs: app.config.runs.sweep, deliveries: app.config.delivery.sweep };
        recover::then_start(reconcile, every, &tasks).await;
        tasks.spawn(sender.drip());
        tasks.spawn(retention.clone().run());
        tasks.spawn(storage::tell_of_refusals(store.clone(), stopping.clone()));
        tasks.spawn(beside.watch(stopping.clone()));
        tasks.spawn(room.clone().watch(store.clone(), metrics.clone(), stopping.clone()));
        tasks.spawn(plugins.clone().run(stopping.clone()));
        tasks.spawn(signals::reload_on_hangup(plugins.clone(), stopping.clone()));
        tasks.spawn(heap::give_back(stopping.clone()));

        let uploads = Uploads::new(app.config.push.clone());
        let admin = |gateway: Option<Arc<Gateway>>| {
            Arc::new(Admin {
                store: store.clone(),
                plugins: plugins.clone(),
                runs: runs.clone(),
                live: live.clone(),
                keyring: keyring.clone(),
                owner_secrets: owner_secrets.clone(),
                tokens: tokens.clone(),
                uploads: uploads.clone(),
                access: access.clone(),
                identity: identity.clone(),
                retention: retention.clone(),
                room: room.clone(),
                readiness: readiness.clone(),
                limiter: limiter.clone(),
                metrics: metrics.clone(),
                clock: clock.clone(),
                started_at: clock.now(),
                upstream_policy: upstreams_guarded.clone(),
                webhooks: webhooks.clone(),
                gateway,
            })
        };
        let admin_address = match admin_listener {
            Some((listener, address)) => {
                tasks.spawn(listener::serve(listener, admin(None), app.serving()));
                address
            }
            None => address,
        };
        if app.config.admin_listen.is_some() {
            tasks.spawn(listener::serve(listener, gateway, app.serving()));
        } else {
            tasks.spawn(listener::serve(listener, admin(Some(gateway)), app.serving()));
        }
        let addresses = [(cli::ADMIN_ADDRESS_FILE, admin_address), (ADDRESS_FILE, address)];
        let addresses = addresses.map(|(name, address)| (data.join(name), format!("http://{address}\n")));
        folder::write_in_time(addresses, &tasks, stopping.clone()).await;
        tracing::info!(%address, %admin_address, public_url = %base, data = %data, dev = app.config.dev, "Listening on http://{address}");
        let token_file = data.join(keyring::ADMIN_TOKEN_FILE);
        match origin_of_token {
            keyring::Origin::File => {}
            keyring::Origin::Made => tracing::info!(file = %token_file, "Made the admin token; it is in {token_file}"),
            keyring::Origin::MadeForEmpty => {
                tracing::warn!(file = %token_file, "The file of the admin token was empty; a new token was made, and scripts need it from there")
            }
        }
        Ok(app)
    }

    /// The admin token, if this start made it. It opens everything: for a person's eyes, never for a log.
    #[must_use]
    pub fn new_token(&self) -> Option<&AdminToken> {
        self.new_token.as_ref()
    }

    fn serving(&self) -> Serving {
        Serving {
            connections: Arc::new(Semaphore::new(self.config.connections.max)),
            shares: Shares::new(self.config.connections.share(), self.trusted_proxies.clone()),
            header_time: self.config.connections.header_time,
            pace: self.config.connections.pace(),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
            tasks: self.tasks.clone(),
            stopping: self.stopping.clone(),
        }
    }

    /// Serves until SIGTERM or SIGINT, then finishes what was accepted within the grace period and says what was left.
    pub async fn run_until_stopped(self) {
        let name = signals::stop_signal().await;
        let grace = self.config.shutdown.grace;
        tracing::info!(signal = name, grace_s = grace.as_secs_f64(), "Stopping: no new work, finishing what runs");
        self.stopping.cancel();
        let _ = std::fs::remove_file(self.config.data.join(ADDRESS_FILE));
        let _ = std::fs::remove_file(self.config.data.join(cli::ADMIN_ADDRESS_FILE));
        self.tasks.close();
        let drained = tokio::select! {
            drained = tokio::time::timeout(grace, self.tasks.wait()) => drained.is_ok(),
            _ = signals::stop_signal() => false,
        };
        self.egress.shutdown();
        self.outlet.shutdown();
        self.upstreams.shutdown();
        match self.store.stats().await {
            Ok(left) => tracing::info!(
                drained,
                requests_waiting = left.requests_accepted,
                requests_running = left.requests_running,
                deliveries_waiting = left.deliveries_pending,
                deliveries_in_flight = left.deliveries_in_flight,
                in_memory = self.live.len(),
                "Stopped; what is left is found at the next start"
            ),
            Err(error) => tracing::warn!(drained, %error, "Stopped; what is left is found at the next start"),
        }
        // Bounded: a writer that hangs must not keep the process.
        if tokio::time::timeout(Duration::from_secs(10), self.store.close()).await.is_err() {
            tracing::error!("The store did not close in time; its log is replayed at the next start");
        }
    }
}
