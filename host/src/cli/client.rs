//! Speaks to `/admin/v1` of a gateway: the one on the data folder, with the token in it, or the one named by `--to`.

mod connect;

pub(super) use connect::{connect, is_this_machine};

use super::{Common, Exit, Failure, Listening};
use crate::config::{Config, gateway_url};
use crate::keyring::{AdminToken, KeyringError};
use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use std::io::ErrorKind;
use std::time::Duration;
use url::Url;

/// Where a running gateway says where it listens.
pub(crate) const ADMIN_ADDRESS_FILE: &str = "admin-address";
/// The same of its data plane.
const ADDRESS_FILE: &str = "address";
/// For an answer to a question; an upload takes as long as it takes.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// Which gateway a command is for, and as whom.
#[derive(Args, Clone)]
pub(super) struct Gateway {
    /// The gateway [default: the one that runs on the data folder]
    #[arg(long, env = "RIPOST_TO", value_name = "URL", value_parser = gateway_url)]
    to: Option<Url>,
    /// Token of an operator or owner [default: that of the data folder]
    #[arg(long, env = "RIPOST_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<SecretString>,
    /// Certificates of a private authority to trust besides the public ones
    #[arg(long, env = "RIPOST_CA_FILE", value_name = "FILE")]
    ca_file: Option<Utf8PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// A gateway with the token for it.
pub(super) struct Client {
    base: Url,
    token: SecretString,
    ca_file: Option<Utf8PathBuf>,
    /// What is said if nobody answers there.
    absent: String,
}

impl Gateway {
    /// The configuration of this machine, for a command that needs it besides.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        self.common.load(Listening::default())
    }

    /// Finds address and token.
    ///
    /// # Errors
    /// No gateway runs on the data folder, or one is named without a token, or without TLS beyond this machine.
    pub(super) fn open(&self) -> Result<Client, Failure> {
        let Self { to, token, ca_file, common } = self;
        let Some(base) = to else {
            let data = common.load(Listening::default())?.data;
            let absent = not_running(&data, "name another folder with --data, or a gateway with --to");
            let base = address(&data, ADMIN_ADDRESS_FILE, &absent)?;
            let base = base.parse().with_context(|| format!("{ADMIN_ADDRESS_FILE} holds `{base}`, which is no URL"))?;
            let token = match token {
                Some(token) => token.clone(),
                None => match AdminToken::read(&data) {
                    Ok(token) => token.reveal().into(),
                    Err(KeyringError::File { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
                        return Err(unreadable(&data, source));
                    }
                    Err(error) => return Err(anyhow::Error::new(error).context("reading the admin token").into()),
                },
            };
            return Ok(Client { base, token, ca_file: ca_file.clone(), absent });
        };
        let configuration = |text: String| Failure::new(Exit::Configuration, anyhow!(text));
        let token = token.clone().ok_or_else(|| {
            configuration(
                "--to needs a token: name it with --token or RIPOST_TOKEN; `ripost tokens add` makes one".into(),
            )
        })?;
        if base.scheme() != "https" && !(base.scheme() == "http" && is_this_machine(base)) {
            let text = format!("{base} would have the token in the clear: use https://, or a tunnel to this machine");
            return Err(configuration(text));
        }
        let absent = format!("no gateway answers at {base}");
        Ok(Client { base: base.clone(), token, ca_file: ca_file.clone(), absent })
    }

    /// Asks once, and reads the answer.
    ///
    /// # Errors
    /// There is no such gateway, or it refuses.
    pub(super) fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<T, Failure> {
        self.open()?.ask(method, path, body)
    }

    /// Asks the data plane as the holder of a consumer key.
    ///
    /// # Errors
    /// Nobody answers there, or it refuses.
    pub(super) fn ask_as<T: DeserializeOwned>(
        &self,
        key: &str,
        method: Method,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<T, Failure> {
        let base = match &self.to {
            Some(base) => base.clone(),
            None => {
                let base = data_plane(&self.common.load(Listening::default())?.data)?;
                base.parse().with_context(|| format!("`{base}` is no URL"))?
            }
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-consumer-key", HeaderValue::from_str(key).context("the key is not text")?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let (ca_file, absent) = (self.ca_file.as_deref(), format!("no gateway answers at {base}"));
        let body = Bytes::from(body.to_string());
        finish(exchange(&base, ca_file, method, path, headers, body, &absent), ANSWER_TIME)
    }
}

impl Client {
    /// Asks, and reads the answer.
    ///
    /// # Errors
    /// Nobody answers, or it refuses.
    pub(super) fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<T, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = Bytes::from(body.map(ToString::to_string).unwrap_or_default());
        self.send(method, path, headers, body, ANSWER_TIME)
    }

    /// Sends a body of any kind.
    ///
    /// # Errors
    /// Nobody answers within `time`, or it refuses.
    pub(super) fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: Bytes,
        time: Duration,
    ) -> Result<T, Failure> {
        let token = format!("Bearer {}", self.token.expose_secret().trim());
        let mut token = HeaderValue::from_str(&token).context("the token is not text")?;
        token.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, token);
        finish(exchange(&self.base, self.ca_file.as_deref(), method, path, headers, body, &self.absent), time)
    }
}

