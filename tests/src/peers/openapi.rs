//! Public programs that read OpenAPI documents: they validate one, hold the gateway against it, make clients of it.

use super::{Peers, Program};
use crate::{Output, cli};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Validates an OpenAPI document with `openapi-spec-validator` of PyPI.
///
/// # Errors
/// It is not valid, or the program cannot be run.
pub async fn validate_openapi(document: &Value) -> Result<()> {
    let peers = Peers::ensure()?;
    let file = tempfile::Builder::new().prefix("openapi-").suffix(".json").tempfile_in(&peers.folder)?;
    std::fs::write(file.path(), document.to_string())?;
    let mut command = peers.program(Program::Python);
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
    /// Which of its operations are called.
    pub operations: Operations<'a>,
}

/// Operations of a document, by their ids.
#[derive(Debug, Clone, Copy)]
pub enum Operations<'a> {
    /// These alone: a few seconds are enough for them.
    Only(&'a [&'a str]),
    /// All but these.
    Without(&'a [&'a str]),
}

/// Calls the operations that an OpenAPI document describes, with `schemathesis` of PyPI and a fixed seed: no answer is a
/// server's error, and each has a status, a type and a shape that the document has. Streams do not end, and are left out.
///
/// # Errors
/// It cannot be run.
pub async fn check_contract(contract: Contract<'_>) -> Result<Output> {
    let peers = Peers::ensure()?;
    let work = tempfile::tempdir_in(&peers.folder)?;
    let mut config = String::from("[parameters]\n");
    for (name, value) in contract.parameters {
        config.push_str(&format!("{name:?} = {value:?}\n"));
    }
    std::fs::write(work.path().join("schemathesis.toml"), config)?;
    let mut command = peers.program(Program::Python);
    command.current_dir(work.path());
    command.args(["-m", "schemathesis.cli", "run", contract.document, "--seed", "1", "--no-color"]);
    command.args(["--max-examples", "8", "--workers", "1", "--continue-on-failure"]);
    command.args(["--phases", "examples,coverage,fuzzing", "--suppress-health-check", "all"]);
    command.args(["--generation-database", "none", "--request-timeout", "10"]);
    command.args(["--checks", CONTRACT_CHECKS, "--exclude-path-regex", "/events$"]);
    let (option, ids, seconds) = match contract.operations {
        Operations::Only(ids) => ("--include-operation-id", ids, "5"),
        Operations::Without(ids) => ("--exclude-operation-id", ids, "20"),
    };
    command.args(["--max-time", seconds]);
    for id in ids {
        command.args([option, *id]);
    }
    command.args(["--header", &format!("X-Consumer-Key:{}", contract.consumer_key)]);
    command.args(["--header", &format!("Authorization:Bearer {}", contract.admin_token)]);
    cli::run_within(command, Duration::from_secs(120)).await
}

/// What a checked answer has to be.
const CONTRACT_CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// A call to be made with clients that public programs generate from a document.
#[derive(Debug)]
pub struct MadeCall<'a> {
    /// What the clients are generated from.
    pub document: &'a Value,
    /// `owner/slug`, for the gateway's document; the document of one API names it already.
    pub api: Option<&'a str>,
    /// Where the gateway is.
    pub base: &'a str,
    /// The consumer's key.
    pub key: &'a str,
    /// The body, as the API takes it.
    pub body: Value,
    /// Given in the header; a body of any JSON can have it too.
    pub webhook_url: Option<&'a str>,
}

impl MadeCall<'_> {
    /// Makes the call with a client of `openapi-python-client`: status and body.
    ///
    /// # Errors
    /// The program makes no client of the document, the client cannot make the call, or nothing comes back.
    pub async fn in_python(&self) -> Result<Made> {
        let peers = Peers::ensure()?;
        let work = tempfile::tempdir_in(&peers.folder)?;
        fs::write(work.path().join("document.json"), self.document.to_string())?;
        // It formats what it has made with a program that is found by the path only.
        fs::write(work.path().join("config.yaml"), "post_hooks: []\n")?;
        let mut make = peers.program(Program::Python);
        make.current_dir(work.path()).args(["-m", "openapi_python_client", "generate", "--meta", "none"]);
        make.args(["--path", "document.json", "--output-path", "made", "--config", "config.yaml"]);
        cli::run_within(make, GENERATE_MAX).await?.expect(0)?;
        let mut call = peers.program(Program::Python);
        call.arg(peers.folder.join("client.py")).arg(self.given().to_string()).current_dir(work.path());
        made(&cli::run(call).await?)
    }

    /// Makes the call with clients of `@hey-api/openapi-ts` and `orval`, and compiles what they and `openapi-typescript`
    /// have made, as strictly as the compiler can: status and body by the name of each.
    ///
    /// # Errors
    /// One makes no client of the document, a client does not compile or cannot make the call, or nothing comes back.
    pub async fn in_typescript(&self) -> Result<Made> {
        let peers = Peers::ensure()?;
        let work = tempfile::tempdir_in(&peers.folder)?;
        fs::write(work.path().join("document.json"), self.document.to_string())?;
        let script = if self.api.is_some() { "client_gateway.ts" } else { "client_api.ts" };
        for name in ["given.ts", script] {
            fs::copy(peers.folder.join(name), work.path().join(name))?;
        }
        let run = async |program: &str, arguments: &[&str]| {
            let mut command = peers.program(Program::Node);
            command.arg(peers.folder.join("node_modules").join(program)).args(arguments).current_dir(work.path());
            cli::run_within(command, GENERATE_MAX).await?.expect(0).with_context(|| program.to_owned())
        };
        let hey = ["-i", "./document.json", "-o", "hey", "--no-log-file"];
        let orval = ["--input", "document.json", "--output", "orval.ts", "--client", "fetch"];
        let types = ["document.json", "-o", "types.d.ts"];
        tokio::try_join!(
            run("@hey-api/openapi-ts/bin/run.js", &hey),
            run("orval/dist/bin/orval.mjs", &orval),
            run("openapi-typescript/bin/cli.js", &types),
        )?;
        let compile = [
            &["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--lib", "es2022,dom,dom.iterable"][..],
            &["--module", "esnext", "--moduleResolution", "bundler", "types.d.ts", script],
        ];
        let compile = compile.concat();
        let bundle =
            ["--bundle", "--platform=node", "--format=esm", "--outfile=client.mjs", "--log-level=error", script];
        tokio::try_join!(run("typescript/bin/tsc", &compile), run("esbuild/bin/esbuild", &bundle))?;
        let mut call = peers.program(Program::Node);
        call.arg("client.mjs").arg(self.given().to_string()).current_dir(work.path());
        made(&cli::run(call).await?)
    }

    fn given(&self) -> Value {
        let Self { document, api, base, key, body, webhook_url } = self;
        let has_schema = document["components"]["schemas"]["Call"].is_object();
        json!({ "base": base, "key": key, "api": api, "body": body, "webhook_url": webhook_url, "has_schema": has_schema })
    }
}

/// A generator reads 200 kB of JSON; on a machine that is busy with other tests too.
const GENERATE_MAX: Duration = Duration::from_secs(60);

/// Status and body that each client had, by the name of what made the client.
pub type Made = BTreeMap<String, Value>;

/// One object a line.
fn made(output: &Output) -> Result<Made> {
    anyhow::ensure!(output.code == Some(0), "a client cannot call: {output:?}");
    let lines = output.stdout.lines().map(|line| serde_json::from_str::<Made>(line).context("what a client printed"));
    Ok(lines.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}
