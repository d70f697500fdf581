mod fuzz;
pub(crate) mod generated;
mod schema;

use super::*;

const GOOD: &str = r#"
[plugin]
name = "reports"
version = "1.2.0"

[[api]]
owner = "demo"
slug = "daily"
handler = "reports.wasm"
price = "0.05"
expires_in = "2 h"
max_attempts = 5
delivery = "webhook"
payload = "request"
access = "open"

[api.config]
region = "eu"

[api.limits]
memory = "128 MiB"
cpu = "3 s"
wall = "1 m"
concurrency = 4
rate = "600/min"
rate_per_consumer = "10/s burst 20"
concurrency_per_consumer = 7
daily_per_consumer = 1000

[[api]]
owner = "demo"
slug = "weekly"
handler = "reports.wasm"
"#;

/// The limits in it that an upstream has not.
const OF_A_COMPONENT: &str = "memory = \"128 MiB\"\ncpu = \"3 s\"\n";

fn bounds() -> Bounds {
    Bounds {
        default: Limits::default(),
        ceiling: Limits::ceiling(),
        guests_memory: None,
        transform: Limits::transform(),
        concurrency: 16,
        plain_http: PlainHttp::Refused,
        above: Above::Refuse,
    }
}

fn refusal(text: &str) -> String {
    Manifest::parse("reports/plugin.toml", text, &bounds()).unwrap_err().to_string()
}

#[test]
fn a_manifest_says_what_a_plugin_offers() {
    let manifest = Manifest::parse("reports/plugin.toml", GOOD, &bounds()).unwrap();
    assert_eq!((manifest.plugin.as_str(), manifest.version.as_str()), ("reports", "1.2.0"));
    assert_eq!(manifest.components(1).into_keys().collect::<Vec<_>>(), ["reports.wasm"]);
    let [daily, weekly] = &manifest.apis[..] else { panic!("two APIs") };
    assert_eq!(daily.name.to_string(), "demo/daily");
    let spec = ApiSpec {
        price: Amount::from_micros(50_000).unwrap(),
        expires_in: Duration::from_secs(7200),
        max_attempts: 5,
        concurrency: 4,
        payload: PayloadForm::Request,
        delivery: DeliveryMode::Webhook,
        access: Access::Open,
        cancel: Cancel::Any,
        near_miss: NearMiss::Refuse,
        allowance: Allowance {
            rate: "600/min".parse().ok(),
            rate_per_consumer: "10/s burst 20".parse().ok(),
            concurrency_per_consumer: Some(7),
            daily_per_consumer: Some(1000),
        },
    };
    assert_eq!(daily.spec, spec);
    assert_eq!(daily.config.get("region").map(String::as_str), Some("eu"));
    let limits = Limits {
        memory_bytes: 128 << 20,
        cpu: Duration::from_secs(3),
        wall: Duration::from_secs(60),
        ..Limits::default()
    };
    assert_eq!(*daily.limits, limits);
    let defaults = ApiSpec {
        price: Amount::ZERO,
        expires_in: Duration::from_secs(3600),
        max_attempts: 3,
        concurrency: 16,
        payload: PayloadForm::Request,
        delivery: DeliveryMode::Webhook,
        access: Access::Open,
        cancel: Cancel::Any,
        near_miss: NearMiss::Refuse,
        allowance: Allowance::default(),
    };
    assert_eq!((weekly.spec, &*weekly.limits), (defaults, &Limits::default()));
}

/// Changes one thing in the good manifest.
fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from:?}");
    GOOD.replacen(from, to, 1)
}

