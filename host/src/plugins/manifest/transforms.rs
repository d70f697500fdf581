//! `transforms`: the components between consumer and handler, in the order in which they run.

use super::{DeliveryMode, ManifestError, Reader, check_component, raw};
use toml::Spanned;

/// Transforms of one kind of one API.
pub(super) const TRANSFORMS_MAX: usize = 8;

/// Which transforms one API has, each a file as `handler` is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiTransforms {
    /// On what the consumer sent, before anything else looks at it.
    pub request: Vec<String>,
    /// On the handler's answer, before it is stored.
    pub response: Vec<String>,
    /// On the webhook's payload, when it is made.
    pub webhook: Vec<String>,
    /// What becomes of a webhook whose transform fails.
    pub webhook_on_error: OnError,
}

/// What becomes of a webhook whose transform fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnError {
    /// It is not sent, and says why: a transform may be there to take something out.
    #[default]
    Fail,
    /// It is sent as it was before the transforms.
    SendOriginal,
}

impl ApiTransforms {
    /// All files, in the order request, response, webhook.
    pub(in crate::plugins) fn files(&self) -> impl Iterator<Item = &str> {
        self.request.iter().chain(&self.response).chain(&self.webhook).map(String::as_str)
    }
}

impl Reader<'_> {
    pub(super) fn transforms(
        &self,
        raw: Option<&Spanned<raw::Transforms>>,
        delivery: DeliveryMode,
    ) -> Result<ApiTransforms, ManifestError> {
        let Some(raw) = raw else { return Ok(ApiTransforms::default()) };
        let at = raw.span().start;
        let raw = raw.get_ref();
        if let (DeliveryMode::Off, Some(first)) = (delivery, raw.webhook.first()) {
            let message = "`transforms.webhook` changes webhooks, and with delivery = \"off\" there are none; write it as `response`, or leave it out";
            return Err(self.error(first.span().start, message));
        }
        let webhook_on_error = match raw.webhook_on_error.as_ref() {
            None => OnError::Fail,
            Some(text) => match text.get_ref().as_str() {
                "fail" => OnError::Fail,
                "send_original" => OnError::SendOriginal,
                other => {
                    let message =
                        format!("webhook_on_error = \"{other}\" means nothing; write \"fail\" or \"send_original\"");
                    return Err(self.error(text.span().start, message));
                }
            },
        };
        if raw.webhook_on_error.is_some() && raw.webhook.is_empty() {
            let message = "`webhook_on_error` says what becomes of a failed webhook transform, and there is none; add `webhook`, or leave it out";
            return Err(self.error(at, message));
        }
        Ok(ApiTransforms {
            request: self.chain("request", &raw.request)?,
            response: self.chain("response", &raw.response)?,
            webhook: self.chain("webhook", &raw.webhook)?,
            webhook_on_error,
        })
    }

    /// In order; the same one twice is a chain like any other.
    fn chain(&self, kind: &str, files: &[Spanned<String>]) -> Result<Vec<String>, ManifestError> {
        let key = format!("transforms.{kind}");
        if let Some(file) = files.get(TRANSFORMS_MAX) {
            let message = format!("`{key}` has more than {TRANSFORMS_MAX} components; make one of two");
            return Err(self.error(file.span().start, message));
        }
        let checked = files.iter().map(|file| {
            check_component(&key, file.get_ref()).map_err(|message| self.error(file.span().start, message))?;
            Ok(file.get_ref().clone())
        });
        checked.collect()
    }
}
