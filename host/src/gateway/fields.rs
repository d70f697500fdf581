//! The gateway's own fields: read and cut out of a JSON body, or taken from headers for any other body. Where they stand
//! elsewhere, or are spelt otherwise, the call is refused: it would be charged, and its caller would wait for nothing.

mod elsewhere;
mod members;
mod names;

pub(crate) use self::names::Name;

use self::elsewhere::Place;
use self::members::Found;
use super::json_body::{self, Because, NotJson};
use crate::plugins::{ActiveApi, NearMiss};
use crate::problem::{Kind, Problem};
use crate::schema::{self, Schema};
use bytes::Bytes;
use http::{HeaderMap, Method};
use ripost_domain::money::Amount;
use ripost_domain::units::parse_duration;
use ripost_store::Wants;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::time::Duration;

/// What a caller tells the gateway rather than the owner.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Where the result goes; not yet checked.
    pub webhook_url: Option<String>,
    /// Which webhooks, and for how long; how deep is not among the fields.
    pub wants: Wants,
    /// The most that the call may cost.
    pub max_price: Option<Amount>,
}

/// Which names that are nearly the gateway's are an API's own.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    near_miss: NearMiss,
    schema: Option<&'a Schema>,
}

impl<'a> Own<'a> {
    /// As the API has it.
    #[must_use]
    pub fn of(api: &'a ActiveApi) -> Self {
        Self { near_miss: api.spec.near_miss, schema: api.schema.as_deref() }
    }

    fn has(self, name: &str) -> bool {
        self.near_miss == NearMiss::Allow || self.schema.is_some_and(|schema| schema.names(name))
    }
}

/// The fields, and the body as the owner will see it: without them, the rest byte-identical.
///
/// # Errors
/// A body that is not the JSON that it claims to be; a field of the wrong kind, given twice, where it is not read, or
/// under a name that is nearly its own.
pub fn take(
    method: &Method,
    headers: &HeaderMap,
    query: Option<&str>,
    body: Bytes,
    own: Own<'_>,
) -> Result<(Fields, Bytes), Problem> {
    let mut raw = RawFields {
        webhook_url: header(headers, "ripost-webhook-url")?.map(Field::text),
        webhook_events: header(headers, "ripost-webhook-events")?.map(Field::list),
        max_price: header(headers, "ripost-max-price")?.map(Field::text),
    };
    let in_query = query.map(|query| elsewhere::in_form(query.as_bytes())).unwrap_or_default();
    Place::Query.refuse_ours(&in_query)?;
    // Of two types we would read the one and the owner the other.
    let content_type = header(headers, "content-type")?;
    // Many clients name a type with every call, also with those that have nothing to send.
    let has_none = body.is_empty() && schema::may_lack_a_body(method.as_str());
    let body = if has_none {
        body
    } else if content_type.is_some_and(is_json) {
        raw.cut_from(headers, body, own)?
    } else {
        for (found, place) in elsewhere::in_body(content_type.unwrap_or_default(), &body) {
            place.refuse_ours(&found)?;
            raw.refuse_near(&found.near, place, own)?;
        }
        body
    };
    // Only now is known what the body has.
    raw.refuse_near(&in_query.near, Place::Query, own)?;
    let mut fields = raw.parse()?;
    fields.wants.retry_max_age = header(headers, "ripost-retry-max-age")?.map(max_age).transpose()?;
    Ok((fields, body))
}

/// Seconds, or a duration such as `2 h`.
fn max_age(text: &str) -> Result<Duration, Problem> {
    let age = text.parse().map(Duration::from_secs).ok().or_else(|| parse_duration(text).ok());
    age.filter(|age| MAX_AGE.contains(age)).ok_or_else(|| {
        let detail = "Ripost-Retry-Max-Age is between 1 s and 7 d: whole seconds, or a duration such as \"2 h\".";
        Problem::new(Kind::InvalidValue, detail)
    })
}

/// How long a webhook may be asked to be tried.
const MAX_AGE: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);

/// Whether a content type is JSON (`application/json` or `…+json`).
pub(crate) fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
        || kind.get(kind.len().saturating_sub(5)..).is_some_and(|end| end.eq_ignore_ascii_case("+json"))
}

fn header<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::new(Kind::DuplicateField, format!("Send the header {name} once.")));
    }
    let text = value
        .to_str()
        .map_err(|_| Problem::new(Kind::InvalidHeader, format!("The header {name} is not plain ASCII.")))?;
    Ok(Some(text.trim()))
}

