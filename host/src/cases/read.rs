//! A case as its author wrote it. Every key is known or refused, and errors say where in the JSON they are.

use crate::nearest::nearest;
use crate::plugins::ApiGrants;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ripost_domain::money::{Amount, ParseAmountError};
use ripost_runtime::{OutboundResponse, Request};
use serde_json::Value;
use std::collections::BTreeMap;

/// What an API is asked, what it is granted, and what it must answer.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// As the owner calls it.
    pub(crate) name: String,
    /// What the consumer sends.
    pub(super) request: Request,
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) kv: BTreeMap<String, Bytes>,
    pub(super) outbound: Vec<Exchange>,
    pub(super) expect: Expect,
}

/// A call to the outside and its answer.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) response: OutboundResponse,
}

/// What must come of it. What is not said is not looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Expect {
    pub(super) status: Option<u16>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Content>,
    /// Of the price: what the consumer would pay.
    pub(super) captured: Option<Amount>,
    pub(super) failure: Option<String>,
    pub(super) problem: Option<String>,
}

/// What a body must be.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// JSON; of objects these fields at least.
    Json(Value),
    /// Exactly these bytes.
    Exact(Bytes),
}

/// A case cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {message}")]
pub(crate) struct CaseError {
    pub(crate) file: String,
    pub(crate) message: String,
}

impl Case {
    /// Reads a case. `file` is what errors call it; `grants` what its API has.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place in the JSON.
    pub(crate) fn read(file: &str, text: &[u8], grants: &ApiGrants) -> Result<Self, CaseError> {
        let wrong = |message: String| CaseError { file: file.to_owned(), message };
        let value: Value = serde_json::from_slice(text).map_err(|error| wrong(format!("not JSON: {error}")))?;
        case(file, At { path: String::new(), value: &value }, grants).map_err(wrong)
    }
}

/// A value and its place.
struct At<'a> {
    path: String,
    value: &'a Value,
}

/// The keys of an object that is checked.
struct Keys<'a> {
    path: String,
    keys: &'a serde_json::Map<String, Value>,
}

impl<'a> At<'a> {
    fn wrong<T>(&self, what: &str) -> Result<T, String> {
        let path = if self.path.is_empty() { "the case" } else { &self.path };
        Err(format!("{path}: {what}"))
    }

    fn object(&self, known: &[&str]) -> Result<Keys<'a>, String> {
        let keys = self.any_object()?;
        if let Some(key) = keys.keys.keys().find(|key| !known.contains(&key.as_str())) {
            let meant = match nearest(key, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("the keys there are {}", known.join(", ")),
            };
            return self.wrong(&format!("unknown key `{key}`; {meant}"));
        }
        Ok(keys)
    }

    fn any_object(&self) -> Result<Keys<'a>, String> {
        match self.value {
            Value::Object(keys) => Ok(Keys { path: self.path.clone(), keys }),
            _ => self.wrong("must be an object, in { and }"),
        }
    }

    fn list(&self) -> Result<Vec<At<'a>>, String> {
        let Value::Array(list) = self.value else { return self.wrong("must be a list, in [ and ]") };
        let at = |(number, value)| At { path: format!("{}[{number}]", self.path), value };
        Ok(list.iter().enumerate().map(at).collect())
    }

    fn text(&self) -> Result<&'a str, String> {
        match self.value {
            Value::String(text) => Ok(text),
            _ => self.wrong("must be text, in quotes"),
        }
    }

    fn status(&self) -> Result<u16, String> {
        let status = self.value.as_u64().and_then(|status| u16::try_from(status).ok());
        match status.filter(|status| (200..=599).contains(status)) {
            Some(status) => Ok(status),
            None => self.wrong("must be a status from 200 to 599"),
        }
    }

    fn amount(&self) -> Result<Amount, String> {
        self.text()?.parse().or_else(|error: ParseAmountError| self.wrong(&error.to_string()))
    }

    fn headers(&self) -> Result<Vec<(String, String)>, String> {
        let header = |(name, at): (&str, At<'a>)| Ok((name.to_ascii_lowercase(), at.text()?.to_owned()));
        self.any_object()?.all().map(header).collect()
    }
}

impl<'a> Keys<'a> {
    fn get(&self, key: &str) -> Option<At<'a>> {
        self.keys.get(key).map(|value| self.at(key, value))
    }

    fn need(&self, key: &str, example: &str) -> Result<At<'a>, String> {
        let place = if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) };
        self.get(key).ok_or_else(|| format!("{place}there is no `{key}`; add \"{key}\": {example}"))
    }

    fn all(&self) -> impl Iterator<Item = (&'a str, At<'a>)> {
        self.keys.iter().map(|(key, value)| (key.as_str(), self.at(key, value)))
    }

    fn at(&self, key: &str, value: &'a Value) -> At<'a> {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        At { path, value }
    }

    fn text(&self, key: &str) -> Result<Option<String>, String> {
        self.get(key).map(|at| at.text().map(str::to_owned)).transpose()
    }

    /// One of `body`, `text` and `base64`.
    fn content(&self) -> Result<Option<Content>, String> {
        let given: Vec<At<'a>> = ["body", "text", "base64"].iter().filter_map(|key| self.get(key)).collect();
        match &given[..] {
            [] => Ok(None),
            [at] if at.path.ends_with("body") => Ok(Some(Content::Json(at.value.clone()))),
            [at] if at.path.ends_with("text") => Ok(Some(Content::Exact(at.text()?.to_owned().into()))),
            [at] => match STANDARD.decode(at.text()?) {
                Ok(bytes) => Ok(Some(Content::Exact(bytes.into()))),
                Err(error) => at.wrong(&format!("is not base64: {error}")),
            },
            [first, ..] => first.wrong("is one of two bodies; write one of `body` (JSON), `text` and `base64`"),
        }
    }

    /// Headers and body, as something that is sent.
    fn message(&self) -> Result<(Vec<(String, Bytes)>, Bytes), String> {
        let headers = self.get("headers").map(|at| at.headers()).transpose()?.unwrap_or_default();
        let mut headers: Vec<(String, Bytes)> =
            headers.into_iter().map(|(name, value)| (name, Bytes::from(value))).collect();
        let body = match self.content()? {
            None => Bytes::new(),
            Some(Content::Exact(bytes)) => bytes,
            Some(Content::Json(value)) => {
                if !headers.iter().any(|(name, _)| name == "content-type") {
                    headers.push(("content-type".to_owned(), Bytes::from_static(b"application/json")));
                }
                value.to_string().into()
            }
        };
        Ok((headers, body))
    }
}

