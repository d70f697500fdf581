//! Components from WAT in milliseconds: a core module, the contract's metadata, the component encoder. No toolchain.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, UnresolvedPackageGroup};

/// As much of wasi as guests here use. A component imports the functions it calls and no more, so parts of the real
/// interfaces do.
const WASI: &str = r#"
package wasi:io@0.2.0 {
  interface poll { resource pollable { block: func(); } }
  interface error { resource error {} }
  interface streams {
    use error.{error};
    resource output-stream { blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>; }
    variant stream-error { last-operation-failed(own<error>), closed }
  }
}
package wasi:clocks@0.2.0 {
  interface monotonic-clock {
    use wasi:io/poll@0.2.0.{pollable};
    now: func() -> u64;
    subscribe-duration: func(when: u64) -> pollable;
  }
  interface wall-clock {
    record datetime { seconds: u64, nanoseconds: u32 }
    now: func() -> datetime;
  }
}
package wasi:random@0.2.0 { interface random { get-random-u64: func() -> u64; } }
package wasi:cli@0.2.0 {
  interface exit { exit: func(status: result); }
  interface environment { get-environment: func() -> list<tuple<string, string>>; }
  interface stdout {
    use wasi:io/streams@0.2.0.{output-stream};
    get-stdout: func() -> output-stream;
  }
}
package wasi:filesystem@0.2.0 {
  interface types { resource descriptor {} }
  interface preopens {
    use types.{descriptor};
    get-directories: func() -> list<tuple<descriptor, string>>;
  }
}
package wasi:http@0.3.0 {
  interface incoming-handler { handle: func(request: u32, out: u32); }
  interface outgoing-handler { handle: func(request: u32) -> u32; }
}
package wasi:http@0.2.1 { interface incoming-handler { handle: func(request: u32, out: u32); } }
package acme:billing@0.1.0 { interface cards { charge: func(cents: u32) -> u32; } }
"#;

/// The same of wasi:http, whose errors have to be there in full.
const WASI_HTTP: &str = include_str!("wasi_http.wit");

/// The world of an ordinary guest.
pub(crate) const HANDLER: &str = "include ripost:plugin/handler@1.0.0;";

/// A core module as a component of a world, which is the text between the braces of a WIT `world`.
pub(crate) fn component(world: &str, core: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_source("ripost.wit", include_str!("../../../../wit/ripost.wit")).expect("the contract parses");
    encode(resolve, world, core)
}

/// Like [`component`], against a contract given here in place of `wit/`.
pub(crate) fn component_of(contract: &str, world: &str, core: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let group = UnresolvedPackageGroup::parse("contract.wit", contract).expect("the contract parses");
    resolve.push_group(group).expect("the contract resolves");
    encode(resolve, world, core)
}

fn encode(mut resolve: Resolve, world: &str, core: &str) -> Vec<u8> {
    let text = format!("package test:guest;\n{WASI}\n{WASI_HTTP}\nworld guest {{ {world} }}");
    let group = UnresolvedPackageGroup::parse("guest.wit", &text).expect("the world parses");
    let package = resolve.push_group(group).expect("the world resolves");
    let world = resolve.select_world(&[package], Some("guest")).expect("it is there");
    let mut module = wat::parse_str(core).expect("the WAT parses");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("the metadata fits");
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .expect("the module fits its world")
        .encode()
        .expect("the component encodes")
}

/// A handler in WAT, or a transform, with what every one needs: memory, an allocator, and `$respond`, `$retry`, `$problem`
/// for answers.
///
/// In `handle`, local `$request` points at the record: id 0, owner 8, api 16, consumer 24, attempt 32, method 36,
/// path 44, query 52, headers 64, body 72, deadline-ms 80, attributes 88. `$data` starts at 2048, scratch at 3072,
/// allocations at 4096.
pub(crate) struct Guest {
    world: String,
    imports: String,
    items: String,
    realloc: &'static str,
    export: &'static str,
    handle: String,
    pages: u32,
}

/// Of a handler. Each signature names its parameters, which `handle` reads.
const HANDLE: &str = r#"(export "ripost:plugin/handle@1.0.0#handle") (param $request i32) (result i32)"#;
const REWRITE: &str = r#"(export "ripost:plugin/transform-request@1.0.0#apply") (param $request i32) (result i32)"#;
/// The response follows the request: status 96, headers 100, body 108, attributes 116.
const RESPONSE: &str = r#"(export "ripost:plugin/transform-response@1.0.0#apply") (param $request i32) (result i32)"#;
const WEBHOOK: &str = r#"(export "ripost:plugin/transform-webhook@1.0.0#apply")
  (param $event i32) (param $event_len i32) (param $headers i32) (param $headers_len i32)
  (param $body i32) (param $body_len i32) (param $attributes i32) (param $attributes_len i32) (result i32)"#;
