//! The rules for webhook URLs. They need no look-up; what a name resolves to is checked when connecting.

use super::{Policy, Refused};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use url::{Host, Position, Url};

/// Longest URL, in bytes. Longer ones are refused by proxies and servers in any case.
const URL_BYTES_MAX: usize = 2048;
/// Longest URL of a call: queries of APIs are longer than addresses of webhooks, and servers take about so much.
const CALL_URL_BYTES_MAX: usize = 8192;
/// Longest name of the DNS, in bytes (RFC 1035).
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Names that mean something only inside some network, or nothing (RFC 6761, RFC 6762 appendix G, RFC 7686, RFC 9476,
/// ICANN's `internal`, Kubernetes' `svc`). `arpa` has no web servers, and `home.arpa` in it.
const INTERNAL_SUFFIXES: [&str; 14] = [
    "local",
    "localdomain",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "svc",
    "arpa",
    "onion",
    "alt",
    "test",
    "invalid",
];

/// Ports from 1024 that browsers refuse as well: a text protocol there could take a request for its own.
/// <https://fetch.spec.whatwg.org/#port-blocking>
const BAD_PORTS: [u16; 19] =
    [1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080];

/// Where plain HTTP may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlainHttp {
    /// Nowhere.
    #[default]
    Refused,
    /// For this machine itself: development mode.
    Loopback,
    /// Wherever a consumer wants it: the operator said so.
    Everywhere,
}

/// What one gateway takes for a webhook URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UrlPolicy {
    /// Which addresses it connects to.
    pub addresses: Policy,
    /// Where TLS may be left out.
    pub plain_http: PlainHttp,
}

/// The URL cannot be a webhook URL. The text is for the consumer: which rule, and what to do. It says nothing of the
/// gateway's network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    /// Over 2048 bytes; over 8192 for a call.
    #[error("the URL is longer than {0} bytes: use a shorter one")]
    TooLong(usize),
    /// Not an absolute URL, or one that two programs would read differently.
    #[error("this is not a valid absolute URL: write it as https://host/path, with special characters percent-encoded")]
    Malformed,
    /// Neither http nor https.
    #[error("the scheme must be https: webhooks are sent by HTTP and nothing else")]
    Scheme,
    /// No TLS.
    #[error("plain http is not accepted for this host: use https")]
    PlainHttp,
    /// `https://user:password@host/`.
    #[error("the URL has credentials in it: leave them out and check the webhook's signature instead")]
    Credentials,
    /// Not a name that the public DNS could have.
    #[error("the host is not a public host name: use a fully qualified name such as hooks.example.com")]
    Name,
    /// Not for web servers.
    #[error("port {0} is not accepted: use 443, 80, or one from 1024 that is not kept for another protocol")]
    Port(u16),
    /// An address, or a name for this machine, that the table refuses.
    #[error("the host is not publicly reachable: use a host with a public address")]
    Address(Refused),
}

impl UrlRefused {
    /// A stable name of the rule.
    #[must_use]
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "too-long",
            Self::Malformed => "malformed",
            Self::Scheme => "scheme",
            Self::PlainHttp => "plain-http",
            Self::Credentials => "credentials",
            Self::Name => "host-name",
            Self::Port(_) => "port",
            Self::Address(_) => "address",
        }
    }
}

/// Which names a URL may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Those that the public DNS could have.
    Public,
    /// Any.
    Any,
}

/// A URL that obeys the rules, in its one canonical form: no fragment, no default port, no dot after the host.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WebhookUrl {
    url: Url,
    port: u16,
}