#[test]
fn what_is_wrong_with_a_manifest_is_said_with_file_line_and_remedy() {
    let table = [
        (String::new(), "1: there is no [plugin]; begin with [plugin], name = \"…\" and version = \"…\""),
        (with("version = \"1.2.0\"\n", ""), "2: [plugin] has no `version`; add version = \"1.0.0\""),
        (with("name = \"reports\"\n", ""), "2: [plugin] has no `name`; add name = \"my-plugin\""),
        (
            with("name = \"reports\"", "name = \"My Reports\""),
            "3: `name`: `My Reports` is not a name: use 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit",
        ),
        (with("\"1.2.0\"", "\"\""), "4: `version` must have 1 to 64 bytes"),
        (
            with("owner = \"demo\"", "owner = \"\"\"\ndemo\\u001b[31m\n\"\"\""),
            "7: `owner`: `demo\\u{1b}[31m\\n` is not a name: use 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit",
        ),
        (with("\"1.2.0\"", "1"), "4: invalid type: integer `1`, expected a string; write it in quotes"),
        (
            "[plugin]\nname = \"a\"\nversion = \"1\"\n".to_owned(),
            "4: the plugin offers no API; add an [[api]] with owner, slug and handler",
        ),
        (
            "[plugin]\nname = \"a\"\nversion = \"1\"\n[api]\nowner = \"demo\"\n".to_owned(),
            "4: `api` is a list of tables; write [[api]], in two brackets",
        ),
        (with("owner = \"demo\"\n", ""), "6: an [[api]] has no `owner`; add owner = \"demo\""),
        (with("slug = \"daily\"\n", ""), "6: an [[api]] has no `slug`; add slug = \"my-api\""),
        (
            with("handler = \"reports.wasm\"\n", ""),
            "6: an [[api]] has no `handler`; add handler = \"my-api.wasm\", or upstream = \"http://localhost:8080/process\"",
        ),
        (
            with("slug = \"weekly\"", "slug = \"daily\""),
            "30: `demo/daily` is offered twice, first on line 6; change owner or slug of one",
        ),
        (
            with("owner = \"demo\"", "owner = \"Demo\""),
            "7: `owner`: `Demo` is not a name: use 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit",
        ),
        (
            with("\"reports.wasm\"", "\"../reports.wasm\""),
            "9: handler = \"../reports.wasm\" is a path; name a file inside the plugin's own folder, such as \"my-api.wasm\"",
        ),
        (
            with("\"reports.wasm\"", "\"/etc/reports.wasm\""),
            "9: handler = \"/etc/reports.wasm\" is a path; name a file inside the plugin's own folder, such as \"my-api.wasm\"",
        ),
        (
            with("\"reports.wasm\"", "\"..\""),
            "9: handler = \"..\" is a path; name a file inside the plugin's own folder, such as \"my-api.wasm\"",
        ),
        (
            with("\"reports.wasm\"", "\".hidden.wasm\""),
            "9: handler = \".hidden.wasm\" is a name that is passed over as an editor's draft; rename the file",
        ),
        (
            with("\"reports.wasm\"", "\"plugin.toml\""),
            "9: handler = \"plugin.toml\" is no component's name; name a file that ends in .wasm",
        ),
        (
            with("price = \"0.05\"", "price = 0.05"),
            "10: invalid type: floating point `0.05`, expected a string; write it in quotes",
        ),
        (with("\"0.05\"", "\"0.0000001\""), "10: `price`: an amount has at most six decimals"),
        (
            with("\"0.05\"", "\"-1\""),
            "10: `price`: an amount is written as digits with at most six decimals, such as \"0.050000\"",
        ),
        (with("\"2 h\"", "\"8 d\""), "11: `expires_in` is 8 d and must be between 1 s and 7 d"),
        (with("\"2 h\"", "\"999 ms\""), "11: `expires_in` is 999 ms and must be between 1 s and 7 d"),
        (
            with("\"2 h\"", "\"2 hours\""),
            "11: `expires_in`: `2 hours` is not a duration: write a whole number and ms, s, m, h or d, such as \"30 s\"",
        ),
        (with("max_attempts = 5", "max_attempts = 0"), "12: `max_attempts` is 0 and must be between 1 and 10"),
        (with("max_attempts = 5", "max_attempts = 11"), "12: `max_attempts` is 11 and must be between 1 and 10"),
        (
            with("max_attempts = 5", "max_attempts = 5.0"),
            "12: invalid type: floating point `5.0`, expected a whole number",
        ),
        (
            with("max_attempts = 5", "retry = { schedule = [] }"),
            "12: `retry.schedule`: a retry schedule has 1 to 50 waits of at most 24 h each",
        ),
        (
            with("\"request\"", "\"xml\""),
            "14: payload = \"xml\" means nothing; write \"request\", \"result\" or \"cloudevents\"",
        ),
        (with("\"open\"", "\"closed\""), "15: access = \"closed\" means nothing; write \"open\" or \"subscribed\""),
        (
            with("access = \"open\"", "transforms = { requests = [\"a.wasm\"] }"),
            "15: unknown key `requests` in `transforms`; did you mean `request`?",
        ),
        (
            with("access = \"open\"", "transforms = { request = \"a.wasm\" }"),
            "15: invalid type: string \"a.wasm\", expected a sequence; write a list, in [ and ]",
        ),
        (
            with("access = \"open\"", "transforms = { request = [\"../a.wasm\"] }"),
            "15: `transforms.request`: \"../a.wasm\" is a path; name a file inside the plugin's own folder, such as \"my-api.wasm\"",
        ),
        (
            with("access = \"open\"", "transforms = { response = [\"a.txt\"] }"),
            "15: `transforms.response`: \"a.txt\" is no component's name; name a file that ends in .wasm",
        ),
        (
            with(
                "access = \"open\"",
                "transforms = { response = [\n\"a.wasm\", \"a.wasm\", \"a.wasm\", \"a.wasm\",\n\"a.wasm\", \"a.wasm\", \"a.wasm\", \"a.wasm\",\n\"b.wasm\"] }",
            ),
            "18: `transforms.response` has more than 8 components; make one of two",
        ),
        (
            with("access = \"open\"", "transforms = { webhook = [\"a.wasm\"], webhook_on_error = \"ignore\" }"),
            "15: webhook_on_error = \"ignore\" means nothing; write \"fail\" or \"send_original\"",
        ),
        (
            with("access = \"open\"", "transforms = { webhook_on_error = \"fail\" }"),
            "15: `webhook_on_error` says what becomes of a failed webhook transform, and there is none; add `webhook`, or leave it out",
        ),
        (
            with("price = \"0.05\"\n", "").replacen(
                "delivery = \"webhook\"\npayload = \"request\"",
                "delivery = \"off\"\ntransforms.webhook = [\"a.wasm\"]",
                1,
            ),
            "13: `transforms.webhook` changes webhooks, and with delivery = \"off\" there are none; write it as `response`, or leave it out",
        ),
        (
            with("access = \"open\"", "cases = \"../cases\""),
            "15: cases = \"../cases\" is a path; name a folder inside the plugin's own, such as \"cases\"",
        ),
        (
            with("access = \"open\"", "schema = \"../schema.json\""),
            "15: schema = \"../schema.json\" is a path; name a file inside the plugin's own folder, such as \"schema.json\"",
        ),
        (
            with("access = \"open\"", "schema = \"schema.yaml\""),
            "15: schema = \"schema.yaml\" is no schema's name; name a file that ends in .json",
        ),
        (
            with("access = \"open\"", "schema = \".s.json\""),
            "15: schema = \".s.json\" is a name that is passed over as an editor's draft; rename the file",
        ),
        (
            with("access = \"open\"", "cases = \".cases\""),
            "15: cases = \".cases\" is no folder of cases; name it \"cases\"",
        ),
        (
            with("access = \"open\"", "retry = { scedule = [] }"),
            "15: unknown key `scedule` in `retry`; did you mean `schedule`?",
        ),
        (with("\"eu\"", "7"), "18: invalid type: integer `7`, expected a string; write it in quotes"),
        (
            with("\"128 MiB\"", "\"1 GiB\""),
            "21: `memory` asks for 1 GiB and this host's ceiling is 512 MiB; ask for less, or have the operator raise it",
        ),
        (
            with("\"128 MiB\"", "\"128 MB\""),
            "21: `memory`: `128 MB` is not a size: write a whole number and B, KiB, MiB or GiB, such as \"64 MiB\"",
        ),
        (with("\"128 MiB\"", "\"0 B\""), "21: `memory` must be more than nothing"),
        (
            with("\"3 s\"", "\"10 m\""),
            "22: `cpu` asks for 10 m and this host's ceiling is 5 m; ask for less, or have the operator raise it",
        ),
        (
            with("\"1 m\"", "\"2 h\""),
            "23: `wall` asks for 2 h and this host's ceiling is 1 h; ask for less, or have the operator raise it",
        ),
        (with("concurrency = 4", "concurrency = 0"), "24: `concurrency` is 0 and must be between 1 and 1000"),
        (
            with("concurrency = 4", "component = \"65 MiB\""),
            "24: `component` asks for 65 MiB and this host's ceiling is 64 MiB; ask for less, or have the operator raise it",
        ),
        (
            with("concurrency = 4", "response_body = \"33 MiB\""),
            "24: `response_body` asks for 33 MiB and this host's ceiling is 32 MiB; ask for less, or have the operator raise it",
        ),
        (
            with("concurrency = 4", "handles = 20001"),
            "24: `handles` asks for 20001 and this host's ceiling is 20000; ask for less, or have the operator raise it",
        ),
        (
            with("concurrency = 4", "tables = \"4\""),
            "24: `tables` is a number; write tables = 40 without quotes in place of \"4\"",
        ),
        (
            with("\"128 MiB\"", "128"),
            "21: `memory` is a size; write a whole number and a unit in quotes, such as \"128 MiB\"",
        ),
        (
            with("\"3 s\"", "3.5"),
            "22: invalid type: floating point `3.5`, expected a quantity in quotes or a whole number",
        ),
        (
            with("concurrency = 4", "concurrency = \"4\""),
            "24: `concurrency` is a number; write concurrency = 16 without quotes",
        ),
        (with("\"600/min\"", "600"), "25: `rate` is a rate; write how many in which time, such as rate = \"600/s\""),
        (
            with("10/s burst 20", "10/d"),
            "26: `rate_per_consumer`: `10/d` is not a rate: write how many in a second, minute or hour, such as \"100/s\", \"600/min\" or \"1000/h burst 50\" (1 to 1000000)",
        ),
        (
            with("concurrency_per_consumer = 7", "concurrency_per_consumer = 0"),
            "27: `concurrency_per_consumer` is 0 and must be between 1 and 1000000",
        ),
        (
            with("daily_per_consumer = 1000", "daily_per_consumer = \"1000\""),
            "28: `daily_per_consumer` is a number; write daily_per_consumer = 16 without quotes",
        ),
        (
            with("concurrency = 4", "response-body = \"1 MiB\""),
            "24: unknown key `response-body` in [api.limits]; did you mean `response_body`?",
        ),
        (
            with("price = \"0.05\"", "outbound_calls = 4"),
            "10: unknown key `outbound_calls` in [[api]]; it belongs in [api.limits]",
        ),
        (with("price =", "prise ="), "10: unknown key `prise` in [[api]]; did you mean `price`?"),
        (
            with("max_attempts", "max-attempts"),
            "12: unknown key `max-attempts` in [[api]]; did you mean `max_attempts`?",
        ),
        (
            with("price = \"0.05\"", "transform = {}"),
            "10: unknown key `transform` in [[api]]; did you mean `transforms`?",
        ),
        (
            with("price = \"0.05\"", "memory = \"1 MiB\""),
            "10: unknown key `memory` in [[api]]; it belongs in [api.limits]",
        ),
        (
            with("cpu = \"3 s\"", "disk = \"3 s\""),
            "22: unknown key `disk` in [api.limits]; the keys there are component, memory, cpu, wall, table_elements, instances, memories, tables, hostcall_bytes, handles, resources, response_body, response_headers, log, outbound_calls, outbound_in_flight, outbound_bytes, outbound_time, concurrency, rate, rate_per_consumer, concurrency_per_consumer, daily_per_consumer",
        ),
        (
            with("version = \"1.2.0\"", "authors = []\nversion = \"1\""),
            "4: unknown key `authors` in [plugin]; the keys there are name, version",
        ),
        (with("[plugin]", "[package]"), "2: unknown key `package` in a manifest; the keys there are plugin, api"),
        (with("price = \"0.05\"", "price = \"0.05\"\nprice = \"1\""), "11: duplicate key"),
        (with("price = \"0.05\"", "price = \"0.05"), "10: invalid basic string, expected `\"`"),
    ];
    for (text, message) in table {
        assert_eq!(refusal(&text), format!("reports/plugin.toml:{message}"), "{text}");
    }
}

