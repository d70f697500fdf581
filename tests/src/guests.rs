//! Small components from text, made in milliseconds: well-behaved, slow, and hostile ones.
//!
//! The layout of the records is that of the canonical ABI for `wit/ripost.wit`; `prelude.wat` has the offsets.

pub mod attacks;
pub mod transforms;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The contract as it is shipped.
const CONTRACT: &str = include_str!("../../wit/ripost.wit");
/// What every guest has: memory, `cabi_realloc`, and functions that build an answer.
const PRELUDE: &str = include_str!("guests/prelude.wat");
/// A part of wasi 0.2 and of somebody else's interfaces, and the worlds that import them.
const WORLDS: &str = include_str!("guests/worlds.wit");

/// Where a guest's own data begins; below it are the texts of the prelude.
const DATA_AT: usize = 1024;

/// A guest being written.
#[derive(Default)]
struct Source {
    imports: String,
    /// WAT of more functions and globals.
    items: String,
    /// WAT of the handler's body: `$request` points to the record; leaves the pointer to a result.
    handle: String,
    data: Vec<u8>,
    /// Of memory at the start, in place of the prelude's.
    first_pages: Option<u32>,
}

impl Source {
    fn handle(wat: &str) -> Self {
        Self { handle: wat.to_owned(), ..Self::default() }
    }

    fn import(mut self, interface: &str, function: &str, signature: &str) -> Self {
        self.imports.push_str(&format!("(import \"{interface}\" \"{function}\" (func $\"{function}\" {signature}))\n"));
        self
    }

    /// Places bytes in the guest's memory; the WAT for their address and length.
    fn bytes(&mut self, bytes: &[u8]) -> String {
        let at = DATA_AT + self.data.len();
        self.data.extend_from_slice(bytes);
        format!("(i32.const {at}) (i32.const {})", bytes.len())
    }

    /// Writes a line to its log at `info` first.
    fn logging(self, message: &str) -> Self {
        self.logging_at(2, message)
    }

    /// The same at a level, from 0 for `trace` to 4 for `error`.
    fn logging_at(self, level: u8, message: &str) -> Self {
        let mut source = self.import("ripost:plugin/log@1.0.0", "write", "(param i32 i32 i32 i32 i32)");
        let message = source.bytes(message.as_bytes());
        source.handle =
            format!("(call $write (i32.const {level}) {message} (i32.const 0) (i32.const 0)) {}", source.handle);
        source
    }

