//! What consumers, owners and operators do with webhooks that were made: read them, their logs and receipts; send them
//! again.

use super::shown::{DeliveryShown, Reader, shown};
use super::{Disabled, News, Sender, endpoint_of, lane_of};
use crate::egress::EgressClient;
use crate::gateway::listing::time_of;
use crate::keyring::{self, Keyring};
use crate::plugins::Plugins;
use crate::problem::{Kind, Problem};
use ripost_domain::address::{UrlPolicy, UrlRefused, WebhookUrl};
use ripost_domain::api::ApiName;
use ripost_domain::delivery::{LaneId, State};
use ripost_domain::id::{ConsumerId, DeliveryId, RequestId};
use ripost_domain::signature::SigningKey;
use ripost_domain::time::{Clock, Timestamp};
use ripost_store::{Redeliver, Redelivered, Store, Tries, Undelivered, UndeliveredEntry, UndeliveredFilter, Which};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;

/// For a look-up of a webhook's host when it is named; what is slower is found out when it is sent to.
const LOOKUP_BUDGET: Duration = Duration::from_millis(200);
/// Deliveries that one call sends again, unless it asks for fewer.
const REDELIVER_MAX: u32 = 1000;
/// Entries of a page.
const PAGE_DEFAULT: u32 = 100;
const PAGE_MAX: u32 = 1000;
/// Payload bytes of a page: what is larger is linked.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// The parts.
pub struct Webhooks {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// Who sends.
    pub sender: Arc<Sender>,
    /// Looks hosts up.
    pub egress: Arc<EgressClient>,
    /// Which URLs may be webhook URLs.
    pub url_policy: UrlPolicy,
    /// URLs that want no more.
    pub disabled: Arc<Disabled>,
    /// Who waits for what becomes undelivered.
    pub news: Arc<News>,
    /// Salts and the gateway's own key.
    pub keyring: Arc<Keyring>,
    /// The gateway's own key.
    pub signing_key: Arc<SigningKey>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whose transforms make what could not be made before.
    pub plugins: Arc<Plugins>,
    /// What links begin with.
    pub base: Arc<str>,
}

/// An entry of the feed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventShown {
    cursor: String,
    request_id: RequestId,
    api: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer: Option<String>,
    delivery: DeliveryShown,
    /// The JSON that is sent; null if it is too large for this page: then it is at `payload_url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Option<Box<RawValue>>>,
    #[serde(rename = "payload_url", skip_serializing_if = "Option::is_none")]
    payload_url: Option<String>,
}

/// A page of the feed.
#[derive(Debug, Serialize)]
pub struct EventsShown {
    events: Vec<EventShown>,
    next: String,
    more: bool,
}

impl EventsShown {
    /// Whether there is nothing on it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

/// Which deliveries, and where to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedeliverMany {
    /// Only this one.
    pub id: Option<DeliveryId>,
    /// Of this consumer, by name; the operator's only.
    pub consumer: Option<String>,
    /// In this state: `exhausted` (default), `abandoned` or `pending`.
    pub state: Option<String>,
    /// Of this event.
    pub event: Option<String>,
    /// Of this API: `owner/slug`.
    pub api: Option<String>,
    /// Accepted from then on.
    pub since: Option<Timestamp>,
    /// Accepted before then.
    pub until: Option<Timestamp>,
    /// To this URL instead.
    pub url: Option<String>,
    /// At most so many, 1000 unless said.
    pub limit: Option<u32>,
}

/// How many.
#[derive(Debug, Serialize, Deserialize)]
pub struct RedeliveredMany {
    /// So many are due now.
    pub redelivered: u32,
    /// So many could not be made, by the transforms of their API.
    #[serde(default)]
    pub not_made: u32,
    /// Whether there are more that fit.
    pub more: bool,
}

/// What is to be sent again, and where to.
struct Again<'a> {
    which: Which,
    request: RequestId,
    event: &'a str,
    consumer: ConsumerId,
    to: Option<(String, LaneId)>,
    /// Of a copy.
    tries: Tries,
}

fn invalid_filter(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::InvalidFilter, detail)
}

