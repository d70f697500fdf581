//! A look at the bytes before anything is compiled: size, kind, validity, what it imports and exports, what memory it
//! starts with.

use wasmparser::{Encoding, Instance, Parser, Payload, Validator, WasmFeatures};
use wasmtime::Engine;

use super::{Facts, LoadError, Toolchain};
use crate::limits::Limits;
use crate::role::Role;

const CAPABILITIES: [&str; 9] = ["log", "progress", "clock", "random", "config", "secrets", "kv", "outbound", "step"];
const WASI: [&str; 6] = ["io", "clocks", "random", "cli", "filesystem", "sockets"];
const PAGE_BYTES: u64 = 65_536;
const COMPLAINT_CHARS_MAX: usize = 400;

/// What one pass over the sections found.
#[derive(Debug, Default)]
struct Sections {
    imports: Vec<String>,
    exports: Vec<String>,
    first_memory_bytes: u64,
    instances: usize,
}

/// Looks at a component's bytes: are they valid, what do they import and export, what do they start with. Linear in
/// their size.
pub(crate) fn inspect(wasm: &[u8], features: WasmFeatures, wanted: Role) -> Result<Facts, LoadError> {
    // Before the compiler sees it: its own authors do not count crashes of the compiler as vulnerabilities.
    // Several memories in one module are for the compiler's own adapters.
    let features = features.difference(WasmFeatures::MULTI_MEMORY);
    Validator::new_with_features(features).validate_all(wasm).map_err(|error| invalid(&error))?;
    let sections = sections(wasm).map_err(|error| invalid(&error))?;
    // The world first: to who wrote a transform, its imports are not the news.
    let (role, export) = exported(&sections.exports, wanted)?;
    let imports = imported(&sections.imports, role)?;
    let Sections { first_memory_bytes, instances, .. } = sections;
    Ok(Facts { role, export, imports, first_memory_bytes, instances })
}

/// What the validator says, in one short line: it quotes names as they stand in the file, which may be of any length and
/// speak to a terminal.
fn invalid(error: &wasmparser::BinaryReaderError) -> LoadError {
    let text = error.to_string().replace('\n', ", ");
    let mut line: String = text.chars().take(COMPLAINT_CHARS_MAX).flat_map(shown).collect();
    if text.chars().nth(COMPLAINT_CHARS_MAX).is_some() {
        line.push('…');
    }
    LoadError::Invalid(line)
}

