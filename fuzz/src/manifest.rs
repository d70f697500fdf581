//! The text of a manifest.

use ripost::plugins::{Above, Bounds, Manifest};
use ripost_domain::address::PlainHttp;
use ripost_runtime::{LINES, Limits};

/// Reads it as the host does.
///
/// # Panics
/// A promise of the reader is broken.
pub fn parse(text: &str) {
    let bounds = |above| Bounds {
        default: Limits::default(),
        ceiling: Limits::ceiling(),
        guests_memory: None,
        transform: Limits::transform(),
        concurrency: 16,
        plain_http: PlainHttp::Refused,
        above,
    };
    match Manifest::parse("p/plugin.toml", text, &bounds(Above::Refuse)) {
        Ok(manifest) => {
            assert!(!manifest.apis.is_empty());
            for api in &manifest.apis {
                for line in LINES {
                    let (value, ceiling) = (line.get(&api.limits), line.get(&Limits::ceiling()));
                    assert!(!value.exceeds(ceiling), "{} is {value}", line.key);
                }
                assert!((1..=10).contains(&api.spec.max_attempts) && (1..=1000).contains(&api.spec.concurrency));
                if let Some(handler) = api.target.handler() {
                    assert!(!handler.contains('/') && handler.ends_with(".wasm"), "{handler}");
                }
            }
            // What is good where nothing is lowered is good where it would be.
            assert!(Manifest::parse("p/plugin.toml", text, &bounds(Above::Lower)).is_ok());
        }
        Err(error) => {
            let lines = 1 + text.bytes().filter(|byte| *byte == b'\n').count();
            let line = error.line.unwrap_or_else(|| panic!("no line: {error}"));
            assert!((1..=lines).contains(&line), "line {line} of {lines}: {error}");
            assert!(!error.message.is_empty() && !error.message.contains('\n'), "{error:?}");
        }
    }
}
