//! Which addresses a URL may be sent to. What it returns is what is connected to: there is no second look-up.

use super::own::OwnAddresses;
use super::resolve::{Resolve, ResolveError};
use ripost_domain::address::{self, Policy, WebhookUrl, is_localhost_name};
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use url::Host;

/// Addresses that are tried at most; all that were answered are checked.
const ADDRESSES_MAX: usize = 16;
/// How long an accept relies on an earlier look-up. The check when sending never does.
const ACCEPT_CACHE: Duration = Duration::from_secs(5);
const ACCEPT_CACHE_ENTRIES_MAX: usize = 4096;
/// To find out whether a look-up failed because of us.
const RESPONDS_BUDGET: Duration = Duration::from_millis(500);

/// The guard does not let a request out. `Display` is for the operator; consumers are told [`Refused::sentence`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The host as the URL has it.
    pub host: String,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is, or resolves to, an address that the table refuses.
    Address(address::Refused),
    /// It is this gateway.
    Own,
}

impl Refused {
    /// The same for every reason, so that nobody learns about the gateway's network by asking.
    #[must_use]
    pub const fn sentence(&self) -> &'static str {
        "the host is not publicly reachable: use a host with a public address"
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            Why::Address(refused) => write!(f, "{}: {refused}", self.host),
            Why::Own => write!(f, "{}: this is the gateway itself", self.host),
        }
    }
}

impl std::error::Error for Refused {}

/// There is no address to connect to.
#[derive(Debug)]
pub(super) enum NoAddresses {
    Refused(Refused),
    Resolve(ResolveError),
    Timeout,
}

/// When a name was looked up, and what came of it; `None`: no answer.
type Lookups = HashMap<Box<str>, (Instant, Option<Arc<[IpAddr]>>)>;

pub(super) struct Guard {
    policy: Policy,
    own: Arc<OwnAddresses>,
    resolver: Arc<dyn Resolve>,
    /// What accepts were told lately.
    answers: Mutex<Lookups>,
}

impl Guard {
    pub(super) fn new(policy: Policy, own: Arc<OwnAddresses>, resolver: Arc<dyn Resolve>) -> Self {
        Self { policy, own, resolver, answers: Mutex::default() }
    }

    /// Looks the host up once, checks every answer, and returns where to connect, in order.
    pub(super) async fn addresses(&self, url: &WebhookUrl, budget: Duration) -> Result<Vec<SocketAddr>, NoAddresses> {
        let vetted = |ips: &[IpAddr]| self.vet(url, ips).map_err(NoAddresses::Refused);
        if let Some(ips) = known_without_asking(&url.host()) {
            return vetted(&ips);
        }
        // Before anything is asked about it.
        vetted(&[])?;
        match timeout(budget, self.resolver.resolve(url.host_str())).await {
            Ok(Ok(ips)) if ips.is_empty() => Err(NoAddresses::Resolve(ResolveError::NoAddress)),
            Ok(Ok(ips)) => vetted(&ips),
            Ok(Err(error)) => Err(NoAddresses::Resolve(error)),
            Err(_) if timeout(RESPONDS_BUDGET, self.resolver.responds()).await.unwrap_or(false) => {
                Err(NoAddresses::Timeout)
            }
            Err(_) => Err(NoAddresses::Resolve(ResolveError::Unavailable("no answer in time".to_owned()))),
        }
    }

    /// The early check: what is known to be forbidden is refused, what is not known is left to the check when sending.
    pub(super) async fn check_at_accept(&self, url: &WebhookUrl, budget: Duration) -> Result<(), Refused> {
        if let Some(ips) = known_without_asking(&url.host()) {
            return self.vet(url, &ips).map(drop);
        }
        self.vet(url, &[])?;
        let name = url.host_str();
        let answer = match self.answer_of_late(name) {
            Some(answer) => answer,
            None => {
                let answer =
                    timeout(budget, self.resolver.resolve(name)).await.ok().and_then(Result::ok).map(Arc::from);
                self.remember(name, answer.clone());
                answer
            }
        };
        answer.map_or(Ok(()), |ips: Arc<[IpAddr]>| self.vet(url, &ips).map(drop))
    }

    /// Whether a connection that is open already may still be used.
    pub(super) fn check_peer(&self, url: &WebhookUrl, peer: SocketAddr) -> Result<(), Refused> {
        self.vet(url, &[peer.ip()]).map(drop)
    }

    /// One forbidden address among the answers refuses them all: an honest name has no reason to have one.
    fn vet(&self, url: &WebhookUrl, ips: &[IpAddr]) -> Result<Vec<SocketAddr>, Refused> {
        let refused = |why| Refused { host: url.host_str().to_owned(), why };
        if self.own.is_public_url(&url.host(), url.port()) {
            return Err(refused(Why::Own));
        }
        for ip in ips {
            self.policy.check(*ip).map_err(|error| refused(Why::Address(error)))?;
            if self.own.contains(SocketAddr::new(*ip, url.port())) {
                return Err(refused(Why::Own));
            }
        }
        Ok(in_turns(ips).map(|ip| SocketAddr::new(ip, url.port())).collect())
    }

    fn answer_of_late(&self, name: &str) -> Option<Option<Arc<[IpAddr]>>> {
        let answers = self.lock();
        let (since, answer) = answers.get(name)?;
        (since.elapsed() < ACCEPT_CACHE).then(|| answer.clone())
    }

    fn remember(&self, name: &str, answer: Option<Arc<[IpAddr]>>) {
        let mut answers = self.lock();
        if answers.len() >= ACCEPT_CACHE_ENTRIES_MAX {
            answers.retain(|_, (since, _)| since.elapsed() < ACCEPT_CACHE);
        }
        // All of it is in use: this name is looked up again next time.
        if answers.len() < ACCEPT_CACHE_ENTRIES_MAX {
            answers.insert(name.into(), (Instant::now(), answer));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lookups> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Addresses, and `localhost`, which is this machine whatever a resolver says (RFC 6761).
fn known_without_asking(host: &Host<&str>) -> Option<Vec<IpAddr>> {
    match host {
        Host::Ipv4(ip) => Some(vec![(*ip).into()]),
        Host::Ipv6(ip) => Some(vec![(*ip).into()]),
        Host::Domain(name) if is_localhost_name(name) => {
            Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
        }
        Host::Domain(_) => None,
    }
}

/// IPv4 and IPv6 by turns, in the resolver's order: when one family does not work here, the second try finds out.
fn in_turns(ips: &[IpAddr]) -> impl Iterator<Item = IpAddr> {
    let mut v4 = ips.iter().copied().filter(IpAddr::is_ipv4);
    let mut v6 = ips.iter().copied().filter(IpAddr::is_ipv6);
    std::iter::from_fn(move || {
        let next = [v4.next(), v6.next()];
        next.iter().any(Option::is_some).then_some(next)
    })
    .flat_map(|next| next.into_iter().flatten())
    .take(ADDRESSES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_take_turns_and_the_list_has_an_end() {
        let ips = |list: &[&str]| list.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect::<Vec<_>>();
        let found = ips(&["1.0.0.1", "1.0.0.2", "1.0.0.3", "2000::1"]);
        assert_eq!(in_turns(&found).collect::<Vec<_>>(), ips(&["1.0.0.1", "2000::1", "1.0.0.2", "1.0.0.3"]));
        let many: Vec<IpAddr> = (0..200_u8).map(|last| Ipv4Addr::new(1, 0, 0, last).into()).collect();
        assert_eq!(in_turns(&many).count(), ADDRESSES_MAX);
    }
}
