//! The OpenAPI 3.1 documents: of the gateway, and of one API.
//!
//! They are made from the code: an operation for each route, answers from the kinds of problems. A route without its
//! operation does not compile (management) or fails a test (data plane).

mod api;
mod components;
mod consumers;
mod operation;
mod shapes;

pub use api::of_api;
pub use operation::{Body, Operation, Security};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

/// Where the document of the gateway is.
pub const PATH: &str = "/openapi.json";
/// What the address of an API's document begins with; `{owner}/{slug}` follows.
pub const API_PREFIX: &str = "/openapi/";

/// Which routes a document has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What consumers and owners' services speak to.
    DataPlane,
    /// What operators and owners speak to.
    Management,
    /// Both, where they share one address.
    Whole,
}

/// A document as it is served.
#[derive(Debug, Clone)]
pub struct Served {
    /// JSON.
    pub body: Bytes,
    /// A strong validator, in its quotes.
    pub etag: String,
}

impl Served {
    fn new(document: &Value) -> Self {
        let body: Bytes = document.to_string().into();
        let hex: String = Sha256::digest(&body).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let etag = format!("\"{hex}\"");
        Self { body, etag }
    }
}

/// The document of the gateway; made once.
#[must_use]
pub fn served(scope: Scope) -> Served {
    static ALL: LazyLock<[Served; 3]> = LazyLock::new(|| {
        [Scope::DataPlane, Scope::Management, Scope::Whole].map(|scope| Served::new(&document(scope)))
    });
    let [data_plane, management, whole] = &*ALL;
    match scope {
        Scope::DataPlane => data_plane,
        Scope::Management => management,
        Scope::Whole => whole,
    }
    .clone()
}

/// The document of the gateway.
#[must_use]
pub fn document(scope: Scope) -> Value {
    let (mut operations, mut schemas) = (Vec::new(), shapes::all());
    if scope != Scope::Management {
        operations.extend(consumers::operations());
    }
    if scope != Scope::DataPlane {
        let (management, more) = crate::admin::operations();
        // Both have the documents' own routes, and whoever shares an address has them once.
        let is_there = |found: &Operation| operations.iter().any(|had: &Operation| had.path == found.path);
        let management: Vec<_> = management.into_iter().filter(|operation| !is_there(operation)).collect();
        operations.extend(management);
        schemas.extend(more);
    }
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Ripost",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Calls that take longer than a connection should stay open.",
            "description": "Errors are RFC 9457 problems with a stable `type`; `/problems/{slug}` says what each means and what to do. The document of one API, with its own schema, is at `/openapi/{owner}/{slug}`.",
            "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
        },
        "servers": [{ "url": "/" }],
        "paths": paths(&operations),
        "components": components::components(schemas),
    })
}

/// The operations by path and method.
fn paths(operations: &[Operation]) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations {
        let item = paths.entry(operation.path.clone()).or_insert_with(|| json!({}));
        if let Some(item) = item.as_object_mut() {
            item.insert(operation.method.to_ascii_lowercase(), operation.to_json());
        }
    }
    paths.into()
}

#[cfg(test)]
mod tests;