fn state_of(text: &str) -> Result<State, Problem> {
    match State::from_name(text) {
        Some(state @ (State::Pending | State::InFlight | State::Exhausted | State::Abandoned)) => Ok(state),
        _ => Err(invalid_filter(
            "state can be pending, in_flight, exhausted or abandoned: what is delivered is not listed here.",
        )),
    }
}

fn event_of(text: &str) -> Result<String, Problem> {
    match text {
        "started" | "completed" => Ok(text.to_owned()),
        _ => Err(invalid_filter(
            "event is `started` or `completed`: the second is the end, however it came, and progress is not kept.",
        )),
    }
}

fn api_of(text: &str) -> Result<ApiName, Problem> {
    text.parse().map_err(|_| invalid_filter("api is written as owner/slug."))
}

fn cursor_of(text: &str) -> Result<u64, Problem> {
    let number = text.strip_prefix("evt_").unwrap_or("x").parse();
    number.map_err(|_| {
        Problem::new(
            Kind::InvalidCursor,
            "Send `next` of the page before as `after`, or nothing to begin at the beginning.",
        )
    })
}

fn cursor(seq: u64) -> String {
    format!("evt_{seq}")
}

/// What a query asks for. `consumer` is left to the caller.
///
/// # Errors
/// An unknown key, or a value that is none of its kind.
pub fn filter(query: Option<&str>) -> Result<(UndeliveredFilter, Option<String>), Problem> {
    let mut filter = UndeliveredFilter { limit: PAGE_DEFAULT, ..UndeliveredFilter::default() };
    let mut consumer = None;
    for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let time = || time_of(&key, &value);
        match &*key {
            "after" => filter.after = cursor_of(&value)?,
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
                filter.limit = limit.ok_or_else(|| invalid_filter(format!("limit is between 1 and {PAGE_MAX}.")))?;
            }
            "state" => filter.state = Some(state_of(&value)?),
            "event" => filter.event = Some(event_of(&value)?),
            "api" => filter.api = Some(api_of(&value)?),
            "since" => filter.since = Some(time()?),
            "until" => filter.until = Some(time()?),
            "consumer" => consumer = Some(value.into_owned()),
            _ => {
                let detail =
                    format!("`{key}` is no filter: there are after, limit, state, event, api, since and until.");
                return Err(invalid_filter(detail));
            }
        }
    }
    Ok((filter, consumer))
}

