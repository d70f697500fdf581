use super::*;
use crate::plugins::tests::guest as guests;
use crate::plugins::{Manifest, any_manifest};
use camino::Utf8PathBuf;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use ripost_runtime::InProcess;

const MANIFEST: &str = r#"
[plugin]
name = "reports"
version = "1.2.0"

[[api]]
owner = "demo"
slug = "daily"
handler = "a.wasm"

[[api]]
owner = "demo"
slug = "weekly"
handler = "b.wasm"
"#;

struct Folder {
    path: Utf8PathBuf,
    _folder: tempfile::TempDir,
}

impl Folder {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().join("reports")).unwrap();
        std::fs::create_dir(&path).unwrap();
        for (name, bytes) in files {
            let file = path.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes).unwrap();
        }
        Self { path, _folder: folder }
    }

    fn check(&self, name: &str) -> Report {
        check_in_process(&self.path.join(name), &Config::default()).unwrap()
    }
}

fn lines(report: &Report, grade: Grade) -> Vec<String> {
    let found = report.findings.iter().filter(|finding| finding.grade == grade);
    found.map(|Finding { subject, message, .. }| format!("{subject}: {message}")).collect()
}

/// This test program is no compile worker.
fn check_in_process(path: &Utf8Path, config: &Config) -> anyhow::Result<Report> {
    check_with(path, config, Arc::new(InProcess))
}

#[test]
fn a_good_plugin_is_described_and_nothing_is_wrong_with_it() {
    let (plain, asks_kv) = (guests::handler("plain"), guests::asks_kv());
    let folder = Folder::new(&[(FILE_NAME, MANIFEST.as_bytes()), ("a.wasm", &plain), ("b.wasm", &asks_kv)]);
    let report = folder.check("");
    assert_eq!(report.errors(), 0, "{report}");
    assert_eq!(
        lines(&report, Grade::Note),
        ["demo/weekly: uses `kv`, needs `grants.kv`; without it each call is refused"]
    );
    let [a, b] = &report.components[..] else { panic!("{report}") };
    assert_eq!((a.file.as_str(), a.bytes, a.engine.as_str()), ("a.wasm", plain.len(), "small"));
    assert_eq!((a.first_memory_bytes, a.places, &a.capabilities[..]), (65_536, 1, &[][..]));
    assert_eq!(b.capabilities, ["kv"]);
    assert!(matches!(&report.uses[..], [Use { granted: false, .. }]));
    assert_eq!(report.plugin.as_ref().unwrap().digest.len(), 64);
    let same = folder.check(FILE_NAME);
    assert_eq!((same.components, same.findings), (report.components, report.findings));
}

#[test]
fn every_component_is_judged_although_another_is_refused() {
    let folder = Folder::new(&[
        (FILE_NAME, MANIFEST.as_bytes()),
        ("a.wasm", &guests::module()),
        ("b.wasm", &guests::of_another_world()),
    ]);
    let report = folder.check("");
    let errors = lines(&report, Grade::Error);
    assert!(errors[0].starts_with("a.wasm: the file is a core WebAssembly module"), "{errors:?}");
    assert!(errors[1].starts_with("b.wasm: this is a webhook transform"), "{errors:?}");
    assert_eq!((report.errors(), report.components.len()), (2, 0));
}

#[test]
fn what_is_wrong_with_a_folder_is_said_as_the_host_says_it() {
    let wasm = guests::handler("x");
    for (files, error) in [
        (vec![], "reports: there is no plugin.toml in it"),
        (
            vec![(FILE_NAME, MANIFEST.as_bytes()), ("a.wasm", &wasm[..])],
            "reports: the handler `b.wasm` is not in the folder; build it, or correct its name",
        ),
        (
            vec![(FILE_NAME, &b"[plugin]\nnam = 1"[..])],
            "reports: reports/plugin.toml:2: unknown key `nam` in [plugin]; did you mean `name`?",
        ),
    ] {
        assert_eq!(lines(&Folder::new(&files).check(""), Grade::Error), [error]);
    }
}

#[test]
fn a_bare_component_is_judged_under_this_hosts_defaults() {
    let wasm = guests::asks_kv();
    let folder = Folder::new(&[("a.wasm", &wasm), ("text.wasm", b"(component)")]);
    let report = folder.check("a.wasm");
    assert_eq!(report.errors(), 0, "{report}");
    assert_eq!(lines(&report, Grade::Note), ["a.wasm: uses `kv`, needs `grants.kv`; without it each call is refused"]);
    assert_eq!(folder.check("text.wasm").errors(), 1);

    let mut config = Config::default();
    config.sandbox.handler.component_bytes_max = wasm.len() - 1;
    let report = check_in_process(&folder.path.join("a.wasm"), &config).unwrap();
    let errors = lines(&report, Grade::Error);
    let size = format!("a.wasm: the component has {} bytes and the limit `component` is", wasm.len());
    assert!(errors[0].starts_with(&size) && errors[0].contains("in [api.limits]"), "{errors:?}");
    // The true size, however far above the limit it is.
    config.sandbox.handler.component_bytes_max = 10;
    let report = check_in_process(&folder.path.join("a.wasm"), &config).unwrap();
    assert!(lines(&report, Grade::Error)[0].starts_with(&size), "{report}");

    let missing = check_in_process(&folder.path.join("b.wasm"), &config).unwrap_err();
    assert_eq!(missing.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::NotFound);
}

