//! What the host would say to a component or a plugin, without running any of it: the same admission, the same compiler,
//! the same words.

mod report;
mod trial;

pub(crate) use report::{Component, Finding, Grade, Plugin, Report, Use};
pub(crate) use trial::{Trial, load, sandbox, test};

use crate::cases::{Case, CaseError};
use crate::compile::{Compile, Process};
use crate::config::Config;
use crate::plugins::{
    Above, ApiManifest, ApiTarget, ApiTransforms, Bounds, DeliveryMode, FILE_NAME, Files, ReadError, read_files,
    read_folder,
};
use crate::schema::Schema;
use anyhow::Context as _;
use camino::Utf8Path;
use ripost_domain::address::PlainHttp;
use ripost_domain::units::counted;
use ripost_runtime::{Compiler, Inspection, Limits, LoadError, Runtime, RuntimeConfig, TransformKind, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What a guest can import and is not answered unless its manifest has the grant.
const GRANTED: [&str; 3] = ["kv", "outbound", "secrets"];

/// Of what is looked at; no limit `component` can be higher.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Whether a manifest grants a capability to its API's handler.
fn granted(api: &ApiManifest, capability: &str) -> bool {
    api.grants.lacks(&[capability.to_owned()]).is_empty()
}

/// A plugin's folder, to run what is in it and call nothing: limits above this host's are lowered, and plain HTTP is as
/// good as any other.
pub(crate) fn read_plugin(folder: &Utf8Path, config: &Config) -> Result<Files, ReadError> {
    read_folder(folder, &offline(config))
}

/// The same of files in memory.
pub(crate) fn of_files(files: BTreeMap<String, Vec<u8>>, config: &Config) -> Result<Files, ReadError> {
    read_files(files, &offline(config))
}

fn offline(config: &Config) -> Bounds {
    Bounds { plain_http: PlainHttp::Everywhere, above: Above::Lower, ..bounds(config) }
}

/// Looks at a component's file, or at a plugin's folder (or its manifest's file), under this host's limits. Blocking, for
/// as long as the compiler takes.
///
/// # Errors
/// Nothing stands there ([`io::ErrorKind::NotFound`]), it cannot be read, or the sandbox cannot start. What is wrong with
/// what stands there is in the report.
pub(crate) fn check(path: &Utf8Path, config: &Config) -> anyhow::Result<Report> {
    let process = Process::of(&config.compile, CancellationToken::new());
    check_with(path, config, Arc::new(Compile::new(process, None, Arc::default())))
}

fn check_with(path: &Utf8Path, config: &Config, compiler: Arc<dyn Compiler>) -> anyhow::Result<Report> {
    let metadata = std::fs::metadata(path).with_context(|| format!("reading {path}"))?;
    let runtime = RuntimeConfig { pooling: false, ..config.sandbox.runtime(config.runs.concurrency) };
    let checker = Checker {
        runtime: Runtime::start_with(runtime, compiler).context("starting the sandbox")?,
        config,
        report: Report { path: path.to_string(), ..Report::default() },
    };
    if metadata.is_dir() {
        Ok(checker.folder(path))
    } else if path.file_name() == Some(FILE_NAME) {
        let folder = path.parent().filter(|folder| !folder.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
        Ok(checker.folder(folder))
    } else {
        checker.file(path)
    }
}

struct Checker<'a> {
    runtime: Runtime,
    config: &'a Config,
    report: Report,
}

impl Checker<'_> {
    fn file(mut self, path: &Utf8Path) -> anyhow::Result<Report> {
        let name = path.file_name().unwrap_or(path.as_str()).to_owned();
        let limits = self.config.sandbox.handler.clone();
        let wasm = read(path).with_context(|| format!("reading {path}"))?;
        if let Some(component) = self.component(&name, &wasm, &limits) {
            for capability in &component.capabilities {
                if GRANTED.contains(&capability.as_str()) {
                    self.needs_grant(&name, capability);
                }
            }
            self.report.components.push(component);
        }
        Ok(self.report)
    }

    fn folder(mut self, folder: &Utf8Path) -> Report {
        let files = match read_folder(folder, &bounds(self.config)) {
            Ok(files) => files,
            Err(error) => {
                let name = folder.file_name().unwrap_or(folder.as_str()).to_owned();
                self.find(Grade::Error, &name, error.to_string());
                return self.report;
            }
        };
        let manifest = &files.manifest;
        let names: Vec<String> = manifest.apis.iter().map(|api| api.name.to_string()).collect();
        self.find(Grade::Ok, FILE_NAME, format!("offers {}", names.join(", ")));
        self.report.plugin = Some(Plugin {
            name: manifest.plugin.to_string(),
            version: manifest.version.clone(),
            digest: files.digest().to_string(),
            digest_by_owner: (files.digest_by_owner() != files.digest()).then(|| files.digest_by_owner().to_string()),
        });
        // As the host does it: a file is judged once for each set of limits.
        let mut judged: Vec<(&str, &Limits, Option<Component>)> = Vec::new();
        for api in &manifest.apis {
            let handler = match &api.target {
                ApiTarget::Handler(handler) => handler,
                ApiTarget::Upstream(upstream) => {
                    let name = api.name.to_string();
                    self.find(Grade::Ok, &name, format!("is answered by {}, which is not tried here", upstream.url));
                    continue;
                }
            };
            let known = judged.iter().any(|(file, limits, _)| *file == handler && **limits == *api.limits);
            if !known {
                let wasm = files.file(handler).unwrap_or_default();
                judged.push((handler, &api.limits, self.component(handler, wasm, &api.limits)));
            }
            let found = judged.iter().find(|(file, limits, _)| *file == handler && **limits == *api.limits);
            if let Some((_, _, Some(component))) = found {
                self.grants(api, &component.capabilities);
            }
        }
        self.transforms(&files);
        self.schemas(&files);
        self.cases(&files);
        for (_, _, component) in judged {
            let component = component.filter(|component| !self.report.components.contains(component));
            self.report.components.extend(component);
        }
        self.report
    }

    /// Read, and not tried: that is for `ripost test`.
    fn cases(&mut self, files: &Files) {
        for api in &files.manifest.apis {
            let Some(folder) = &api.cases else { continue };
            let mut good = 0;
            for (file, text) in files.cases(folder) {
                match Case::read(file, text, &api.grants) {
                    Ok(_) => good += 1,
                    Err(CaseError { file, message }) => self.find(Grade::Error, &file, message),
                }
            }
            let cases = counted(good, "case", "cases");
            self.find(Grade::Ok, folder, format!("{cases} for {}, which `ripost test` tries", api.name));
        }
    }

    /// Each schema once, as the host compiles it.
    fn schemas(&mut self, files: &Files) {
        let names: BTreeSet<&str> = files.manifest.apis.iter().filter_map(|api| api.schema.as_deref()).collect();
        for file in names {
            let text = files.file(file).unwrap_or_default();
            match Schema::compile(text) {
                Ok(schema) => self.find(Grade::Ok, file, format!("{}, {}", Value::Bytes(text.len()), schema.about())),
                Err(error) => self.find(Grade::Error, file, error.to_string()),
            }
        }
    }

    /// Each transform once for each kind that it is used as.
    fn transforms(&mut self, files: &Files) {
        let mut judged: Vec<(&str, TransformKind)> = Vec::new();
        let limits = self.config.sandbox.transform.clone();
        for api in &files.manifest.apis {
            let ApiTransforms { request, response, webhook, .. } = &api.transforms;
            let kinds = [
                (request, TransformKind::Request, "request"),
                (response, TransformKind::Response, "response"),
                (webhook, TransformKind::Webhook, "webhook"),
            ];
            for (list, kind, word) in kinds {
                for file in list {
                    if judged.contains(&(file, kind)) {
                        continue;
                    }
                    judged.push((file, kind));
                    let wasm = files.file(file).unwrap_or_default();
                    match self.runtime.load_transform(wasm, kind, &limits) {
                        Ok(_) => {
                            let size = Value::Bytes(wasm.len());
                            self.find(Grade::Ok, file, format!("{size}, compiles and links as a {word} transform"));
                        }
                        Err(error) => self.find(Grade::Error, file, format!("as a {word} transform: {error}")),
                    }
                }
            }
        }
    }

    /// Everything up to the link, each step told. `None`: it is refused.
    fn component(&mut self, name: &str, wasm: &[u8], limits: &Limits) -> Option<Component> {
        let Inspection { digest, bytes, export, imports, first_memory_bytes, instances, scheme } =
            match self.runtime.inspect(wasm, limits) {
                Ok(inspection) => inspection,
                Err(error) => {
                    self.find(Grade::Error, name, error.to_string());
                    return None;
                }
            };
        let size = Value::Bytes(bytes);
        self.find(Grade::Ok, name, format!("{size}, exports {export}, SHA-256 {digest}"));
        let handler = match self.runtime.load(wasm, limits) {
            Ok(handler) => handler,
            Err(error @ LoadError::Compile(_)) => {
                self.find(Grade::Error, name, error.to_string());
                return None;
            }
            Err(error) => {
                self.find(Grade::Error, name, format!("does not link: {error}"));
                return None;
            }
        };
        let first = Value::Bytes(usize::try_from(first_memory_bytes).unwrap_or(usize::MAX));
        self.find(
            Grade::Ok,
            name,
            format!("compiles and links; runs in the {scheme} engine and starts with {first} of memory"),
        );
        if handler.weight() > 1 {
            let places = handler.weight();
            self.find(
                Grade::Note,
                name,
                format!("takes {places} places in the pool for each run: link its modules into one"),
            );
        }
        for import in &imports {
            if import == "wasi" {
                self.find(
                    Grade::Note,
                    name,
                    "imports wasi, which has no files, no sockets and no environment here; what it prints becomes log"
                        .to_owned(),
                );
            }
        }
        Some(Component {
            file: name.to_owned(),
            digest,
            bytes,
            export,
            engine: scheme.to_string(),
            first_memory_bytes,
            instances,
            places: handler.weight(),
            capabilities: imports,
        })
    }

    fn grants(&mut self, api: &ApiManifest, capabilities: &[String]) {
        let name = api.name.to_string();
        if api.spec.delivery == DeliveryMode::Off && capabilities.iter().any(|capability| capability == "step") {
            let text = "uses `step`, which is there for calls that are stored: one without an `Idempotency-Key` is told `unavailable`";
            self.find(Grade::Note, &name, text.to_owned());
        }
        for capability in capabilities.iter().filter(|capability| GRANTED.contains(&capability.as_str())) {
            let granted = granted(api, capability);
            self.report.uses.push(Use { api: name.clone(), capability: capability.clone(), granted });
            if granted {
                self.find(Grade::Ok, &name, format!("uses `{capability}`, which its manifest grants"));
            } else {
                self.needs_grant(&name, capability);
            }
        }
        // What is not imported cannot be called, whatever the code says.
        for capability in GRANTED.iter().filter(|capability| !capabilities.iter().any(|import| import == *capability)) {
            if granted(api, capability) {
                let message = format!("its manifest grants `{capability}`, which its handler does not use");
                self.find(Grade::Note, &name, message);
            }
        }
        if !api.config.is_empty() && !capabilities.iter().any(|import| import == "config") {
            self.find(Grade::Note, &name, "its manifest has `config`, which its handler does not read".to_owned());
        }
    }

    /// No error: some toolchains import the whole world and use little of it.
    fn needs_grant(&mut self, name: &str, capability: &str) {
        let message = format!("uses `{capability}`, needs `grants.{capability}`; without it each call is refused");
        self.find(Grade::Note, name, message);
    }

    fn find(&mut self, grade: Grade, subject: &str, message: String) {
        self.report.findings.push(Finding { grade, subject: subject.to_owned(), message });
    }
}

/// What this host's configuration allows: the same that a gateway with it allows.
pub(crate) fn bounds(config: &Config) -> Bounds {
    let sandbox = &config.sandbox;
    Bounds {
        default: sandbox.handler.clone(),
        ceiling: config.ceiling(),
        guests_memory: config.memory_that_bounds_runs(),
        transform: sandbox.transform.clone(),
        concurrency: sandbox.concurrency,
        plain_http: config.outbound.plain_http(config.dev),
        above: Above::Refuse,
    }
}

/// A file, whole: what is too large for the limit is still looked at, to say how large it is and what made it.
fn read(path: &Utf8Path) -> io::Result<Vec<u8>> {
    let mut wasm = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut wasm)?;
    Ok(wasm)
}

#[cfg(test)]
mod tests;
