//! Transforms from text: what they do is visible in what comes out.
//!
//! Layout (canonical ABI, wit/ripost.wit), beside that of the prelude: a request transform's result is a tag 0, then at 4
//! path 4, query 12 (tag) 16, headers 24, body 32, attributes 40. A response transform is given the request at 0 and the
//! response at 96 (status 96, headers 100, body 108, attributes 116). A webhook transform is given event, headers, body
//! and attributes as pointers and lengths, and its result has them at 4, 12, 20 and 28. A problem is at 4 in all three:
//! kind 4, title 12, detail 20 (tag) 24, status 32 (tag) 34, attributes 36.

use super::{DATA_AT, PRELUDE, component};

/// Which of the three it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `transform-request`.
    Request,
    /// `transform-response`.
    Response,
    /// `transform-webhook`.
    Webhook,
}

impl Kind {
    const fn world(self) -> &'static str {
        match self {
            Self::Request => "ripost:plugin/request-transform@1.0.0",
            Self::Response => "ripost:plugin/response-transform@1.0.0",
            Self::Webhook => "ripost:plugin/webhook-transform@1.0.0",
        }
    }

    const fn export(self) -> &'static str {
        match self {
            Self::Request => "ripost:plugin/transform-request@1.0.0#apply",
            Self::Response => "ripost:plugin/transform-response@1.0.0#apply",
            Self::Webhook => "ripost:plugin/transform-webhook@1.0.0#apply",
        }
    }

    const fn parameters(self) -> &'static str {
        match self {
            Self::Request | Self::Response => "(param $given i32)",
            Self::Webhook => {
                "(param $event i32) (param $event_len i32) (param $headers_at i32) (param $headers_len i32)
                 (param $body i32) (param $body_len i32) (param $attributes i32) (param $attributes_len i32)"
            }
        }
    }
}

/// Functions that all of them have.
const HELPERS: &str = r#"
(func $result (result i32) (local $result i32)
  (local.set $result (call $alloc (i32.const 64)))
  (memory.fill (local.get $result) (i32.const 0) (i32.const 64))
  (local.get $result))
(func $two (param $at i32) (param $one i32) (param $other i32)
  (i32.store (local.get $at) (local.get $one))
  (i32.store offset=4 (local.get $at) (local.get $other)))
(func $joined (param $a i32) (param $a_len i32) (param $b i32) (param $b_len i32) (result i32) (local $at i32)
  (local.set $at (call $alloc (i32.add (local.get $a_len) (local.get $b_len))))
  (memory.copy (local.get $at) (local.get $a) (local.get $a_len))
  (memory.copy (i32.add (local.get $at) (local.get $a_len)) (local.get $b) (local.get $b_len))
  (local.get $at))"#;

