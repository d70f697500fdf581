//! `[api.grants]`: what the owner lets a handler reach, and the operator's say in it.

use super::{Above, ManifestError, Reader, raw};
use crate::nearest::nearest;
use ripost_domain::address::PlainHttp;
use ripost_domain::grant::{OutboundRule, SecretName};
use std::sync::Arc;
use toml::Spanned;

/// Methods that are in use, in lower case: those that HTTP registers (RFC 9110 §16.1) and a few that it does not. Another one
/// may be granted too, unless it is nearly one of these.
const METHODS: &[&str] = &[
    "get",
    "head",
    "post",
    "put",
    "patch",
    "delete",
    "options",
    "query",
    "acl",
    "baseline-control",
    "bind",
    "checkin",
    "checkout",
    "copy",
    "label",
    "link",
    "list",
    "lock",
    "m-search",
    "merge",
    "mkactivity",
    "mkcalendar",
    "mkcol",
    "mkredirectref",
    "mkworkspace",
    "move",
    "notify",
    "orderpatch",
    "propfind",
    "proppatch",
    "purge",
    "rebind",
    "report",
    "search",
    "subscribe",
    "unbind",
    "uncheckout",
    "unlink",
    "unlock",
    "unsubscribe",
    "update",
    "updateredirectref",
    "version-control",
];

/// Rules, or secrets, of one API.
pub(super) const LIST_MAX: usize = 64;

/// What one API's handler may reach. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiGrants {
    /// Where it may call.
    pub outbound: Arc<[OutboundRule]>,
    /// Which of the owner's secrets it may use.
    pub secrets: Arc<[SecretName]>,
    /// Whether it may use the owner's store.
    pub kv: bool,
}

impl ApiGrants {
    /// What a handler with these imports would be refused, in words for its owner.
    #[must_use]
    pub fn lacks(&self, imports: &[String]) -> Vec<String> {
        let lack = |import: &String| match import.as_str() {
            "kv" if !self.kv => Some("uses `kv`, needs `grants.kv`".to_owned()),
            "outbound" if self.outbound.is_empty() => Some("uses `outbound`, needs `grants.outbound`".to_owned()),
            "secrets" if self.secrets.is_empty() => Some("uses `secrets`, needs `grants.secrets`".to_owned()),
            _ => None,
        };
        imports.iter().filter_map(lack).collect()
    }
}

impl Reader<'_> {
    pub(super) fn grants(&self, raw: &raw::Grants) -> Result<ApiGrants, ManifestError> {
        let outbound = self.list("grants.outbound", &raw.outbound, |text| self.rule(text))?;
        let secrets = self.list("grants.secrets", &raw.secrets, |text| self.parsed("grants.secrets", text))?;
        Ok(ApiGrants { outbound: outbound.into(), secrets: secrets.into(), kv: raw.kv.unwrap_or(false) })
    }

    fn rule(&self, text: &Spanned<String>) -> Result<OutboundRule, ManifestError> {
        let rule: OutboundRule = self.parsed("grants.outbound", text)?;
        if self.bounds.above == Above::Refuse
            && let Some((method, meant)) = rule.methods().find_map(|method| Some((method, mistyped(method)?)))
        {
            let message = format!(
                "`grants.outbound`: no service is known to have the method `{method}`; did you mean {}? To grant every method, name none",
                meant.to_ascii_uppercase()
            );
            return Err(self.error(text.span().start, message));
        }
        let allowed = rule.is_https()
            || match self.bounds.plain_http {
                PlainHttp::Refused => false,
                PlainHttp::Loopback => rule.is_loopback(),
                PlainHttp::Everywhere => true,
            };
        // Of a revision that was good once, the rule stays and its use is refused.
        if allowed || self.bounds.above == Above::Lower {
            return Ok(rule);
        }
        let dev = if rule.is_loopback() { ", work in development mode (--dev)" } else { "" };
        let message = format!(
            "`grants.outbound`: \"{rule}\" is plain http, which this host does not allow; use https{dev}, or have the operator set outbound.plain_http"
        );
        Err(self.error(text.span().start, message))
    }

    pub(super) fn list<T: PartialEq>(
        &self,
        key: &str,
        texts: &[Spanned<String>],
        parse: impl Fn(&Spanned<String>) -> Result<T, ManifestError>,
    ) -> Result<Vec<T>, ManifestError> {
        let mut list = Vec::with_capacity(texts.len().min(LIST_MAX));
        for text in texts {
            if list.len() == LIST_MAX {
                return Err(
                    self.error(text.span().start, format!("`{key}` has more than {LIST_MAX} entries; leave some out"))
                );
            }
            let entry = parse(text)?;
            if list.contains(&entry) {
                return Err(
                    self.error(text.span().start, format!("`{key}` has \"{}\" twice; remove one", text.get_ref()))
                );
            }
            list.push(entry);
        }
        Ok(list)
    }
}

/// The method that was probably meant.
fn mistyped(method: &str) -> Option<&'static str> {
    let is_known = METHODS.iter().any(|known| known.eq_ignore_ascii_case(method));
    if is_known { None } else { nearest(method, METHODS.iter().copied()) }
}

#[cfg(test)]
mod tests {
    use super::mistyped;

    #[test]
    fn a_slip_of_the_finger_is_told_from_a_method_that_few_services_have() {
        for (written, meant) in [
            ("PSOT", "post"),
            ("GTE", "get"),
            ("DELTE", "delete"),
            ("PATHC", "patch"),
            ("POSTS", "post"),
            ("OPTION", "options"),
        ] {
            assert_eq!(mistyped(written), Some(meant), "{written}");
        }
        for known in ["GET", "PURGE", "LIST", "PROPFIND", "M-SEARCH", "VERSION-CONTROL", "BAN", "X"] {
            assert_eq!(mistyped(known), None, "{known}");
        }
    }
}
