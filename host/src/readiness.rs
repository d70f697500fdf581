//! Whether the gateway is ready for calls, and what it lacks: `/readyz`, `ripost status` and the metrics read it here, so
//! that they say the same.
//!
//! A new reason is a line in `codes!` and a look in [`Sources::read`]; nothing else has to know of it.

use crate::plugins::Plugins;
use crate::storage::{Beside, Lost, Room};
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use ripost_domain::api::ApiName;
use ripost_store::Store;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::sync::Arc;

/// Names in one reason; more are counted.
const NAMES_MAX: usize = 10;

macro_rules! codes {
    ($($name:ident = $text:literal: $effect:ident, $about:literal;)*) => {
        /// Why the gateway is not ready, or serves less than it should.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Code {
            $(#[doc = $about] #[serde(rename = $text)] $name,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// As it is written everywhere.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it means for callers, unless a reason says otherwise.
            #[must_use]
            const fn effect(self) -> State {
                match self { $(Self::$name => State::$effect,)* }
            }
        }
    };
}

codes! {
    Compiling = "compiling": NotReady, "APIs that served before are still being compiled.";
    PluginsFolder = "plugins-folder": Degraded, "The plugins folder cannot be read.";
    StoreRefuses = "store-refuses": NotReady, "The store refuses writes.";
    MasterKey = "master-key": Degraded, "The master key is gone from where it was, or another one is there.";
    Revisions = "revisions": Degraded, "The folder of revisions is gone.";
    StorageFull = "storage-full": Degraded, "New requests are refused for want of disk space.";
}

/// How ready the gateway is; the worst of its reasons decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It takes calls.
    Ready,
    /// It takes calls, and something is missing.
    Degraded,
    /// A load balancer should send calls elsewhere.
    NotReady,
}

impl State {
    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::NotReady => "not ready",
        }
    }
}

/// One reason, with what an operator needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// For programs.
    pub code: Code,
    /// What it means for callers.
    pub state: State,
    /// For operators: the cause, and what to do. It may name paths.
    pub detail: String,
    /// For anybody who may ask `/readyz`: names of APIs at most, never a path or a cause.
    #[serde(skip)]
    pub told: String,
}

/// How ready the gateway is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// In one word.
    pub state: State,
    /// Why it is not ready, or degraded; none: it is ready.
    pub reasons: Vec<Reason>,
}

impl Reason {
    fn new(code: Code, detail: impl Into<String>, told: impl Into<String>) -> Self {
        Self { code, state: code.effect(), detail: detail.into(), told: told.into() }
    }
}

impl Readiness {
    /// Of these reasons.
    #[must_use]
    pub fn of(reasons: Vec<Reason>) -> Self {
        let state = reasons.iter().map(|reason| reason.state).max().unwrap_or(State::Ready);
        Self { state, reasons }
    }

    /// Whether this is one of the reasons.
    #[must_use]
    pub fn has(&self, code: Code) -> bool {
        self.reasons.iter().any(|reason| reason.code == code)
    }

    /// The answer of `/readyz`: 200 while calls can be taken, else 503; the reasons are in its body, a line each.
    #[must_use]
    pub fn into_response(self, method: &Method) -> Response<Full<Bytes>> {
        let status = if self.state == State::NotReady { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        let mut text = match self.state {
            State::Ready => "ok\n".to_owned(),
            state => format!("{}\n", state.as_str()),
        };
        for Reason { code, told, .. } in &self.reasons {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}: {told}", code.as_str());
        }
        let body = if *method == Method::HEAD { Bytes::new() } else { Bytes::from(text) };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// What knows the reasons.
pub struct Sources {
    /// What served before, and the plugins folder.
    pub plugins: Arc<Plugins>,
    /// Room on the disk.
    pub room: Arc<Room>,
    /// The files beside the database.
    pub beside: Arc<Beside>,
    /// What it refuses.
    pub store: Arc<dyn Store>,
}

impl Sources {
    /// How ready the gateway is. Cheap: it reads what others have found out, and asks neither disk nor store.
    #[must_use]
    pub fn read(&self) -> Readiness {
        let mut reasons = Vec::new();
        let registry = self.plugins.registry();
        let compiling = registry.awaited();
        if !compiling.is_empty() {
            let told = format!("{} that served before: {}", count(compiling.len(), "API"), names(compiling));
            let detail = format!("{told}; calls of them are answered 503 until then");
            reasons.push(Reason::new(Code::Compiling, detail, told));
        }
        if let Some(detail) = self.plugins.folder_error() {
            reasons.push(match registry.apis().is_empty() {
                // A start that finds nothing is no place for calls.
                true => Reason {
                    state: State::NotReady,
                    ..Reason::new(Code::PluginsFolder, detail, "the plugins folder cannot be read, and nothing serves")
                },
                false => {
                    Reason::new(Code::PluginsFolder, detail, "changes of plugins are not seen; what serves goes on")
                }
            });
        }
        if let Some(refusal) = self.store.refusal() {
            let told = "nothing can be written: calls that must be are answered 503; results can be read".to_owned();
            let detail = format!("{refusal}; calls are answered 503 until then, and what was accepted waits");
            reasons.push(Reason::new(Code::StoreRefuses, detail, told));
        }
        for (lost, detail) in self.beside.lost() {
            let (code, of) = match lost {
                Lost::MasterKey => (Code::MasterKey, "the master key"),
                Lost::Revisions => (Code::Revisions, "the folder of revisions"),
            };
            reasons.push(Reason::new(code, detail, format!("{of} is lost; all goes on until the next start")));
        }
        if let Some(detail) = self.room.why() {
            reasons.push(Reason::new(Code::StorageFull, detail, "new requests are refused; what was accepted goes on"));
        }
        Readiness::of(reasons)
    }
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

fn names(names: &[ApiName]) -> String {
    let mut text: Vec<String> = names.iter().take(NAMES_MAX).map(ToString::to_string).collect();
    if let Some(more) = names.len().checked_sub(NAMES_MAX).filter(|more| *more > 0) {
        text.push(format!("and {more} more"));
    }
    text.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(code: Code) -> Reason {
        Reason::new(code, "a path", "no path")
    }

    #[test]
    fn the_worst_reason_decides_and_all_are_told() {
        assert_eq!(Readiness::of(Vec::new()).state, State::Ready);
        assert_eq!(Readiness::of(vec![reason(Code::StorageFull)]).state, State::Degraded);
        let readiness = Readiness::of(vec![reason(Code::Compiling), reason(Code::StorageFull)]);
        assert_eq!(readiness.state, State::NotReady);
        assert!(readiness.has(Code::StorageFull) && !readiness.has(Code::PluginsFolder));
    }

    #[test]
    fn only_what_is_not_ready_is_503() {
        let status = |reasons| Readiness::of(reasons).into_response(&Method::GET).status().as_u16();
        assert_eq!(status(Vec::new()), 200);
        assert_eq!(status(vec![reason(Code::StorageFull)]), 200);
        assert_eq!(status(vec![reason(Code::StorageFull), reason(Code::Compiling)]), 503);
    }

    #[test]
    fn a_program_reads_the_codes_that_people_do() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{}\"", code.as_str()));
        }
    }

    #[test]
    fn of_many_names_the_first_are_told_and_the_rest_are_counted() {
        let apis: Vec<ApiName> = (0..12)
            .map(|slug| ApiName { owner: "demo".parse().unwrap(), slug: format!("a{slug}").parse().unwrap() })
            .collect();
        assert_eq!(names(&apis[..2]), "demo/a0, demo/a1");
        assert!(names(&apis).ends_with("demo/a9, and 2 more"));
    }
}
