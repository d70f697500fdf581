//! Manifests of all kinds, mostly right, to hold against each other those who judge them.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use ripost_runtime::{LINES, Limits};
use toml::{Table, Value};

/// A key with its value, if it is there.
type Entry = BoxedStrategy<Option<(String, Value)>>;

fn values(texts: &[&str]) -> BoxedStrategy<Value> {
    select(texts.iter().map(|text| Value::from(*text)).collect::<Vec<_>>()).boxed()
}

/// Of another kind than any key has, or empty.
fn odd() -> BoxedStrategy<Value> {
    let odd = [Value::from(7), Value::from(-1), Value::from(true), Value::from(""), Value::from(1.5)];
    select([&odd[..], &[Value::Array(Vec::new()), Value::Table(Table::new())]].concat()).boxed()
}

/// Present with a probability; now and then with a value of another kind.
fn key(name: &str, presence: f64, value: impl Strategy<Value = Value> + 'static) -> Entry {
    let name = name.to_owned();
    let value = prop_oneof![40 => value.boxed(), 1 => odd()];
    weighted(presence, value).prop_map(move |value| value.map(|value| (name.clone(), value))).boxed()
}

fn table(keys: Vec<Entry>) -> BoxedStrategy<Value> {
    keys.prop_map(|keys| Value::Table(keys.into_iter().flatten().collect())).boxed()
}

fn list(value: impl Strategy<Value = Value> + 'static, lens: std::ops::Range<usize>) -> BoxedStrategy<Value> {
    vec(value, lens).prop_map(Value::Array).boxed()
}

/// A number of any size with one of these units, written in any way that comes to mind.
fn quantity(units: &'static [&'static str]) -> BoxedStrategy<Value> {
    let number = prop_oneof![
        3 => (0_u64..200).boxed(),
        1 => (0_u64..100_000_000).boxed(),
        1 => any::<u64>().boxed(),
        2 => select(vec![999, 1000, 1440, 168, 10_080, 604_800, 604_801, 604_800_000, 86_400, 86_401, 4_194_304, 4_194_305]).boxed(),
    ];
    let written = (
        select(vec!["", "", "", "0", "00", "-", " ", "+"]),
        number,
        select(vec![" ", " ", "", "  ", "\t"]),
        select(units),
    );
    written.prop_map(|(before, number, space, unit)| format!("{before}{number}{space}{unit}").into()).boxed()
}

fn duration() -> BoxedStrategy<Value> {
    prop_oneof![
        4 => values(&["1 s", "30 s", "5s", "2 m", "1 h"]),
        1 => quantity(&["ms", "s", "m", "min", "h", "d", "sec", "S", ""]),
    ]
    .boxed()
}

fn size() -> BoxedStrategy<Value> {
    prop_oneof![
        4 => values(&["1 MiB", "64 KiB", "512B"]),
        1 => quantity(&["B", "KiB", "MiB", "GiB", "MB", "mib", ""]),
    ]
    .boxed()
}

fn rate() -> BoxedStrategy<Value> {
    let count = || prop_oneof![0_u32..100, 999_990_u32..1_000_010];
    let space = || select(vec!["", "", " ", "  "]);
    let any_rate = (
        space(),
        count(),
        space(),
        space(),
        select(vec!["s", "m", "min", "h", "d"]),
        weighted(0.5, (space(), count(), space())),
    )
        .prop_map(|(first, count, before, after, unit, burst)| {
            let burst = burst.map_or_else(String::new, |(space, burst, last)| format!(" burst {space}{burst}{last}"));
            Value::from(format!("{first}{count}{before}/{after}{unit}{burst}"))
        });
    prop_oneof![2 => values(&["100/s", "600/min", "10/s burst 20"]), 1 => any_rate].boxed()
}

