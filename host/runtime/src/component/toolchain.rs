//! What made a component, as far as its producers section says it, so that advice fits its language.

use wasmparser::{ComponentName, KnownCustom, Parser, Payload, ProducersSectionReader};

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
            let named = match section.as_known() {
                KnownCustom::Producers(producers) => Self::named_in(producers),
                KnownCustom::ComponentName(names) => Self::linked_in(names),
                _ => continue,
            };
            match named {
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
                    "ComponentizeJS" => return Some(Self::JavaScript),
                    // The last is all that is left in one that was stripped.
                    "Rust" | "rustc" | "wit-bindgen-rust" => is_rust = true,
                    _ => {}
                }
            }
        }
        is_rust.then_some(Self::Rust)
    }

    /// By the interpreter among the linked modules: `componentize-py` 0.25 and `componentize-qjs` 0.4 are no producers
    /// of what they make.
    fn linked_in(names: wasmparser::ComponentNameSectionReader<'_>) -> Option<Self> {
        for modules in names {
            let ComponentName::CoreModules(modules) = modules.ok()? else { continue };
            for module in modules {
                let name = module.ok()?.name;
                if name.starts_with("libcomponentize_py") {
                    return Some(Self::Python);
                }
                if name.starts_with("componentize_qjs") {
                    return Some(Self::JavaScript);
                }
            }
        }
        None
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

    fn text(text: &str) -> Vec<u8> {
        [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
    }

    fn section(id: u8, body: &[u8]) -> Vec<u8> {
        [&[id, u8::try_from(body.len()).unwrap()], body].concat()
    }

    fn producers(values: &[&str]) -> Vec<u8> {
        let count = u8::try_from(values.len()).unwrap();
        let values = values.iter().flat_map(|value| [text(value), text("1")].concat());
        section(0, &[text("producers"), vec![1], text("processed-by"), vec![count], values.collect()].concat())
    }

    /// Names of core modules: of the sort "core" and "module".
    fn modules(names: &[&str]) -> Vec<u8> {
        let count = u8::try_from(names.len()).unwrap();
        let named = (0..).zip(names).flat_map(|(at, name)| [vec![at], text(name)].concat());
        let names = [vec![0, 0x11, count], named.collect()].concat();
        section(0, &[text("component-name"), section(1, &names)].concat())
    }

    /// A component with a module in it.
    fn component(of_module: &[u8], of_component: &[u8]) -> Vec<u8> {
        let module = [b"\0asm\x01\0\0\0", of_module].concat();
        [b"\0asm\x0d\0\x01\0", &section(1, &module)[..], of_component].concat()
    }

    #[test]
    fn the_language_is_that_of_the_program_and_not_of_the_engine_around_it() {
        let rust = producers(&["rustc", "clang"]);
        for (of_module, of_component, toolchain) in [
            (&rust, producers(&["wit-component"]), Toolchain::Rust),
            (&rust, producers(&["wit-component", "ComponentizeJS"]), Toolchain::JavaScript),
            (&rust, modules(&["main", "libc.so", "libcomponentize_py_runtime.so"]), Toolchain::Python),
            (&rust, modules(&["main", "componentize_qjs_runtime.wasm"]), Toolchain::JavaScript),
            (&rust, modules(&["main", "wit-component-shim-module"]), Toolchain::Rust),
            (&producers(&["wit-component", "wit-bindgen-rust"]), Vec::new(), Toolchain::Rust),
            (&producers(&["clang"]), producers(&["wit-component"]), Toolchain::Unknown),
        ] {
            assert_eq!(Toolchain::of(&component(of_module, &of_component)), toolchain, "{of_component:?}");
        }
        for broken in [&b""[..], b"\0asm\x0d\0\x01\0\0\xff", b"no component"] {
            assert_eq!(Toolchain::of(broken), Toolchain::Unknown);
        }
    }
}
