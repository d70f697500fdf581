//! As many plugins as a host may have.

use super::fixture::{Folders, View as _};
use super::guest;
use crate::plugins::State;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

const PLUGINS: usize = 1000;
const APIS: usize = 10;

#[tokio::test]
async fn ten_thousand_apis_in_a_thousand_plugins_serve_again_within_seconds() {
    let folders = Folders::new();
    let component = guest::handler("1");
    for plugin in 0..PLUGINS {
        let mut text = format!("[plugin]\nname = \"p{plugin}\"\nversion = \"1\"\n");
        for api in 0..APIS {
            write!(text, "[[api]]\nowner = \"demo\"\nslug = \"p{plugin}-{api}\"\nhandler = \"a.wasm\"\n").unwrap();
        }
        folders.write(&format!("p{plugin}"), &text, &[("a.wasm", &component)]);
    }
    let first = Instant::now();
    let plugins = folders.open();
    plugins.scan().await;
    assert_eq!(plugins.reloads().ok, PLUGINS as u64);
    let first = first.elapsed();
    drop(plugins);

    let again = Instant::now();
    let plugins = folders.open();
    let opened = again.elapsed();
    plugins.scan().await;
    assert_eq!(plugins.reloads().ok, PLUGINS as u64);
    let again = again.elapsed();
    let rescan = Instant::now();
    plugins.scan().await;
    println!("first {first:?}, again {again:?} (opened {opened:?}), rescan {:?}", rescan.elapsed());
    assert_eq!(plugins.registry().apis().len(), PLUGINS * APIS);
    assert_eq!(plugins.counts()[&State::Active].apis, (PLUGINS * APIS) as u64);
    assert_eq!(
        plugins.api("p999-9").target.handler().unwrap().digest(),
        plugins.api("p0-0").target.handler().unwrap().digest()
    );
    assert!(again < Duration::from_secs(5), "{again:?}");
}
