//! `ripost listen`: a receiver to develop with, which verifies what it is sent and misbehaves on request.

mod check;
mod conduct;
mod receiver;
mod report;
mod text;

use super::out::{is_closed, note, out};
use super::{Exit, Failure};
use crate::config::listen_address;
use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use camino::Utf8PathBuf;
use check::Checks;
use clap::Args;
use conduct::{Conduct, Manner};
use http::{HeaderName, HeaderValue, StatusCode, header};
use receiver::Receiver;
use ripost_domain::signature::{PublicKey, Secret};
use ripost_domain::time::SystemClock;
use ripost_domain::units::{ParseUnitError, parse_duration};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Beyond the delay that was asked for: what a last answer may take to leave when --count is reached.
const GRACE: Duration = Duration::from_secs(2);
/// Reports that wait to be printed.
const REPORTS_MAX: usize = 64;

/// Receive webhooks on this machine, verify and show them.
///
/// Answers 200, or 401 to what does not verify, unless told otherwise. The options from --status on make it a bad
/// endpoint, to see what a gateway does about it.
#[derive(Args)]
pub(super) struct Listen {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:4000", value_name = "ADDRESS", value_parser = listen_address)]
    listen: SocketAddr,
    /// The consumer's webhook secret; may be repeated while one rotates
    #[arg(long, value_name = "whsec_…")]
    secret: Vec<String>,
    /// The same from a file, which keeps it out of the list of processes: one secret a line
    #[arg(long, value_name = "FILE")]
    secret_file: Option<Utf8PathBuf>,
    /// The gateway's public key, to check `v1a` signatures
    #[arg(long, value_name = "whpk_…")]
    public_key: Option<String>,
    /// Answer with this status, whether it verifies or not
    #[arg(long, value_parser = status)]
    status: Option<StatusCode>,
    /// Wait before answering, such as `10s`
    #[arg(long, value_parser = duration, value_name = "TIME")]
    delay: Option<Duration>,
    /// Answer with a head at once and then a byte each second, for ever
    #[arg(long, value_parser = duration, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "1 s", group = "manner")]
    drip: Option<Duration>,
    /// Never answer
    #[arg(long, group = "manner")]
    hang: bool,
    /// Reset the connection instead of answering
    #[arg(long, group = "manner")]
    reset: bool,
    /// Answer with this body
    #[arg(long, value_name = "TEXT", conflicts_with = "drip")]
    body: Option<String>,
    /// Answer with this Retry-After
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    retry_after: Option<HeaderValue>,
    /// Answer with this header, such as 'webhook-delivery: disable'; may be repeated
    #[arg(long, value_parser = header_line, value_name = "NAME: VALUE")]
    header: Vec<(HeaderName, HeaderValue)>,
    /// Misbehave for the first N only and answer 200 to the rest
    #[arg(long, value_name = "N")]
    times: Option<u64>,
    /// Print one line of JSON for each
    #[arg(long)]
    json: bool,
    /// End after N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

fn status(text: &str) -> anyhow::Result<StatusCode> {
    let status: StatusCode = text.parse().context("not a status")?;
    // hyper sends no final answer of that kind.
    if status.is_informational() { bail!("1xx is no answer") } else { Ok(status) }
}

fn duration(text: &str) -> Result<Duration, ParseUnitError> {
    parse_duration(text)
}

fn header_line(text: &str) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':').context("write NAME: VALUE")?;
    let name = name.trim().parse::<HeaderName>()?;
    if matches!(name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::CONNECTION) {
        bail!("`{name}` is written by the server itself");
    }
    Ok((name, value.trim().parse()?))
}

impl Listen {
    pub(super) fn run(self) -> Result<(), Failure> {
        let checks = self.checks().map_err(|error| Failure::reading(error, Exit::Configuration))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting threads")?;
        let done = runtime.block_on(self.receive(checks));
        // What still hangs or drips is cut off.
        runtime.shutdown_background();
        done
    }

    fn checks(&self) -> anyhow::Result<Checks> {
        let of_file = match &self.secret_file {
            Some(path) => std::fs::read_to_string(path).with_context(|| format!("reading {path}"))?,
            None => String::new(),
        };
        let of_file = of_file.lines().map(str::trim).filter(|line| !line.is_empty());
        let secrets =
            self.secret.iter().map(String::as_str).chain(of_file).map(Secret::parse).collect::<Result<_, _>>()?;
        let public_key = self.public_key.as_deref().map(PublicKey::parse).transpose()?;
        let checks = Checks { secrets, public_key };
        if checks.secrets.is_empty() && self.secret_file.is_some() {
            bail!("there is no secret in the file");
        }
        Ok(checks)
    }

    fn conduct(&self) -> Conduct {
        let manner = match (self.drip, self.hang, self.reset) {
            (Some(interval), ..) => Manner::Drip(interval),
            (_, true, _) => Manner::Hang,
            (.., true) => Manner::Reset,
            _ => Manner::Answer,
        };
        let retry_after = self.retry_after.clone().map(|value| (header::RETRY_AFTER, value));
        Conduct {
            manner,
            status: self.status,
            delay: self.delay.unwrap_or_default(),
            headers: self.header.iter().cloned().chain(retry_after).collect(),
            body: self.body.clone().map(Bytes::from).unwrap_or_default(),
            times: self.times,
        }
    }

    async fn receive(self, checks: Checks) -> Result<(), Failure> {
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("listening on {}", self.listen))
            .map_err(|error| Failure::new(Exit::Unavailable, error))?;
        let address = listener.local_addr().context("reading the address")?;
        let what = if checks.is_empty() { ", nothing is verified without --secret or --public-key" } else { "" };
        note!("listening on http://{address}{what}");
        let (reports, mut arrived) = mpsc::channel(REPORTS_MAX);
        let conduct = self.conduct();
        let grace = conduct.delay + GRACE;
        let receiver = Arc::new(Receiver::new(checks, conduct, Arc::new(SystemClock::start()), reports));
        let (stopping, tasks) = (receiver.stopping.clone(), receiver.tasks.clone());
        tasks.spawn(receiver.serve(listener));
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        let mut left = self.count;
        while left != Some(0) {
            let report = tokio::select! {
                done = &mut interrupted => return Ok(done.context("waiting for Ctrl-C")?),
                report = arrived.recv() => report.ok_or_else(|| anyhow!("the receiver ended"))?,
            };
            let text = if self.json { report.to_json()? + "\n" } else { report.to_string() };
            out!("{text}");
            if is_closed() {
                break;
            }
            left = left.map(|left| left - 1);
        }
        // The last answer is still on its way.
        stopping.cancel();
        tasks.close();
        let _ = tokio::time::timeout(grace, tasks.wait()).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
