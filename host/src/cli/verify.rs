//! `ripost verify FILE`

use super::out::{counted, one_line, out, outln};
use super::{Exit, Failure, client};
use anyhow::{Context as _, anyhow, bail};
use camino::Utf8PathBuf;
use clap::Args;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use ripost_domain::receipt::{self, AttemptLog, DeliveryLog, Receipt};
use ripost_domain::signature::PublicKey;
use serde_json::Value;
use std::fmt::{self, Write as _};
use std::io::Read as _;
use std::time::Duration;
use url::Url;

const RECEIPT_BYTES_MAX: u64 = 64 << 20;
const KEYS_BYTES_MAX: usize = 1 << 20;
const FETCH_TIME: Duration = Duration::from_secs(20);
const KEYS_PATH: &str = "/.well-known/webhook-keys";

/// Check a delivery receipt.
///
/// Recomputes every hash in it and checks the signature. The key should come from somewhere else than the receipt: keep
/// the gateway's `whpk_…` or its key document from before. With --fetch the key is whatever the gateway that the receipt
/// names publishes now: that is as good as TLS, and as your knowing that gateway.
///
/// Exits with 0 if the receipt holds, 1 if it does not, 64 if there is no key, 66 if there is no such file, 69 if the key cannot
/// be fetched.
#[derive(Args)]
pub(super) struct Verify {
    /// The receipt; `-` is standard input
    #[arg(value_name = "FILE")]
    file: Utf8PathBuf,
    /// The gateway's public key
    #[arg(long, value_name = "whpk_…", group = "source")]
    key: Option<String>,
    /// The gateway's key document, as /.well-known/webhook-keys has it
    #[arg(long, value_name = "FILE_OR_URL", group = "source")]
    jwks: Option<String>,
    /// Fetch the key document from the gateway that the receipt names, over https (or http on this machine)
    #[arg(long, group = "source")]
    fetch: bool,
}

impl Verify {
    pub(super) fn run(self) -> Result<(), Failure> {
        let text = read(&self.file)?;
        let receipt: Receipt = serde_json::from_slice(&text)
            .map_err(|error| anyhow!("NOT VERIFIED: not a delivery receipt: {}", one_line(&error.to_string())))?;
        let (key, source) = self.key(&receipt)?;
        let verified = receipt::verify(&receipt, &key)
            .map_err(|error| anyhow!("NOT VERIFIED: {}", one_line(&error.to_string())))?;
        out!("{}", Summary(&receipt));
        let opened = if verified.opened { "; URLs and addresses are those that were committed to" } else { "" };
        outln!(
            "verified: {}, {}, signed with key {} ({source}){opened}",
            counted(verified.deliveries, "delivery", "deliveries"),
            counted(verified.attempts, "attempt", "attempts"),
            receipt.key_id
        );
        Ok(())
    }

    /// The key, and where it is from.
    fn key(&self, receipt: &Receipt) -> Result<(PublicKey, String), Failure> {
        let usage = |error| Failure::new(Exit::Configuration, error);
        if let Some(key) = &self.key {
            let key = PublicKey::parse(key).context("--key").map_err(usage)?;
            return Ok((key, "given by --key".to_owned()));
        }
        let place = match &self.jwks {
            Some(place) => place.clone(),
            None if self.fetch => {
                let base = receipt.gateway.trim_end_matches('/');
                format!("{base}{KEYS_PATH}")
            }
            None => {
                return Err(usage(anyhow!(
                    "which key? Name it with --key or --jwks, or take the one that {} publishes with --fetch",
                    one_line(&receipt.gateway)
                )));
            }
        };
        let document = match Url::parse(&place) {
            Ok(url) if self.fetch || matches!(url.scheme(), "http" | "https") => fetch(&url)
                .with_context(|| format!("fetching {}", one_line(&place)))
                .map_err(|error| Failure::new(Exit::Unavailable, error))?,
            Err(error) if self.fetch => {
                return Err(usage(anyhow!(
                    "the receipt's gateway `{}` is no URL: {error}",
                    one_line(&receipt.gateway)
                )));
            }
            _ => read(&Utf8PathBuf::from(&place))?,
        };
        let keys = keys(&document).with_context(|| format!("reading {}", one_line(&place))).map_err(usage)?;
        // By what the keys are, not by what they are called.
        let known = keys.iter().find(|key| key.id() == receipt.key_id).copied();
        let missing = || anyhow!("NOT VERIFIED: no key {} in {}", one_line(&receipt.key_id), one_line(&place));
        Ok((known.ok_or_else(missing)?, format!("from {}", one_line(&place))))
    }
}

fn read(path: &Utf8PathBuf) -> Result<Vec<u8>, Failure> {
    read_bounded(path).map_err(|error| Failure::reading(error, Exit::Configuration))
}