    fn module(&self) -> Vec<u8> {
        let escaped: String = self.data.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let prelude = match self.first_pages {
            Some(pages) => {
                PRELUDE.replace("(memory (export \"memory\") 2)", &format!("(memory (export \"memory\") {pages})"))
            }
            None => PRELUDE.to_owned(),
        };
        let text = format!(
            "(module {} {prelude} (data (i32.const {DATA_AT}) \"{escaped}\") {}
             (func $handle (export \"ripost:plugin/handle@1.0.0#handle\") (param $request i32) (result i32) {}))",
            self.imports, self.items, self.handle
        );
        wat::parse_str(&text).unwrap_or_else(|error| panic!("a test guest is not WAT: {error}\n{text}"))
    }

    fn component(&self, world: &str) -> Vec<u8> {
        component(self.module(), world)
    }

    fn handler(&self) -> Vec<u8> {
        self.component("ripost:plugin/handler@1.0.0")
    }
}

/// Wraps a core module as a component of a world.
fn component(mut module: Vec<u8>, world: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_source("ripost.wit", CONTRACT).expect("the contract parses");
    let tests = resolve.push_source("worlds.wit", WORLDS).expect("the test worlds parse");
    let world = resolve.select_world(&[tests], Some(world)).expect("the world is there");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("a world can be embedded");
    let mut encoder = ComponentEncoder::default().validate(true).module(&module).expect("a test guest is a module");
    encoder.encode().expect("a test guest becomes a component")
}

/// Milliseconds as the WAT of a duration in nanoseconds.
fn nanos(ms: u64) -> String {
    format!("(i64.const {})", ms * 1_000_000)
}

const SLEEPER: &str = "ripost:tests/sleeper@1.0.0";

/// With what a sleeper needs; `(call $sleep (i64.const NANOS))`.
fn sleeping(handle: &str) -> Source {
    let poll = "wasi:io/poll@0.2.0";
    let mut source = Source::handle(handle)
        .import("wasi:clocks/monotonic-clock@0.2.0", "subscribe-duration", "(param i64) (result i32)")
        .import(poll, "[method]pollable.block", "(param i32)")
        .import(poll, "[resource-drop]pollable", "(param i32)");
    source.items.push_str(
        "(func $sleep (param $ns i64) (local $timer i32)
           (local.set $timer (call $subscribe-duration (local.get $ns)))
           (call $\"[method]pollable.block\" (local.get $timer))
           (call $\"[resource-drop]pollable\" (local.get $timer)))",
    );
    source
}

/// Answers 200 with the request's body, as `application/json`.
#[must_use]
pub fn echo() -> Vec<u8> {
    Source::handle("(call $echo (local.get $request))").handler()
}

/// Answers 200 with this text.
#[must_use]
pub fn says(text: &str) -> Vec<u8> {
    answers(200, &[("content-type", "text/plain; charset=utf-8")], text.as_bytes())
}

/// Answers always the same.
#[must_use]
pub fn answers(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut source = Source::default();
    let places: Vec<(String, String)> =
        headers.iter().map(|(name, value)| (source.bytes(name.as_bytes()), source.bytes(value.as_bytes()))).collect();
    let body = source.bytes(body);
    for (name, value) in &places {
        source.handle.push_str(&format!("(call $header {name} {value})"));
    }
    source.handle.push_str(&format!("(call $ok (i32.const {status}) {body})"));
    source.handler()
}

/// Echoes, and asks to capture the amount that is the request's body, whatever it is.
#[must_use]
pub fn captures() -> Vec<u8> {
    let mut source = Source::default();
    let name = source.bytes(b"capture-usdc");
    source.handle = format!(
        "(local $result i32) (local $attribute i32)
         (local.set $result (call $echo (local.get $request)))
         (local.set $attribute (call $alloc (i32.const 16)))
         (call $pair (local.get $attribute) {name})
         (call $pair (i32.add (local.get $attribute) (i32.const 8))
           (i32.load offset=72 (local.get $request)) (i32.load offset=76 (local.get $request)))
         (call $pair (i32.add (local.get $result) (i32.const 24)) (local.get $attribute) (i32.const 1))
         (local.get $result)"
    );
    source.items.push_str(
        "(func $pair (param $at i32) (param $pointer i32) (param $len i32)
           (i32.store (local.get $at) (local.get $pointer))
           (i32.store offset=4 (local.get $at) (local.get $len)))",
    );
    source.handler()
}

/// Answers with as many bytes as said, all `x`.
#[must_use]
pub fn answers_bytes(len: usize) -> Vec<u8> {
    Source::handle(&format!(
        "(local $at i32)
         (local.set $at (call $alloc (i32.const {len})))
         (memory.fill (local.get $at) (i32.const 120) (i32.const {len}))
         (call $ok (i32.const 200) (local.get $at) (i32.const {len}))"
    ))
    .handler()
}

/// Answers with the call as it sees it: `METHOD path?query`, a line for each header, an empty line, the body.
#[must_use]
pub fn mirror() -> Vec<u8> {
    Source::handle("(call $mirror (local.get $request))").handler()
}

/// Computes for ever.
#[must_use]
pub fn spins() -> Vec<u8> {
    Source::handle("(loop $for_ever (br $for_ever)) unreachable").handler()
}

/// Waits so long on wasi's clock without computing, then echoes.
#[must_use]
pub fn sleeps(ms: u64) -> Vec<u8> {
    sleeping(&format!("(call $sleep {}) (call $echo (local.get $request))", nanos(ms))).component(SLEEPER)
}

/// Reports `40`, `halfway there`, waits so long, then echoes.
#[must_use]
pub fn reports_progress(ms: u64) -> Vec<u8> {
    let mut source = sleeping("").import("ripost:plugin/progress@1.0.0", "report", "(param i32 i32 i32 i32)");
    let message = source.bytes(b"halfway there");
    source.handle = format!(
        "(call $report (i32.const 1) (i32.const 40) {message}) (call $sleep {}) (call $echo (local.get $request))",
        nanos(ms)
    );
    source.component(SLEEPER)
}

/// Echoes, and has more functions, which nobody calls.
#[must_use]
pub fn with_items(wat: &str) -> Vec<u8> {
    let mut source = Source::handle("(call $echo (local.get $request))");
    source.items.push_str(wat);
    source.handler()
}

/// How a guest writes all over much memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// In one instruction.
    AtOnce,
    /// A word of each page of the machine, in a loop.
    InALoop,
}

/// Grows by so many MiB, writes all over them, then echoes.
#[must_use]
pub fn fills(mib: u32, touch: Touch) -> Vec<u8> {
    filling(mib, touch, "(call $echo (local.get $request))").handler()
}

/// Fills so many MiB in one instruction, waits so long with all of it, then echoes.
#[must_use]
pub fn fills_and_sleeps(mib: u32, ms: u64) -> Vec<u8> {
    let source = filling(mib, Touch::AtOnce, &format!("(call $sleep {}) (call $echo (local.get $request))", nanos(ms)));
    sleeping(&source.handle).component(SLEEPER)
}

/// The same in one instruction, then executes `unreachable`: it ends before anything could interrupt it.
#[must_use]
pub fn fills_and_traps(mib: u32) -> Vec<u8> {
    filling(mib, Touch::AtOnce, "unreachable").handler()
}

/// The same, with the memory that it starts with.
#[must_use]
pub fn starts_with_and_fills(mib: u32) -> Vec<u8> {
    let mut source = Source::handle(
        "(memory.fill (i32.const 65536) (i32.const 1) (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 65536)))
         unreachable",
    );
    source.first_pages = Some(mib * 16);
    source.handler()
}

fn filling(mib: u32, touch: Touch, then: &str) -> Source {
    let (pages, bytes) = (mib * 16, mib << 20);
    let touch = match touch {
        Touch::AtOnce => format!("(memory.fill (local.get $at) (i32.const 1) (i32.const {bytes}))"),
        Touch::InALoop => format!(
            "(local.set $end (i32.add (local.get $at) (i32.const {bytes})))
             (loop $page
               (i32.store (local.get $at) (i32.const 1))
               (br_if $page (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4096))) (local.get $end))))"
        ),
    };
    Source::handle(&format!(
        "(local $at i32) (local $end i32)
         (local.set $at (memory.grow (i32.const {pages})))
         (if (i32.eq (local.get $at) (i32.const -1)) (then unreachable))
         (local.set $at (i32.shl (local.get $at) (i32.const 16)))
         {touch}
         {then}"
    ))
}