/// A character of somebody else's text; what would act on a terminal is escaped.
fn shown(char: char) -> impl Iterator<Item = char> {
    let (plain, escaped) = if char.is_control() { (None, Some(char.escape_default())) } else { (Some(char), None) };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

/// Whether the bytes may be a component at all, by their beginning and their size.
pub(crate) fn kind(wasm: &[u8], limits: &Limits) -> Result<(), LoadError> {
    if wasm.len() > limits.component_bytes_max {
        let (bytes, bytes_max) = (wasm.len(), limits.component_bytes_max);
        return Err(LoadError::TooLarge { bytes, bytes_max, toolchain: Toolchain::of(wasm) });
    }
    if wasm.is_empty() {
        return Err(LoadError::NotAComponent("it is empty"));
    }
    if Engine::detect_precompiled(wasm).is_some() || wasm.starts_with(b"\x7fELF") {
        return Err(LoadError::Precompiled);
    }
    if Parser::is_component(wasm) {
        return Ok(());
    }
    if Parser::is_core_wasm(wasm) {
        return Err(LoadError::CoreModule);
    }
    if wasm.starts_with(b"\0asm") {
        return Err(LoadError::NotAComponent("it begins like one and then breaks off or names an unknown version"));
    }
    if is_text(wasm) {
        return Err(LoadError::Text);
    }
    Err(LoadError::NotAComponent("it does not begin with the bytes `\\0asm`"))
}

/// `(module …` or `(component …`, after space and comments.
fn is_text(bytes: &[u8]) -> bool {
    let Ok(mut text) = std::str::from_utf8(bytes) else { return false };
    loop {
        text = text.trim_start();
        if let Some(rest) = text.strip_prefix(";;") {
            text = rest.split_once('\n').map_or("", |(_, rest)| rest);
        } else if let Some(rest) = text.strip_prefix("(;") {
            text = rest.split_once(";)").map_or("", |(_, rest)| rest);
        } else {
            let Some(rest) = text.strip_prefix('(') else { return false };
            let rest = rest.trim_start();
            return rest.starts_with("module") || rest.starts_with("component");
        }
    }
}

fn sections(wasm: &[u8]) -> Result<Sections, wasmparser::BinaryReaderError> {
    let mut found = Sections::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::Version { encoding: Encoding::Component | Encoding::Module, .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 1 => {
                for import in imports {
                    found.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) if depth == 1 => {
                for export in exports {
                    found.exports.push(export?.name.name.to_owned());
                }
            }
            Payload::InstanceSection(instances) => {
                for instance in instances {
                    if matches!(instance?, Instance::Instantiate { .. }) {
                        found.instances += 1;
                    }
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    // A module that is instantiated twice counts once here; the limiter of the run sees both.
                    let bytes = memory?.initial.saturating_mul(PAGE_BYTES);
                    found.first_memory_bytes = found.first_memory_bytes.saturating_add(bytes);
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// `(package, interface, version)` of `ripost:plugin/handle@1.0.0`.
fn parts(name: &str) -> Option<(&str, &str, &str)> {
    let (package, rest) = name.split_once('/')?;
    let (interface, version) = rest.split_once('@')?;
    Some((package, interface, version))
}

fn ours(name: &str) -> Option<&str> {
    match parts(name) {
        Some(("ripost:plugin", interface, version)) if version.starts_with("1.") => Some(interface),
        _ => None,
    }
}

/// Whether an export makes a component one of this role, whatever its version in our track.
fn is_of(role: Role, name: &str) -> bool {
    let Some((package, interface, version)) = parts(name) else { return false };
    let track = if role == Role::HttpHandler { "0.2." } else { "1." };
    role.interface().split_once('/') == Some((package, interface)) && version.starts_with(track)
}

/// What it is, and the interface by which it is called, if that is what is wanted. One of ours before any other.
pub(super) fn exported(exports: &[String], wanted: Role) -> Result<(Role, String), LoadError> {
    let wrong = |why: String| Err(LoadError::WrongWorld { exports: exports.to_vec(), why });
    let must = format!("a {wanted} must export `{}@1.0.0`", wanted.interface());
    let export_of = |role: Role| exports.iter().find(|name| is_of(role, name));
    let found: Vec<(Role, &String)> =
        Role::OURS.into_iter().filter_map(|role| Some((role, export_of(role)?))).collect();
    match found.as_slice() {
        [(role, name)] if *role == wanted => Ok((*role, (*name).clone())),
        [(role, name)] => wrong(format!("this is a {role} (`{name}`): {must}")),
        [(_, first), rest @ ..] => wrong(format!(
            "the component exports both `{first}` and `{}`: a component is a handler or one transform, so build one of each",
            rest.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join("`, `")
        )),
        [] => {
            if let (Role::Handler, Some(name)) = (wanted, export_of(Role::HttpHandler)) {
                return Ok((Role::HttpHandler, name.clone()));
            }
            if let Some(name) = exports.iter().find(|name| name.starts_with("wasi:http/")) {
                return match wanted {
                    Role::Handler | Role::HttpHandler => Err(LoadError::WasiHttp { name: name.clone() }),
                    Role::Transform(_) => wrong(format!("the component is an HTTP handler (`{name}`): {must}")),
                };
            }
            if let Some(name) = exports.iter().find(|name| name.starts_with("ripost:plugin/")) {
                return wrong(format!(
                    "the component exports `{name}`, which this version of Ripost does not know: update Ripost, or build against ripost:plugin@1.0.0"
                ));
            }
            if exports.iter().any(|name| name.starts_with("wasi:cli/run@")) {
                return wrong(format!("the component is a command-line program (`wasi:cli/run`): {must}"));
            }
            let has = if exports.is_empty() { "nothing".to_owned() } else { format!("`{}`", exports.join("`, `")) };
            wrong(format!("the component exports {has}: {must}"))
        }
    }
}

fn imported(imports: &[String], role: Role) -> Result<Vec<String>, LoadError> {
    let mut names: Vec<String> = Vec::new();
    for name in imports {
        let short = match (ours(name), parts(name)) {
            (Some("types"), _) => continue,
            (Some(interface), _) if CAPABILITIES.contains(&interface) => interface,
            _ if name.starts_with("ripost:plugin/") => {
                return Err(LoadError::UnknownCapability { name: name.clone() });
            }
            (None, Some(("wasi:http", "outgoing-handler", version))) if version.starts_with("0.2.") => "outbound",
            (None, Some(("wasi:http", "types", version))) if version.starts_with("0.2.") => "wasi",
            _ if name.starts_with("wasi:http/") => return Err(LoadError::WasiHttp { name: name.clone() }),
            (None, Some((package, _, version)))
                if version.starts_with("0.2.")
                    && package.strip_prefix("wasi:").is_some_and(|package| WASI.contains(&package)) =>
            {
                "wasi"
            }
            _ => return Err(LoadError::ForeignImport { name: name.clone() }),
        };
        if matches!(role, Role::Transform(_)) && !is_pure(name, short) {
            return Err(LoadError::ImpureTransform { name: name.clone() });
        }
        if !names.iter().any(|name| name == short) {
            names.push(short.to_owned());
        }
    }
    Ok(names)
}

/// Whether a transform may import it. What toolchains drag in of wasi reaches nothing; wasi:http would.
fn is_pure(name: &str, short: &str) -> bool {
    short == "log" || (short == "wasi" && !name.starts_with("wasi:http/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::TransformKind;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn text_is_known_behind_space_and_comments() {
        assert!(is_text(b" ;; one\n (; two ;) ( component )"));
        assert!(is_text(b"(module)"));
        assert!(!is_text(b"(call)"));
        assert!(!is_text(b";; only a comment"));
        assert!(!is_text(b"\xff(module"));
    }

    #[test]
    fn a_module_with_two_memories_is_refused_whatever_the_compiler_could_do() {
        let wasm = wat::parse_str("(component (core module (memory 1) (memory 1)))").unwrap();
        let refused = inspect(&wasm, WasmFeatures::all(), Role::Handler).unwrap_err();
        assert!(matches!(&refused, LoadError::Invalid(why) if why.contains("multi")), "{refused}");
    }

    #[test]
    fn imports_are_ours_or_wasi_0_2_or_refused_by_name() {
        let imports = |names: &[&str]| imported(&owned(names), Role::Handler);
        assert_eq!(
            imports(&[
                "ripost:plugin/types@1.0.0",
                "ripost:plugin/log@1.3.0",
                "wasi:io/poll@0.2.3",
                "wasi:cli/stdout@0.2.0"
            ]),
            Ok(vec!["log".to_owned(), "wasi".to_owned()])
        );
        let foreign = |name: &str| Err(LoadError::ForeignImport { name: name.to_owned() });
        for name in ["wasi:keyvalue/store@0.2.0", "wasi:io/poll@0.3.0", "acme:x/y", "f"] {
            assert_eq!(imports(&[name]), foreign(name));
        }
        assert_eq!(
            imports(&["ripost:plugin/log@2.0.0"]),
            Err(LoadError::UnknownCapability { name: "ripost:plugin/log@2.0.0".to_owned() })
        );
        assert_eq!(
            imports(&["wasi:http/outgoing-handler@0.2.0", "wasi:http/types@0.2.9", "ripost:plugin/outbound@1.0.0"]),
            Ok(vec!["outbound".to_owned(), "wasi".to_owned()])
        );
        assert_eq!(
            imports(&["wasi:http/outgoing-handler@0.3.0"]),
            Err(LoadError::WasiHttp { name: "wasi:http/outgoing-handler@0.3.0".to_owned() })
        );
    }

    #[test]
    fn a_transform_imports_log_and_what_of_wasi_reaches_nothing() {
        for kind in [TransformKind::Request, TransformKind::Response, TransformKind::Webhook] {
            let imports = |name: &str| imported(&owned(&[name]), Role::Transform(kind));
            for name in WASI {
                assert_eq!(imports(&format!("wasi:{name}/x@0.2.6")), Ok(vec!["wasi".to_owned()]));
            }
            assert_eq!(imports("ripost:plugin/types@1.0.0"), Ok(Vec::new()));
            assert_eq!(imports("ripost:plugin/log@1.0.0"), Ok(vec!["log".to_owned()]));
            let capabilities = CAPABILITIES.iter().filter(|name| **name != "log");
            let impure = capabilities.map(|name| format!("ripost:plugin/{name}@1.0.0"));
            for name in impure.chain(["wasi:http/outgoing-handler@0.2.3", "wasi:http/types@0.2.3"].map(str::to_owned)) {
                assert_eq!(imports(&name), Err(LoadError::ImpureTransform { name: name.clone() }));
            }
        }
    }

    #[test]
    fn a_handler_is_ours_or_of_wasi_http_0_2_and_ours_if_it_is_both() {
        let found = |names: &[&str], wanted| exported(&owned(names), wanted);
        let (ours, http) = ("ripost:plugin/handle@1.2.0", "wasi:http/incoming-handler@0.2.6");
        assert_eq!(found(&[http, ours], Role::Handler), Ok((Role::Handler, ours.to_owned())));
        assert_eq!(found(&["wasi:cli/run@0.2.6", http], Role::Handler), Ok((Role::HttpHandler, http.to_owned())));
        for name in ["wasi:http/incoming-handler@0.3.0", "wasi:http/handler@0.3.0"] {
            assert_eq!(found(&[name], Role::Handler), Err(LoadError::WasiHttp { name: name.to_owned() }));
        }
        let refused = found(&[http], Role::Transform(TransformKind::Request)).unwrap_err();
        assert!(refused.to_string().starts_with(&format!("the component is an HTTP handler (`{http}`)")), "{refused}");
    }
}
