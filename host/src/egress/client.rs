//! The client: one exchange at a time from whoever asks, connections shared by party and origin.

use super::connect::Connector;
use super::connection::{Connection, Unsent};
use super::error::{EgressError, Phase, SendError};
use super::exchange::{self, After, Answer, Exchange, Outgoing};
use super::facts::{Facts, Progress};
use super::guard::{Guard, NoAddresses, Refused, is_known_without_asking};
use super::own::OwnAddresses;
use super::pool::{Bounds, Pool};
use super::resolve::Resolve;
use super::tls;
use bytes::Bytes;
use camino::Utf8PathBuf;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use ripost_domain::address::{Policy, WebhookUrl};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often idle connections are looked through.
const SWEEP: Duration = Duration::from_secs(5);

/// Makes a request once more.
type Again<'a> = &'a (dyn Fn() -> Outgoing + Sync);

/// How the way out behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which addresses may be connected to.
    pub policy: Policy,
    /// For a look-up. Default 2 s.
    pub dns_budget: Duration,
    /// For TCP and TLS together. Default 5 s.
    pub connect_budget: Duration,
    /// How long an unused connection is kept. Default 30 s.
    pub idle: Duration,
    /// How long any connection is kept. Default 60 s.
    pub age: Duration,
    /// Unused connections that are kept for one origin. Default 64.
    pub idle_per_origin: usize,
    /// And for all of them. Default 1024.
    pub idle_total: usize,
    /// Certificate authorities to trust besides the public ones: a PEM file.
    pub ca_file: Option<Utf8PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            dns_budget: Duration::from_secs(2),
            connect_budget: Duration::from_secs(5),
            idle: Duration::from_secs(30),
            age: Duration::from_secs(60),
            idle_per_origin: 64,
            idle_total: 1024,
            ca_file: None,
        }
    }
}

/// Sends requests to where they may go. Clones share their connections.
#[derive(Clone)]
pub struct EgressClient {
    inner: Arc<Inner>,
}

struct Inner {
    guard: Guard,
    connector: Connector,
    pool: Pool,
    dns_budget: Duration,
    stop: CancellationToken,
}

impl EgressClient {
    /// Builds it and starts its one task, which closes idle connections, in `tasks`. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`EgressError`]: the file of certificate authorities is not usable.
    pub fn new(
        settings: Settings,
        own: Arc<OwnAddresses>,
        resolver: Arc<dyn Resolve>,
        tasks: &TaskTracker,
    ) -> Result<Self, EgressError> {
        let Settings { policy, dns_budget, connect_budget, idle, age, idle_per_origin, idle_total, ca_file } = settings;
        let inner = Arc::new(Inner {
            guard: Guard::new(policy, own, resolver),
            connector: Connector { tls: tls::connector(ca_file.as_deref())?, budget: connect_budget },
            pool: Pool::new(Bounds { per_origin: idle_per_origin, total: idle_total, idle, age }),
            dns_budget,
            stop: CancellationToken::new(),
        });
        // Ends with the last client, whether or not anybody called `shutdown`.
        let (weak, stop) = (Arc::downgrade(&inner), inner.stop.clone());
        tasks.spawn(async move {
            while timeout(SWEEP, stop.cancelled()).await.is_err() {
                match weak.upgrade() {
                    Some(inner) => inner.pool.sweep(),
                    None => break,
                }
            }
        });
        Ok(Self { inner })
    }

    /// Sends a request and reads its answer, all of it within `request.deadline`. What is known of the exchange is
    /// told however it ends.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection; the other side may have had the request.
    pub async fn send(&self, request: Outgoing) -> Exchange {
        self.send_or_again(request, None).await
    }

    /// The same for what may arrive twice, because it changes nothing or the other side knows it by an id: it is sent
    /// once more, on a new connection, if one that had been kept ends before a byte of the answer. `make` is asked
    /// again only then, so that nothing is copied for the sake of what hardly ever happens.
    ///
    /// # Cancel safety
    /// As [`Self::send`].
    pub async fn send_repeatable(&self, make: Again<'_>) -> Exchange {
        self.send_or_again(make(), Some(make)).await
    }

    async fn send_or_again(&self, request: Outgoing, again: Option<Again<'_>>) -> Exchange {
        let inner = &*self.inner;
        if inner.stop.is_cancelled() {
            return Exchange { result: Err(SendError::Shutdown), facts: Facts::default() };
        }
        let deadline = request.deadline;
        let mut progress = Progress::default();
        let result = tokio::select! {
            result = timeout(deadline, inner.exchange(request, again, &mut progress)) => result,
            () = inner.stop.cancelled() => Ok(Err(SendError::Shutdown)),
        };
        let late = SendError::Timeout { phase: progress.phase(), status: progress.status };
        Exchange { result: result.unwrap_or(Err(late)), facts: progress.into_facts() }
    }