#[test]
fn a_key_of_a_later_version_is_refused_and_not_ignored() {
    let later = ["capture_on = \"completion\""];
    for line in later {
        let key = line.split(' ').next().unwrap();
        let message = refusal(&with("price = \"0.05\"", line));
        assert_eq!(message, format!("reports/plugin.toml:10: `{key}` is not available in this version; remove it"));
    }
}

#[test]
fn an_upstream_stands_in_the_place_of_a_handler_and_says_when_it_answers() {
    let parse = |lines: &str| {
        let text = with("handler = \"reports.wasm\"\nprice", &format!("{lines}\nprice"))
            .replacen("\n[api.config]\nregion = \"eu\"\n", "\n\n\n", 1)
            .replacen(OF_A_COMPONENT, "", 1);
        Manifest::parse("p", &text, &bounds()).map_err(|error| error.to_string())
    };
    let upstream = "upstream = \"http://10.0.0.7:8080/process?k=1\"";
    for (reply, expected) in
        [("", Reply::Auto), ("auto", Reply::Auto), ("callback", Reply::Callback), ("inline", Reply::Inline)]
    {
        let line = if reply.is_empty() { String::new() } else { format!("reply = \"{reply}\"") };
        let manifest = parse(&format!("{upstream}\n{line}")).unwrap();
        let ApiTarget::Upstream(Upstream { url, reply }) = &manifest.apis[0].target else { panic!("an upstream") };
        assert_eq!((url.as_str(), *reply), ("http://10.0.0.7:8080/process?k=1", expected));
        assert_eq!(manifest.components(1).into_keys().collect::<Vec<_>>(), ["reports.wasm"], "the other API's");
    }
    for (lines, message) in [
        (
            "handler = \"a.wasm\"\nupstream = \"http://h/\"",
            "p:10: an [[api]] has a `handler` or an `upstream`, and this one has both; remove one",
        ),
        (
            "handler = \"a.wasm\"\nreply = \"auto\"",
            "p:10: `reply` says when an upstream answers, and this API has a handler; leave it out",
        ),
        (
            "upstream = \"http://h/\"\nreply = \"later\"",
            "p:10: reply = \"later\" means nothing; write \"auto\", \"callback\" or \"inline\"",
        ),
        (
            "upstream = \"localhost:8080\"",
            "p:9: `upstream`: this is not the address of a service; write it as http://localhost:8080/process",
        ),
        (
            "upstream = \"http://user:password@h/\"",
            "p:9: `upstream`: credentials do not belong in it; a service knows the gateway by its signature (`ripost upstream secret`)",
        ),
        (
            "upstream = \"http://169.254.169.254/\"",
            "p:9: `upstream`: 169.254.169.254 is refused: metadata, and nobody's service is there; name another host",
        ),
        (
            "upstream = \"http://h/\"\ncases = \"cases\"",
            "p:9: `cases` is for components, and this API has an upstream; leave it out",
        ),
        (
            "upstream = \"http://h/\"\ngrants = { kv = true }",
            "p:9: `grants` is for components, and this API has an upstream; leave it out",
        ),
    ] {
        assert_eq!(parse(lines).unwrap_err(), message, "{lines}");
    }
    let off = |lines: &str| {
        let text = with("handler = \"reports.wasm\"\nprice = \"0.05\"", lines)
            .replacen("\n[api.config]\nregion = \"eu\"\n", "\n\n\n", 1)
            .replacen(OF_A_COMPONENT, "", 1)
            .replacen("delivery = \"webhook\"\npayload = \"request\"", "delivery = \"off\"", 1);
        Manifest::parse("p", &text, &bounds()).map_err(|error| error.to_string())
    };
    let manifest = off("upstream = \"http://h/\"\n").unwrap();
    let ApiTarget::Upstream(Upstream { reply, .. }) = &manifest.apis[0].target else { panic!("an upstream") };
    assert_eq!(*reply, Reply::Inline);
    let message = off("upstream = \"http://h/\"\nreply = \"auto\"").unwrap_err();
    assert!(message.starts_with("p:10: with delivery = \"off\" the caller waits"), "{message}");
}

