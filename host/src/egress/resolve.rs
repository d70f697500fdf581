//! Names to addresses. Which of them may be used is the guard's business.

use super::error::EgressError;
use async_trait::async_trait;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Resolver, ResolverBuilder, TokioResolver};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use tracing::warn;

/// For one query to one name server; the guard bounds the whole look-up.
const QUERY_TIMEOUT: Duration = Duration::from_secs(1);
/// However long a record says it holds, so that a receiver that moves is found again soon.
const POSITIVE_TTL_MAX: Duration = Duration::from_secs(60);
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(30);

/// A name has no addresses for us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The DNS says there is no such name, or it has no address.
    #[error("the name has no address")]
    NoAddress,
    /// No answer in time; whose fault that is, [`Resolve::responds`] tells.
    #[error("no answer in time")]
    Timeout,
    /// The name's own servers fail.
    #[error("the name could not be looked up: {0}")]
    Failed(String),
    /// Our resolver cannot be asked: not the endpoint's fault.
    #[error("the resolver of this machine does not answer: {0}")]
    Unavailable(String),
}

/// Looks names up. Tests bring their own.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// The addresses of a fully qualified name, which comes without its last dot and is no address itself.
    ///
    /// # Errors
    /// [`ResolveError`].
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError>;

    /// Whether the resolver answers at all. Asked after a look-up that took too long, to tell whose fault it was.
    async fn responds(&self) -> bool {
        true
    }
}

/// The machine's name servers and its hosts file, as they were when the gateway started.
pub struct SystemResolver {
    resolver: TokioResolver,
}

impl SystemResolver {
    /// By the system's configuration; without one by the name server of this machine, as the C library does.
    ///
    /// # Errors
    /// [`EgressError::Resolver`].
    pub fn new() -> Result<Self, EgressError> {
        Self::build(Resolver::builder_tokio().unwrap_or_else(|error| {
            warn!(%error, "No usable resolv.conf; asking the name server at 127.0.0.1");
            let local = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![local]);
            Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        }))
    }

    #[cfg(test)]
    pub(super) fn asking(config: ResolverConfig) -> Self {
        Self::build(Resolver::builder_with_config(config, TokioRuntimeProvider::default())).unwrap()
    }

    fn build(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<Self, EgressError> {
        let options = builder.options_mut();
        options.timeout = QUERY_TIMEOUT;
        options.attempts = 1;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = ResolveHosts::Always;
        options.positive_max_ttl = Some(POSITIVE_TTL_MAX);
        options.negative_max_ttl = Some(NEGATIVE_TTL_MAX);
        Ok(Self { resolver: builder.build().map_err(EgressError::Resolver)? })
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let mut name = Name::from_ascii(name).map_err(|error| ResolveError::Failed(error.to_string()))?;
        // Never `name.search-domain`.
        name.set_fqdn(true);
        let found = self.resolver.lookup_ip(name).await.map_err(|error| classify(&error))?;
        Ok(found.iter().collect())
    }

    async fn responds(&self) -> bool {
        // Every resolver knows the servers of the root, and a refusal is an answer too.
        self.resolver.clear_lookup_cache(Name::root(), RecordType::NS);
        match self.resolver.lookup(Name::root(), RecordType::NS).await {
            Ok(_) => true,
            Err(error) => matches!(error, NetError::Dns(_)),
        }
    }
}

fn classify(error: &NetError) -> ResolveError {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(_)) => ResolveError::NoAddress,
        NetError::Timeout => ResolveError::Timeout,
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused))
        | NetError::Busy
        | NetError::NoConnections
        | NetError::Io(_) => ResolveError::Unavailable(error.to_string()),
        other => ResolveError::Failed(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fault_is_ours_only_when_our_resolver_cannot_be_asked() {
        let ours = |error: NetError| matches!(classify(&error), ResolveError::Unavailable(_));
        assert!(ours(NetError::NoConnections));
        assert!(ours(std::io::Error::from(std::io::ErrorKind::NetworkUnreachable).into()));
        assert!(ours(DnsError::ResponseCode(ResponseCode::Refused).into()));
        assert!(!ours(DnsError::ResponseCode(ResponseCode::ServFail).into()));
        assert_eq!(classify(&NetError::Timeout), ResolveError::Timeout, "which does not say whose fault it is");
    }

    #[tokio::test]
    async fn a_resolver_is_built_from_the_system_and_refuses_what_is_no_name() {
        let resolver = SystemResolver::new().unwrap();
        let too_long = "a".repeat(64);
        assert!(matches!(resolver.resolve(&too_long).await, Err(ResolveError::Failed(_))));
    }
}
