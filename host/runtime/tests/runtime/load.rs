//! What is refused before it runs, each with words of its own.

use ripost_runtime::{Limits, LoadError, Toolchain};

use crate::common::{Guest, component, component_of};
use crate::{limits, runtime};

fn refused(wasm: &[u8]) -> LoadError {
    runtime().load(wasm, &limits()).unwrap_err()
}

#[test]
fn a_file_that_is_no_component_is_refused_for_what_it_is() {
    let core = wat::parse_str("(module)").unwrap();
    assert_eq!(refused(&core), LoadError::CoreModule);
    assert_eq!(refused(b" ;; my handler\n(component)"), LoadError::Text);
    assert_eq!(refused(Guest::echo().core().as_bytes()), LoadError::Text);
    assert!(matches!(refused(b"#!/bin/sh\n"), LoadError::NotAComponent(_)));
    assert_eq!(refused(b""), LoadError::NotAComponent("it is empty"));
    assert!(matches!(refused(b"\0asm"), LoadError::NotAComponent(_)));
    let precompiled = wasmtime::Engine::default().precompile_component(&Guest::echo().wasm()).unwrap();
    assert_eq!(refused(&precompiled), LoadError::Precompiled);
    assert_eq!(refused(b"\x7fELF\x02\x01\x01"), LoadError::Precompiled);
}

#[test]
fn a_torn_or_damaged_component_is_refused_at_every_length() {
    let wasm = Guest::echo().wasm();
    for len in (9..wasm.len()).step_by(7) {
        // A cut between two sections leaves something valid that lacks its export.
        let error = refused(&wasm[..len]);
        assert!(matches!(error, LoadError::Invalid(_) | LoadError::WrongWorld { .. }), "{len}: {error:?}");
    }
    let mut flipped = wasm;
    let middle = flipped.len() / 2;
    flipped[middle..middle + 64].fill(0xff);
    assert!(matches!(refused(&flipped), LoadError::Invalid(_)));
}

#[test]
fn a_name_in_a_damaged_component_cannot_speak_to_a_terminal_or_fill_a_log() {
    let name = |name: &str| {
        let mut wasm = Guest::echo().wasm();
        let places: Vec<usize> = wasm.windows(7).enumerate().filter(|it| it.1 == b"after-s").map(|it| it.0).collect();
        places.iter().for_each(|at| wasm[*at..*at + 7].copy_from_slice(name.as_bytes()));
        refused(&wasm).to_string()
    };
    let text = name("\u{1b}[2J\r\n!");
    assert!(text.contains(r"\u{1b}[2J") && !text.contains(char::is_control), "{text:?}");
    assert!(text.len() < 1024, "{text}");
}

#[test]
fn a_component_over_the_limit_is_refused_with_both_figures() {
    let wasm = Guest::echo().wasm();
    let limits = Limits { component_bytes_max: 100, ..Limits::default() };
    assert_eq!(
        runtime().load(&wasm, &limits).unwrap_err(),
        LoadError::TooLarge { bytes: wasm.len(), bytes_max: 100, toolchain: Toolchain::Unknown }
    );
}

