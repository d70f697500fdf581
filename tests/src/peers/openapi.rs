//! Public programs that read OpenAPI documents: they validate one, and hold the gateway against it.

use super::{Peers, Program};
use crate::{Output, cli};
use anyhow::Result;
use serde_json::Value;
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
    /// Operations that are left out, by their ids.
    pub without: &'a [&'a str],
}

/// Calls everything that an OpenAPI document describes, with `schemathesis` of PyPI and a fixed seed: no answer is a
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
