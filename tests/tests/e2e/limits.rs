//! What an operator sees of the limits, and what an owner learns about a plugin before it is deployed.

use crate::Test;
use anyhow::Result;
use camino::Utf8PathBuf;
use ripost_tests::{Api, Output, Plugin, cli, guests, places};

/// A folder with a configuration that does not depend on the machine, and files beside it.
struct Place {
    path: Utf8PathBuf,
    _folder: tempfile::TempDir,
}

impl Place {
    fn new(config: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        std::fs::write(path.join("ripost.toml"), config)?;
        Ok(Self { path, _folder: folder })
    }

    async fn ripost(&self, arguments: &[&str]) -> Result<Output> {
        let config = self.path.join("ripost.toml");
        cli::ripost(places::ripost()?, arguments, &[("RIPOST_CONFIG", config.as_str())]).await
    }

    /// Without what differs each time or with each toolchain: the folder, digests, and sizes (of four digits).
    fn redacted(&self, text: &str) -> String {
        let text = text.replace(self.path.as_str(), "[folder]");
        let is_digest = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_size = |word: &str| word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit());
        let words = text.split_inclusive(|char: char| !char.is_ascii_alphanumeric()).map(|word| {
            let end = word.trim_end_matches(|char: char| !char.is_ascii_alphanumeric());
            if is_digest(end) {
                word.replace(end, "[digest]")
            } else if is_size(end) {
                word.replace(end, "[size]")
            } else {
                word.to_owned()
            }
        });
        words.collect()
    }
}

const CONFIG: &str = r#"
[sandbox]
heavy = 3
memory = "4 GiB"
[sandbox.handler]
cpu = "3 s"
[sandbox.ceiling]
memory = "1 GiB"
"#;

#[tokio::test]
async fn every_limit_is_listed_as_this_host_has_it() -> Test {
    let place = Place::new(CONFIG)?;
    let limits = place.ripost(&["limits"]).await?.expect(0)?;
    insta::assert_snapshot!("limits", limits.stdout);
    let json = place.ripost(&["limits", "--json"]).await?.expect(0)?.json()?;
    let of = |key: &str| json["limits"].as_array().unwrap().iter().find(|row| row["key"] == key).unwrap().clone();
    assert_eq!((&of("memory")["ceiling"], &of("memory")["unit"]), (&(1_u64 << 30).into(), &"bytes".into()));
    assert_eq!((&of("cpu")["handler"], &of("cpu")["unit"]), (&3000.into(), &"ms".into()));
    let shown = place.ripost(&["config", "show"]).await?.expect(0)?.stdout;
    assert!(shown.contains("[sandbox.transform]") && shown.contains("memory = \"1 GiB\""), "{shown}");
    Ok(())
}

#[tokio::test]
async fn a_plugin_is_checked_before_it_is_deployed() -> Test {
    let place = Place::new(CONFIG)?;
    let good = Plugin::new(
        "good",
        [
            Api::new("demo", "echo", guests::echo()),
            Api::new("demo", "kv", guests::asks_kv()).limit("memory = \"1 GiB\""),
        ],
    );
    good.write(&place.path.join("good"))?;
    let bad = Plugin::new(
        "bad",
        [
            Api::new("demo", "echo", guests::echo()),
            Api::new("demo", "stranger", guests::imports_a_stranger()),
            Api::new("demo", "core", guests::no_component()),
        ],
    );
    bad.write(&place.path.join("bad"))?;
    let greedy = Plugin::new("greedy", [Api::new("demo", "echo", guests::echo()).limit("handles = 30000")]);
    greedy.write(&place.path.join("greedy"))?;
    std::fs::write(place.path.join("bare.wasm"), guests::sleeps(1))?;

    let mut said = String::new();
    for (name, code) in [("good", 0), ("bad", 1), ("greedy", 1), ("bare.wasm", 0), ("nothing.wasm", 66)] {
        let Output { stdout, stderr, .. } =
            place.ripost(&["check", place.path.join(name).as_str()]).await?.expect(code)?;
        said.push_str(&format!("$ ripost check {name}\n{stdout}{stderr}exit code {code}\n\n"));
    }
    insta::assert_snapshot!("check", place.redacted(&said));

    let json = place.ripost(&["check", "--json", place.path.join("good").as_str()]).await?.expect(0)?;
    insta::assert_snapshot!("check_json", place.redacted(&json.stdout));
    Ok(())
}

#[tokio::test]
async fn a_component_that_is_too_large_is_told_its_size_and_what_makes_those_of_its_toolchain_smaller() -> Test {
    let place = Place::new("[sandbox.handler]\ncomponent = \"100 KiB\"\n")?;
    for (guest, advice) in [
        ("wstd-http", "(`strip = true`, `opt-level = \"s\"` in the release profile)"),
        ("py-http", "it carries Python itself"),
        ("js-http", "it carries a JavaScript engine"),
        ("qjs", "it carries a JavaScript engine"),
    ] {
        let component = places::built_plugin(guest)?.join(format!("{guest}.wasm"));
        let told = place.ripost(&["check", component.as_str()]).await?.expect(1)?.stdout;
        let size = format!("has {} bytes and the limit `component` is 100 KiB: ", std::fs::metadata(&component)?.len());
        assert!(told.contains(&size) && told.contains(advice), "{guest}: {told}");
    }
    Ok(())
}
