//! Public programs that the tests talk to: curl, node with the libraries of `tests/peers/package-lock.json`, Python with
//! those of `tests/peers/requirements.txt`. They are installed into `target/peers` once for each set of versions.

use crate::{Delivery, Output, cli, places, until};
use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

/// A program that is installed beside the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The shell, for what is written for curl.
    Shell,
    /// node.
    Node,
    /// Python, of the environment with the requirements.
    Python,
}

/// Installs what is missing and has the folder where everything is. Several processes may ask at once.
///
/// # Errors
/// curl, node, npm or Python is not there, or the packages cannot be had.
pub fn ensure() -> Result<Utf8PathBuf> {
    let from = places::workspace().join("tests/peers");
    let to = places::target().join("peers");
    std::fs::create_dir_all(to.join("samples"))?;
    let lock = std::fs::File::create(to.join("lock"))?;
    let _lock =
        Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error).context("locking target/peers")?;

    let mut versions = String::new();
    for name in ["package.json", "package-lock.json", ".npmrc", "requirements.txt"] {
        versions.push_str(&std::fs::read_to_string(from.join(name)).with_context(|| format!("reading {from}/{name}"))?);
    }
    copy_scripts(&from, &to)?;
    copy_scripts(&from.join("samples"), &to.join("samples"))?;
    let stamp = to.join("installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == versions) {
        return Ok(to);
    }
    for name in ["package.json", "package-lock.json", ".npmrc", "requirements.txt"] {
        std::fs::copy(from.join(name), to.join(name))?;
    }
    command(&to, "curl", &["--version"], "install curl (Debian: apt-get install curl)")?;
    command(&to, "npm", &["ci", "--ignore-scripts"], "install Node.js 20 or newer with npm")?;
    command(
        &to,
        "python3",
        &["-m", "venv", "venv"],
        "install Python 3.10 or newer (Debian: apt-get install python3-venv)",
    )?;
    let requirements = ["-m", "pip", "install", "--quiet", "--requirement", "requirements.txt"];
    command(&to, to.join("venv/bin/python").as_str(), &requirements, "make PyPI reachable")?;
    std::fs::write(stamp, versions)?;
    Ok(to)
}

/// Always the checkout's own: they are small, and the stamp is about versions only.
fn copy_scripts(from: &Utf8Path, to: &Utf8Path) -> Result<()> {
    for entry in from.read_dir_utf8()? {
        let entry = entry?;
        if matches!(entry.path().extension(), Some("sh" | "mjs" | "py")) {
            // By rename: a program of another test may be reading the old one.
            let draft = to.join(format!("{}.draft", entry.file_name()));
            std::fs::copy(entry.path(), &draft)?;
            std::fs::rename(&draft, to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn command(folder: &Utf8Path, program: &str, arguments: &[&str], advice: &str) -> Result<()> {
    let what = format!("`{program} {}`", arguments.join(" "));
    let output = Command::new(program).args(arguments).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{what} does not start: {advice}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what} failed: {advice}\n{text}");
    Ok(())
}

fn program(folder: &Utf8Path, program: Program) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(match program {
        Program::Shell => "sh".to_owned(),
        Program::Node => "node".to_owned(),
        Program::Python => folder.join("venv/bin/python").into_string(),
    });
    // A proxy of the machine's has no business with loopback.
    for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
        command.env_remove(name);
    }
    command.current_dir(folder);
    command
}

/// Runs a sample as printed, with the host's address in place of the gateway's and an endpoint in place of the app's.
///
/// # Errors
/// It did not end in time.
pub async fn run_sample(kind: Program, sample: &str, gateway: &str, webhook_url: &str) -> Result<Output> {
    let folder = ensure()?;
    let text = std::fs::read_to_string(folder.join("samples").join(sample))?;
    for placeholder in ["https://gateway.example", "https://your-app.com/hook"] {
        ensure!(text.contains(placeholder), "{sample} does not name {placeholder}");
    }
    let text = text.replace("https://gateway.example", gateway).replace("https://your-app.com/hook", webhook_url);
    let extension = Utf8Path::new(sample).extension().unwrap_or_default();
    // In the folder itself, so that node finds its packages.
    let script = tempfile::Builder::new().prefix("sample-").suffix(&format!(".{extension}")).tempfile_in(&folder)?;
    std::fs::write(script.path(), text)?;
    let mut command = program(&folder, kind);
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
    let folder = ensure()?;
    let script = placed_sample(&folder, name, ("https://gateway.example", gateway))?;
    let mut command = program(&folder, kind);
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
        let folder = ensure()?;
        let mut command = program(&folder, kind);
        command.arg(folder.join("samples").join(sample)).env("PYTHONUNBUFFERED", "1");
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
        let folder = ensure()?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let script = placed_sample(&folder, name, ("4000", &port.to_string()))?;
        let mut command = program(&folder, kind);
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
    let folder = ensure()?;
    let mut command = program(&folder, kind);
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

/// Validates an OpenAPI document with `openapi-spec-validator` of PyPI.
///
/// # Errors
/// It is not valid, or the program cannot be run.
pub async fn validate_openapi(document: &Value) -> Result<()> {
    let folder = ensure()?;
    let file = tempfile::Builder::new().prefix("openapi-").suffix(".json").tempfile_in(&folder)?;
    std::fs::write(file.path(), document.to_string())?;
    let mut command = program(&folder, Program::Python);
    command.args(["-m", "openapi_spec_validator", "--schema", "3.1"]).arg(file.path());
    cli::run(command).await?.expect(0).map(drop)
}

/// What an OpenAPI document is checked with.
#[derive(Debug)]
pub struct Contract<'a> {
    /// Where the document is.
    pub document: &'a str,
    /// For the data plane.
    pub consumer_key: &'a str,
    /// For the management API.
    pub admin_token: &'a str,
    /// Values of parameters, such as `path.id`, so that calls find something.
    pub parameters: &'a [(&'a str, &'a str)],
    /// Operations that are left out, by their ids.
    pub without: &'a [&'a str],
}

/// Calls everything that an OpenAPI document describes, with `schemathesis` of PyPI and a fixed seed: no answer is a
/// server's error, and each has a status, a type and a shape that the document has. Streams do not end, and are left out.
///
/// # Errors
/// It cannot be run.
pub async fn check_contract(contract: Contract<'_>) -> Result<Output> {
    let folder = ensure()?;
    let work = tempfile::tempdir_in(&folder)?;
    let mut config = String::from("[parameters]\n");
    for (name, value) in contract.parameters {
        config.push_str(&format!("{name:?} = {value:?}\n"));
    }
    std::fs::write(work.path().join("schemathesis.toml"), config)?;
    let mut command = program(&folder, Program::Python);
    command.current_dir(work.path());
    command.args(["-m", "schemathesis.cli", "run", contract.document, "--seed", "1", "--no-color"]);
    command.args(["--max-examples", "8", "--max-time", "20", "--workers", "1", "--continue-on-failure"]);
    command.args(["--phases", "examples,coverage,fuzzing", "--suppress-health-check", "all"]);
    command.args(["--generation-database", "none", "--request-timeout", "10"]);
    command.args(["--checks", CONTRACT_CHECKS, "--exclude-path-regex", "/events$"]);
    for id in contract.without {
        command.args(["--exclude-operation-id", *id]);
    }
    command.args(["--header", &format!("X-Consumer-Key:{}", contract.consumer_key)]);
    command.args(["--header", &format!("Authorization:Bearer {}", contract.admin_token)]);
    cli::run_within(command, Duration::from_secs(120)).await
}

/// What a checked answer has to be.
const CONTRACT_CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