#[test]
fn an_api_names_its_transforms_in_order_its_cases_and_who_may_call_it() {
    let asks = "access = \"subscribed\"\ncancel = \"charged\"\nnear_miss = \"allow\"\ncases = \"cases\"\ntransforms = { request = [\"b.wasm\", \"a.wasm\"], webhook = [\"a.wasm\"], webhook_on_error = \"send_original\" }";
    let manifest = Manifest::parse("p/plugin.toml", &with("access = \"open\"", asks), &bounds()).unwrap();
    let [daily, weekly] = &manifest.apis[..] else { panic!("two APIs") };
    assert_eq!((daily.spec.access, weekly.spec.access), (Access::Subscribed, Access::Open));
    assert_eq!((daily.spec.cancel, weekly.spec.cancel), (Cancel::Charged, Cancel::Any));
    assert_eq!((daily.spec.near_miss, weekly.spec.near_miss), (NearMiss::Allow, NearMiss::Refuse));
    let wrong = refusal(&with("access = \"open\"", "near_miss = \"maybe\""));
    assert!(wrong.ends_with("near_miss = \"maybe\" means nothing; write \"refuse\" or \"allow\""), "{wrong}");
    let wrong = refusal(&with("access = \"open\"", "cancel = \"never\""));
    assert!(
        wrong.ends_with("cancel = \"never\" means nothing; write \"any\", \"before_run\" or \"charged\""),
        "{wrong}"
    );
    assert_eq!(daily.transforms.files().collect::<Vec<_>>(), ["b.wasm", "a.wasm", "a.wasm"]);
    assert_eq!(daily.transforms.webhook_on_error, OnError::SendOriginal);
    assert_eq!(weekly.transforms, ApiTransforms::default());
    assert_eq!((daily.cases.as_deref(), weekly.cases.as_deref()), (Some("cases"), None));
    let components = manifest.components(7);
    assert_eq!(components["a.wasm"], ("transform", 7));
    assert_eq!(components["reports.wasm"], ("handler", Limits::default().component_bytes_max));
}

