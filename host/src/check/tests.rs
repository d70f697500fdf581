use super::*;
use crate::plugins::tests::guest as guests;
use camino::Utf8PathBuf;
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
            std::fs::write(path.join(name), bytes).unwrap();
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
    assert!(errors[0].contains("limit `component`") && errors[0].contains("in [api.limits]"), "{errors:?}");

    let missing = check_in_process(&folder.path.join("b.wasm"), &config).unwrap_err();
    assert_eq!(missing.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::NotFound);
}
