//! Secrets as handlers see them: a placeholder, which the way out replaces by the value, so that no handler ever holds
//! one. It is made of letters, digits and `_`, so that it comes through JSON, forms and URLs unchanged.

use super::SecretValues;
use crate::config::SecretForm;
use crate::keyring::Keyring;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ripost_domain::api::Name;
use ripost_domain::grant::SecretName;
use ripost_runtime::{SecretError, Secrets};
use secrecy::{ExposeSecret as _, SecretString};
use std::fmt::Write as _;
use std::sync::Arc;

/// Placeholders that are replaced in one request; a body full of them would grow without end.
const REPLACED_MAX: usize = 64;

/// The secrets that one API may use.
pub(super) struct Placeholders {
    owner: Name,
    granted: Vec<Placeholder>,
    values: Arc<dyn SecretValues>,
}

struct Placeholder {
    name: SecretName,
    text: String,
}

/// `secrets` for the handlers of one API.
pub(super) struct ApiSecrets {
    placeholders: Arc<Placeholders>,
    form: SecretForm,
}

/// How a value is written where it is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    /// As it is.
    Nothing,
    /// `%XX`, in URLs and forms.
    Percent,
    /// `\"`, in JSON.
    Json,
}

/// A placeholder cannot be replaced; each names the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PutInError {
    /// It was set when the handler asked for it.
    #[error("the secret `{0}` is not set any more")]
    Missing(SecretName),
    /// Too often.
    #[error("the request has more than {REPLACED_MAX} placeholders of secrets in it")]
    TooMany,
}

/// The values of one request, as far as they are needed.
pub(super) struct PutIn<'a> {
    placeholders: &'a Placeholders,
    replaced: usize,
    credentials: Vec<Credentials>,
}

/// `Basic` credentials with a value in them, encoded.
pub(super) struct Credentials {
    /// With the value.
    sent: String,
    /// With its placeholder.
    written: String,
}

impl ApiSecrets {
    pub(super) fn new(placeholders: Arc<Placeholders>, form: SecretForm) -> Self {
        Self { placeholders, form }
    }
}

impl Secrets for ApiSecrets {
    fn get(&self, name: &str) -> Result<String, SecretError> {
        let known = |placeholder: &&Placeholder| placeholder.name.as_str() == name;
        let placeholder = self.placeholders.granted.iter().find(known).ok_or(SecretError::NotGranted)?;
        let value = self.placeholders.value(placeholder).ok_or(SecretError::Missing)?;
        Ok(match self.form {
            SecretForm::Placeholder => placeholder.text.clone(),
            SecretForm::Plain => value.expose_secret().to_owned(),
        })
    }
}

impl Placeholders {
    pub(super) fn new(owner: Name, names: &[SecretName], values: Arc<dyn SecretValues>, keyring: &Keyring) -> Self {
        let granted = names.iter().map(|name| Placeholder {
            name: name.clone(),
            text: keyring.secret_placeholder(owner.as_str(), name.as_str()),
        });
        Self { granted: granted.collect(), owner, values }
    }

    /// Begins to put values into one request.
    pub(super) const fn put_in(&self) -> PutIn<'_> {
        PutIn { placeholders: self, replaced: 0, credentials: Vec::new() }
    }

    /// Takes every value out again, however it is escaped, and puts its placeholder back: an endpoint that echoes
    /// must not hand it to the handler. `None`: there is none in it.
    ///
    /// # Errors
    /// It would become longer than this.
    pub(super) fn take_out(
        &self,
        text: &[u8],
        credentials: &[Credentials],
        bytes_max: usize,
    ) -> Result<Option<Vec<u8>>, TooLong> {
        let pair = |one: &Credentials| (one.sent.clone().into_bytes(), one.written.clone());
        let mut needles: Vec<(Vec<u8>, String)> = credentials.iter().map(pair).collect();
        for placeholder in &self.granted {
            let Some(value) = self.value(placeholder) else { continue };
            for escape in [Escape::Nothing, Escape::Percent, Escape::Json] {
                let needle = escape.applied_to(value.expose_secret()).into_bytes();
                if !needle.is_empty() && !needles.iter().any(|(known, _)| *known == needle) {
                    needles.push((needle, placeholder.text.clone()));
                }
            }
        }
        // Of two values of which one begins the other, the longer.
        needles.sort_by_key(|(needle, _)| std::cmp::Reverse(needle.len()));
        replace(text, &needles, bytes_max)
    }

    fn value(&self, placeholder: &Placeholder) -> Option<SecretString> {
        self.values.get(&self.owner, placeholder.name.as_str())
    }
}

/// What it was to become is longer than allowed.
#[derive(Debug)]
pub(super) struct TooLong;

