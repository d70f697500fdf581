//! `outbound`: the way out of handlers. Granted or not, a request that HTTP can carry or not, and then the same guard and
//! connections as for webhooks, with a policy and a pool of its own.

mod fields;
mod outlet;

pub use outlet::{Outlet, OutletBounds};

use super::placeholder::{Credentials, Escape, Placeholders, PutIn, PutInError};
use crate::egress::{Answer, Exchange, HOP_BY_HOP, Outgoing, Party, Phase, SendError};
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use ripost_domain::address::{UrlRefused, WebhookUrl};
use ripost_domain::grant::{OutboundRule, is_callable_method};
use ripost_runtime::{Outbound, OutboundError, OutboundRequest, OutboundResponse};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use url::{Position, Url};

/// The way out of one API.
pub struct ApiOutbound {
    outlet: Arc<Outlet>,
    owner: Arc<str>,
    rules: Arc<[OutboundRule]>,
    /// None: the handler has the values themselves.
    placeholders: Option<Arc<Placeholders>>,
}

impl ApiOutbound {
    pub(super) fn new(
        outlet: Arc<Outlet>,
        owner: Arc<str>,
        rules: Arc<[OutboundRule]>,
        placeholders: Option<Arc<Placeholders>>,
    ) -> Self {
        Self { outlet, owner, rules, placeholders }
    }

    /// The request as it is sent, secrets included; and the credentials in it that answers are to be searched for.
    fn outgoing(&self, request: OutboundRequest) -> Result<(Outgoing, Vec<Credentials>), OutboundError> {
        let OutboundRequest { method, url, headers, mut body, timeout, response_bytes_max } = request;
        if !is_callable_method(&method) {
            return Err(OutboundError::Invalid(
                "the method must be an HTTP method in upper case, such as GET".to_owned(),
            ));
        }
        let mut url = Url::parse(&url).map_err(|error| OutboundError::Invalid(format!("the URL: {error}")))?;
        url.set_fragment(None);
        self.check_granted(&method, &url)?;
        let mut headers = fields::checked(headers, body.len())?;
        let mut credentials = Vec::new();
        if let Some(placeholders) = &self.placeholders {
            let mut put_in = placeholders.put_in();
            let mut any = self.put_into_url(&mut put_in, &method, &mut url)?;
            any |= put_into_body(&mut put_in, &headers, &mut body)?;
            any |= put_into_headers(&mut put_in, &mut headers)?;
            if any {
                // What comes back is searched for the values, which an encoding would hide.
                headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            credentials = put_in.into_credentials();
        }
        let url = WebhookUrl::parse_for_call(url.as_str(), self.outlet.url_policy())
            .map_err(|error| url_refused(&url[Position::BeforeHost..Position::AfterPort], error))?;
        let outgoing = Outgoing {
            party: Party::Owner(self.owner.clone()),
            url,
            method: method.parse().map_err(|_| OutboundError::Invalid("the method is not HTTP's".to_owned()))?,
            headers,
            body,
            deadline: timeout,
            response_bytes_read_max: response_bytes_max,
            response_bytes_kept: response_bytes_max,
        };
        Ok((outgoing, credentials))
    }

    fn check_granted(&self, method: &str, url: &Url) -> Result<(), OutboundError> {
        if self.rules.iter().any(|rule| rule.covers(method, url)) {
            return Ok(());
        }
        let mut text = format!("no grant covers {method} {}; `grants.outbound` has", &url[..Position::AfterPort]);
        for (index, rule) in self.rules.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(text, "{comma} \"{rule}\"").expect("writing to a String cannot fail");
        }
        Err(OutboundError::NotGranted(text))
    }

