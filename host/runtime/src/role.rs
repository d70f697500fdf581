//! What a component is for. Its one export says it, and whoever loads it says what is wanted.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a transform rewrites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TransformKind {
    /// What the handler will see.
    Request,
    /// What the handler answered.
    Response,
    /// What is sent to the consumer.
    Webhook,
}

impl fmt::Display for TransformKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            TransformKind::Request => "request transform",
            TransformKind::Response => "response transform",
            TransformKind::Webhook => "webhook transform",
        })
    }
}

/// A handler, of our contract or of another, or one of the transforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    Handler,
    HttpHandler,
    Transform(TransformKind),
}

impl Role {
    /// Those of our contract.
    pub(crate) const OURS: [Role; 4] = [
        Role::Handler,
        Role::Transform(TransformKind::Request),
        Role::Transform(TransformKind::Response),
        Role::Transform(TransformKind::Webhook),
    ];

    /// The interface that it exports.
    pub(crate) fn interface(self) -> &'static str {
        match self {
            Role::Handler => "ripost:plugin/handle",
            Role::HttpHandler => "wasi:http/incoming-handler",
            Role::Transform(TransformKind::Request) => "ripost:plugin/transform-request",
            Role::Transform(TransformKind::Response) => "ripost:plugin/transform-response",
            Role::Transform(TransformKind::Webhook) => "ripost:plugin/transform-webhook",
        }
    }

    /// The one function of that interface.
    pub(crate) fn function(self) -> &'static str {
        match self {
            Role::Handler | Role::HttpHandler => "handle",
            Role::Transform(_) => "apply",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Handler => formatter.write_str("handler"),
            Role::HttpHandler => formatter.write_str("wasi:http handler"),
            Role::Transform(kind) => kind.fmt(formatter),
        }
    }
}
