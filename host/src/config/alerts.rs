//! Section `[alerts]` of the configuration.

use ripost_domain::signature::Secret;
use serde::{Deserialize, Serialize};
use url::Url;

/// Section `[alerts]`: where the operator is told of deliveries that ended, URLs that were disabled, breakers that opened.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Alerts {
    /// Gets a signed POST for each. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Url>,
    /// Signs them: `whsec_…`. Needed with a URL.
    #[serde(skip_serializing)]
    pub secret: Option<String>,
}

impl Alerts {
    /// Where to, and what they are signed with.
    ///
    /// # Errors
    /// One without the other, or a secret that is none, in words for the operator.
    pub fn target(&self) -> Result<Option<(Url, Secret)>, String> {
        match (&self.url, &self.secret) {
            (None, None) => Ok(None),
            (Some(url), Some(secret)) => {
                let secret = Secret::parse(secret).map_err(|error| format!("alerts.secret: {error}"))?;
                Ok(Some((url.clone(), secret)))
            }
            (Some(_), None) => {
                Err("alerts.url needs alerts.secret (whsec_ and base64 of 24 to 64 bytes): alerts are signed"
                    .to_owned())
            }
            (None, Some(_)) => Err("alerts.secret has no alerts.url to go with it".to_owned()),
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        self.target().map(drop)
    }
}
