//! What a guest hands to the host: one whose memory is the fuzzer's.

use crate::admission::runtime;
use crate::common::Guest;
use bytes::Bytes;
use ripost_runtime::{Call, Failure, Grants, Handler, Limits, NoProgress, Request, Run, fixed_clock};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Where the bytes are put, in the guest's memory.
pub(crate) const AT: u32 = 8192;
/// More would be cut off.
pub(crate) const BYTES_MAX: usize = 4096;
/// Of the arguments that the bytes begin with; see [`guest`].
pub(crate) const HEAD_BYTES: u32 = 40;
const LOG_BYTES: usize = 2048;

/// Copies its request's body to [`AT`]. The first words are the arguments of one call of `log.write` (level, message,
/// fields), of one write to standard output (text), and at the end of them the address of the
/// answer: all of them, and whatever they point to, as the canonical ABI finds them.
pub(crate) fn guest() -> Guest {
    let word = |index: u32| format!("(i32.load (i32.const {}))", AT + 4 * index);
    let body = format!(
        "(memory.copy (i32.const {AT}) (i32.load offset=72 (local.get $request))
           (select (i32.load offset=76 (local.get $request)) (i32.const {BYTES_MAX})
             (i32.lt_u (i32.load offset=76 (local.get $request)) (i32.const {BYTES_MAX}))))
         (call $log {} {} {} {} {})
         (call $print (call $stdout) {} {} (i32.const 3072))
         {}",
        word(0),
        word(1),
        word(2),
        word(3),
        word(4),
        word(5),
        word(6),
        word(9),
    );
    Guest::new(&body).world("import wasi:cli/stdout@0.2.0; import wasi:io/streams@0.2.0;").imports(
        r#"(import "ripost:plugin/log@1.0.0" "write" (func $log (param i32 i32 i32 i32 i32)))
               (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
               (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
                 (func $print (param i32 i32 i32 i32)))"#,
    )
}

fn handler() -> &'static Handler {
    static HANDLER: OnceLock<Handler> = OnceLock::new();
    HANDLER.get_or_init(|| runtime().load(&guest().wasm(), &Limits::default()).expect("the guest is one of ours"))
}

fn limits() -> Limits {
    Limits {
        response_body_bytes: 512,
        response_headers_bytes: 256,
        log_bytes: LOG_BYTES,
        cpu: Duration::from_secs(1),
        wall: Duration::from_secs(10),
        ..Limits::default()
    }
}

/// Runs the guest once.
///
/// # Panics
/// A promise of the sandbox is broken.
pub fn answer(data: &[u8]) -> Run {
    let call = Call {
        request: Request { body: Bytes::copy_from_slice(data), ..Request::default() },
        limits: Arc::new(limits()),
        config: Arc::new(BTreeMap::new()),
        seed: [7; 32],
        now: fixed_clock(1_700_000_000_000),
        progress: Arc::new(NoProgress),
        grants: Grants::default(),
        journal: None,
        past: None,
    };
    let clock = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a thread of its own");
    let run = clock.block_on(runtime().run(handler(), call));
    check(&run);
    run
}

/// Whether a character would begin a line, speak to a terminal, or turn the text around.
fn acts(char: char) -> bool {
    (char.is_control() && char != '\t') || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn check(run: &Run) {
    match &run.outcome {
        Ok(Ok(response)) => {
            assert!((200..=599).contains(&response.status));
            assert!(response.body.len() <= limits().response_body_bytes);
            let headers: usize = response.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
            assert!(headers <= limits().response_headers_bytes);
            for (name, value) in &response.headers {
                let plain = |byte: &u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && *byte != b':';
                assert!(!name.is_empty() && name.as_bytes().iter().all(plain), "{name:?}");
                assert!(value.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f)), "{value:?}");
            }
        }
        Ok(Err(Failure::Invalid(problem) | Failure::Failed(problem) | Failure::Retry { problem, .. })) => {
            assert!(problem.kind.len() + problem.title.len() <= limits().response_headers_bytes);
            assert!(problem.status.is_none_or(|status| (400..=599).contains(&status)));
        }
        Err(error) => {
            assert!(error.is_owners(), "the host failed: {error}");
            assert!(!error.to_string().contains(acts), "{error:?}");
        }
    }
    let mut kept = 0;
    for line in &run.logs {
        kept += line.message.len() + line.fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        let texts = line.fields.iter().flat_map(|(name, value)| [name, value]).chain([&line.message]);
        for text in texts {
            assert!(!text.contains(acts), "{text:?}");
        }
    }
    assert!(kept <= LOG_BYTES, "{kept} bytes of log");
}
