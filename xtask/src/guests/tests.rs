#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{Manifest, build, components, copy_example, copy_in, digest, plugin_dirs, read, replace, source_of};
use crate::setup::repository;

fn manifest(apis: &str) -> Manifest {
    toml::from_str(&format!("[plugin]\nname = \"p\"\n{apis}")).unwrap()
}

#[test]
fn every_guest_of_the_repository_is_found_by_its_manifest() {
    let names = |folder: &str| {
        let dirs = plugin_dirs(&repository().join(folder)).unwrap();
        dirs.iter().map(|dir| dir.file_name().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(names("examples").contains(&"reports".to_owned()));
    assert!(names("tests/guests").contains(&"echo".to_owned()));
    for name in ["qjs", "wstd-http", "js-http", "py-http"] {
        assert!(names("tests/guests").contains(&name.to_owned()), "{name}");
    }
}

#[test]
fn each_component_of_a_manifest_is_built_once_and_is_a_file_beside_it() {
    let two_routes = "[[api]]\nhandler = \"p.wasm\"\n[[api]]\nhandler = \"p.wasm\"\n[[api]]\nupstream = \"http://x\"";
    assert_eq!(components(&manifest(two_routes)).unwrap(), ["p.wasm"]);
    let transforms = "[[api]]\nhandler = \"p.wasm\"\n[[api]]\nhandler = \"p.wasm\"
        transforms = { request = [\"a.wasm\", \"b.wasm\"], webhook = [\"a.wasm\"], webhook_on_error = \"fail\" }";
    assert_eq!(components(&manifest(transforms)).unwrap(), ["p.wasm", "a.wasm", "b.wasm"]);
    for (apis, said) in [
        ("", "no `[[api]]`"),
        ("[[api]]\nhandler = \"../p.wasm\"", "not the name of a component"),
        ("[[api]]\nhandler = \"p.wasm\"\ntransforms = { response = [\"q\"] }", "not the name of a component"),
    ] {
        let error = components(&manifest(apis)).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_component_is_built_from_the_crate_of_its_name_or_not_at_all() {
    let reports = repository().join("examples/reports");
    assert_eq!(source_of(&reports, "any.wasm", 1).unwrap(), reports);
    assert_eq!(source_of(&reports, "reports.wasm", 2).unwrap(), reports);
    let echo = repository().join("tests/guests/echo");
    assert_eq!(source_of(&echo, "qjs.wasm", 2).unwrap(), repository().join("tests/guests/qjs"));
    let error = source_of(&reports, "nothing.wasm", 2).unwrap_err().to_string();
    assert!(error.contains("there is no crate `nothing`"), "{error}");
}

#[test]
fn cases_are_copied_and_one_that_is_gone_goes() {
    let dir = repository().join("target/xtask-tests").join(format!("cases-{}", std::process::id()));
    let (from, to) = (dir.join("from"), dir.join("to"));
    std::fs::create_dir_all(&from).unwrap();
    for name in ["a.json", "b.json"] {
        std::fs::write(from.join(name), name).unwrap();
    }
    copy_in(&from, &to).unwrap();
    std::fs::remove_file(from.join("a.json")).unwrap();
    copy_in(&from, &to).unwrap();
    let left: Vec<String> = to.read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
    assert_eq!(left, ["b.json"]);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_file_that_would_not_change_is_not_touched_and_no_other_file_stays_behind() {
    let dir = repository().join("target/xtask-tests").join(format!("replace-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("p.wasm");
    replace(&path, b"one").unwrap();
    let before = std::fs::metadata(&path).unwrap();
    replace(&path, b"one").unwrap();
    let same = std::fs::metadata(&path).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::ino(&before), std::os::unix::fs::MetadataExt::ino(&same));
    let first = digest(&path).unwrap();
    replace(&path, b"two").unwrap();
    assert_ne!(digest(&path).unwrap(), first);
    assert_eq!(dir.read_dir_utf8().unwrap().count(), 1);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
#[ignore = "builds guests: 40 s the first time; `cargo xtask test` runs it after it has built them"]
fn a_copy_that_was_edited_becomes_another_component_and_the_original_stays_what_it_was() {
    let dir = repository().join("target/xtask-tests").join(format!("copy-{}", std::process::id()));
    let original_dir = repository().join("examples/reports");
    let original = build(&original_dir, &dir.join("out"), &|_| ()).unwrap();
    assert_eq!(original.first().digest, digest(&original.first().path).unwrap());
    assert!(
        original.first().imports.iter().all(|import| import.starts_with("ripost:plugin/")),
        "{:?}",
        original.first().imports
    );

    let copy_dir = copy_example("reports", &dir.join("source")).unwrap();
    let unchanged = build(&copy_dir, &dir.join("copied"), &|_| ()).unwrap();
    assert_eq!(unchanged.first().digest, original.first().digest, "a component does not tell where it was built");

    let source = copy_dir.join("src/report.rs");
    let edited = read(&source).unwrap().replace("Sales by region", "Turnover by region");
    std::fs::write(&source, edited).unwrap();
    let edited = build(&copy_dir, &dir.join("copied"), &|_| ()).unwrap();
    assert_ne!(edited.first().digest, original.first().digest);

    let again = build(&original_dir, &dir.join("out"), &|_| ()).unwrap();
    assert_eq!(
        again.first().digest,
        original.first().digest,
        "cargo did not hand out the copy's module for the original"
    );

    std::fs::write(&source, "fn broken( {").unwrap();
    let error = format!("{:#}", build(&copy_dir, &dir.join("copied"), &|_| ()).unwrap_err());
    assert!(error.contains("src/report.rs:1"), "{error}");
    assert_eq!(
        digest(&edited.first().path).unwrap(),
        edited.first().digest,
        "a build that fails leaves the last plugin"
    );
    assert!(copy_example("nothing", &dir.join("none")).is_err());
    assert!(copy_example("reports", &dir.join("source")).unwrap_err().to_string().contains("not empty"));
    std::fs::remove_dir_all(&dir).unwrap();
}