/// A field's value as JSON, wherever it came from.
struct Field(Cow<'static, str>);

impl Field {
    fn text(text: &str) -> Self {
        Self(serde_json::Value::from(text).to_string().into())
    }

    fn list(text: &str) -> Self {
        let names: Vec<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        Self(serde_json::Value::from(names).to_string().into())
    }
}

struct RawFields {
    webhook_url: Option<Field>,
    webhook_events: Option<Field>,
    max_price: Option<Field>,
}

impl RawFields {
    fn slot(&mut self, name: Name) -> &mut Option<Field> {
        match name {
            Name::WebhookUrl => &mut self.webhook_url,
            Name::WebhookEvents => &mut self.webhook_events,
            Name::MaxPrice => &mut self.max_price,
        }
    }

    /// Finds the fields at the top level of a JSON object and returns the body without them.
    fn cut_from(&mut self, headers: &HeaderMap, body: Bytes, own: Own<'_>) -> Result<Bytes, Problem> {
        let invalid = |error: serde_json::Error| NotJson::from(&error).problem(Because::OfItsType);
        let text = json_body::text(headers, &body).map_err(|wrong| wrong.problem(Because::OfItsType))?;
        if !text.trim_start().starts_with('{') {
            // Any other JSON value is the owner's alone.
            serde_json::from_str::<&RawValue>(text).map_err(invalid)?;
            return Ok(body);
        }
        let mut found = Found::default();
        found.walk(text).map_err(invalid)?;
        for member in &found.ours {
            let slot = self.slot(member.name);
            if slot.is_some() {
                return Err(Problem::new(
                    Kind::DuplicateField,
                    format!("Give {} once: in the body or in a header.", member.name.field()),
                ));
            }
            *slot = Some(Field(text[member.value.clone()].to_owned().into()));
        }
        self.refuse_near(&found.near, Place::Body, own)?;
        Ok(found.cut_from(body))
    }

    /// Beside the field itself, a name that is nearly its own is the owner's.
    fn refuse_near(&mut self, near: &[(Name, String)], place: Place, own: Own<'_>) -> Result<(), Problem> {
        let missing = near.iter().find(|(name, text)| self.slot(*name).is_none() && !own.has(text));
        missing.map_or(Ok(()), |(name, text)| Err(place.refusal_of_near(*name, text)))
    }

    fn parse(self) -> Result<Fields, Problem> {
        let webhook_url = self
            .webhook_url
            .map(|field| {
                serde_json::from_str::<String>(&field.0).map_err(|_| {
                    Problem::new(
                        Kind::WebhookUrlInvalid,
                        "webhook_url must be a string with an http(s) URL, such as \"https://your-app.com/hook\".",
                    )
                })
            })
            .transpose()?;
        let mut wants = Wants::default();
        if let Some(field) = self.webhook_events {
            if webhook_url.is_none() {
                let detail = "webhook_events is given and webhook_url is not, so no webhook would be sent: add webhook_url, or leave webhook_events out.";
                return Err(Problem::new(Kind::WebhookEventsUnsupported, detail));
            }
            let events: Vec<String> = serde_json::from_str(&field.0).map_err(|_| {
                Problem::new(
                    Kind::WebhookEventsUnsupported,
                    "webhook_events must be a list of names, such as [\"completed\"].",
                )
            })?;
            wants = wanted(&events)?;
        }
        let max_price = self
            .max_price
            .map(|field| {
                serde_json::from_str::<String>(&field.0).ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
                    Problem::new(
                        Kind::InvalidValue,
                        "max_price_usdc must be a string with at most six decimals, such as \"0.050000\".",
                    )
                })
            })
            .transpose()?;
        Ok(Fields { webhook_url, wants, max_price })
    }
}

/// # Errors
/// None at all, or one that there is not.
fn wanted(events: &[String]) -> Result<Wants, Problem> {
    let mut wants = Wants { completed: false, ..Wants::default() };
    for event in events {
        match event.as_str() {
            "started" => wants.started = true,
            "progress" => wants.progress = true,
            "completed" => wants.completed = true,
            other => {
                let detail = format!(
                    "Unknown webhook event `{other}`. Events are \"started\", \"progress\" and \"completed\", which is sent however the request ends."
                );
                return Err(Problem::new(Kind::WebhookEventsUnsupported, detail));
            }
        }
    }
    if events.is_empty() {
        let detail =
            "webhook_events is empty: leave it out for [\"completed\"], or leave webhook_url out for no webhook.";
        return Err(Problem::new(Kind::WebhookEventsUnsupported, detail));
    }
    Ok(wants)
}

#[cfg(test)]
mod tests;