/// Where the data plane of the gateway on a data folder is.
///
/// # Errors
/// No gateway runs there.
fn data_plane(data: &Utf8Path) -> Result<String, Failure> {
    address(data, ADDRESS_FILE, &not_running(data, "name the gateway with --to"))
}

fn not_running(data: &Utf8Path, or: &str) -> String {
    format!("no gateway runs on the data folder {data}: start it with `ripost serve`, or {or}")
}

fn address(data: &Utf8Path, file: &str, absent: &str) -> Result<String, Failure> {
    match std::fs::read_to_string(data.join(file)) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Failure::new(Exit::Unavailable, anyhow!(absent.to_owned())))
        }
        // Whether one runs cannot be told.
        Err(error) => Err(unreadable(data, error)),
    }
}

/// Something in the data folder is there and cannot be read.
fn unreadable(data: &Utf8Path, error: std::io::Error) -> Failure {
    let to_do = match error.kind() {
        ErrorKind::PermissionDenied => {
            ": run this as the user that runs the gateway, or name the gateway with --to and --token"
        }
        _ => "",
    };
    Failure::new(Exit::NoInput, anyhow::Error::new(error).context(format!("reading the data folder {data}{to_do}")))
}

/// One request on a connection of its own. Redirects are another's answers and are not followed.
async fn exchange(
    base: &Url,
    ca_file: Option<&Utf8Path>,
    method: Method,
    path: &str,
    headers: HeaderMap,
    body: Bytes,
    absent: &str,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let mut sender = connect(base, ca_file).await.with_context(|| absent.to_owned())?;
    let target = format!("{}{path}", base.path().trim_end_matches('/'));
    let mut request =
        Request::builder().method(method).uri(target).body(Full::new(body)).context("making the request")?;
    *request.headers_mut() = headers;
    let host = &base[url::Position::BeforeHost..url::Position::AfterPort];
    request.headers_mut().insert(header::HOST, HeaderValue::from_str(host).context("making the request")?);
    let broke_off = || format!("the gateway at {base} broke off before it had answered; its log may say why");
    let response = sender.send_request(request).await.with_context(broke_off)?;
    let status = response.status();
    Ok((status, response.into_body().collect().await.with_context(broke_off)?.to_bytes()))
}

fn finish<T: DeserializeOwned>(
    exchange: impl Future<Output = anyhow::Result<(StatusCode, Bytes)>>,
    time: Duration,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting a thread")?;
    let exchanged = runtime.block_on(async {
        tokio::time::timeout(time, exchange).await.map_err(|_| anyhow!("no answer within {} s", time.as_secs()))?
    });
    let (status, body) = exchanged.map_err(|error| Failure::new(Exit::Unavailable, error))?;
    if status.is_success() {
        let body = if body.is_empty() { Bytes::from_static(b"null") } else { body };
        return Ok(serde_json::from_slice(&body).context("the gateway's answer is of another version")?);
    }
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    match (problem["title"].as_str(), problem["detail"].as_str()) {
        (Some(title), detail) => Err(anyhow!("{} ({status})", said(title, detail.unwrap_or_default())).into()),
        (None, _) => Err(anyhow!("what answered is no gateway of this kind ({status})").into()),
    }
}

/// Title and detail of a problem, or the detail alone where it says what the title does.
fn said(title: &str, detail: &str) -> String {
    let begins_alike = detail.get(..title.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(title));
    match (begins_alike, detail.is_empty()) {
        (_, true) => title.to_owned(),
        (true, false) => detail.to_owned(),
        (false, false) => format!("{title}: {detail}"),
    }
}

/// A segment of a path, whatever is in it.
pub(super) fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests;
