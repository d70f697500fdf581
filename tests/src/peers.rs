//! Public programs that the tests talk to: curl, node with the libraries of `tests/peers/package-lock.json`, Python with
//! those of `tests/peers/requirements.txt`. They are installed into `target/peers` once for each set of versions.

mod files;
mod installed;
mod openapi;

pub use self::files::{FileServer, nginx, nginx_folder};
pub use self::installed::{PYTHON_LEAST, Peers, Program};
pub use self::openapi::{Contract, Made, MadeCall, Operations, check_contract, validate_openapi};

use crate::{Delivery, Output, cli, places, until};
use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::Utf8Path;
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

/// Runs a sample as printed, with the host's address in place of the gateway's and an endpoint in place of the app's.
///
/// # Errors
/// It did not end in time.
pub async fn run_sample(kind: Program, sample: &str, gateway: &str, webhook_url: &str) -> Result<Output> {
    let peers = Peers::ensure()?;
    let text = std::fs::read_to_string(peers.folder.join("samples").join(sample))?;
    for placeholder in ["https://gateway.example", "https://your-app.com/hook"] {
        ensure!(text.contains(placeholder), "{sample} does not name {placeholder}");
    }
    let text = text.replace("https://gateway.example", gateway).replace("https://your-app.com/hook", webhook_url);
    let extension = Utf8Path::new(sample).extension().unwrap_or_default();
    // In the folder itself, so that node finds its packages.
    let script =
        tempfile::Builder::new().prefix("sample-").suffix(&format!(".{extension}")).tempfile_in(&peers.folder)?;
    std::fs::write(script.path(), text)?;
    let mut command = peers.program(kind);
    command.arg(script.path());
    cli::run(command).await
}

/// A sample of `docs/samples.md`, word for word: the code block whose opening line ends with its file name.
///
/// # Errors
/// The page has no such block.
pub fn printed_sample(name: &str) -> Result<String> {
    let page = std::fs::read_to_string(places::workspace().join("docs/samples.md"))?;
    let block =
        page.split("\n```").find(|block| block.lines().next().is_some_and(|line| line.ends_with(&format!(" {name}"))));
    let block = block.with_context(|| format!("docs/samples.md has no block `{name}`"))?;
    Ok(block.split_once('\n').map(|(_, code)| format!("{code}\n")).unwrap_or_default())
}

/// Writes a printed sample beside the packages that it uses, with addresses of the test in place of those of the page.
fn placed_sample(folder: &Utf8Path, name: &str, replaced: (&str, &str)) -> Result<tempfile::NamedTempFile> {
    let text = printed_sample(name)?;
    ensure!(text.contains(replaced.0), "{name} does not name {}", replaced.0);
    let suffix = format!(".{}", Utf8Path::new(name).extension().unwrap_or_default());
    let script = tempfile::Builder::new().prefix("printed-").suffix(&suffix).tempfile_in(folder)?;
    std::fs::write(script.path(), text.replace(replaced.0, replaced.1))?;
    Ok(script)
}

/// Runs a caller of `docs/samples.md` against a gateway.
///
/// # Errors
/// It did not end in time.
pub async fn run_printed_sample(kind: Program, name: &str, gateway: &str, key: &str) -> Result<Output> {
    let peers = Peers::ensure()?;
    let script = placed_sample(&peers.folder, name, ("https://gateway.example", gateway))?;
    let mut command = peers.program(kind);
    command.arg(script.path()).env("RIPOST_KEY", key);
    cli::run(command).await
}

/// A receiver of webhooks that is somebody else's program. It is killed when dropped.
pub struct Receiver {
    process: tokio::process::Child,
    output: BufReader<tokio::process::ChildStdout>,
    /// Where it listens.
    pub url: String,
}

impl Receiver {
    /// Starts a receiver of `samples/` and waits until it listens.
    ///
    /// # Errors
    /// It does not.
    pub async fn start(kind: Program, sample: &str) -> Result<Self> {
        let peers = Peers::ensure()?;
        let mut command = peers.program(kind);
        command.arg(peers.folder.join("samples").join(sample)).env("PYTHONUNBUFFERED", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut process = command.spawn().with_context(|| format!("starting {sample}"))?;
        let output = BufReader::new(process.stdout.take().context("its output is piped")?);
        let mut receiver = Self { process, output, url: String::new() };
        let line = receiver.line().await?;
        let port = line.trim().strip_prefix("listening ").with_context(|| format!("{sample} said `{line}`"))?;
        receiver.url = format!("http://127.0.0.1:{port}/hook");
        Ok(receiver)
    }

    /// Starts a receiver of `docs/samples.md` with a consumer's secret, and waits until it listens.
    ///
    /// # Errors
    /// It does not.
    pub async fn printed(kind: Program, name: &str, secret: &str) -> Result<Self> {
        let peers = Peers::ensure()?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let script = placed_sample(&peers.folder, name, ("4000", &port.to_string()))?;
        let mut command = peers.program(kind);
        command.arg(script.path()).env("WEBHOOK_SECRET", secret);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut process = command.spawn().with_context(|| format!("starting {name}"))?;
        let output = BufReader::new(process.stdout.take().context("its output is piped")?);
        until(&format!("{name} listens"), Duration::from_secs(20), async || {
            Ok(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop))
        })
        .await?;
        Ok(Self { process, output, url: format!("http://127.0.0.1:{port}/hook") })
    }