    /// Into path and query; the host is nowhere for a secret, which whoever runs its name server would see.
    fn put_into_url(&self, put_in: &mut PutIn<'_>, method: &str, url: &mut Url) -> Result<bool, OutboundError> {
        let Some(replaced) = put_in.text(url[Position::BeforePath..].as_bytes(), Escape::Percent)? else {
            return Ok(false);
        };
        let text = String::from_utf8(replaced).map_err(|_| OutboundError::Invalid("the URL is not text".to_owned()))?;
        let whole = format!("{}{text}", &url[..Position::BeforePath]);
        *url = Url::parse(&whole)
            .map_err(|_| OutboundError::Invalid("the URL with the secret in it is none".to_owned()))?;
        // A value of dots would climb.
        if self.rules.iter().any(|rule| rule.covers(method, url)) {
            Ok(true)
        } else {
            Err(OutboundError::NotGranted("no grant covers the URL with the secret in it".to_owned()))
        }
    }

    fn response(
        &self,
        answer: Answer,
        credentials: &[Credentials],
        response_bytes_max: usize,
    ) -> Result<OutboundResponse, OutboundError> {
        let too_long = || {
            OutboundError::Limit(format!(
                "the answer has more than {response_bytes_max} bytes, the limit `outbound_bytes`"
            ))
        };
        if answer.truncated {
            return Err(too_long());
        }
        let status = answer.status.as_u16();
        if !(200..=599).contains(&status) {
            return Err(OutboundError::InDoubt(format!(
                "the answer has the status {status}, which HTTP does not know"
            )));
        }
        let mut headers = Vec::with_capacity(answer.headers.len());
        for (name, value) in &answer.headers {
            if HOP_BY_HOP.contains(name) && name != header::CONTENT_LENGTH {
                continue;
            }
            let value = Bytes::copy_from_slice(value.as_bytes());
            headers.push((
                name.as_str().to_owned(),
                self.without_secrets(value, credentials, usize::MAX).ok_or_else(too_long)?,
            ));
        }
        let body = self.without_secrets(answer.excerpt, credentials, response_bytes_max).ok_or_else(too_long)?;
        Ok(OutboundResponse { status, headers, body })
    }

    fn without_secrets(&self, text: Bytes, credentials: &[Credentials], bytes_max: usize) -> Option<Bytes> {
        let Some(placeholders) = &self.placeholders else { return Some(text) };
        placeholders.take_out(&text, credentials, bytes_max).ok().map(|replaced| replaced.map_or(text, Bytes::from))
    }
}

#[async_trait]
impl Outbound for ApiOutbound {
    async fn send(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        let (response_bytes_max, timeout) = (request.response_bytes_max, request.timeout);
        let (outgoing, credentials) = self.outgoing(request)?;
        let _place = self.outlet.enter(&self.owner)?;
        let safe = is_safe(outgoing.method.as_str());
        let host = outgoing.url.authority().to_owned();
        // Idempotent methods are not enough: a DELETE that arrives twice is answered 404, and a PUT may undo what somebody
        // else has put meanwhile. What a dead connection has cost otherwise is `in-doubt`, and the guest's to decide.
        let Exchange { result, .. } = if safe || outgoing.headers.contains_key("idempotency-key") {
            self.outlet.client().send_repeatable(&|| outgoing.clone()).await
        } else {
            self.outlet.client().send(outgoing).await
        };
        match result {
            Ok(answer) => self.response(answer, &credentials, response_bytes_max),
            Err(error) => Err(Failed { host: &host, safe, timeout, tells_why: self.outlet.tells_why() }.told(&error)),
        }
    }
}

/// RFC 9110 §9.2.1: sent or not, nothing has happened.
fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS")
}

fn put_into_body(put_in: &mut PutIn<'_>, headers: &HeaderMap, body: &mut Bytes) -> Result<bool, OutboundError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(replaced) = put_in.text(body, Escape::of_body(content_type))? else { return Ok(false) };
    *body = replaced.into();
    Ok(true)
}

fn put_into_headers(put_in: &mut PutIn<'_>, headers: &mut HeaderMap) -> Result<bool, OutboundError> {
    let mut any = false;
    for (name, value) in headers.iter_mut() {
        let Some(replaced) = put_in.header(name.as_str(), value.as_bytes())? else { continue };
        let mut replaced = HeaderValue::from_maybe_shared(Bytes::from(replaced)).map_err(|_| {
            let secret = put_in.named_in(value.as_bytes()).map_or("", |name| name.as_str());
            OutboundError::Invalid(format!("the secret `{secret}` has bytes that the header `{name}` cannot carry"))
        })?;
        replaced.set_sensitive(true);
        *value = replaced;
        any = true;
    }
    Ok(any)
}

