#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{Manifest, build, copy_example, digest, plugin_dirs, read, replace, the_one_handler};
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
    assert!(names("tests/guests").contains(&"qjs".to_owned()));
}

#[test]
fn a_manifest_beside_a_crate_names_one_component_in_its_own_folder() {
    let two_routes = "[[api]]\nhandler = \"p.wasm\"\n[[api]]\nhandler = \"p.wasm\"\n[[api]]\nupstream = \"http://x\"";
    assert_eq!(the_one_handler(&manifest(two_routes)).unwrap(), "p.wasm");
    for (apis, said) in [
        ("", "no `[[api]]`"),
        ("[[api]]\nhandler = \"a.wasm\"\n[[api]]\nhandler = \"b.wasm\"", "names a.wasm, b.wasm"),
        ("[[api]]\nhandler = \"../p.wasm\"", "not the name of a file"),
    ] {
        let error = the_one_handler(&manifest(apis)).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
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
    assert_eq!(original.digest, digest(&original.component).unwrap());
    assert!(original.imports.iter().all(|import| import.starts_with("ripost:plugin/")), "{:?}", original.imports);

    let copy_dir = copy_example("reports", &dir.join("source")).unwrap();
    let unchanged = build(&copy_dir, &dir.join("copied"), &|_| ()).unwrap();
    assert_eq!(unchanged.digest, original.digest, "a component does not tell where it was built");

    let source = copy_dir.join("src/report.rs");
    let edited = read(&source).unwrap().replace("Sales by region", "Turnover by region");
    std::fs::write(&source, edited).unwrap();
    let edited = build(&copy_dir, &dir.join("copied"), &|_| ()).unwrap();
    assert_ne!(edited.digest, original.digest);

    let again = build(&original_dir, &dir.join("out"), &|_| ()).unwrap();
    assert_eq!(again.digest, original.digest, "cargo did not hand out the copy's module for the original");

    std::fs::write(&source, "fn broken( {").unwrap();
    let error = format!("{:#}", build(&copy_dir, &dir.join("copied"), &|_| ()).unwrap_err());
    assert!(error.contains("src/report.rs:1"), "{error}");
    assert_eq!(digest(&edited.component).unwrap(), edited.digest, "a build that fails leaves the last plugin");
    assert!(copy_example("nothing", &dir.join("none")).is_err());
    assert!(copy_example("reports", &dir.join("source")).unwrap_err().to_string().contains("not empty"));
    std::fs::remove_dir_all(&dir).unwrap();
}
