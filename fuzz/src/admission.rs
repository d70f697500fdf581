//! The bytes of a component.

use ripost_runtime::{Inspection, Limits, LoadError, Runtime, RuntimeConfig, TransformKind};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Many times what a component of [`BYTES_MAX`] takes.
const TIME_MAX: Duration = Duration::from_secs(5);
const BYTES_MAX: usize = 64 << 10;

pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Runtime::start(RuntimeConfig { pooling: false, ..RuntimeConfig::default() }).expect("no pool is reserved")
    })
}

/// Looks at it as the host does, up to the compiler.
///
/// # Panics
/// A promise of admission is broken.
pub fn admit(wasm: &[u8]) {
    let limits = Limits { component_bytes_max: BYTES_MAX, ..Limits::default() };
    let handler = |export: &str| {
        export.starts_with("ripost:plugin/handle@1.") || export.starts_with("wasi:http/incoming-handler@0.2.")
    };
    judge(wasm, &limits, |wasm, limits| runtime().inspect(wasm, limits), handler);
    for (kind, name) in [
        (TransformKind::Request, "ripost:plugin/transform-request@1."),
        (TransformKind::Response, "ripost:plugin/transform-response@1."),
        (TransformKind::Webhook, "ripost:plugin/transform-webhook@1."),
    ] {
        let inspect = |wasm: &[u8], limits: &Limits| {
            let inspected = runtime().inspect_transform(wasm, kind, limits);
            for import in inspected.iter().flat_map(|inspection| &inspection.imports) {
                assert!(["log", "wasi"].contains(&import.as_str()), "a transform imports {import}");
            }
            inspected
        };
        judge(wasm, &limits, inspect, |export| export.starts_with(name));
    }
}

fn judge(
    wasm: &[u8],
    limits: &Limits,
    inspect: impl Fn(&[u8], &Limits) -> Result<Inspection, LoadError>,
    is_export: impl Fn(&str) -> bool,
) {
    let began = Instant::now();
    let inspected = inspect(wasm, limits);
    assert!(began.elapsed() < TIME_MAX, "{} bytes took {:?}", wasm.len(), began.elapsed());
    match inspected {
        Ok(Inspection { digest, bytes, export, imports, first_memory_bytes, instances, .. }) => {
            assert!(digest.len() == 64 && bytes == wasm.len() && bytes <= BYTES_MAX);
            assert!(is_export(&export), "{export}");
            assert!(first_memory_bytes <= limits.memory_bytes as u64 && instances <= limits.instances);
            let mut distinct = imports.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), imports.len(), "{imports:?}");
        }
        Err(LoadError::Compile(error)) => panic!("nothing was compiled: {error}"),
        Err(error) => {
            // Names come from the component: they must not grow without bound, nor speak to a terminal.
            let message = error.to_string();
            assert!(!message.is_empty() && !message.contains(char::is_control), "{message:?}");
            assert!(message.len() <= wasm.len() + 1024, "{} bytes of message", message.len());
        }
    }
}