#[test]
fn grants_are_what_a_handler_may_reach_and_nothing_unless_they_are_written() {
    let text = format!(
        "{GOOD}\n[api.grants]\noutbound = [\"https://api.example.com\", \"GET https://*.example.org/v1/\"]\nsecrets = [\"KEY\"]\nkv = true\n"
    );
    let manifest = Manifest::parse("reports/plugin.toml", &text, &bounds()).unwrap();
    assert_eq!(manifest.apis[0].grants, ApiGrants::default());
    let grants = &manifest.apis[1].grants;
    let rules: Vec<String> = grants.outbound.iter().map(ToString::to_string).collect();
    assert_eq!(rules, ["https://api.example.com", "GET https://*.example.org/v1/"]);
    assert_eq!((grants.secrets[0].as_str(), grants.kv), ("KEY", true));
    let imports = ["log", "kv", "outbound", "secrets", "step"].map(str::to_owned);
    assert!(grants.lacks(&imports).is_empty(), "steps need no grant");
    let lacks = ApiGrants::default().lacks(&imports);
    assert_eq!((lacks.len(), lacks[1].as_str()), (3, "uses `outbound`, needs `grants.outbound`"));
}

#[test]
fn a_grant_that_is_none_is_refused_with_its_line() {
    let line = GOOD.lines().count() + 3;
    let many: Vec<String> = (0..65).map(|number| format!("\"https://a{number}.example\"")).collect();
    for (entry, says) in [
        ("outbound = [\"api.example.com\"]", "`grants.outbound`: a place begins with https://"),
        ("outbound = [\"https://*.com\"]", "`grants.outbound`: a `*` stands for one label"),
        ("outbound = [\"https://a.example\", \"https://A.example:443/\"]", "twice; remove one"),
        ("outbound = \"https://a.example\"", "expected a sequence"),
        ("outbound = [7]", "expected a string; write it in quotes"),
        (&format!("outbound = [{}]", many.join(", ")), "more than 64 entries"),
        ("secrets = [\"NO-NAME\"]", "`grants.secrets`: `NO-NAME` is no name of a secret"),
        ("kv = \"yes\"", "expected true or false, without quotes"),
        ("outbund = []", "unknown key `outbund` in [api.grants]; did you mean `outbound`?"),
        ("memory = \"1 MiB\"", "it belongs in [api.limits]"),
    ] {
        let error = refusal(&format!("{GOOD}\n[api.grants]\n{entry}\n"));
        assert!(
            error.starts_with(&format!("reports/plugin.toml:{line}: ")) && error.contains(says),
            "{entry}: {error}"
        );
    }
}

