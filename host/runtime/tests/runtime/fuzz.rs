//! The bodies of the fuzz targets, shortly, with inputs that come near to being right.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::admission::admit;
use crate::answers::{AT, BYTES_MAX, HEAD_BYTES, answer};
use crate::common::{Guest, with_modules};

/// One change of some bytes; places are fractions of their length, in 65536ths.
#[derive(Clone, Debug)]
enum Change {
    Flip(u16, u8),
    Set(u16, Vec<u8>),
    Cut(u16, u16),
    Insert(u16, Vec<u8>),
    Repeat(u16, u16),
    Truncate(u16),
}

fn change() -> impl Strategy<Value = Change> {
    // Bytes that mean much in LEB128 and in section headers.
    let byte = prop_oneof![any::<u8>(), Just(0), Just(1), Just(0x7f), Just(0x80), Just(0xff)];
    let bytes = vec(byte, 1..12);
    prop_oneof![
        4 => (any::<u16>(), any::<u8>()).prop_map(|(at, bits)| Change::Flip(at, bits)),
        4 => (any::<u16>(), bytes.clone()).prop_map(|(at, bytes)| Change::Set(at, bytes)),
        2 => (any::<u16>(), 1..64_u16).prop_map(|(at, len)| Change::Cut(at, len)),
        2 => (any::<u16>(), bytes).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        1 => (any::<u16>(), 1..256_u16).prop_map(|(at, len)| Change::Repeat(at, len)),
        1 => any::<u16>().prop_map(Change::Truncate),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let place = |at: u16| usize::from(at) * bytes.len() / 65_536;
        match change {
            Change::Flip(at, bits) => {
                let at = place(*at);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bits);
            }
            Change::Set(at, set) => {
                let at = place(*at);
                bytes.iter_mut().skip(at).zip(set).for_each(|(byte, set)| *byte = *set);
            }
            Change::Cut(at, len) => {
                let at = place(*at);
                bytes.drain(at..bytes.len().min(at + usize::from(*len)));
            }
            Change::Insert(at, more) => {
                let at = place(*at);
                bytes.splice(at..at, more.iter().copied());
            }
            Change::Repeat(at, len) => {
                let at = place(*at);
                let again = bytes[at..bytes.len().min(at + usize::from(*len))].to_vec();
                bytes.splice(at..at, again);
            }
            Change::Truncate(at) => bytes.truncate(place(*at)),
        }
    }
    bytes
}

fn components() -> Vec<Vec<u8>> {
    let wasi = Guest::echo()
        .world("import wasi:cli/environment@0.2.0;")
        .imports(r#"(import "wasi:cli/environment@0.2.0" "get-environment" (func (param i32)))"#);
    let foreign = Guest::echo()
        .world("import acme:billing/cards@0.1.0;")
        .imports(r#"(import "acme:billing/cards@0.1.0" "charge" (func (param i32) (result i32)))"#);
    vec![
        Guest::echo().wasm(),
        crate::answers::guest().wasm(),
        wasi.wasm(),
        foreign.wasm(),
        with_modules(Guest::echo().wasm(), "(module (memory 1) (table 4 funcref))", 3),
    ]
}

fn little_endian(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The memory of a guest that logs, prints and answers well: 200, a header, a body.
fn good_memory() -> Vec<u8> {
    let at = |offset: u32| AT + HEAD_BYTES + offset;
    let texts = b"content-typetext/plainhello\n";
    let (name, value, hello) = (at(0), at(12), at(22));
    let (headers, result) = (at(28), at(44));
    let head = [2, hello, 6, headers, 1, hello, 6, 0, 0, result];
    let mut memory = little_endian(&head);
    memory.extend_from_slice(texts);
    memory.extend(little_endian(&[name, 12, value, 10]));
    // result: ok; status 200, one header, the body, no attributes.
    memory.extend(little_endian(&[0, 200, headers, 1, hello, 5, 0, 0]));
    memory
}

/// A word that points somewhere near, or is far too large.
fn word() -> impl Strategy<Value = u32> {
    prop_oneof![
        0..8_u32,
        AT..AT + 256,
        (0..200_u32).prop_map(|word| AT + 4 * word),
        Just(u32::MAX),
        Just(0x1_0000),
        Just(0x7fff_ffff),
        any::<u32>(),
    ]
}

#[test]
fn the_memory_that_is_mutated_is_good_to_begin_with() {
    let run = answer(&good_memory());
    let response = run.outcome.unwrap().unwrap();
    assert_eq!((response.status, &response.body[..]), (200, &b"hello"[..]));
    assert_eq!(response.headers[0].0, "content-type");
    assert_eq!(run.logs.len(), 2, "{:?}", run.logs);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_break_admission(which in 0..5_usize, changes in vec(change(), 0..6)) {
        thread_local! { static COMPONENTS: Vec<Vec<u8>> = components(); }
        admit(&changed(COMPONENTS.with(|components| components[which].clone()), &changes));
    }

    #[test]
    fn no_memory_of_a_guest_breaks_the_host(
        words in vec((0..28_usize, word()), 0..5),
        changes in vec(change(), 0..3),
        tail in vec(any::<u8>(), 0..64),
    ) {
        let mut memory = good_memory();
        for (at, word) in words {
            memory.iter_mut().skip(4 * at).zip(word.to_le_bytes()).for_each(|(byte, set)| *byte = set);
        }
        memory = changed(memory, &changes);
        memory.extend(tail);
        memory.truncate(BYTES_MAX);
        answer(&memory);
    }

    #[test]
    fn bytes_of_no_kind_break_nothing(bytes in vec(any::<u8>(), 0..512)) {
        admit(&bytes);
        admit(&[b"\0asm\x0d\0\x01\0", &bytes[..]].concat());
        answer(&bytes);
    }
}