fn count(near: std::ops::RangeInclusive<i64>) -> BoxedStrategy<Value> {
    let (least, most) = near.into_inner();
    prop_oneof![6 => least..=most, 1 => select(vec![least - 1, most + 1, i64::MIN, i64::MAX, -1])]
        .prop_map(Value::from)
        .boxed()
}

fn name() -> BoxedStrategy<Value> {
    let long = ["a".repeat(63), "a".repeat(64)];
    let near = prop_oneof!["[a-z0-9-]{0,4}", "[ -~]{1,3}", select(long.to_vec())].prop_map(Value::from);
    prop_oneof![10 => values(&["demo", "a", "a-1"]), 1 => near].boxed()
}

fn file(good: &'static [&'static str]) -> BoxedStrategy<Value> {
    let near = select(vec![
        "a/b.wasm",
        "../a.wasm",
        ".wasm",
        ".a.wasm",
        "a.wasm~",
        "a.tmp",
        "4913",
        "a.WASM",
        "a",
        "..",
        "a.json",
        ".json",
        "a\\b.wasm",
        "a\u{0}.wasm",
        "ä.wasm",
        "ä.json",
        "plugin.toml",
        "cases",
    ]);
    prop_oneof![8 => values(good), 1 => near.prop_map(Value::from)].boxed()
}

fn limits() -> BoxedStrategy<Value> {
    let default = Limits::default();
    let mut keys: Vec<Entry> = LINES
        .iter()
        .map(|line| match line.get(&default) {
            ripost_runtime::Value::Bytes(_) => key(line.key, 0.1, size()),
            ripost_runtime::Value::Time(_) => key(line.key, 0.1, duration()),
            ripost_runtime::Value::Count(_) => key(line.key, 0.1, count(0..=1_000_000)),
        })
        .collect();
    keys.extend([
        key("concurrency", 0.2, count(1..=1000)),
        key("rate", 0.2, rate()),
        key("rate_per_consumer", 0.2, rate()),
        key("concurrency_per_consumer", 0.2, count(1..=1_000_000)),
        key("daily_per_consumer", 0.2, count(1..=1_000_000)),
        key("memry", 0.01, size()),
    ]);
    table(keys)
}

fn place() -> BoxedStrategy<Value> {
    let good = values(&[
        "https://api.example.com",
        "GET https://*.example.org/v1/",
        "GET,POST http://127.0.0.1:4500/",
        "https://[::1]:8080/x",
        "PURGE https://a.example",
        "https://EXAMPLE.com",
        "https://例え.jp/",
    ]);
    let near = values(&[
        "PSOT https://a.example",
        "get https://a.example",
        "TRACE https://a.example",
        "GET,CONNECT https://a.example",
        "ftp://a",
        "https://",
        "https://a b",
        "https://user@a.example",
        "https://a.example?q",
        "https://a.example#f",
        "https://*",
        "https://*.com",
        "https://a.*.com",
        "https://a.example/*",
        "GET  https://a.example",
        "HTTPS://a.example",
        "https:\\\\a",
        "https://a.example:99999",
        "https://2130706433",
        "https://a.example/a/../b",
        "https://a.example/%2e%2e",
        ",GET https://a.example",
    ]);
    prop_oneof![8 => good, 1 => near].boxed()
}