#[test]
fn plain_http_is_granted_where_the_operator_allows_it() {
    let text = |rule: &str| format!("{GOOD}\n[api.grants]\noutbound = [\"{rule}\"]\n");
    let (loopback, other) = (text("http://127.0.0.1:8080"), text("http://api.example.com"));
    let parses = |text: &str, plain_http, above| {
        Manifest::parse("p", text, &Bounds { plain_http, above, ..bounds() }).map_err(|error| error.to_string())
    };
    use PlainHttp::{Everywhere, Loopback, Refused};
    for (text, plain_http, good) in [
        (&loopback, Refused, false),
        (&other, Refused, false),
        (&loopback, Loopback, true),
        (&other, Loopback, false),
        (&loopback, Everywhere, true),
        (&other, Everywhere, true),
    ] {
        let result = parses(text, plain_http, Above::Refuse);
        assert_eq!(result.is_ok(), good, "{plain_http:?}: {text}");
        if let Err(error) = result {
            assert!(error.contains("is plain http") && error.contains("outbound.plain_http"), "{error}");
        }
        assert!(parses(text, plain_http, Above::Lower).is_ok(), "what was accepted once is run, and its use refused");
    }
}

#[test]
fn a_wish_above_the_ceiling_is_told_the_ceiling_however_far_above_it_is() {
    for wish in ["600 MiB", "5 GiB", "99999 GiB"] {
        let error = refusal(&with("memory = \"128 MiB\"", &format!("memory = \"{wish}\"")));
        assert!(error.contains("this host's ceiling is 512 MiB") && !error.contains("at most"), "{error}");
    }
}

