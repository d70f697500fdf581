//! Components keep working when the contract grows.

use ripost_runtime::Limits;
use wasmtime::Engine;
use wasmtime::component::{Component, ComponentNamedList, Lift, Linker, Lower};

use crate::{answered, call, limits, runtime};

/// Built against the contract as it was at 1.0.0; see the folder's README. Never built again.
const FIXTURE: &[u8] = include_bytes!("../fixtures/handler-1.0.0.wasm");

#[tokio::test]
async fn a_component_built_against_the_first_contract_loads_and_answers() {
    let handler = runtime().load(FIXTURE, &Limits::default()).unwrap();
    assert_eq!(handler.imports(), ["log", "clock"]);
    let run = runtime().run(&handler, call("hello", limits())).await;
    assert_eq!((run.logs.len(), run.logs[0].message.as_str()), (1, "built against 1.0.0"));
    assert_eq!(answered(run).body, "hello");
}

/// What the fixture imports, under a version of the contract.
fn offers(version: &str) -> Linker<()> {
    fn answers<P, R>(linker: &mut Linker<()>, interface: &str, function: &str, answer: R)
    where
        P: ComponentNamedList + Lift + 'static,
        R: ComponentNamedList + Lower + Clone + Send + Sync + 'static,
    {
        let mut interface = linker.instance(interface).unwrap();
        interface.func_wrap(function, move |_, _: P| Ok(answer.clone())).unwrap();
    }
    let mut linker = Linker::new(&Engine::default());
    answers::<(), (u64,)>(&mut linker, &format!("ripost:plugin/clock@{version}"), "now-ms", (0,));
    linker.instance(&format!("ripost:plugin/types@{version}")).unwrap();
    let mut log = linker.instance(&format!("ripost:plugin/log@{version}")).unwrap();
    log.func_new("write", |_, _, _, _| Ok(())).unwrap();
    linker
}

/// The host's linker offers what `wit/` says and nothing else. What happens once that says 1.1.0 rests on this.
#[test]
fn an_import_of_1_0_0_is_answered_by_any_later_version_of_the_same_track_and_by_no_other() {
    for (version, links) in [("1.0.0", true), ("1.0.7", true), ("1.1.0", true), ("1.12.3", true), ("2.0.0", false)] {
        let linker = offers(version);
        let component = Component::new(linker.engine(), FIXTURE).unwrap();
        assert_eq!(linker.instantiate_pre(&component).is_ok(), links, "{version}");
    }
}
