//! What a manifest grants to an API: where it may call, and which secrets it may use. Pure; who calls is `capability`'s.

use crate::path;
use std::fmt;
use std::str::FromStr;
use url::{Host, Url};

/// Longest rule, in bytes: the longest name of the DNS, a path, and a few methods.
const RULE_BYTES_MAX: usize = 1024;
/// Longest method, in bytes; the longest that is registered has 17.
const METHOD_BYTES_MAX: usize = 32;
const SECRET_NAME_BYTES_MAX: usize = 64;

/// One place that an API may call: `[METHOD[,METHOD…] ]http(s)://host[:port][/path]`.
///
/// The host is exact, or `*.` and a name: one label more than the name, never the name itself. The path is a prefix
/// that ends at the border of a segment. There is no user, no query and no fragment in it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OutboundRule {
    methods: Methods,
    scheme: Scheme,
    host: HostRule,
    port: u16,
    /// Begins with `/`.
    path_prefix: Box<str>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Methods {
    Any,
    /// In the order of the text, none twice.
    Only(Vec<Box<str>>),
}

/// With TLS or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Scheme {
    Https,
    Http,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum HostRule {
    Exact(Host<String>),
    /// Hosts of exactly one label before this name.
    OneLabelBefore(Box<str>),
}

/// The text is no rule. Each says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseRuleError {
    /// Too long, or more than methods and a place.
    #[error(
        "write a place such as \"https://api.example.com\", with methods before it or none: \"GET,POST https://…\""
    )]
    Shape,
    /// Neither http nor https, or no scheme.
    #[error("a place begins with https:// (or http://, where the operator allows it), in lower case")]
    Scheme,
    /// Not a method, or one that is not for APIs.
    #[error(
        "`{0}` is no method that can be granted: write methods in upper case with commas between, such as GET,POST"
    )]
    Method(String),
    /// `user@`, `?query`, `#fragment`, a backslash, a control character.
    #[error("`{0}` has no place in a rule: it is scheme, host, port and the beginning of a path, and nothing else")]
    Character(char),
    /// Not a host, or not a port.
    #[error(
        "`{0}` is no host with a port: write a name, an IPv4 address or [an IPv6 address], and :port if it is not the usual one"
    )]
    Host(String),
    /// An address in a form that programs read differently.
    #[error("write the host as {0}, which is the same address")]
    Address(String),
    /// A wildcard elsewhere than in front of a name of two labels or more.
    #[error("a `*` stands for one label in front of a name that has at least two: https://*.example.com")]
    Wildcard,
    /// A path that a program would change.
    #[error("write the path as {0}, which is how it is compared")]
    Path(String),
    /// A path that two programs would read differently.
    #[error("write the path without encoded slashes, dots as segments, and control characters")]
    Ambiguous,
}

impl OutboundRule {
    /// Whether a call of this method and URL is granted. The URL is the one that is sent, parsed; whatever its text
    /// hid behind `..`, `%2e` or a backslash is in the open by then. Never one with a user in it.
    #[must_use]
    pub fn covers(&self, method: &str, url: &Url) -> bool {
        let methods = match &self.methods {
            Methods::Any => true,
            Methods::Only(list) => list.iter().any(|granted| **granted == *method),
        };
        let anonymous = url.username().is_empty() && url.password().is_none();
        methods
            && anonymous
            && url.scheme() == self.scheme.as_str()
            && url.port_or_known_default() == Some(self.port)
            && url.host().is_some_and(|host| self.host.matches(&host))
            && self.covers_path(url.path())
    }

    /// The methods that it names; none: every method is granted.
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        let named: &[Box<str>] = match &self.methods {
            Methods::Any => &[],
            Methods::Only(list) => list,
        };
        named.iter().map(|method| &**method)
    }

    /// Whether TLS is spoken.
    #[must_use]
    pub const fn is_https(&self) -> bool {
        matches!(self.scheme, Scheme::Https)
    }

    /// Whether it leads to this machine itself, whatever a resolver says.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            HostRule::Exact(Host::Ipv4(ip)) => ip.is_loopback(),
            HostRule::Exact(Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
            HostRule::Exact(Host::Domain(name)) => crate::address::is_localhost_name(name),
            HostRule::OneLabelBefore(name) => crate::address::is_localhost_name(name),
        }
    }

    fn covers_path(&self, path: &str) -> bool {
        // A whole host has nothing to lead out of.
        &*self.path_prefix == "/" || path::is_below(&self.path_prefix, path) && path::check(path).is_ok()
    }
}

impl Scheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

impl HostRule {
    fn matches(&self, host: &Host<&str>) -> bool {
        match (self, host) {
            (Self::Exact(Host::Domain(ours)), Host::Domain(theirs)) => ours == without_last_dot(theirs),
            (Self::Exact(Host::Ipv4(ours)), Host::Ipv4(theirs)) => ours == theirs,
            (Self::Exact(Host::Ipv6(ours)), Host::Ipv6(theirs)) => ours == theirs,
            (Self::OneLabelBefore(name), Host::Domain(theirs)) => {
                let label = without_last_dot(theirs).strip_suffix(&**name).and_then(|rest| rest.strip_suffix('.'));
                label.is_some_and(|label| !label.is_empty() && !label.contains('.'))
            }
            _ => false,
        }
    }
}

