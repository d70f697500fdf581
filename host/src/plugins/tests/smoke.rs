//! A revision's own cases, in the pipeline.

use super::fixture::{Folders, View as _, manifest};
use super::guest;
use crate::plugins::{PluginsConfig, Stage, State};
use std::fs;
use std::time::Duration;

const PASSES: &str = r#"{"request":{},"expect":{"problem":"handler-trapped"}}"#;
const FAILS: &str = r#"{"request":{},"expect":{"status":200}}"#;

fn asks() -> String {
    format!("{}cases = \"cases\"\n", manifest("a", "a"))
}

#[tokio::test]
async fn a_revision_serves_only_once_its_cases_pass() {
    let folders = Folders::new();
    let folder = folders.plugins.join("a");
    fs::create_dir_all(folder.join("cases")).unwrap();
    fs::write(folder.join("cases/one.json"), PASSES).unwrap();
    folders.write("a", &asks(), &[("a.wasm", &guest::handler("1"))]);
    let plugins = folders.open();
    plugins.scan().await;
    let first = plugins.digest("a");
    for (text, says) in [
        (FAILS, "case `two` (cases/two.json) of demo/a: expected 200, and it came to failed: the handler trapped"),
        ("{}", "cases/two.json: there is no `request`; add"),
    ] {
        fs::write(folder.join("cases/two.json"), text).unwrap();
        plugins.scan().await;
        let status = plugins.about("a");
        assert_eq!((status.state, status.stage, status.active), (State::Rejected, Some(Stage::Smoke), Some(first)));
        assert!(plugins.reason("a").starts_with(says), "{}", plugins.reason("a"));
    }
    fs::write(folder.join("cases/two.json"), PASSES).unwrap();
    plugins.scan().await;
    assert_eq!(plugins.state("a"), Some(State::Active));
    assert_ne!(plugins.digest("a"), first);
}

#[tokio::test]
async fn cases_that_take_too_long_are_ended() {
    let folders = Folders::new();
    let folder = folders.plugins.join("a");
    fs::create_dir_all(folder.join("cases")).unwrap();
    fs::write(folder.join("cases/one.json"), PASSES).unwrap();
    folders.write("a", &asks(), &[("a.wasm", &guest::spins())]);
    let plugins = folders.open_with(PluginsConfig { smoke_wall: Duration::from_millis(300), ..folders.config() });
    plugins.scan().await;
    assert_eq!(
        plugins.reason("a"),
        "0 of 1 case could be tried within 300 ms; make them quicker, or have the operator raise plugins.smoke_wall"
    );
}