#[test]
fn a_setting_without_effect_is_refused_and_a_revision_that_has_it_already_is_not() {
    let handler = |lines: &str, limits: &str| {
        format!(
            "[plugin]\nname = \"a\"\nversion = \"1\"\n[[api]]\nowner = \"demo\"\nslug = \"a\"\n{lines}\n[api.limits]\n{limits}\n"
        )
    };
    let (wasm, service) = ("handler = \"a.wasm\"", "upstream = \"http://localhost:1\"");
    for (text, line, says) in [
        (handler(&format!("{wasm}\ndelivery = \"off\"\npayload = \"result\""), ""), 9, "`payload` is for webhooks"),
        (
            handler(&format!("{wasm}\ndelivery = \"off\"\nretry = {{ schedule = [\"1 s\"] }}"), ""),
            9,
            "`retry` is for webhooks",
        ),
        (handler(service, "wall = \"1 s\"\ncpu = \"1 s\""), 10, "the limit `cpu` is for components"),
        (handler(wasm, "outbound_calls = 3"), 9, "the limit `outbound_calls` is for calls to the outside"),
        (
            handler(&format!("{wasm}\ngrants = {{ outbound = [\"PSOT https://a.example\"] }}"), ""),
            8,
            "no service is known to have the method `PSOT`; did you mean POST?",
        ),
    ] {
        let error = refusal(&text);
        assert!(error.starts_with(&format!("reports/plugin.toml:{line}: ")) && error.contains(says), "{error}");
        let lower = Bounds { above: Above::Lower, ..bounds() };
        Manifest::parse("p", &text, &lower).unwrap();
    }
}