fn case(file: &str, at: At<'_>, grants: &ApiGrants) -> Result<Case, String> {
    let keys = at.object(&["name", "request", "secrets", "kv", "outbound", "expect"])?;
    let stem = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".json");
    let name = keys.text("name")?.unwrap_or_else(|| stem.to_owned());
    let request = request(&keys.need("request", "{ \"body\": {} }")?)?;
    let secrets = match keys.get("secrets") {
        None => BTreeMap::new(),
        Some(at) => secrets(&at, grants)?,
    };
    let kv = match keys.get("kv") {
        None => BTreeMap::new(),
        Some(at) if !grants.kv => return at.wrong("the manifest does not grant it; add kv = true to [api.grants]"),
        Some(at) => at.any_object()?.all().map(|(key, at)| (key.to_owned(), stored(at.value))).collect(),
    };
    let outbound = match keys.get("outbound") {
        None => Vec::new(),
        Some(at) if grants.outbound.is_empty() => {
            return at.wrong("the manifest grants no `outbound`; add it to [api.grants]");
        }
        Some(at) => at.list()?.iter().map(exchange).collect::<Result<_, _>>()?,
    };
    let expect = expect(&keys.need("expect", "{ \"status\": 200 }")?)?;
    Ok(Case { name, request, secrets, kv, outbound, expect })
}

fn request(at: &At<'_>) -> Result<Request, String> {
    let keys = at.object(&["method", "path", "query", "headers", "body", "text", "base64"])?;
    let method = keys.text("method")?.unwrap_or_else(|| "POST".to_owned());
    let path = keys.text("path")?.unwrap_or_default();
    if !(path.is_empty() || path.starts_with('/')) {
        return keys.at("path", at.value).wrong("is what follows /api/{owner}/api/{slug}; begin it with /");
    }
    let query = keys.text("query")?;
    let (headers, body) = keys.message()?;
    Ok(Request { method, path, query, headers, body, ..Request::default() })
}

fn secrets(at: &At<'_>, grants: &ApiGrants) -> Result<BTreeMap<String, String>, String> {
    let secret = |(name, at): (&str, At<'_>)| {
        if !grants.secrets.iter().any(|granted| granted.as_str() == name) {
            return at.wrong("the manifest does not grant it; add it to `secrets` in [api.grants]");
        }
        Ok((name.to_owned(), at.text()?.to_owned()))
    };
    at.any_object()?.all().map(secret).collect()
}

/// Text as it is, anything else as JSON.
fn stored(value: &Value) -> Bytes {
    match value {
        Value::String(text) => text.clone().into(),
        value => value.to_string().into(),
    }
}

fn exchange(at: &At<'_>) -> Result<Exchange, String> {
    let keys = at.object(&["request", "response"])?;
    let asked = keys.need("request", "{ \"method\": \"GET\", \"url\": \"https://…\" }")?.object(&["method", "url"])?;
    let url = asked.need("url", "\"https://…\"")?.text()?.to_owned();
    let answered = keys.need("response", "{ \"status\": 200 }")?;
    let answered = answered.object(&["status", "headers", "body", "text", "base64"])?;
    let status = answered.get("status").map_or(Ok(200), |at| at.status())?;
    let (headers, body) = answered.message()?;
    let method = asked.text("method")?.unwrap_or_else(|| "GET".to_owned());
    Ok(Exchange { method, url, response: OutboundResponse { status, headers, body } })
}

fn expect(at: &At<'_>) -> Result<Expect, String> {
    let keys = at.object(&["status", "headers", "body", "text", "base64", "captured_usdc", "failure", "problem"])?;
    if keys.keys.is_empty() {
        return at.wrong("nothing is expected; say at least \"status\": 200");
    }
    let failure = keys.text("failure")?;
    if let (Some(kind), Some(at)) = (&failure, keys.get("failure"))
        && !["invalid", "retry", "failed"].contains(&kind.as_str())
    {
        return at.wrong("must be \"invalid\", \"retry\" or \"failed\"");
    }
    let expect = Expect {
        status: keys.get("status").map(|at| at.status()).transpose()?,
        headers: keys.get("headers").map(|at| at.headers()).transpose()?.unwrap_or_default(),
        body: keys.content()?,
        captured: keys.get("captured_usdc").map(|at| at.amount()).transpose()?,
        failure,
        problem: keys.text("problem")?,
    };
    let answers =
        expect.status.is_some() || expect.body.is_some() || expect.captured.is_some() || !expect.headers.is_empty();
    if answers && expect.is_failure() {
        return at.wrong("an answer and a failure exclude each other; leave out `status`, `headers`, `captured_usdc` and the body, or `failure` and `problem`");
    }
    Ok(expect)
}

impl Expect {
    pub(super) fn is_failure(&self) -> bool {
        self.failure.is_some() || self.problem.is_some()
    }
}