fn read_bounded(path: &Utf8PathBuf) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file: Box<dyn std::io::Read> = if path == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(path).with_context(|| format!("reading {path}"))?)
    };
    file.take(RECEIPT_BYTES_MAX + 1).read_to_end(&mut bytes).with_context(|| format!("reading {path}"))?;
    if bytes.len() as u64 > RECEIPT_BYTES_MAX {
        bail!("{path} is larger than 64 MiB");
    }
    Ok(bytes)
}

/// All Ed25519 keys of a key document: `{"keys": [JWK…], "whpk": ["whpk_…"]}`.
fn keys(document: &[u8]) -> anyhow::Result<Vec<PublicKey>> {
    let document: Value = serde_json::from_slice(document).context("not JSON")?;
    let list = |name: &str| document[name].as_array().cloned().unwrap_or_default();
    let of_jwks = list("keys").iter().filter_map(|jwk| PublicKey::from_jwk(jwk).ok()).collect::<Vec<_>>();
    let of_text = list("whpk").iter().filter_map(|key| PublicKey::parse(key.as_str()?).ok()).collect::<Vec<_>>();
    let keys = [of_jwks, of_text].concat();
    if keys.is_empty() {
        bail!("no Ed25519 key in it");
    }
    Ok(keys)
}

fn fetch(url: &Url) -> anyhow::Result<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting a thread")?;
    runtime.block_on(async { tokio::time::timeout(FETCH_TIME, get(url)).await.context("it took too long")? })
}

async fn get(url: &Url) -> anyhow::Result<Vec<u8>> {
    // Over plain HTTP anybody on the way could put in a key of his own.
    if url.scheme() != "https" && !(url.scheme() == "http" && client::is_this_machine(url)) {
        bail!("only https is trusted, or http on this machine");
    }
    let mut sender = client::connect(url, None).await?;
    let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let request = Request::get(&url[url::Position::BeforePath..url::Position::AfterQuery])
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/json")
        .body(Full::default())?;
    let response = sender.send_request(request).await.context("asking")?;
    // A redirect is an answer of another's: not followed.
    if response.status() != http::StatusCode::OK {
        bail!("it answered {}", response.status());
    }
    let body = Limited::new(response.into_body(), KEYS_BYTES_MAX).collect().await;
    Ok(body.map_err(|error| anyhow!("reading the answer: {error}"))?.to_bytes().to_vec())
}

/// What a receipt says, for people.
struct Summary<'a>(&'a Receipt);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Receipt { gateway, issued_at, request, deliveries, .. } = self.0;
        writeln!(f, "request {} of {}", request.request_id, one_line(&request.api))?;
        writeln!(f, "receipt of {issued_at} from {}", one_line(gateway))?;
        write!(f, "accepted {}, {}", request.created_at, one_line(&request.state))?;
        writeln!(f, "{}", request.finished_at.map(|at| format!(" {at}")).unwrap_or_default())?;
        if let Some(settlement) = &request.settlement {
            writeln!(f, "{}", money(settlement))?;
        }
        for delivery in deliveries {
            let DeliveryLog { webhook_id, event, state, payload_bytes, payload_sha256, attempts, .. } = delivery;
            writeln!(f, "\ndelivery {webhook_id}: {}, {}", one_line(event), one_line(state))?;
            writeln!(f, "  payload of {payload_bytes} bytes, SHA-256 {payload_sha256}")?;
            for attempt in attempts {
                writeln!(f, "  {}", line(attempt))?;
            }
        }
        writeln!(f)
    }
}

fn money(settlement: &receipt::Settlement) -> String {
    let receipt::Settlement { state, price_usdc, captured_usdc } = settlement;
    match captured_usdc {
        Some(captured) => format!("price {price_usdc} USDC, {}: {captured} USDC paid", one_line(state)),
        None => format!("price {price_usdc} USDC, {}", one_line(state)),
    }
}

fn line(attempt: &AttemptLog) -> String {
    let AttemptLog { attempt: number, at, duration_ms, status, error_class, .. } = attempt;
    let mut line = format!("attempt {number} at {at}, {duration_ms} ms: ");
    match (status, error_class) {
        (Some(status), Some(class)) if class != "status" => {
            let _ = write!(line, "{status} ({})", one_line(class));
        }
        (Some(status), _) => line.push_str(&status.to_string()),
        (None, class) => line.push_str(&one_line(class.as_deref().unwrap_or("no answer"))),
    }
    for (name, value) in [("to", &attempt.url), ("at", &attempt.peer), ("over", &attempt.tls)] {
        if let Some(value) = value {
            let _ = write!(line, " {name} {}", one_line(value));
        }
    }
    line
}

#[cfg(test)]
mod tests;