#[test]
fn what_a_handler_cannot_use_of_its_manifest_is_noted() {
    let text = MANIFEST.replace(
        "handler = \"a.wasm\"",
        "handler = \"a.wasm\"\ngrants = { kv = true, secrets = [\"KEY\"] }\nconfig = { region = \"eu\" }",
    );
    let (plain, asks_kv) = (guests::handler("plain"), guests::asks_kv());
    let folder = |a: &[u8]| Folder::new(&[(FILE_NAME, text.as_bytes()), ("a.wasm", a), ("b.wasm", &plain)]);
    let unused =
        |capability: &str| format!("demo/daily: its manifest grants `{capability}`, which its handler does not use");
    let config = "demo/daily: its manifest has `config`, which its handler does not read".to_owned();
    assert_eq!(lines(&folder(&plain).check(""), Grade::Note), [unused("kv"), unused("secrets"), config.clone()]);
    assert_eq!(lines(&folder(&asks_kv).check(""), Grade::Note), [unused("secrets"), config]);
}

#[test]
fn an_upstream_is_another_revision_when_an_owner_pushes_it_and_that_one_is_named_too() {
    let text = MANIFEST.replace("handler = \"b.wasm\"", "upstream = \"https://a.example\"");
    let folder = Folder::new(&[(FILE_NAME, text.as_bytes()), ("a.wasm", &guests::handler("x"))]);
    let report = folder.check("");
    let Some(Plugin { digest, digest_by_owner: Some(by_owner), .. }) = &report.plugin else { panic!("{report}") };
    assert_ne!(digest, by_owner);
    assert!(report.to_string().contains(&format!("revision {by_owner} if it is pushed with an owner's token")));
    let plain = Folder::new(&[
        (FILE_NAME, MANIFEST.as_bytes()),
        ("a.wasm", &guests::handler("x")),
        ("b.wasm", &guests::handler("y")),
    ]);
    assert_eq!(plain.check("").plugin.unwrap().digest_by_owner, None, "a component is the same for everybody");
}

#[test]
fn plain_http_to_this_machine_is_judged_as_the_gateway_does_in_development_mode() {
    let text = MANIFEST.replace(
        "handler = \"b.wasm\"",
        "handler = \"b.wasm\"\ngrants = { outbound = [\"POST http://127.0.0.1:4500/\"] }",
    );
    let wasm = guests::handler("x");
    let folder = Folder::new(&[(FILE_NAME, text.as_bytes()), ("a.wasm", &wasm), ("b.wasm", &wasm)]);
    let errors = lines(&folder.check(""), Grade::Error);
    assert!(errors[0].contains("is plain http") && errors[0].contains("(--dev)"), "{errors:?}");
    let config = Config { dev: true, ..Config::default() };
    assert_eq!(check_in_process(&folder.path, &config).unwrap().errors(), 0);
}

#[test]
fn a_manifest_is_refused_by_a_check_and_by_the_host_or_by_neither() {
    let wasm = guests::handler("x");
    let folder = Folder::new(&[("a.wasm", &wasm), ("cases/1.json", b"{}"), ("s.json", b"{}"), ("t.wasm", b"-")]);
    let config = Config::default();
    let agreed = std::cell::Cell::new([0, 0]);
    let settings = ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() };
    let agree = TestRunner::new_with_rng(settings, TestRng::deterministic_rng(RngAlgorithm::ChaCha)).run(
        &any_manifest(),
        |manifest| {
            let text = toml::to_string(&manifest).unwrap();
            std::fs::write(folder.path.join(FILE_NAME), &text).unwrap();
            let host = Manifest::parse("reports/plugin.toml", &text, &bounds(&config));
            let report = check_in_process(&folder.path, &config).unwrap();
            if let Err(error) = &host {
                prop_assert_eq!(lines(&report, Grade::Error), [format!("reports: {error}")]);
            }
            let mut counts = agreed.get();
            counts[usize::from(host.is_ok())] += 1;
            agreed.set(counts);
            let manifests = lines(&report, Grade::Error);
            let about_manifest = manifests.iter().any(|error| error.starts_with("reports: reports/plugin.toml"));
            prop_assert_eq!(host.is_err(), about_manifest, "{}\n{}", report, text);
            Ok(())
        },
    );
    agree.unwrap_or_else(|error| panic!("{error}"));
    assert!(agreed.get().iter().all(|count| *count > 5), "{agreed:?}");
}