/// Executes `unreachable`.
#[must_use]
pub fn traps() -> Vec<u8> {
    Source::handle("unreachable").handler()
}

/// Calls itself until the stack ends.
#[must_use]
pub fn recurses() -> Vec<u8> {
    let mut source = Source::handle("(call $deeper (i64.const 0)) drop unreachable");
    source.items.push_str(
        "(func $deeper (param $n i64) (result i64)
           (i64.add (call $deeper (i64.add (local.get $n) (i64.const 1))) (local.get $n)))",
    );
    source.handler()
}

/// Takes memory page by page until it gets no more, then gives up as a Rust guest would.
#[must_use]
pub fn takes_all_memory() -> Vec<u8> {
    Source::handle("(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable")
        .handler()
}

/// Counts its calls in its own memory and a global, and answers with both, `1 1` if it shares nothing with a run before.
#[must_use]
pub fn remembers() -> Vec<u8> {
    let mut source = Source::default();
    let text = source.bytes(b"1 1");
    let counter = DATA_AT + source.data.len() + 64;
    source.items.push_str("(global $calls (mut i32) (i32.const 0))");
    source.handle = format!(
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
         (i32.store (i32.const {counter}) (i32.add (i32.load (i32.const {counter})) (i32.const 1)))
         (i32.store8 (i32.const {DATA_AT}) (i32.add (i32.const 48) (global.get $calls)))
         (i32.store8 (i32.const {}) (i32.add (i32.const 48) (i32.load (i32.const {counter}))))
         (call $ok (i32.const 200) {text})",
        DATA_AT + 2
    );
    source.handler()
}