/// Whether a name always means this machine (RFC 6761), whatever a resolver says.
#[must_use]
pub fn is_localhost_name(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

impl WebhookUrl {
    /// Parses and checks.
    ///
    /// # Errors
    /// [`UrlRefused`], in words for the consumer.
    pub fn parse(text: &str, policy: &UrlPolicy) -> Result<Self, UrlRefused> {
        Self::parse_with(text, policy, Names::Public, URL_BYTES_MAX)
    }

    /// The URL of a guest's call, whose host was granted by name: it may be a name of the operator's own network, since
    /// what it resolves to is checked when connecting.
    ///
    /// # Errors
    /// [`UrlRefused`].
    pub fn parse_for_call(text: &str, policy: &UrlPolicy) -> Result<Self, UrlRefused> {
        Self::parse_with(text, policy, Names::Any, CALL_URL_BYTES_MAX)
    }

    fn parse_with(text: &str, policy: &UrlPolicy, names: Names, bytes_max: usize) -> Result<Self, UrlRefused> {
        if text.len() > bytes_max {
            return Err(UrlRefused::TooLong(bytes_max));
        }
        check_text(text)?;
        let mut url = Url::parse(text).map_err(|_| UrlRefused::Malformed)?;
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(UrlRefused::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlRefused::Credentials);
        }
        url.set_fragment(None);
        if let Some(name) = url.domain().and_then(|name| name.strip_suffix('.')).map(str::to_owned) {
            url.set_host(Some(&name)).map_err(|_| UrlRefused::Name)?;
        }
        let port = url.port_or_known_default().ok_or(UrlRefused::Malformed)?;

        let loopback = check_host(&url, &policy.addresses, names)?;
        let plain_allowed = match policy.plain_http {
            PlainHttp::Refused => false,
            PlainHttp::Loopback => loopback,
            PlainHttp::Everywhere => true,
        };
        if !tls && !plain_allowed {
            return Err(UrlRefused::PlainHttp);
        }
        let usual = matches!(port, 80 | 443) || port >= 1024 && !BAD_PORTS.contains(&port);
        if port == 0 || !usual && !loopback {
            return Err(UrlRefused::Port(port));
        }
        if url.as_str().len() > bytes_max {
            return Err(UrlRefused::TooLong(bytes_max)); // percent-encoding made it so
        }
        // Whoever parses it again, from the store for instance, must see the same URL.
        if Url::parse(url.as_str()).ok().as_ref() != Some(&url) {
            return Err(UrlRefused::Malformed);
        }
        Ok(Self { url, port })
    }

    /// The whole URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// The host, a name or an address.
    ///
    /// # Panics
    /// Never: a URL without a host is not made.
    #[must_use]
    pub fn host(&self) -> Host<&str> {
        self.url.host().expect("a webhook URL has a host")
    }

    /// The host as it is written in the URL; an IPv6 address in brackets.
    #[must_use]
    pub fn host_str(&self) -> &str {
        &self.url[Position::BeforeHost..Position::AfterHost]
    }

    /// The port, written or implied.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether TLS is spoken.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// `https://host[:port]`: what connections can be shared by.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.url[..Position::AfterPort]
    }

    /// `host[:port]`, as the header `Host` has it.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.url[Position::BeforeHost..Position::AfterPort]
    }

    /// `/path[?query]`, as the request line has it.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        &self.url[Position::BeforePath..Position::AfterQuery]
    }

    /// Without the query: what a consumer's endpoint is told apart by.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.url[..Position::AfterPath]
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What the parser would repair and another program would read differently.
fn check_text(text: &str) -> Result<(), UrlRefused> {
    if text.chars().any(|c| c.is_ascii_control() || c.is_whitespace() || c == '\\') {
        return Err(UrlRefused::Malformed);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(if text.contains(':') && Url::parse(text).is_ok() {
            UrlRefused::Scheme
        } else {
            UrlRefused::Malformed
        });
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(if Url::parse(text).is_ok() { UrlRefused::Scheme } else { UrlRefused::Malformed });
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() {
        return Err(UrlRefused::Malformed);
    }
    // An empty user name too: the parser would drop it without a word.
    if authority.contains('@') { Err(UrlRefused::Credentials) } else { Ok(()) }
}

/// Whether the host is this machine itself, once it has passed.
fn check_host(url: &Url, policy: &Policy, names: Names) -> Result<bool, UrlRefused> {
    let address = match url.host().ok_or(UrlRefused::Malformed)? {
        Host::Domain(name) if is_localhost_name(name) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Host::Domain(name) if is_public_name(name) => return Ok(false),
        Host::Domain(name) if names == Names::Any && is_well_formed_name(name) => return Ok(false),
        Host::Domain(_) => return Err(UrlRefused::Name),
        Host::Ipv4(ip) => ip.into(),
        Host::Ipv6(ip) => ip.into(),
    };
    policy.check(address).map_err(UrlRefused::Address)?;
    Ok(address.to_canonical().is_loopback())
}

fn is_well_formed_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.split('.').all(|label| {
            (1..=LABEL_BYTES_MAX).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
        })
}

fn is_public_name(name: &str) -> bool {
    let internal =
        |suffix: &&str| name.strip_suffix(*suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    is_well_formed_name(name) && name.contains('.') && !INTERNAL_SUFFIXES.iter().any(internal)
}

#[cfg(test)]
mod tests;