impl Webhooks {
    /// URL rules, literals and a short look-up; what is only unknown is accepted and shows as a delivery failure.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub async fn check_url(&self, consumer: ConsumerId, text: &str) -> Result<WebhookUrl, Problem> {
        let url = WebhookUrl::parse(text, &self.url_policy).map_err(|refused| {
            let kind = match refused {
                UrlRefused::Address(_) => Kind::WebhookUrlForbidden,
                _ => Kind::WebhookUrlInvalid,
            };
            Problem::new(kind, format!("webhook_url: {refused}.")).with("rule", refused.rule())
        })?;
        if self.disabled.has(consumer, url.as_str()) {
            let detail = "This URL's endpoint said that it wants no more deliveries (410, or webhook-delivery: disable). Enable it again with DELETE /consumer/disabled-urls?url=…, or use another.";
            return Err(Problem::new(Kind::WebhookUrlDisabled, detail));
        }
        self.egress.lookup_at_accept(&url, LOOKUP_BUDGET).await.map_err(|refused| {
            tracing::info!(reason = %refused, "A webhook URL was refused");
            Problem::new(
                Kind::WebhookUrlForbidden,
                "The host of webhook_url resolves to an address that webhooks may not go to. Use a public host.",
            )
        })?;
        Ok(url)
    }

    /// All deliveries of a request with their attempts.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn logs(&self, request: RequestId, reader: Reader) -> Result<Vec<DeliveryShown>, Problem> {
        let logs = self.store.deliveries(request).await?;
        Ok(logs
            .into_iter()
            .map(|log| {
                let mut shown = shown(&self.keyring, log.delivery, Some(log.attempts), reader);
                shown.unmade = log.unmade.filter(|_| reader != Reader::Consumer).map(|unmade| unmade.reason);
                shown
            })
            .collect())
    }

    /// A page of what is undelivered; for a consumer with the payloads.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn page(&self, filter: UndeliveredFilter, reader: Reader) -> Result<EventsShown, Problem> {
        let Undelivered { entries, next, more } = self.store.undelivered(filter).await?;
        let mut events = Vec::with_capacity(entries.len());
        let mut bytes = 0;
        for entry in entries {
            events.push(self.event(entry, reader, &mut bytes).await?);
        }
        Ok(EventsShown { events, next: cursor(next), more })
    }

    async fn event(&self, entry: UndeliveredEntry, reader: Reader, bytes: &mut usize) -> Result<EventShown, Problem> {
        let UndeliveredEntry { seq, request, consumer, api, delivery } = entry;
        let (mut payload, mut payload_url) = (None, None);
        if reader == Reader::Consumer {
            let stored = self.store.payload(request, &delivery.event).await?;
            let made = stored.is_some();
            let raw = stored.filter(|stored| *bytes + stored.body.len() <= PAGE_BYTES_MAX).and_then(|stored| {
                *bytes += stored.body.len();
                serde_json::from_slice(&stored.body).ok()
            });
            if made && raw.is_none() {
                payload_url = Some(format!("{}/requests/{request}/webhooks/{}", self.base, delivery.event));
            }
            payload = Some(raw);
        }
        let consumer = match reader {
            Reader::Operator => {
                Some(self.store.consumer(consumer).await?.map_or_else(|| consumer.to_string(), |found| found.name))
            }
            Reader::Owner => Some(self.keyring.opaque_consumer(api.owner.as_str(), consumer)),
            Reader::Consumer => None,
        };
        let delivery = shown(&self.keyring, delivery, None, reader);
        Ok(EventShown {
            cursor: cursor(seq),
            request_id: request,
            api: api.to_string(),
            consumer,
            delivery,
            payload,
            payload_url,
        })
    }

    /// Sends one delivery again. What was delivered stays so, and a copy of it is sent.
    ///
    /// # Errors
    /// There is none for that event, or it is under way.
    pub async fn redeliver(
        &self,
        request: RequestId,
        event: &str,
        consumer: ConsumerId,
        url: Option<&str>,
        tries: Tries,
        reader: Reader,
    ) -> Result<DeliveryShown, Problem> {
        let to = match url {
            Some(text) => {
                let url = self.check_url(consumer, text).await?;
                Some((url.as_str().to_owned(), lane_of(consumer, url.as_str())))
            }
            None => None,
        };
        let which = Which::Event(request, event.to_owned());
        match self.again(Again { which, request, event, consumer, to, tries }).await? {
            Redelivered::Due(delivery) => Ok(shown(&self.keyring, delivery, None, reader)),
            Redelivered::Forgotten(_) => Err(Problem::new(
                Kind::ContentsGone,
                "The webhook's bytes are no longer kept, so it cannot be sent again. What is kept for how long is the operator's setting `retention.results`.",
            )),
            Redelivered::Unmade(_) => Err(Problem::new(
                Kind::PayloadUnmade,
                "It was being made this moment. Look at the request again in a few seconds.",
            )
            .retry_after(Duration::from_secs(1))),
            Redelivered::Unknown => {
                let hint = if matches!(event, "failed" | "cancelled" | "expired") {
                    " The webhook of a request that has ended is `completed` here, however it ended."
                } else {
                    ""
                };
                Err(Problem::new(
                    Kind::NotFound,
                    format!(
                        "This request has no webhook `{event}` to send again: none was asked for, or not yet made.{hint}"
                    ),
                ))
            }
            Redelivered::UnderWay(delivery) => {
                let detail = "An attempt is under way or due this moment. Look at the request again in a few seconds.";
                Err(Problem::new(Kind::DeliveryInFlight, detail)
                    .with("state", delivery.state.as_str())
                    .with("attempts", delivery.attempts)
                    .retry_after(Duration::from_secs(5)))
            }
        }
    }

    async fn again(&self, again: Again<'_>) -> Result<Redelivered, Problem> {
        let Again { which, request, event, consumer, to, tries } = again;
        let at = self.clock.steady();
        let give_up_at = self.sender.retry(None, at, None).give_up_at;
        let copy = DeliveryId::new(self.clock.now(), keyring::random_id());
        let redeliver = Redeliver { which, to, at, give_up_at, copy, tries };
        let mut redelivered = self.store.redeliver(redeliver.clone()).await?;
        if let Redelivered::Unmade(_) = redelivered
            && let Some(unmade) = self.store.unmade(request, event).await?
        {
            self.make(unmade).await?;
            redelivered = self.store.redeliver(redeliver).await?;
        }
        if let Redelivered::Due(delivery) = &redelivered {
            self.sender.ask(lane_of(consumer, &delivery.url));
        }
        Ok(redelivered)
    }

    /// Sends again all that fit; `consumer` bounds it to one.
    ///
    /// # Errors
    /// A filter that is none, or a URL that may not be sent to; nothing is sent then.
    pub async fn redeliver_many(
        &self,
        asked: RedeliverMany,
        consumer: Option<ConsumerId>,
    ) -> Result<RedeliveredMany, Problem> {
        let limit = asked.limit.unwrap_or(REDELIVER_MAX);
        if !(1..=REDELIVER_MAX).contains(&limit) {
            return Err(invalid_filter(format!("limit is between 1 and {REDELIVER_MAX}.")));
        }
        let state = match asked.state.as_deref() {
            Some(text) => state_of(text)?,
            None => State::Exhausted,
        };
        let any_state = asked.id.is_some() && asked.state.is_none();
        let mut filter = UndeliveredFilter {
            consumer,
            owner: None,
            after: 0,
            state: (!any_state).then_some(state),
            event: asked.event.as_deref().map(event_of).transpose()?,
            api: asked.api.as_deref().map(api_of).transpose()?,
            since: asked.since,
            until: asked.until,
            limit: PAGE_MAX,
        };
        if let (Some(url), None) = (&asked.url, consumer) {
            // Of several consumers: the rules of the URL are the same for all of them.
            self.check_url(ConsumerId::from_bytes([0; 16]), url).await?;
        }
        let (mut redelivered, mut not_made, mut more) = (0, 0, true);
        while more && redelivered < limit {
            let page = self.store.undelivered(filter.clone()).await?;
            (filter.after, more) = (page.next, page.more);
            for entry in page.entries {
                if asked.id.is_some_and(|id| id != entry.delivery.id) {
                    continue;
                }
                if redelivered == limit {
                    more = true;
                    break;
                }
                let to = match &asked.url {
                    Some(text) => {
                        let url = self.check_url(entry.consumer, text).await?;
                        Some((url.as_str().to_owned(), lane_of(entry.consumer, url.as_str())))
                    }
                    None => None,
                };
                let again = Again {
                    which: Which::Delivery(entry.delivery.id),
                    request: entry.request,
                    event: &entry.delivery.event,
                    consumer: entry.consumer,
                    to,
                    tries: Tries::Once,
                };
                match self.again(again).await {
                    Ok(Redelivered::Due(_)) => redelivered += 1,
                    Ok(_) => {}
                    // One that still cannot be made keeps nobody else from being sent.
                    Err(problem) if problem.is(Kind::PayloadUnmade) => not_made += 1,
                    Err(problem) => return Err(problem),
                }
            }
        }
        if let (Some(id), 0, 0) = (asked.id, redelivered, not_made) {
            return Err(Problem::new(
                Kind::NotFound,
                format!(
                    "No webhook {id} is to be sent again: there is none, it was delivered, an attempt is under way, or the other filters leave it out. What was delivered is sent again with POST /requests/{{id}}/redeliver."
                ),
            ));
        }
        Ok(RedeliveredMany { redelivered, not_made, more })
    }

    /// Lets a URL get deliveries again.
    ///
    /// # Errors
    /// It was not disabled.
    pub async fn enable(&self, consumer: ConsumerId, url: &str) -> Result<(), Problem> {
        if !self.store.enable_url(consumer, url).await? {
            return Err(Problem::new(
                Kind::NotFound,
                "This URL is not disabled. It has to be written exactly as it was.",
            ));
        }
        self.disabled.remove(consumer, url);
        tracing::info!(consumer.id = %consumer, endpoint = endpoint_of(url), "A webhook URL was enabled again");
        Ok(())
    }
}