fn build(kind: Kind, data: &[u8], body: &str) -> Vec<u8> {
    let escaped: String = data.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let text = format!(
        "(module {PRELUDE} {HELPERS} (data (i32.const {DATA_AT}) \"{escaped}\")
         (func (export \"{}\") {} (result i32) {body}))",
        kind.export(),
        kind.parameters()
    );
    let module = wat::parse_str(&text).unwrap_or_else(|error| panic!("a test transform is not WAT: {error}\n{text}"));
    component(module, kind.world())
}

/// Adds this text to the end of the body, and leaves the rest as it is.
#[must_use]
pub fn appends(kind: Kind, text: &str) -> Vec<u8> {
    let (from, len) = (DATA_AT, text.len());
    // Copies so many bytes of what is given to the result.
    let copy = |to: usize, offset: usize, bytes: usize| {
        format!(
            "(memory.copy (i32.add (local.get $r) (i32.const {to})) (i32.add (local.get $given) (i32.const {offset})) (i32.const {bytes}))"
        )
    };
    let joined = |to: usize, at: &str, at_len: &str| {
        format!(
            "(call $two (i32.add (local.get $r) (i32.const {to}))
               (call $joined {at} {at_len} (i32.const {from}) (i32.const {len}))
               (i32.add {at_len} (i32.const {len})))"
        )
    };
    let of_given = |offset: usize| format!("(i32.load offset={offset} (local.get $given))");
    let fill = match kind {
        // path 44, query 52, headers 64, body 72, attributes 88.
        Kind::Request => [
            copy(4, 44, 8),
            copy(12, 52, 12),
            copy(24, 64, 8),
            joined(32, &of_given(72), &of_given(76)),
            copy(40, 88, 8),
        ]
        .concat(),
        Kind::Response => [copy(4, 96, 12), joined(16, &of_given(108), &of_given(112)), copy(24, 116, 8)].concat(),
        Kind::Webhook => [
            "(call $two (i32.add (local.get $r) (i32.const 4)) (local.get $event) (local.get $event_len))".to_owned(),
            "(call $two (i32.add (local.get $r) (i32.const 12)) (local.get $headers_at) (local.get $headers_len))"
                .to_owned(),
            joined(20, "(local.get $body)", "(local.get $body_len)"),
            "(call $two (i32.add (local.get $r) (i32.const 28)) (local.get $attributes) (local.get $attributes_len))"
                .to_owned(),
        ]
        .concat(),
    };
    build(kind, text.as_bytes(), &format!("(local $r i32) (local.set $r (call $result)) {fill} (local.get $r)"))
}

/// A request transform that asks for this path in place of the caller's.
#[must_use]
pub fn asks_for(path: &str) -> Vec<u8> {
    // query 52; headers 64 and body 72; attributes 88.
    let copies = [(12, 52, 12), (24, 64, 16), (40, 88, 8)].map(|(to, offset, bytes)| {
        format!(
            "(memory.copy (i32.add (local.get $r) (i32.const {to})) (i32.add (local.get $given) (i32.const {offset})) (i32.const {bytes}))"
        )
    });
    let fill = format!(
        "(local $r i32) (local.set $r (call $result)) {}
         (call $two (i32.add (local.get $r) (i32.const 4)) (i32.const {DATA_AT}) (i32.const {}))
         (local.get $r)",
        copies.concat(),
        path.len()
    );
    build(Kind::Request, path.as_bytes(), &fill)
}

/// A webhook transform that makes this body, with these headers, of every payload.
#[must_use]
pub fn makes(headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut data = body.as_bytes().to_vec();
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        data.extend_from_slice(text.as_bytes());
    }
    let added = pairs(headers, body.len());
    let fill = format!(
        "(local $r i32) (local.set $r (call $result)) {added}
         (call $two (i32.add (local.get $r) (i32.const 4)) (local.get $event) (local.get $event_len))
         (call $two (i32.add (local.get $r) (i32.const 12)) (i32.const 512) (i32.const {}))
         (call $two (i32.add (local.get $r) (i32.const 20)) (i32.const {DATA_AT}) (i32.const {}))
         (local.get $r)",
        headers.len(),
        body.len()
    );
    build(Kind::Webhook, &data, &fill)
}

/// Calls of the prelude's `$header`, for texts that follow each other after the body.
fn pairs(headers: &[(&str, &str)], body_len: usize) -> String {
    let mut at = DATA_AT + body_len;
    let mut calls = String::new();
    for (name, value) in headers {
        let value_at = at + name.len();
        calls.push_str(&format!(
            "(call $header (i32.const {at}) (i32.const {}) (i32.const {value_at}) (i32.const {}))",
            name.len(),
            value.len()
        ));
        at = value_at + value.len();
    }
    calls
}

/// Returns a problem in place of its work.
#[must_use]
pub fn refuses(kind: Kind, problem: &str, status: u16) -> Vec<u8> {
    let title = "The transform refuses";
    let data = [problem, title].concat();
    let title_at = DATA_AT + problem.len();
    build(
        kind,
        data.as_bytes(),
        &format!(
            "(local $r i32) (local.set $r (call $result))
             (i32.store8 (local.get $r) (i32.const 1))
             (call $two (i32.add (local.get $r) (i32.const 4)) (i32.const {DATA_AT}) (i32.const {}))
             (call $two (i32.add (local.get $r) (i32.const 12)) (i32.const {title_at}) (i32.const {}))
             (i32.store8 offset=32 (local.get $r) (i32.const 1))
             (i32.store16 offset=34 (local.get $r) (i32.const {status}))
             (local.get $r)",
            problem.len(),
            title.len()
        ),
    )
}

/// Breaks off.
#[must_use]
pub fn traps(kind: Kind) -> Vec<u8> {
    build(kind, &[], "unreachable")
}

/// Computes for ever.
#[must_use]
pub fn spins(kind: Kind) -> Vec<u8> {
    build(kind, &[], "(loop $again (br $again)) unreachable")
}
