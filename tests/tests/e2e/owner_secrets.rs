//! Secrets of owners: set, listed and removed by the operator, and readable nowhere.

use crate::{Test, host};
use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use http::Method;
use ripost_tests::{Consumer, Host};
use serde_json::{Value, json};

const VALUE: &str = "sk_live_3f9a77c1d2e84b60";
const SECOND: &str = "-----BEGIN KEY-----\nq83vEjRWeJq83vEjRWeJ\n-----END KEY-----";

/// Every file below a folder.
fn files(folder: &Utf8Path) -> anyhow::Result<Vec<Utf8PathBuf>> {
    let mut all = Vec::new();
    for entry in folder.read_dir_utf8()? {
        let path = entry?.into_path();
        if path.is_dir() { all.extend(files(&path)?) } else { all.push(path) }
    }
    Ok(all)
}

/// Whether any file of the data folder has these bytes.
fn kept_in_a_file(data: &Utf8Path, text: &str) -> anyhow::Result<bool> {
    for path in files(data)? {
        let bytes = std::fs::read(&path).with_context(|| format!("reading {path}"))?;
        if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn names(host: &Host, owner: &[&str]) -> anyhow::Result<Vec<String>> {
    let listed = host.cli(&[&["secrets", "list", "--json"], owner].concat()).await?.expect(0)?.json()?;
    let lines = listed.as_array().context("a list")?;
    let name = |line: &Value| format!("{}/{}", line["owner"].as_str().unwrap(), line["name"].as_str().unwrap());
    Ok(lines.iter().map(name).collect())
}

#[tokio::test]
async fn a_secret_is_set_listed_and_removed_and_its_value_is_readable_nowhere() -> Test {
    let host = host().start().await?;
    let file = host.stage().join("key.pem");
    std::fs::write(&file, format!("{SECOND}\n"))?;
    let mut outputs = vec![
        host.cli_with_input(&["secrets", "set", "acme", "STRIPE_KEY"], &format!("{VALUE}\n")).await?.expect(0)?,
        host.cli(&["secrets", "set", "acme", "PEM", "--value-file", file.as_str()]).await?.expect(0)?,
        host.cli_with_input(&["secrets", "set", "other", "STRIPE_KEY"], VALUE).await?.expect(0)?,
        host.cli(&["secrets", "list"]).await?.expect(0)?,
        host.cli(&["secrets", "list", "acme", "--json"]).await?.expect(0)?,
    ];
    assert_eq!(names(&host, &[]).await?, ["acme/PEM", "acme/STRIPE_KEY", "other/STRIPE_KEY"]);
    assert_eq!(names(&host, &["acme"]).await?, ["acme/PEM", "acme/STRIPE_KEY"]);
    assert!(outputs[3].stdout.contains("STRIPE_KEY") && outputs[3].stdout.contains('Z'), "{:?}", outputs[3]);

    let log = host.log();
    assert!(log.contains("Set a secret"), "the log says what was done: {log}");

    // What is set survives a restart, and so does what was removed.
    let host = host.restart().await?;
    assert_eq!(names(&host, &["acme"]).await?, ["acme/PEM", "acme/STRIPE_KEY"]);
    let listed = host.cli(&["secrets", "list", "--json"]).await?.expect(0)?;
    assert!(listed.json()?.as_array().context("a list")?.iter().all(|line| line["readable"] == true), "{listed:?}");
    outputs.push(listed);
    outputs.push(host.cli(&["secrets", "remove", "acme", "PEM"]).await?.expect(0)?);
    let twice = host.cli(&["secrets", "remove", "acme", "PEM"]).await?.expect(1)?;
    assert!(twice.stderr.contains("acme has no secret PEM"), "{twice:?}");
    assert_eq!(names(&host, &[]).await?, ["acme/STRIPE_KEY", "other/STRIPE_KEY"]);

    for text in [VALUE, "q83vEjRWeJ"] {
        assert!(outputs.iter().all(|output| !output.stdout.contains(text) && !output.stderr.contains(text)));
        assert!(!log.contains(text) && !host.log().contains(text));
        assert!(!kept_in_a_file(host.data(), text)?, "in a file while it runs");
    }
    let stopped = host.sigterm().await?;
    for text in [VALUE, "q83vEjRWeJ"] {
        assert!(!kept_in_a_file(stopped.data(), text)?, "in a file after the end");
    }
    assert!(kept_in_a_file(stopped.data(), "STRIPE_KEY")?, "names are no secret, and the search finds what is there");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_a_secret_is_refused_and_changes_nothing() -> Test {
    let host = host().start().await?;
    let large = "x".repeat((32 << 10) + 1);
    for input in ["\n", &large] {
        let refused = host.cli_with_input(&["secrets", "set", "acme", "KEY"], input).await?.expect(1)?;
        assert!(refused.stderr.contains("1 to 32768 bytes"), "{refused:?}");
    }
    host.cli(&["secrets", "set", "acme", "KEY"]).await?.expect(1)?;
    for name in ["key", "1KEY", "KEY-1", ""] {
        host.cli_with_input(&["secrets", "set", "acme", name], VALUE).await?.expect(64)?;
    }
    host.cli_with_input(&["secrets", "set", "Acme", "KEY"], VALUE).await?.expect(64)?;
    // Arguments are seen by everybody on the machine: a value is never one.
    host.cli(&["secrets", "set", "acme", "KEY", VALUE]).await?.expect(64)?;

    let path = "/admin/v1/owners/acme/secrets/KEY";
    for (path, body, status) in [
        (path, json!({ "value": "" }), 422),
        (path, json!({ "value": large }), 422),
        (path, json!({ "value": "a", "more": 1 }), 400),
        ("/admin/v1/owners/acme/secrets/key", json!({ "value": "a" }), 422),
        ("/admin/v1/owners/ACME/secrets/KEY", json!({ "value": "a" }), 422),
    ] {
        put(&host, path, &body).await?.expect(status)?;
    }
    let most = "\u{1}".repeat(32 << 10);
    put(&host, path, &json!({ "value": most })).await?.expect(204)?;
    host.admin(Method::POST, path).await?.expect(405)?;
    host.admin(Method::GET, "/admin/v1/owners/acme").await?.expect(404)?;
    host.admin(Method::DELETE, path).await?.expect(204)?;
    host.admin(Method::DELETE, path).await?.expect(404)?;
    Consumer::new(host.admin_url(), None).get("/admin/v1/secrets").await?.expect(401)?;
    assert!(names(&host, &[]).await?.is_empty());
    let usage = host.admin(Method::GET, "/admin/v1/owners/acme/kv").await?.expect(200)?.json()?;
    assert_eq!(usage, json!({ "owner": "acme", "bytes": 0, "keys": 0 }));
    Ok(())
}

async fn put(host: &Host, path: &str, body: &Value) -> anyhow::Result<ripost_tests::Answer> {
    let token = std::fs::read_to_string(host.data().join("admin-token"))?;
    let operator = Consumer::new(host.admin_url(), None);
    let call = operator.request(Method::PUT, path).header("authorization", &format!("Bearer {}", token.trim()));
    call.json(body).send().await
}