    /// The next line that it prints, within ten seconds.
    ///
    /// # Errors
    /// It says nothing, or has ended.
    pub async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line);
        let read = tokio::time::timeout(Duration::from_secs(10), read).await.context("the receiver says nothing")??;
        if read == 0 {
            bail!("the receiver has ended: {:?}", self.process.try_wait()?);
        }
        Ok(line)
    }
}

/// Checks a webhook with the `standardwebhooks` library of npm or of PyPI; what the program printed.
///
/// # Errors
/// The library refuses it, or cannot be run.
pub async fn verify_with(kind: Program, delivery: &Delivery, secret: &str) -> Result<String> {
    let script = match kind {
        Program::Node => "verify.mjs",
        Program::Python => "verify.py",
        Program::Shell => bail!("no library verifies in the shell"),
    };
    checked_by(kind, script, delivery, ("secret", secret.into())).await
}

/// Checks a webhook's `v1a` signature with node's own Ed25519 and a public key as a JWK.
///
/// # Errors
/// It is not that key's, or node cannot be run.
pub async fn verify_v1a_with_node(delivery: &Delivery, jwk: &Value) -> Result<()> {
    let said = checked_by(Program::Node, "verify_v1a.mjs", delivery, ("jwk", jwk.clone())).await?;
    ensure!(said == "verified", "it said `{said}`");
    Ok(())
}

/// Gives a webhook and a key to a program; what it printed, if it ended well.
async fn checked_by(kind: Program, script: &str, delivery: &Delivery, key: (&str, Value)) -> Result<String> {
    let peers = Peers::ensure()?;
    let mut command = peers.program(kind);
    command.arg(script);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut process = command.spawn()?;
    let headers: serde_json::Map<_, _> = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .map(|name| (name.to_owned(), delivery.header(name).into()))
        .into_iter()
        .collect();
    let mut given = json!({ "headers": headers, "body": STANDARD.encode(&delivery.body) });
    given[key.0] = key.1;
    let mut input = process.stdin.take().context("its input is piped")?;
    input.write_all(given.to_string().as_bytes()).await?;
    drop(input);
    let (mut stdout, mut stderr) = (process.stdout.take().context("piped")?, process.stderr.take().context("piped")?);
    let (mut said, mut complained) = (String::new(), String::new());
    let all = async {
        stdout.read_to_string(&mut said).await?;
        stderr.read_to_string(&mut complained).await?;
        process.wait().await
    };
    let status = tokio::time::timeout(Duration::from_secs(15), all).await.context("it did not end in time")??;
    ensure!(status.success(), "{script} refuses the webhook: {complained}");
    Ok(said.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hmac::{Hmac, KeyInit as _, Mac as _};

    #[tokio::test]
    async fn the_public_libraries_and_our_own_check_agree() {
        #[expect(clippy::disallowed_methods, reason = "a signature is of now")]
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let body = r#"{"requestId":"req_1","text":"世界"}"#;
        let mac = Hmac::<sha2::Sha256>::new_from_slice(&[7; 32]).unwrap();
        let tag = mac.chain_update(format!("dlv_1.{now}.{body}")).finalize().into_bytes();
        let mut headers = http::HeaderMap::new();
        headers.insert("webhook-id", "dlv_1".parse().unwrap());
        headers.insert("webhook-timestamp", now.into());
        headers.insert("webhook-signature", format!("v1,{}", STANDARD.encode(tag)).parse().unwrap());
        let (method, path, at) = ("POST".to_owned(), "/".to_owned(), std::time::Instant::now());
        let good = Delivery { connection: 0, method, path, headers, body: body.into(), at };
        let bad = Delivery { body: body.replace("req_1", "req_2").into(), ..good.clone() };
        let secret = format!("whsec_{}", STANDARD.encode([7; 32]));
        crate::verify(&good, &secret).unwrap();
        crate::verify(&bad, &secret).unwrap_err();
        for kind in [Program::Node, Program::Python] {
            assert_eq!(verify_with(kind, &good, &secret).await.unwrap(), "verified req_1", "{kind:?}");
            verify_with(kind, &bad, &secret).await.unwrap_err();
        }
    }
}