/// Which of the contract's failures a guest answers with.
#[derive(Debug, Clone, Copy)]
pub enum Failure {
    /// The consumer's mistake, with this status.
    Invalid(u16),
    /// Not now; again after so many seconds if said.
    Retry(Option<u32>),
    /// The owner's failure, with this status.
    Failed(u16),
}

/// Answers with a failure of kind `no-luck`, title `No luck today` and detail `Try tomorrow`.
#[must_use]
pub fn fails(failure: Failure) -> Vec<u8> {
    let mut source = Source::default();
    source.handle = failing(&mut source, failure);
    source.handler()
}

/// Fails like [`fails`] in its first `runs` runs, then echoes.
#[must_use]
pub fn fails_first(runs: u32, failure: Failure) -> Vec<u8> {
    failing_first(runs, failure).handler()
}

fn failing_first(runs: u32, failure: Failure) -> Source {
    let mut source = Source::default();
    let fail = failing(&mut source, failure);
    source.handle = format!(
        "(if (result i32) (i32.le_u (call $attempt (local.get $request)) (i32.const {runs}))
           (then {fail}) (else (call $echo (local.get $request))))"
    );
    source
}

/// Writes a line to its log at `info`, then traps.
#[must_use]
pub fn logs_and_traps(message: &str) -> Vec<u8> {
    Source::handle("unreachable").logging(message).handler()
}

/// Says at `error` why it gives up, as a Rust guest's panic does, then traps in a function that is called `charge_card`.
#[must_use]
pub fn panics(message: &str) -> Vec<u8> {
    let mut source = Source::handle("(call $charge_card) unreachable").logging_at(4, message);
    source.items.push_str("(func $charge_card unreachable)");
    source.handler()
}

/// Writes a line to its log at `info`, then fails in the first so many runs and echoes in the next.
#[must_use]
pub fn logs_and_fails_first(message: &str, runs: u32, failure: Failure) -> Vec<u8> {
    failing_first(runs, failure).logging(message).handler()
}

fn failing(source: &mut Source, failure: Failure) -> String {
    let (kind, title, detail) =
        (source.bytes(b"no-luck"), source.bytes(b"No luck today"), source.bytes(b"Try tomorrow"));
    let (case, after, status) = match failure {
        Failure::Invalid(status) => (0, None, Some(status)),
        Failure::Retry(after) => (1, after, None),
        Failure::Failed(status) => (2, None, Some(status)),
    };
    let option =
        |value: Option<u32>| format!("(i32.const {}) (i32.const {})", u8::from(value.is_some()), value.unwrap_or(0));
    let (after, status) = (option(after), option(status.map(u32::from)));
    format!("(call $err (i32.const {case}) {after} {kind} {title} {detail} {status})")
}

/// Asks a capability that is not there in this version, `kv.get("a")`, and says 200 with `not-granted`, `unavailable`
/// or `other` by what it was told.
#[must_use]
pub fn asks_kv() -> Vec<u8> {
    let mut source = Source::default().import("ripost:plugin/kv@1.0.0", "get", "(param i32 i32 i32)");
    let key = source.bytes(b"a");
    let (denied, unavailable) = (source.bytes(b"not-granted"), source.bytes(b"unavailable"));
    let other = source.bytes(b"other");
    // The result's discriminant is at 0; the error's follows at 8, where the entry's alignment puts it.
    source.handle = format!(
        "(local $answer i32)
         (local.set $answer (call $alloc (i32.const 64)))
         (call $get {key} (local.get $answer))
         (if (i32.eqz (i32.load8_u (local.get $answer))) (then (return (call $ok (i32.const 200) {other}))))
         (if (i32.eqz (i32.load8_u offset=8 (local.get $answer))) (then (return (call $ok (i32.const 200) {denied}))))
         (if (i32.eq (i32.load8_u offset=8 (local.get $answer)) (i32.const 3))
           (then (return (call $ok (i32.const 200) {unavailable}))))
         (call $ok (i32.const 200) {other})"
    );
    source.handler()
}