#[test]
fn a_foreign_import_is_refused_by_name() {
    let guest = Guest::new("(call $charge (i32.const 1))")
        .world("import acme:billing/cards@0.1.0;")
        .imports(r#"(import "acme:billing/cards@0.1.0" "charge" (func $charge (param i32) (result i32)))"#);
    let error = refused(&guest.wasm());
    assert_eq!(error, LoadError::ForeignImport { name: "acme:billing/cards@0.1.0".to_owned() });
    assert!(error.to_string().contains("`acme:billing/cards@0.1.0`"));
    let guest = Guest::new("(call $send (i32.const 1))")
        .world("import wasi:http/outgoing-handler@0.3.0;")
        .imports(r#"(import "wasi:http/outgoing-handler@0.3.0" "handle" (func $send (param i32) (result i32)))"#);
    assert_eq!(refused(&guest.wasm()), LoadError::WasiHttp { name: "wasi:http/outgoing-handler@0.3.0".to_owned() });
}

#[test]
fn a_component_of_another_world_is_told_which_one_it_should_be() {
    let apply = |name: &str, params: &str| {
        format!(r#"(func (export "ripost:plugin/{name}@1.0.0#apply") {params} (result i32) unreachable)"#)
    };
    let core = |functions: &str| {
        format!(
            r#"(module (memory (export "memory") 1)
                 (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable) {functions})"#
        )
    };
    let transform =
        component("include ripost:plugin/request-transform@1.0.0;", &core(&apply("transform-request", "(param i32)")));
    let error = refused(&transform);
    assert_eq!(
        error.to_string(),
        "this is a request transform (`ripost:plugin/transform-request@1.0.0`): a handler must export `ripost:plugin/handle@1.0.0`"
    );
    let LoadError::WrongWorld { exports, .. } = error else { panic!("{error:?}") };
    assert_eq!(exports, ["ripost:plugin/transform-request@1.0.0"]);

    let both = Guest::echo()
        .world("export ripost:plugin/transform-request@1.0.0;")
        .items(&apply("transform-request", "(param i32)"));
    let text = refused(&both.wasm()).to_string();
    assert!(text.contains("both `ripost:plugin/handle@1.0.0` and `ripost:plugin/transform-request@1.0.0`"), "{text}");

    let http = component(
        "export wasi:http/incoming-handler@0.3.0;",
        r#"(module (func (export "wasi:http/incoming-handler@0.3.0#handle") (param i32 i32)))"#,
    );
    let error = refused(&http);
    assert_eq!(error, LoadError::WasiHttp { name: "wasi:http/incoming-handler@0.3.0".to_owned() });
    assert!(error.to_string().contains("export `wasi:http/incoming-handler@0.2`"));

    let nothing = wat::parse_str("(component)").unwrap();
    assert!(refused(&nothing).to_string().contains("exports nothing"));
}

#[test]
fn a_handler_of_another_contract_is_refused_at_load_and_not_in_its_first_call() {
    let other = component_of(
        "package ripost:plugin@1.0.0; interface handle { handle: func(body: list<u8>) -> u32; }",
        "export ripost:plugin/handle@1.0.0;",
        r#"(module (memory (export "memory") 1)
             (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
             (func (export "ripost:plugin/handle@1.0.0#handle") (param i32 i32) (result i32) (i32.const 0)))"#,
    );
    assert!(matches!(refused(&other), LoadError::WrongShape(_)));
    let http = component(
        "export wasi:http/incoming-handler@0.2.1;",
        r#"(module (func (export "wasi:http/incoming-handler@0.2.1#handle") (param i32 i32)))"#,
    );
    assert!(matches!(refused(&http), LoadError::WrongShape(_)));
    let newer = component_of(
        "package ripost:plugin@2.0.0; interface handle { handle: func() -> u32; }",
        "export ripost:plugin/handle@2.0.0;",
        r#"(module (func (export "ripost:plugin/handle@2.0.0#handle") (result i32) (i32.const 0)))"#,
    );
    assert!(refused(&newer).to_string().contains("update Ripost"));
}

#[test]
fn a_capability_with_another_shape_is_refused_at_load() {
    let contract = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/ripost.wit"))
        .unwrap()
        .replace("now-ms: func() -> u64", "now-ms: func() -> f64");
    let guest = Guest::new("(drop (call $now)) (i32.const 1024)")
        .imports(r#"(import "ripost:plugin/clock@1.0.0" "now-ms" (func $now (result f64)))"#);
    let wasm = component_of(&contract, crate::common::HANDLER, &guest.core());
    let error = refused(&wasm);
    assert!(matches!(&error, LoadError::WrongShape(text) if text.contains("clock")), "{error:?}");
}

#[test]
fn what_is_switched_off_is_refused() {
    // Threads, 64-bit memories, and several memories in one module, which only the compiler's own adapters have.
    let switched_off = [
        ("(memory 1 1 shared)", "i32.const 0"),
        ("(memory i64 1)", "i64.const 0"),
        ("(memory 1) (memory 1)", "i32.const 0"),
    ];
    for (memory, zero) in switched_off {
        let module = format!("(module {memory} (func (drop (i32.load ({zero})))))");
        let wasm = crate::common::with_modules(Guest::echo().wasm(), &module, 1);
        assert!(matches!(refused(&wasm), LoadError::Invalid(_)), "{memory}");
    }
}
