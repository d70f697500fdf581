//! `handler` or `upstream`: who answers an API's requests.

use super::{DeliveryMode, ManifestError, Reader, check_component, effects, raw};
use crate::upstreams;
use toml::Spanned;
use url::Url;

/// Who answers an API's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiTarget {
    /// A component: a plain file name, ending in `.wasm`, that the watcher does not ignore.
    Handler(String),
    /// A service of the owner's.
    Upstream(Upstream),
}

/// A service of the owner's that requests are forwarded to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Where to; what follows the API's own path is appended.
    pub url: Url,
    /// When it answers.
    pub reply: Reply,
}

/// When an upstream answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reply {
    /// 202, 204 or an empty 2xx mean later, anything else is the result.
    #[default]
    Auto,
    /// Later: a 2xx is only the acknowledgement.
    Callback,
    /// At once: whatever it answers is the result.
    Inline,
}

impl ApiTarget {
    /// The component's file, if it is one.
    #[must_use]
    pub fn handler(&self) -> Option<&str> {
        match self {
            Self::Handler(file) => Some(file),
            Self::Upstream(_) => None,
        }
    }
}

impl Reader<'_> {
    pub(super) fn target(&self, at: usize, raw: &raw::Api, delivery: DeliveryMode) -> Result<ApiTarget, ManifestError> {
        match (&raw.handler, &raw.upstream) {
            (Some(handler), None) => {
                if let Some(reply) = &raw.reply {
                    let message = "`reply` says when an upstream answers, and this API has a handler; leave it out";
                    return Err(self.error(reply.span().start, message));
                }
                check_component("handler", handler.get_ref())
                    .map_err(|message| self.error(handler.span().start, message))?;
                Ok(ApiTarget::Handler(handler.get_ref().clone()))
            }
            (None, Some(upstream)) => self.upstream(upstream, raw, delivery).map(ApiTarget::Upstream),
            (Some(_), Some(upstream)) => {
                let message = "an [[api]] has a `handler` or an `upstream`, and this one has both; remove one";
                Err(self.error(upstream.span().start, message))
            }
            (None, None) => {
                let message = "an [[api]] has no `handler`; add handler = \"my-api.wasm\", or upstream = \"http://localhost:8080/process\"";
                Err(self.error(at, message))
            }
        }
    }

    fn upstream(
        &self,
        text: &Spanned<String>,
        raw: &raw::Api,
        delivery: DeliveryMode,
    ) -> Result<Upstream, ManifestError> {
        let at = text.span().start;
        let url = upstreams::parse(text.get_ref()).map_err(|error| self.error(at, format!("`upstream`: {error}")))?;
        let reply = match (&raw.reply, delivery) {
            (None, DeliveryMode::Webhook) => Reply::Auto,
            (None, DeliveryMode::Off) => Reply::Inline,
            (Some(text), _) => {
                let reply = match text.get_ref().as_str() {
                    "auto" => Reply::Auto,
                    "callback" => Reply::Callback,
                    "inline" => Reply::Inline,
                    other => {
                        let message =
                            format!("reply = \"{other}\" means nothing; write \"auto\", \"callback\" or \"inline\"");
                        return Err(self.error(text.span().start, message));
                    }
                };
                if delivery == DeliveryMode::Off && reply != Reply::Inline {
                    let message = "with delivery = \"off\" the caller waits, so nothing can come later; write reply = \"inline\", or leave it out";
                    return Err(self.error(text.span().start, message));
                }
                reply
            }
        };
        let given = [raw.cases.is_some(), !raw.config.is_empty(), raw.grants.is_some()];
        if let Some((key, _)) = effects::OF_COMPONENTS.iter().zip(given).find(|(_, given)| *given) {
            let message = format!("`{key}` is for components, and this API has an upstream; leave it out");
            return Err(self.error(at, message));
        }
        Ok(Upstream { url, reply })
    }
}
