//! One operation: what it takes, what it answers, which problems it can give.

use super::shapes;
use crate::problem::Kind;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Everybody.
    Public,
    /// The holder of a consumer key.
    Consumer,
    /// The bearer of an admin token.
    Admin,
}

/// What is sent with a call.
#[derive(Debug, Clone)]
pub struct Body {
    /// Media type and schema, each.
    pub content: Vec<(&'static str, Value)>,
    /// Whether there has to be one.
    pub required: bool,
}

impl Body {
    /// A JSON body.
    #[must_use]
    pub fn json(schema: Value, required: bool) -> Self {
        Self { content: vec![("application/json", schema)], required }
    }
}

/// What a route does, for the document.
#[derive(Debug, Clone)]
pub struct Operation {
    /// As HTTP has it.
    pub method: &'static str,
    /// With its parameters in braces.
    pub path: String,
    id: String,
    tag: &'static str,
    summary: String,
    description: String,
    security: Security,
    parameters: Vec<Value>,
    body: Option<Body>,
    answers: BTreeMap<String, Value>,
    problems: Vec<Kind>,
    extensions: Map<String, Value>,
}

impl Operation {
    /// One without a body, without answers, and with the problems that all can give.
    #[must_use]
    pub fn new(method: &'static str, path: &str, id: &str, summary: &str, security: Security) -> Self {
        let mut problems = vec![
            Kind::MethodNotAllowed,
            Kind::MalformedRequest,
            Kind::RequestTimeout,
            Kind::UrlTooLong,
            Kind::HeadTooLarge,
            Kind::Internal,
            Kind::StoreUnavailable,
            Kind::Overloaded,
        ];
        let tag = match security {
            Security::Admin => {
                problems.extend([Kind::MissingToken, Kind::Forbidden]);
                "management"
            }
            Security::Consumer => {
                problems.extend([Kind::MissingKey, Kind::UnknownKey, Kind::RateLimited, Kind::AnswersOverloaded]);
                "consumer"
            }
            Security::Public => "public",
        };
        Self {
            method,
            path: path.to_owned(),
            id: id.to_owned(),
            tag,
            summary: summary.to_owned(),
            description: String::new(),
            security,
            parameters: path_parameters(path),
            body: None,
            answers: BTreeMap::new(),
            problems,
            extensions: Map::new(),
        }
    }

    /// More than the summary says.
    #[must_use]
    pub fn about(mut self, description: &str) -> Self {
        description.clone_into(&mut self.description);
        self
    }

    /// Adds parameters.
    #[must_use]
    pub fn with(mut self, parameters: impl IntoIterator<Item = Value>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// Takes a body, and can give the problems of bodies.
    #[must_use]
    pub fn takes(mut self, body: Body) -> Self {
        self.body = Some(body);
        self.gives([Kind::InvalidJson, Kind::BodyTooLarge, Kind::UnsupportedMediaType])
    }

    /// Answers JSON of this shape.
    #[must_use]
    pub fn answers(self, status: u16, about: &str, schema: Value) -> Self {
        self.answers_as(&status.to_string(), about, &[("application/json", schema)])
    }

    /// Answers nothing but a status.
    #[must_use]
    pub fn answers_nothing(self, status: u16, about: &str) -> Self {
        self.answers_as(&status.to_string(), about, &[])
    }

    /// Answers this kind of body; `status` may be `default`.
    #[must_use]
    pub fn answers_as(mut self, status: &str, about: &str, content: &[(&str, Value)]) -> Self {
        let mut answer = json!({ "description": about });
        if !content.is_empty() {
            let kinds = content.iter().map(|(kind, schema)| ((*kind).to_owned(), json!({ "schema": schema })));
            answer["content"] = kinds.collect::<Map<_, _>>().into();
        }
        self.answers.insert(status.to_owned(), answer);
        self
    }

    /// The last answers' headers, by the names of the components.
    #[must_use]
    pub fn says(mut self, status: u16, headers: &[&str]) -> Self {
        if let Some(answer) = self.answers.get_mut(&status.to_string()) {
            answer["headers"] = named_headers(headers);
        }
        self
    }

    /// Adds problems that it can give.
    #[must_use]
    pub fn gives(mut self, kinds: impl IntoIterator<Item = Kind>) -> Self {
        self.problems.extend(kinds);
        self
    }

    /// Adds a member of our own, whose name begins with `x-`.
    #[must_use]
    pub fn extended(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// As the document has it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut operation = self.extensions.clone();
        operation.insert("operationId".to_owned(), self.id.clone().into());
        operation.insert("tags".to_owned(), json!([self.tag]));
        operation.insert("summary".to_owned(), self.summary.clone().into());
        if !self.description.is_empty() {
            operation.insert("description".to_owned(), self.description.clone().into());
        }
        operation.insert(
            "security".to_owned(),
            match self.security {
                Security::Public => json!([]),
                Security::Consumer => json!([{ "consumerKey": [] }]),
                Security::Admin => json!([{ "adminToken": [] }]),
            },
        );
        if !self.parameters.is_empty() {
            operation.insert("parameters".to_owned(), self.parameters.clone().into());
        }
        if let Some(body) = &self.body {
            let content = body.content.iter().map(|(kind, schema)| ((*kind).to_owned(), json!({ "schema": schema })));
            let content = content.collect::<Map<_, _>>();
            operation.insert("requestBody".to_owned(), json!({ "required": body.required, "content": content }));
        }
        operation.insert("responses".to_owned(), self.responses());
        operation.into()
    }

    fn responses(&self) -> Value {
        let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
        for kind in &self.problems {
            let kinds = by_status.entry(kind.status()).or_default();
            if !kinds.contains(kind) {
                kinds.push(*kind);
            }
        }
        let mut responses: Map<String, Value> = self.answers.clone().into_iter().collect();
        for (status, mut kinds) in by_status {
            kinds.sort_unstable_by_key(|kind| kind.slug());
            let titles: Vec<String> =
                kinds.iter().map(|kind| format!("`{}`: {}.", kind.slug(), kind.title())).collect();
            let mut response = json!({
                "description": titles.join(" "),
                "content": { "application/problem+json": { "schema": shapes::reference("Problem") } },
            });
            match status {
                429 => response["headers"] = named_headers(&["Retry-After", "RateLimit", "RateLimit-Policy"]),
                503 => response["headers"] = named_headers(&["Retry-After"]),
                _ => {}
            }
            responses.insert(status.to_string(), response);
        }
        responses.into()
    }
}

fn named_headers(names: &[&str]) -> Value {
    let headers =
        names.iter().map(|name| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") })));
    headers.collect::<Map<_, _>>().into()
}

fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": segment(name) })).collect()
}

fn segment(name: &str) -> Value {
    match name {
        "id" => shapes::reference("RequestId"),
        "owner" | "slug" => json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9-]*$", "maxLength": 64 }),
        _ => json!({ "type": "string", "minLength": 1 }),
    }
}