/// Imports an interface that is neither ours nor wasi's: `acme:thing/stuff@2.0.0`.
#[must_use]
pub fn imports_a_stranger() -> Vec<u8> {
    Source::handle("(call $do) (call $echo (local.get $request))")
        .import("acme:thing/stuff@2.0.0", "do", "")
        .component("ripost:tests/stranger@1.0.0")
}

/// A component of a world that is nobody's: it exports `acme:thing/stuff@2.0.0` and no handler.
#[must_use]
pub fn of_another_world() -> Vec<u8> {
    let module = wat::parse_str("(module (func (export \"acme:thing/stuff@2.0.0#do\")))").expect("a test guest is WAT");
    component(module, "ripost:tests/other@1.0.0")
}

/// Answers as [`echo`] does, with fifty thousand functions beside it that take the compiler many seconds.
#[must_use]
pub fn compile_bomb() -> Vec<u8> {
    let mut source = Source::handle("(call $echo (local.get $request))");
    let step = "(local.set $n (i32.add (i32.mul (local.get $n) (i32.const 7)) (i32.const 3)))".repeat(8);
    source.items = format!("(func (param $n i32) (result i32) {step} (local.get $n))").repeat(50_000);
    source.handler()
}

/// Answers as [`echo`] does, with one function of so many branches beside it that compiling it takes memory.
#[must_use]
pub fn compiles_large(branches: usize) -> Vec<u8> {
    let mut source = Source::handle("(call $echo (local.get $request))");
    let branch =
        "local.get $n if local.get $n i32.const 7 i32.mul i32.const 3 i32.add local.set $n end ".repeat(branches);
    source.items = format!("(func (param $n i32) (result i32) {branch} local.get $n)");
    source.handler()
}

/// Answers as [`echo`] does, with loops in loops beside it that take the compiler long for their size: a quarter of a
/// second for each of `functions` (the time grows with the cube of the depth). Another `mark` gives other bytes.
#[must_use]
pub fn compiles_slowly(functions: usize, mark: u32) -> Vec<u8> {
    const DEPTH: usize = 500;
    let mut source = Source::handle("(call $echo (local.get $request))");
    let function = |number: usize| {
        let open = "loop local.get $n br_if 0 ".repeat(3) + &"loop local.get $n br_if 3 ".repeat(DEPTH);
        let close = "end ".repeat(DEPTH + 3);
        format!("(func (param $n i32) i32.const {} drop {open}{close})", mark as usize * 1000 + number)
    };
    source.items = (0..functions).map(function).collect();
    source.handler()
}

/// A core module: WebAssembly, but no component.
#[must_use]
pub fn no_component() -> Vec<u8> {
    wat::parse_str("(module)").expect("a test guest is WAT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guest_is_a_component() {
        let failures = [Failure::Invalid(422), Failure::Retry(None), Failure::Retry(Some(1)), Failure::Failed(500)];
        let guests = [
            echo(),
            says("hello"),
            answers(204, &[("a", "b"), ("c", "d")], b""),
            answers_bytes(10),
            mirror(),
            spins(),
            sleeps(1),
            reports_progress(1),
            traps(),
            recurses(),
            takes_all_memory(),
            remembers(),
            fails_first(1, Failure::Retry(None)),
            asks_kv(),
            imports_a_stranger(),
            of_another_world(),
        ];
        for guest in guests.into_iter().chain(failures.map(fails)) {
            assert_eq!(&guest[..8], b"\0asm\x0d\0\x01\0");
        }
        assert_ne!(says("a"), says("b"));
    }
}