impl PutIn<'_> {
    /// The text with every placeholder replaced; `None`: there is none in it.
    pub(super) fn text(&mut self, text: &[u8], escape: Escape) -> Result<Option<Vec<u8>>, PutInError> {
        let mut found: Option<Vec<u8>> = None;
        for placeholder in &self.placeholders.granted {
            let current = found.as_deref().unwrap_or(text);
            let count = occurrences(current, placeholder.text.as_bytes());
            if count == 0 {
                continue;
            }
            self.replaced += count;
            if self.replaced > REPLACED_MAX {
                return Err(PutInError::TooMany);
            }
            let value = self.placeholders.value(placeholder);
            let value = value.ok_or_else(|| PutInError::Missing(placeholder.name.clone()))?;
            let value = escape.applied_to(value.expose_secret());
            let needles = [(placeholder.text.clone().into_bytes(), value)];
            let replaced = replace(current, &needles, usize::MAX).ok().flatten();
            found = replaced.or(found);
        }
        Ok(found)
    }

    /// The same for the value of a header, and inside of `Basic` credentials.
    pub(super) fn header(&mut self, name: &str, value: &[u8]) -> Result<Option<Vec<u8>>, PutInError> {
        if name == "authorization"
            && let Some((scheme, credentials)) = str::from_utf8(value).ok().and_then(|value| value.split_once(' '))
            && scheme.eq_ignore_ascii_case("basic")
            && let Ok(credentials) = STANDARD.decode(credentials.trim())
        {
            let Some(replaced) = self.text(&credentials, Escape::Nothing)? else { return Ok(None) };
            let sent = STANDARD.encode(replaced);
            self.credentials.push(Credentials { sent: sent.clone(), written: STANDARD.encode(credentials) });
            return Ok(Some(format!("Basic {sent}").into_bytes()));
        }
        self.text(value, Escape::Nothing)
    }

    /// What answers are to be searched for besides the values.
    pub(super) fn into_credentials(self) -> Vec<Credentials> {
        self.credentials
    }

    /// The secret that a text has a placeholder of, for errors.
    pub(super) fn named_in(&self, text: &[u8]) -> Option<&SecretName> {
        let named = self.placeholders.granted.iter().find(|known| occurrences(text, known.text.as_bytes()) > 0);
        named.map(|placeholder| &placeholder.name)
    }
}

impl Escape {
    /// How a body of this content type is to be escaped.
    pub(super) fn of_body(content_type: &str) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-www-form-urlencoded" => Self::Percent,
            json if json.ends_with("/json") || json.ends_with("+json") => Self::Json,
            _ => Self::Nothing,
        }
    }

    fn applied_to(self, value: &str) -> String {
        match self {
            Self::Nothing => value.to_owned(),
            Self::Percent => value.bytes().fold(String::with_capacity(value.len()), |mut text, byte| {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    text.push(char::from(byte));
                } else {
                    write!(text, "%{byte:02X}").expect("writing to a String cannot fail");
                }
                text
            }),
            Self::Json => {
                let quoted = serde_json::Value::from(value).to_string();
                quoted[1..quoted.len() - 1].to_owned()
            }
        }
    }
}

fn occurrences(text: &[u8], needle: &[u8]) -> usize {
    let mut count = 0;
    let mut at = 0;
    // A needle begins with a letter; what cannot begin it is passed over at the speed of memory.
    while let Some(next) = text[at..].iter().position(|byte| *byte == needle[0]) {
        let here = at + next;
        let is_one = text[here..].starts_with(needle);
        count += usize::from(is_one);
        at = here + if is_one { needle.len() } else { 1 };
    }
    count
}

/// In one pass, the first needle of the list that fits. No needle is empty.
fn replace(text: &[u8], needles: &[(Vec<u8>, String)], bytes_max: usize) -> Result<Option<Vec<u8>>, TooLong> {
    let mut begins = [false; 256];
    for (needle, _) in needles {
        begins[usize::from(needle[0])] = true;
    }
    let mut replaced: Option<Vec<u8>> = None;
    let (mut at, mut kept) = (0, 0);
    while at < text.len() {
        let found = begins[usize::from(text[at])]
            .then(|| needles.iter().find(|(needle, _)| text[at..].starts_with(needle)))
            .flatten();
        let Some((needle, replacement)) = found else {
            at += 1;
            continue;
        };
        let out = replaced.get_or_insert_default();
        out.extend_from_slice(&text[kept..at]);
        out.extend_from_slice(replacement.as_bytes());
        if out.len() > bytes_max {
            return Err(TooLong);
        }
        at += needle.len();
        kept = at;
    }
    let Some(mut out) = replaced else { return Ok(None) };
    out.extend_from_slice(&text[kept..]);
    if out.len() > bytes_max { Err(TooLong) } else { Ok(Some(out)) }
}
