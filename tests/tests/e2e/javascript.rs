//! A handler in JavaScript, made by a public tool: QuickJS inside a component, which imports the whole world.

use crate::{Test, host};
use ripost_tests::{cli, places};
use serde_json::json;

#[tokio::test]
async fn a_handler_in_javascript_answers_and_its_operator_sees_what_it_may_not_use() -> Test {
    let host = host().plugin_dir(places::built_plugin("qjs")?).start().await?;
    let asked = json!({ "n": 1, "text": "世界 🌍", "list": [1.5, null, true] });
    let answer = host.demo().call("test/qjs").json(&asked).send().await?.expect(200)?;
    assert_eq!(answer.json()?, json!({ "asked": asked, "api": "qjs" }));
    assert_eq!(answer.header("content-type"), Some("application/json"));

    // It never calls them, so that it was loaded is right; that it could not is for the operator to know.
    let cli::Output { stdout, .. } = host.cli(&["status"]).await?.expect(0)?;
    let line = stdout.lines().find(|line| line.contains("/api/test/api/qjs")).unwrap_or_default();
    for capability in ["kv", "outbound", "secrets"] {
        assert!(line.contains(&format!("uses `{capability}`, needs `grants.{capability}`")), "{capability}: {stdout}");
    }
    Ok(())
}