#[test]
fn a_ceiling_lowered_later_bounds_a_revision_instead_of_losing_its_requests() {
    let ceiling = Limits { memory_bytes: 32 << 20, wall: Duration::from_secs(5), ..Limits::ceiling() };
    let mut bounds = Bounds { ceiling, ..bounds() };
    let refused = Manifest::parse("reports/plugin.toml", GOOD, &bounds).unwrap_err();
    assert!(refused.message.contains("128 MiB") && refused.message.contains("32 MiB"), "{refused}");
    bounds.above = Above::Lower;
    let manifest = Manifest::parse("reports/plugin.toml", GOOD, &bounds).unwrap();
    assert_eq!(
        (manifest.apis[0].limits.memory_bytes, manifest.apis[0].limits.wall),
        (32 << 20, Duration::from_secs(5))
    );
    assert_eq!(manifest.apis[1].limits.memory_bytes, 32 << 20, "the default is never above the ceiling either");
}

#[test]
fn every_limit_can_be_asked_for_and_what_is_not_asked_for_is_the_default() {
    let ceiling = Limits::ceiling();
    for line in LINES {
        let value = line.get(&ceiling);
        let quote = if matches!(value, Value::Count(_)) { "" } else { "\"" };
        let text = with("concurrency = 4", &format!("{} = {quote}{value}{quote}", line.key));
        let grants = "[api.grants]\noutbound = [\"https://api.example.com\"]\n\n[api.limits]";
        let text = text.replacen("[api.limits]", grants, 1);
        // Those that are there already are asked for twice, and that is refused.
        if ["memory", "cpu", "wall"].contains(&line.key) {
            assert!(refusal(&text).ends_with("duplicate key"));
            continue;
        }
        let manifest = Manifest::parse("p/plugin.toml", &text, &bounds()).unwrap();
        for other in LINES.iter().filter(|other| !["memory", "cpu", "wall"].contains(&other.key)) {
            let expected = if other.key == line.key { &ceiling } else { &Limits::default() };
            assert_eq!(other.get(&manifest.apis[0].limits), other.get(expected), "{} {}", line.key, other.key);
        }
        assert_eq!(manifest.apis[0].spec.concurrency, 16);
    }
    let operators = Bounds { default: Limits { handles: 9, ..Limits::default() }, concurrency: 3, ..bounds() };
    let manifest = Manifest::parse("p/plugin.toml", GOOD, &operators).unwrap();
    assert_eq!((manifest.apis[1].limits.handles, manifest.apis[1].spec.concurrency), (9, 3));
}

#[test]
fn an_api_says_how_its_webhooks_look_and_are_retried() {
    let text = with("payload = \"request\"", "payload = \"cloudevents\"\nretry = { schedule = [\"0 s\", \"5 s\"] }");
    let manifest = Manifest::parse("p/plugin.toml", &text, &bounds()).unwrap();
    assert_eq!(manifest.apis[0].spec.payload, PayloadForm::CloudEvents);
    let waits = manifest.apis[0].retry.as_ref().unwrap().waits().to_vec();
    assert_eq!(waits, [Duration::ZERO, Duration::from_secs(5)]);
    assert!(manifest.apis[1].retry.is_none());
    for bad in ["retry = { schedule = [] }", "retry = { schedule = [\"soon\"] }", "retry = { schedule = [\"25 h\"] }"] {
        let text = with("payload = \"request\"", bad);
        let error = Manifest::parse("p/plugin.toml", &text, &bounds()).unwrap_err().to_string();
        assert!(error.contains("retry.schedule"), "{error}");
    }
}