    /// The early check when a call is accepted: refuses a host that is known to be forbidden. No answer within the
    /// budget is no refusal; the check when sending decides. Costs nothing for addresses and names asked a moment ago.
    ///
    /// # Errors
    /// [`Refused`]; its sentence is for the consumer.
    pub async fn lookup_at_accept(&self, url: &WebhookUrl, budget: Duration) -> Result<(), Refused> {
        self.inner.guard.check_at_accept(url, budget).await
    }

    /// Ends every exchange under way with [`SendError::Shutdown`] and closes all connections. To be called when what
    /// was to be waited for has been waited for.
    pub fn shutdown(&self) {
        self.inner.stop.cancel();
        self.inner.pool.close();
    }

    #[cfg(test)]
    pub(crate) fn idle_connections(&self) -> usize {
        self.inner.pool.len()
    }
}

impl Inner {
    async fn exchange(
        &self,
        outgoing: Outgoing,
        again: Option<Again<'_>>,
        progress: &mut Progress,
    ) -> Result<Answer, SendError> {
        let (read_max, kept_max) = (outgoing.response_bytes_read_max, outgoing.response_bytes_kept);
        let key = outgoing.party.key(outgoing.url.origin()).into_owned();
        let (url, request) = exchange::request(outgoing)?;
        let (mut connection, response) = self.head_of_answer(&key, &url, request, again, progress).await?;
        progress.status = Some(response.status());
        progress.enter(Phase::Body);
        let (answer, after) = exchange::read(&mut connection, response, read_max, kept_max).await?;
        match after {
            After::Reusable => self.pool.put(&key, connection),
            After::Spent => drop(connection),
        }
        Ok(answer)
    }

    async fn head_of_answer(
        &self,
        key: &str,
        url: &WebhookUrl,
        mut request: Request<Full<Bytes>>,
        again: Option<Again<'_>>,
        progress: &mut Progress,
    ) -> Result<(Box<Connection>, Response<Incoming>), SendError> {
        if let Some(mut connection) = self.idle_connection(key, url).await {
            progress.enter(Phase::Head);
            progress.facts.reused = true;
            connection.tell(&mut progress.facts);
            match connection.send(request).await {
                Ok(response) => return Ok((connection, response)),
                // It was closed while it was idle, and not a byte was written: once more, on a new one.
                Err(Unsent::Untouched(unsent, _)) => {
                    progress.start_over(false);
                    request = *unsent;
                }
                Err(Unsent::Perhaps(error)) => {
                    // What ends a connection without a word (a restart, a load balancer, a NAT that forgot it) has mostly
                    // ended those beside it too.
                    self.pool.forget(key);
                    let Some(make) = again.filter(|_| !connection.was_read_from()) else {
                        return Err(SendError::from_hyper(error, None));
                    };
                    progress.start_over(true);
                    (_, request) = exchange::request(make())?;
                }
            }
        }
        // Boxed: the way to a new connection is large, and rare.
        let mut connection = Box::pin(self.new_connection(url, progress)).await?;
        connection.tell(&mut progress.facts);
        progress.enter(Phase::Head);
        match connection.send(request).await {
            Ok(response) => Ok((connection, response)),
            // It spoke before it was asked.
            Err(Unsent::Untouched(_, source)) if connection.was_read_from() => {
                Err(SendError::Protocol { status: None, source })
            }
            Err(Unsent::Untouched(_, error) | Unsent::Perhaps(error)) => Err(SendError::from_hyper(error, None)),
        }
    }

    async fn idle_connection(&self, key: &str, url: &WebhookUrl) -> Option<Box<Connection>> {
        while let Some(mut connection) = self.pool.take(key) {
            if connection.is_idle().await && self.guard.check_peer(url, connection.peer()).is_ok() {
                return Some(connection);
            }
        }
        None
    }

    async fn new_connection(&self, url: &WebhookUrl, progress: &mut Progress) -> Result<Box<Connection>, SendError> {
        if !is_known_without_asking(&url.host()) {
            progress.enter(Phase::Dns);
        }
        let addresses = self.guard.addresses(url, self.dns_budget).await.map_err(|error| match error {
            NoAddresses::Refused(refused) => SendError::Refused(refused),
            NoAddresses::Resolve(error) => SendError::Dns(error),
            NoAddresses::Timeout => SendError::Timeout { phase: Phase::Dns, status: None },
        })?;
        self.connector.open(url, &addresses, progress).await
    }
}