fn api() -> BoxedStrategy<Value> {
    let transforms = || list(file(&["t.wasm"]), 0..10);
    let choice = |good: &[&str]| prop_oneof![12 => values(good), 1 => values(&["on", "Off", "none"])].boxed();
    let grants = table(vec![
        key("outbound", 0.7, list(place(), 0..4)),
        key(
            "secrets",
            0.3,
            list(prop_oneof![9 => values(&["A", "KEY_1"]), 1 => values(&["a", "1A", "A-B", "Ä"])], 0..3),
        ),
        key("kv", 0.3, any::<bool>().prop_map(Value::from)),
        key("outbund", 0.01, values(&["x"])),
    ]);
    let target = prop_oneof![
        5 => table(vec![key("handler", 0.98, file(&["a.wasm"])), key("upstream", 0.02, values(&["http://localhost:1"]))]),
        4 => table(vec![key("upstream", 0.98, upstream()), key("reply", 0.3, choice(&["auto", "callback", "inline"]))]),
        1 => table(vec![key("handler", 0.9, file(&["a.wasm"])), key("reply", 0.5, values(&["inline"]))]),
    ];
    let retry = table(vec![key(
        "schedule",
        0.9,
        prop_oneof![9 => list(duration(), 0..5), 1 => list(values(&["1 s"]), 49..53)],
    )]);
    let origins = prop_oneof![
        9 => values(&["https://shop.example", "http://localhost:5173", "*", "http://[::1]:80800", "http://[::1]:8080"]),
        1 => values(&["https://shop.example/", "https://Shop.example", "http://a:80", "https://a:443", "https://a:80", "ftp://a", "a", "https://ä.example"]),
    ];
    let others = table(vec![
        key("owner", 0.98, name()),
        key("slug", 0.98, name()),
        key(
            "price",
            0.3,
            prop_oneof![9 => values(&["0", "0.05", "1.000000", "007"]), 1 => values(&["1.0000001", ".5", "5.", "-1", "1e3", "9999999999999", "99999999999999"])],
        ),
        key("expires_in", 0.3, duration()),
        key("max_attempts", 0.2, count(1..=10)),
        key("delivery", 0.4, choice(&["webhook", "off"])),
        key("payload", 0.15, choice(&["request", "result", "cloudevents"])),
        key("access", 0.2, choice(&["open", "subscribed"])),
        key("cancel", 0.2, choice(&["any", "before_run", "charged"])),
        key("near_miss", 0.2, choice(&["refuse", "allow"])),
        key("config", 0.15, table(vec![key("region", 0.7, values(&["eu"]))])),
        key("limits", 0.5, limits()),
        key("retry", 0.15, retry),
        key("grants", 0.3, grants),
        key(
            "transforms",
            0.2,
            table(vec![
                key("request", 0.5, transforms()),
                key("response", 0.5, transforms()),
                key("webhook", 0.5, transforms()),
                key("webhook_on_error", 0.3, choice(&["fail", "send_original"])),
            ]),
        ),
        key("cases", 0.1, file(&["cases"])),
        key("schema", 0.1, file(&["s.json"])),
        key("cors", 0.2, table(vec![key("origins", 0.9, list(origins, 0..4))])),
        key("capture_on", 0.01, values(&["completed"])),
    ]);
    (target, others)
        .prop_map(|(target, others)| {
            let tables = [target, others].into_iter().filter_map(|value| match value {
                Value::Table(table) => Some(table),
                _ => None,
            });
            Value::Table(tables.flatten().collect())
        })
        .boxed()
}

fn upstream() -> BoxedStrategy<Value> {
    prop_oneof![
        9 => values(&["http://localhost:8080/process", "HTTPS://a.example/x?y=z", "https://10.0.0.1"]),
        1 => values(&["localhost:8080", "ftp://a", "http:a", " http://a", "http://u@a", "http://a b", "http://", "http://169.254.169.254"]),
    ]
    .boxed()
}

/// A manifest.
pub(crate) fn manifest() -> BoxedStrategy<Table> {
    let versions = vec![String::from("1.0.0"), "1".to_owned(), "x".repeat(64)];
    let versions =
        prop_oneof![20 => select(versions), 1 => select(vec![String::new(), "x".repeat(65), "ä".repeat(33)])];
    let plugin = table(vec![key("name", 0.99, name()), key("version", 0.99, versions.prop_map(Value::from))]);
    let keys =
        vec![key("plugin", 0.99, plugin), key("api", 0.99, list(api(), 1..3)), key("apis", 0.005, list(api(), 0..1))];
    keys.prop_map(|keys| keys.into_iter().flatten().collect()).boxed()
}
