//! Which addresses a URL may be sent to. What it returns is what is connected to: there is no second look-up.

use super::own::OwnAddresses;
use super::recent::Recent;
use super::resolve::{Resolve, ResolveError};
use ripost_domain::address::{self, Policy, WebhookUrl, is_localhost_name};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use url::Host;

/// Addresses that are tried at most; all that were answered are checked.
const ADDRESSES_MAX: usize = 16;
/// How long an accept relies on an earlier look-up. The check when sending never does.
const ACCEPT_CACHE: Duration = Duration::from_secs(5);
/// How long a name that has no address is not asked for again.
const NEGATIVE_CACHE: Duration = Duration::from_secs(30);
/// How long one whose servers fail or keep silent is left alone (RFC 9520 §3.2 asks for 1 s to 5 min).
const FAILURE_CACHE: Duration = Duration::from_secs(5);
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
#[derive(Debug, Clone)]
pub(super) enum NoAddresses {
    Refused(Refused),
    Resolve(ResolveError),
    Timeout,
}

impl From<Refused> for NoAddresses {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// Answers to accepts; `None`: no answer.
type Answers = Recent<Option<Arc<[IpAddr]>>>;

pub(super) struct Guard {
    policy: Policy,
    own: Arc<OwnAddresses>,
    resolver: Arc<dyn Resolve>,
    /// What accepts were told lately.
    answers: Answers,
    /// Names that had no address lately.
    failures: Recent<NoAddresses>,
}

impl Guard {
    pub(super) fn new(policy: Policy, own: Arc<OwnAddresses>, resolver: Arc<dyn Resolve>) -> Self {
        Self { policy, own, resolver, answers: Recent::new(), failures: Recent::new() }
    }

    /// Looks the host up once, checks every answer, and returns where to connect, in order.
    pub(super) async fn addresses(&self, url: &WebhookUrl, budget: Duration) -> Result<Vec<SocketAddr>, NoAddresses> {
        let deadline = Instant::now() + budget;
        let ips = match known_without_asking(&url.host()) {
            Some(ips) => ips,
            None => {
                // Before anything is asked about it.
                self.vet(url, &[])?;
                self.look_up(url.host_str(), deadline).await?
            }
        };
        let addresses = self.vet(url, &ips)?;
        self.check_alias(url, &ips, deadline).await?;
        Ok(addresses)
    }

    /// The early check: what is known to be forbidden is refused, what is not known is left to the check when sending.
    pub(super) async fn check_at_accept(&self, url: &WebhookUrl, budget: Duration) -> Result<(), Refused> {
        let deadline = Instant::now() + budget;
        let ips: Arc<[IpAddr]> = match known_without_asking(&url.host()) {
            Some(ips) => ips.into(),
            None => {
                self.vet(url, &[])?;
                match self.answer_of_late(url.host_str(), deadline).await {
                    Some(ips) => ips,
                    None => return Ok(()),
                }
            }
        };
        self.vet(url, &ips)?;
        self.check_alias(url, &ips, deadline).await
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

    /// Refuses what reaches `public_url` under another name. What its name resolves to is the address of a proxy or of
    /// a router, which no listener of ours knows of. Behind one that serves many names, such as a content network,
    /// everybody has that address: there the certificate says who is spoken to, so a name with TLS is let pass.
    async fn check_alias(&self, url: &WebhookUrl, ips: &[IpAddr], deadline: Instant) -> Result<(), Refused> {
        let told_apart_by_certificate = url.is_https() && matches!(url.host(), Host::Domain(_));
        let Some(own_name) = self.own.public_name(url.port()).filter(|_| !told_apart_by_certificate) else {
            return Ok(());
        };
        // Without an answer nobody else finds us by that name either.
        let Ok(Ok(own)) = timeout_at(deadline, self.resolver.resolve(own_name)).await else { return Ok(()) };
        let is_own = |ip: &IpAddr| own.iter().any(|own| own.to_canonical() == ip.to_canonical());
        if ips.iter().any(is_own) {
            return Err(Refused { host: url.host_str().to_owned(), why: Why::Own });
        }
        Ok(())
    }

    async fn look_up(&self, name: &str, deadline: Instant) -> Result<Vec<IpAddr>, NoAddresses> {
        if let Some(failure) = self.failures.get(name) {
            return Err(failure);
        }
        let failure = match timeout_at(deadline, self.resolver.resolve(name)).await {
            Ok(Ok(ips)) if ips.is_empty() => NoAddresses::Resolve(ResolveError::NoAddress),
            Ok(Ok(ips)) => return Ok(ips),
            Err(_) | Ok(Err(ResolveError::Timeout)) => self.why_no_answer().await,
            Ok(Err(error)) => NoAddresses::Resolve(error),
        };
        match failure {
            NoAddresses::Resolve(ResolveError::NoAddress) => self.failures.put(name, failure.clone(), NEGATIVE_CACHE),
            NoAddresses::Resolve(ResolveError::Failed(_)) | NoAddresses::Timeout => {
                self.failures.put(name, failure.clone(), FAILURE_CACHE);
            }
            // Not the name's fault.
            NoAddresses::Resolve(_) | NoAddresses::Refused(_) => {}
        }
        Err(failure)
    }

    async fn why_no_answer(&self) -> NoAddresses {
        match timeout(RESPONDS_BUDGET, self.resolver.responds()).await {
            Ok(true) => NoAddresses::Timeout,
            _ => NoAddresses::Resolve(ResolveError::Unavailable("no answer in time".to_owned())),
        }
    }

    async fn answer_of_late(&self, name: &str, deadline: Instant) -> Option<Arc<[IpAddr]>> {
        if let Some(answer) = self.answers.get(name) {
            return answer;
        }
        if self.failures.get(name).is_some() {
            return None;
        }
        let answer = timeout_at(deadline, self.resolver.resolve(name)).await.ok().and_then(Result::ok).map(Arc::from);
        self.answers.put(name, answer.clone(), ACCEPT_CACHE);
        answer
    }
}

/// Whether a host needs no look-up.
pub(super) fn is_known_without_asking(host: &Host<&str>) -> bool {
    known_without_asking(host).is_some()
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