impl FromStr for OutboundRule {
    type Err = ParseRuleError;

    fn from_str(text: &str) -> Result<Self, ParseRuleError> {
        if text.len() > RULE_BYTES_MAX {
            return Err(ParseRuleError::Shape);
        }
        let (methods, place) = match text.split(' ').collect::<Vec<_>>()[..] {
            [place] if !place.is_empty() => (Methods::Any, place),
            [methods, place] if !methods.is_empty() && !place.is_empty() => (parse_methods(methods)?, place),
            _ => return Err(ParseRuleError::Shape),
        };
        if let Some(found) = place.chars().find(|c| c.is_control() || c.is_whitespace() || "\\@?#".contains(*c)) {
            return Err(ParseRuleError::Character(found));
        }
        let (scheme, rest) = match place.split_once("://") {
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(("http", rest)) => (Scheme::Http, rest),
            _ => return Err(ParseRuleError::Scheme),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (wildcard, host) = match authority.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, authority),
        };
        if host.contains('*') || path.contains('*') {
            return Err(ParseRuleError::Wildcard);
        }
        let not_a_host = || ParseRuleError::Host(authority.to_owned());
        if host.is_empty() || host.ends_with(':') {
            return Err(not_a_host());
        }
        let url = Url::parse(&format!("{}://{host}{path}", scheme.as_str())).map_err(|_| not_a_host())?;
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or_else(not_a_host)?;
        let host = host_rule(wildcard, host, url.host().ok_or_else(not_a_host)?, &not_a_host)?;
        let canonical = url.path();
        if !path.is_empty() && path != canonical {
            return Err(ParseRuleError::Path(canonical.to_owned()));
        }
        if !path::is_literal(canonical) {
            return Err(ParseRuleError::Ambiguous);
        }
        Ok(Self { methods, scheme, host, port, path_prefix: canonical.into() })
    }
}

fn parse_methods(text: &str) -> Result<Methods, ParseRuleError> {
    let mut list: Vec<Box<str>> = Vec::new();
    for method in text.split(',') {
        if !is_callable_method(method) {
            return Err(ParseRuleError::Method(method.to_owned()));
        }
        if !list.iter().any(|known| **known == *method) {
            list.push(method.into());
        }
    }
    Ok(Methods::Only(list))
}

/// Whether a guest may send it: a token in upper case, and neither `CONNECT` nor `TRACE`, which are for proxies.
#[must_use]
pub fn is_callable_method(method: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    (1..=METHOD_BYTES_MAX).contains(&method.len())
        && method.bytes().all(token)
        && !matches!(method, "CONNECT" | "TRACE" | "TRACK")
}

fn host_rule(
    wildcard: bool,
    text: &str,
    host: Host<&str>,
    not_a_host: &dyn Fn() -> ParseRuleError,
) -> Result<HostRule, ParseRuleError> {
    let plain = |canonical: String| {
        let written = text == canonical || text.strip_prefix(&canonical).is_some_and(|port| port.starts_with(':'));
        if written { Ok(()) } else { Err(ParseRuleError::Address(canonical)) }
    };
    match &host {
        Host::Domain(name) => {
            let name = without_last_dot(name);
            if name.is_empty() || name.split('.').any(str::is_empty) {
                return Err(not_a_host());
            }
            match wildcard {
                true if name.contains('.') => Ok(HostRule::OneLabelBefore(name.into())),
                true => Err(ParseRuleError::Wildcard),
                false => Ok(HostRule::Exact(Host::Domain(name.to_owned()))),
            }
        }
        _ if wildcard => Err(ParseRuleError::Wildcard),
        Host::Ipv4(_) | Host::Ipv6(_) => plain(host.to_string()).map(|()| HostRule::Exact(host.to_owned())),
    }
}

fn without_last_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

impl fmt::Display for OutboundRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Methods::Only(list) = &self.methods {
            write!(f, "{} ", list.join(","))?;
        }
        write!(f, "{}://", self.scheme.as_str())?;
        match &self.host {
            HostRule::Exact(host) => write!(f, "{host}")?,
            HostRule::OneLabelBefore(name) => write!(f, "*.{name}")?,
        }
        if self.port != self.scheme.port() {
            write!(f, ":{}", self.port)?;
        }
        if &*self.path_prefix == "/" { Ok(()) } else { f.write_str(&self.path_prefix) }
    }
}

impl fmt::Debug for OutboundRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// The name of a secret: 1 to 64 of `A-Z`, `0-9` and `_`, beginning with a letter, as environment variables are written.
/// Nothing of it needs an escape in a URL, a header or JSON.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(Box<str>);

/// The text cannot be a secret's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of a secret: use 1 to 64 of A-Z, 0-9 and `_`, beginning with a letter")]
pub struct ParseSecretNameError(String);

impl SecretName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretName {
    type Err = ParseSecretNameError;

    fn from_str(text: &str) -> Result<Self, ParseSecretNameError> {
        let inner = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase());
        if begins && text.len() <= SECRET_NAME_BYTES_MAX && text.bytes().all(inner) {
            Ok(Self(text.into()))
        } else {
            Err(ParseSecretNameError(text.chars().take(SECRET_NAME_BYTES_MAX).collect()))
        }
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