impl From<PutInError> for OutboundError {
    fn from(error: PutInError) -> Self {
        match error {
            PutInError::Missing(_) => OutboundError::Invalid(error.to_string()),
            PutInError::TooMany => OutboundError::Limit(error.to_string()),
        }
    }
}

fn url_refused(host: &str, refused: UrlRefused) -> OutboundError {
    match refused {
        UrlRefused::Address(_) => forbidden(host),
        UrlRefused::PlainHttp => {
            OutboundError::NotGranted(format!("the operator does not allow plain http to {host}; use https"))
        }
        UrlRefused::Scheme => OutboundError::Invalid("the scheme must be https or http".to_owned()),
        UrlRefused::Credentials => {
            OutboundError::Invalid("the URL has a user in it; send the header `authorization`".to_owned())
        }
        UrlRefused::TooLong(_) | UrlRefused::Malformed | UrlRefused::Name | UrlRefused::Port(_) => {
            OutboundError::Invalid(refused.to_string())
        }
    }
}

/// For every forbidden address; which one it is stays ours.
fn forbidden(host: &str) -> OutboundError {
    OutboundError::AddressForbidden(format!("{host} has no address that handlers may reach"))
}

/// A call that was granted and has no answer.
struct Failed<'a> {
    /// With its port, as the URL has it.
    host: &'a str,
    safe: bool,
    timeout: Duration,
    /// Whether the handler may learn what is wrong with the host.
    tells_why: bool,
}

impl Failed<'_> {
    /// What a handler is told: never which address a name has.
    fn told(&self, error: &SendError) -> OutboundError {
        let Self { host, safe, timeout, .. } = *self;
        if error.is_ours() {
            return OutboundError::Unavailable(format!("the gateway cannot call out now; {host} was not called"));
        }
        match error {
            SendError::Refused(_) => forbidden(host),
            SendError::Dns(_)
            | SendError::Connect { .. }
            | SendError::Timeout { phase: Phase::Dns | Phase::Connect, .. } => {
                OutboundError::Connection(format!("{host} {}; nothing was sent", self.unreachable(error)))
            }
            SendError::Tls(_) => {
                let text = if error.class() == "tls-certificate" {
                    format!("the certificate of {host} is not valid for it; nothing was sent")
                } else {
                    format!("there was no TLS handshake with {host}; nothing was sent")
                };
                OutboundError::Connection(text)
            }
            SendError::Timeout { phase: Phase::Tls, .. } => OutboundError::Timeout,
            SendError::Timeout { phase: Phase::Head | Phase::Body, .. } if safe => OutboundError::Timeout,
            SendError::Timeout { phase: Phase::Head | Phase::Body, .. } => {
                OutboundError::InDoubt(format!("sent to {host}, and no whole answer within {} ms", timeout.as_millis()))
            }
            SendError::Protocol { .. } => {
                OutboundError::InDoubt(format!("sent to {host}, and what came back is not HTTP"))
            }
            SendError::Io { .. } => {
                OutboundError::InDoubt(format!("sent to {host}, and the connection broke before the answer ended"))
            }
            SendError::Request(_) => OutboundError::Invalid("the request cannot be written as HTTP".to_owned()),
            SendError::Shutdown => OutboundError::Unavailable("the gateway is stopping".to_owned()),
        }
    }

    fn unreachable(&self, error: &SendError) -> &'static str {
        if !self.tells_why {
            return "cannot be reached: it has no address, refuses the connection, or is silent";
        }
        match error.class() {
            "dns-no-address" => "was not found: its name has no address",
            "dns-failed" | "dns-timeout" => "was not found: the name servers did not answer for it",
            "connect-refused" => "refused the connection",
            "connect-timeout" => "did not take the connection in time",
            _ => "cannot be reached",
        }
    }
}

#[cfg(test)]
mod tests;
