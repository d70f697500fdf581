//! What made a component, as far as its producers section says it, so that advice fits its language.

use wasmparser::{KnownCustom, Parser, Payload, ProducersSectionReader};

/// A family of toolchains whose components are made smaller in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// `rustc`.
    Rust,
    /// `componentize-py`: an interpreter, its libraries and the program.
    Python,
    /// `componentize-js` or `componentize-qjs`: an engine and the program.
    JavaScript,
    /// Anything else, or it does not say.
    Unknown,
}

impl Toolchain {
    /// Looks through the sections, in the component's modules too. Never fails: what cannot be read says nothing.
    pub(super) fn of(wasm: &[u8]) -> Self {
        let mut found = Self::Unknown;
        for payload in Parser::new(0).parse_all(wasm) {
            let Ok(payload) = payload else { break };
            let Payload::CustomSection(section) = payload else { continue };
            let KnownCustom::Producers(producers) = section.as_known() else { continue };
            match Self::named_in(producers) {
                // An interpreter is made with Rust and C too: what it was made for is the news.
                Some(Self::Rust) if found == Self::Unknown => found = Self::Rust,
                Some(engine @ (Self::Python | Self::JavaScript)) => return engine,
                _ => {}
            }
        }
        found
    }

    fn named_in(producers: ProducersSectionReader<'_>) -> Option<Self> {
        let mut is_rust = false;
        for field in producers {
            for value in field.ok()?.values {
                match value.ok()?.name {
                    "componentize-py" => return Some(Self::Python),
                    "ComponentizeJS" | "componentize-js" | "componentize-qjs" => return Some(Self::JavaScript),
                    "Rust" | "rustc" => is_rust = true,
                    _ => {}
                }
            }
        }
        is_rust.then_some(Self::Rust)
    }

    /// How a component of it becomes smaller.
    pub(super) const fn smaller(self) -> &'static str {
        match self {
            Self::Rust => "build it smaller (`strip = true`, `opt-level = \"s\"` in the release profile)",
            Self::Python => "it carries Python itself: leave out packages that it does not need",
            Self::JavaScript => {
                "it carries a JavaScript engine: leave out packages that it does not need, or build it with `componentize-qjs --sync`, whose engine is smaller"
            }
            Self::Unknown => "make it smaller, without debug information",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Toolchain;

    /// A component with a module in it, whose producers section has these values of `processed-by`.
    fn made_by(inner: &[&str], outer: &[&str]) -> Vec<u8> {
        let producers = |values: &[&str]| {
            let mut section = Vec::from(b"\x09producers\x01\x0cprocessed-by");
            section.push(u8::try_from(values.len()).unwrap());
            for value in values {
                section.push(u8::try_from(value.len()).unwrap());
                section.extend_from_slice(value.as_bytes());
                section.extend_from_slice(b"\x011");
            }
            [&[0, u8::try_from(section.len()).unwrap()][..], &section].concat()
        };
        let module = [&b"\0asm\x01\0\0\0"[..], &producers(inner)].concat();
        let nested = [&[1, u8::try_from(module.len()).unwrap()][..], &module].concat();
        [&b"\0asm\x0d\0\x01\0"[..], &nested, &producers(outer)].concat()
    }

    #[test]
    fn the_language_is_that_of_the_program_and_not_of_the_engine_around_it() {
        for (inner, outer, toolchain) in [
            (&["rustc"][..], &["wit-component"][..], Toolchain::Rust),
            (&["rustc", "clang"], &["componentize-py"], Toolchain::Python),
            (&["clang"], &["ComponentizeJS"], Toolchain::JavaScript),
            (&["componentize-qjs", "rustc"], &["wit-component"], Toolchain::JavaScript),
            (&["clang"], &["wit-component"], Toolchain::Unknown),
        ] {
            assert_eq!(Toolchain::of(&made_by(inner, outer)), toolchain, "{inner:?} {outer:?}");
        }
        for broken in [&b""[..], b"\0asm\x0d\0\x01\0\0\xff", b"no component"] {
            assert_eq!(Toolchain::of(broken), Toolchain::Unknown);
        }
    }
}
