//! A plugin's cases, tried here and now.

use crate::cases::{self, Case, Subject};
use crate::compile::{Compile, Process};
use crate::config::Config;
use crate::plugins::{ApiManifest, Files, NamedTransform, Transforms, read_folder};
use crate::schema::Schema;
use anyhow::Context as _;
use camino::Utf8Path;
use ripost_runtime::{Handler, LogLine, Runtime, RuntimeConfig, TransformKind, Usage, Value};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What came of a case.
#[derive(Debug)]
pub(crate) struct Line {
    api: String,
    file: String,
    name: String,
    /// None: it has passed.
    pub(crate) differences: Vec<String>,
    usage: Usage,
    pub(crate) logs: Vec<LogLine>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { api, file, name, differences, usage, .. } = self;
        let grade = if differences.is_empty() { "ok" } else { "failed" };
        let (cpu_ms, memory) = (usage.cpu.as_secs_f64() * 1000.0, Value::Bytes(usage.memory_bytes_peak));
        let calls = usage.host_calls;
        let name: String = name.chars().flat_map(char::escape_debug).collect();
        writeln!(f, "{grade:<6} {api} {name} ({file}): cpu {cpu_ms:.2} ms, memory {memory}, {calls} host calls")?;
        differences.iter().try_for_each(|line| writeln!(f, "       {line}"))
    }
}

/// What came of all cases of a plugin.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) lines: Vec<Line>,
    /// The time that the host gives all cases together, where it was less than they took here.
    pub(crate) beyond: Option<Duration>,
}

/// Tries all cases of a plugin's folder, each to its end.
///
/// # Errors
/// There is no such folder, the host would refuse what is in it, or the sandbox cannot start.
pub(crate) async fn test(folder: &Utf8Path, config: &Config) -> anyhow::Result<Trial> {
    std::fs::metadata(folder).with_context(|| format!("reading {folder}"))?;
    let files = read_folder(folder, &super::bounds(config))?;
    let runtime = sandbox(config)?;
    let mut lines = Vec::new();
    let begun = Instant::now();
    for api in &files.manifest.apis {
        let Some(cases) = &api.cases else { continue };
        let (handler, transforms) = tokio::task::block_in_place(|| load(&runtime, &files, api, config))?;
        let schema = match &api.schema {
            Some(file) => {
                let text = files.file(file).unwrap_or_default();
                Some(Schema::compile(text).with_context(|| format!("`{file}`"))?)
            }
            None => None,
        };
        let subject = Subject {
            api: &api.name,
            price: api.spec.price,
            handler: &handler,
            transforms: &transforms,
            schema: schema.as_ref(),
            limits: &api.limits,
            config: &api.config,
            grants: &api.grants,
        };
        for (file, text) in files.cases(cases) {
            let case = Case::read(file, text, &api.grants)?;
            let tried = cases::run(&runtime, &subject, &case).await;
            let (api, file, name) = (api.name.to_string(), file.to_owned(), case.name);
            lines.push(Line { api, file, name, differences: tried.differences, usage: tried.usage, logs: tried.logs });
        }
    }
    // Compiling included, which the host does before it begins to count; so this says it a little early.
    let beyond = (begun.elapsed() > config.plugins.smoke_wall).then_some(config.plugins.smoke_wall);
    Ok(Trial { lines, beyond })
}

/// A sandbox for a few runs.
pub(crate) fn sandbox(config: &Config) -> anyhow::Result<Runtime> {
    let process = Process::of(&config.compile, CancellationToken::new());
    let compile = Compile::new(process, None, Arc::default());
    let settings = RuntimeConfig { pooling: false, ..config.sandbox.runtime(config.runs.concurrency) };
    Runtime::start_with(settings, Arc::new(compile)).context("starting the sandbox")
}

/// The components of one API.
pub(crate) fn load(
    runtime: &Runtime,
    files: &Files,
    api: &ApiManifest,
    config: &Config,
) -> anyhow::Result<(Handler, Transforms)> {
    let wasm = |file: &str| files.file(file).unwrap_or_default();
    let file = api.target.handler().context("an API with an upstream has no cases")?;
    let handler = runtime.load(wasm(file), &api.limits).with_context(|| format!("`{file}`"))?;
    let limits = &config.sandbox.transform;
    let chain = |names: &[String], kind| {
        let load = |file: &String| {
            let transform = runtime.load_transform(wasm(file), kind, limits).with_context(|| format!("`{file}`"))?;
            Ok(NamedTransform { file: file.clone(), transform })
        };
        names.iter().map(load).collect::<anyhow::Result<Vec<_>>>()
    };
    let transforms = Transforms {
        request: chain(&api.transforms.request, TransformKind::Request)?,
        response: chain(&api.transforms.response, TransformKind::Response)?,
        webhook: chain(&api.transforms.webhook, TransformKind::Webhook)?,
        ..Transforms::none(Arc::new(limits.clone()))
    };
    Ok((handler, transforms))
}