const HTTP: &str = r#"(export "wasi:http/incoming-handler@0.2.0#handle") (param $request i32) (param $out i32)"#;

/// Gives memory away and never takes it back; grows when it must.
const BUMP: &str = r#"
  (local $at i32)
  (local.set $at (i32.and (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
                          (i32.sub (i32.const 0) (local.get $align))))
  (global.set $heap (i32.add (local.get $at) (local.get $new)))
  (block $fits
    (br_if $fits (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
    (br_if $fits (i32.ne (i32.const -1) (memory.grow (i32.add (i32.const 1)
      (i32.div_u (i32.sub (global.get $heap) (i32.mul (memory.size) (i32.const 65536))) (i32.const 65536))))))
    unreachable)
  (local.get $at)
"#;

impl Guest {
    /// `body` is the WAT of `handle`; it leaves the answer's address on the stack.
    pub(crate) fn new(body: &str) -> Self {
        Guest {
            world: HANDLER.to_owned(),
            imports: String::new(),
            items: String::new(),
            realloc: BUMP,
            export: HANDLE,
            handle: body.to_owned(),
            pages: 2,
        }
    }

    /// A request transform. `body` may use `$rewrite`, with a path, a query (an option: tag, text) and a body.
    pub(crate) fn request_transform(body: &str) -> Self {
        Guest { world: "include ripost:plugin/request-transform@1.0.0;".to_owned(), export: REWRITE, ..Guest::new(body) }
            .items(
                "(func $rewrite (param $path i32) (param $path_len i32) (param $some i32) (param $query i32) (param $query_len i32)
                   (param $body i32) (param $len i32) (result i32)
                   (memory.fill (i32.const 1024) (i32.const 0) (i32.const 64))
                   (i32.store (i32.const 1028) (local.get $path)) (i32.store (i32.const 1032) (local.get $path_len))
                   (i32.store8 (i32.const 1036) (local.get $some))
                   (i32.store (i32.const 1040) (local.get $query)) (i32.store (i32.const 1044) (local.get $query_len))
                   (i32.store (i32.const 1056) (local.get $body)) (i32.store (i32.const 1060) (local.get $len))
                   (i32.const 1024))",
            )
    }

    /// A response transform.
    pub(crate) fn response_transform(body: &str) -> Self {
        Guest {
            world: "include ripost:plugin/response-transform@1.0.0;".to_owned(),
            export: RESPONSE,
            ..Guest::new(body)
        }
    }

    /// A webhook transform. `body` may use `$send`, with an event, headers and a body.
    pub(crate) fn webhook_transform(body: &str) -> Self {
        Guest { world: "include ripost:plugin/webhook-transform@1.0.0;".to_owned(), export: WEBHOOK, ..Guest::new(body) }
            .items(
                "(func $send (param $event i32) (param $event_len i32) (param $headers i32) (param $headers_len i32)
                   (param $body i32) (param $len i32) (result i32)
                   (memory.fill (i32.const 1024) (i32.const 0) (i32.const 64))
                   (i32.store (i32.const 1028) (local.get $event)) (i32.store (i32.const 1032) (local.get $event_len))
                   (i32.store (i32.const 1036) (local.get $headers)) (i32.store (i32.const 1040) (local.get $headers_len))
                   (i32.store (i32.const 1044) (local.get $body)) (i32.store (i32.const 1048) (local.get $len))
                   (i32.const 1024))",
            )
    }

    /// Answers 200 with the request's body.
    pub(crate) fn echo() -> Self {
        Guest::new(
            "(call $respond (i32.const 200) (i32.load offset=72 (local.get $request)) (i32.load offset=76 (local.get $request)))",
        )
    }

    /// A handler of `wasi:http`, which answers by `$answer` and `$write` and then returns, or does not. `$answer` sets
    /// a response with status 200 and leaves its body in `$body` and the body's stream in `$stream`; `$finish` ends it.
    pub(crate) fn http(body: &str) -> Self {
        let world =
            "export wasi:http/incoming-handler@0.2.0; import wasi:http/types@0.2.0; import wasi:io/streams@0.2.0;";
        Guest { world: world.to_owned(), export: HTTP, ..Guest::new(body) }
            .imports(
                r#"(import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-response" (func $outgoing (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-response.body" (func $response_body (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-body.write" (func $body_write (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]outgoing-body.finish" (func $body_finish (param i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]response-outparam.set"
    (func $set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-request.path-with-query" (func $path (param i32 i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush" (func $write_once (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $drop_stream (param i32)))"#,
            )
            .items(
                "(global $body (mut i32) (i32.const 0))
  (global $stream (mut i32) (i32.const 0))
  (func $answer (param $out i32)
    (local $response i32)
    (local.set $response (call $outgoing (call $fields)))
    (call $response_body (local.get $response) (i32.const 1024))
    (global.set $body (i32.load (i32.const 1028)))
    (call $body_write (global.get $body) (i32.const 1024))
    (global.set $stream (i32.load (i32.const 1028)))
    (call $set (local.get $out) (i32.const 0) (local.get $response) (i32.const 0) (i64.const 0)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
  (func $write (param $at i32) (param $len i32)
    (call $write_once (global.get $stream) (local.get $at) (local.get $len) (i32.const 1024)))
  (func $finish
    (call $drop_stream (global.get $stream))
    (call $body_finish (global.get $body) (i32.const 0) (i32.const 0) (i32.const 1024)))",
            )
    }

    /// More of the world, such as `import wasi:cli/exit@0.2.0;`.
    pub(crate) fn world(mut self, more: &str) -> Self {
        self.world.push_str(more);
        self
    }

    /// `(import …)` fields.
    pub(crate) fn imports(mut self, imports: &str) -> Self {
        self.imports.push_str(imports);
        self
    }

    /// Functions, globals, data, a start.
    pub(crate) fn items(mut self, items: &str) -> Self {
        self.items.push_str(items);
        self
    }

    pub(crate) fn realloc(mut self, realloc: &'static str) -> Self {
        self.realloc = realloc;
        self
    }

    pub(crate) fn pages(mut self, pages: u32) -> Self {
        self.pages = pages;
        self
    }

    pub(crate) fn core(&self) -> String {
        let Guest { imports, items, realloc, export, handle, pages, .. } = self;
        format!(
            r#"(module
  {imports}
  (memory (export "memory") {pages})
  (global $heap (mut i32) (i32.const 4096))
  (func $realloc (export "cabi_realloc") (param $old i32) (param $old_len i32) (param $align i32) (param $new i32) (result i32)
    {realloc})
  (func $respond (param $status i32) (param $body i32) (param $len i32) (result i32)
    (i32.store8 (i32.const 1024) (i32.const 0))
    (i32.store16 (i32.const 1028) (local.get $status))
    (i64.store (i32.const 1032) (i64.const 0))
    (i32.store (i32.const 1040) (local.get $body))
    (i32.store (i32.const 1044) (local.get $len))
    (i64.store (i32.const 1048) (i64.const 0))
    (i32.const 1024))
  ;; failure.retry(after 7 s) with title = the given text
  (func $retry (param $title i32) (param $len i32) (result i32)
    (memory.fill (i32.const 1024) (i32.const 0) (i32.const 64))
    (i32.store8 (i32.const 1024) (i32.const 1))
    (i32.store8 (i32.const 1028) (i32.const 1))
    (i32.store8 (i32.const 1032) (i32.const 1))
    (i32.store (i32.const 1036) (i32.const 7))
    (i32.store (i32.const 1048) (local.get $title))
    (i32.store (i32.const 1052) (local.get $len))
    (i32.const 1024))
  ;; a transform's problem, with kind and title = the given text and status 422
  (func $problem (param $title i32) (param $len i32) (result i32)
    (memory.fill (i32.const 1024) (i32.const 0) (i32.const 64))
    (i32.store8 (i32.const 1024) (i32.const 1))
    (i32.store (i32.const 1028) (local.get $title)) (i32.store (i32.const 1032) (local.get $len))
    (i32.store (i32.const 1036) (local.get $title)) (i32.store (i32.const 1040) (local.get $len))
    (i32.store8 (i32.const 1056) (i32.const 1)) (i32.store16 (i32.const 1058) (i32.const 422))
    (i32.const 1024))
  {items}
  (func {export}
    (local $i i32)
    {handle})
)"#
        )
    }

    pub(crate) fn wasm(&self) -> Vec<u8> {
        component(&self.world, &self.core())
    }
}

/// Appends core modules to a component, each instantiated once after everything else: what several linked libraries
/// with memories of their own look like.
pub(crate) fn with_modules(mut component: Vec<u8>, core: &str, count: u32) -> Vec<u8> {
    let module = wat::parse_str(core).expect("the WAT parses");
    let mut index = 0;
    let mut depth = 0;
    for payload in wasmparser::Parser::new(0).parse_all(&component) {
        match payload.expect("the component is valid") {
            wasmparser::Payload::Version { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth -= 1,
            wasmparser::Payload::ModuleSection { .. } if depth == 1 => index += 1,
            _ => {}
        }
    }
    for _ in 0..count {
        section(&mut component, 1, &module);
        // One core instance: instantiate module `index` with no arguments.
        let mut instance = vec![1, 0];
        leb128(&mut instance, index);
        instance.push(0);
        section(&mut component, 2, &instance);
        index += 1;
    }
    component
}

fn section(component: &mut Vec<u8>, id: u8, content: &[u8]) {
    component.push(id);
    leb128(component, u32::try_from(content.len()).expect("small"));
    component.extend_from_slice(content);
}

fn leb128(bytes: &mut Vec<u8>, mut value: u32) {
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits");
        value >>= 7;
        bytes.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return;
        }
    }
}
