//! One call, in order: identify, route, admit, the gateway's fields, idempotency, transform, schema, price, accept, answer.

use super::absent::absent;
use super::accepted::{REPLAYED, accepted_response, accepted_with, answer_ended, with_preference};
use super::body::Arriving;
use super::depth::depth;
use super::fields::{self, Fields, Own};
use super::idempotency;
use super::limits::{Admitted, Standing};
use super::passed_on::{Sender, passed_on};
use super::prefer::Prefer;
use super::requests::contents_gone;
use super::schema::From;
use super::{Gateway, path, synchronous};
use crate::keyring;
use crate::live::{Ended, Entry};
use crate::plugins::{ActiveApi, DeliveryMode};
use crate::problem::{Kind, Problem};
use crate::runs::Asked;
use crate::telemetry::metrics::Reason;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use ripost_domain::id::RequestId;
use ripost_domain::money::{Amount, Split};
use ripost_domain::time::Timestamp;
use ripost_store::{
    Accept, AcceptError, Accepted, ClaimedRun, Consumer, Idempotency, Lease, RequestInput, StoreError, Wants, failpoint,
};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Where in the path the names stand, and who sent it.
pub(super) struct Target {
    pub(super) owner: Range<usize>,
    pub(super) slug: Range<usize>,
    pub(super) rest: usize,
    pub(super) sender: Sender,
}

/// A call has a name before it is accepted: transforms see it, and draw from it.
#[derive(Clone, Copy)]
pub(super) struct Arrived {
    pub(super) id: RequestId,
    pub(super) at: Timestamp,
    /// The same by the even clock.
    pub(super) steady: Timestamp,
}

/// A call that is to be accepted.
pub(super) struct Call {
    pub(super) arrived: Arrived,
    webhook_url: Option<String>,
    wants: Wants,
    /// What the handler will see.
    pub(super) input: RequestInput,
    /// What was sent, if a transform made something else of it.
    original: Option<RequestInput>,
    traceparent: Option<String>,
    idempotency: Option<Idempotency>,
}

impl Call {
    /// As the store gets it.
    pub(super) fn into_accept(
        self,
        consumer: &Consumer,
        api: &ActiveApi,
        split: Split,
        expires_at: Timestamp,
        lease: Lease,
    ) -> Accept {
        let Self { arrived, webhook_url, wants, input, original, traceparent, idempotency } = self;
        Accept {
            id: arrived.id,
            api: api.name.clone(),
            digest: api.digest,
            consumer: consumer.id,
            created_at: arrived.at,
            expires_at,
            due_at: arrived.steady,
            split,
            webhook_url,
            wants,
            input,
            original,
            traceparent,
            idempotency,
            lease,
        }
    }
}

impl Gateway {
    pub(super) async fn call(
        self: &Arc<Self>,
        request: Request<Incoming>,
        target: Target,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        let (head, body) = request.into_parts();
        let (mut standing, mut arriving) = (Standing::default(), Some(Arriving::new(&head.headers, body)));
        let answered = self.call_limited(head, &mut arriving, target, &mut standing).await;
        match (answered, arriving) {
            (Ok(mut response), _) => {
                standing.write(response.headers_mut());
                Ok(response)
            }
            // Refused unread. A stranger's body is nobody's time.
            (Err(problem), Some(arriving)) if problem.status() != 401 => {
                arriving.linger().await;
                Err(problem)
            }
            (Err(problem), _) => Err(problem),
        }
    }

    async fn call_limited(
        self: &Arc<Self>,
        head: Parts,
        arriving: &mut Option<Arriving>,
        target: Target,
        standing: &mut Standing,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        let consumer = self.identity.identify(&head.headers).await?;
        self.limiter.call(&consumer, standing)?;
        let path = head.uri.path();
        let (owner, slug) = (&path[target.owner], &path[target.slug]);
        // One snapshot for the whole call: a reload never changes a request half way.
        let registry = self.plugins.registry();
        let Some(api) = registry.api(owner, slug).cloned() else {
            return Err(absent(&registry, owner, slug));
        };
        self.access.check(&consumer, &api)?;
        self.limiter.call_of(&consumer, &api, standing)?;
        self.room.check()?;
        path::check(&api, &path[target.rest..], head.uri.query(), From::Consumer)?;
        let arriving = arriving.take().expect("it is read here and nowhere else");
        let original = self.read_within(arriving, self.limits.body).await?;
        let prefer = Prefer::read(&head.headers);
        let key = idempotency::key(&head.headers)?;
        let key = key.map(|key| Idempotency {
            fingerprint: idempotency::fingerprint(
                head.method.as_str(),
                head.uri.path_and_query().map_or(path, http::uri::PathAndQuery::as_str),
                &head.headers,
                &original,
            ),
            key,
        });
        let (fields, body) = fields::take(&head.method, &head.headers, head.uri.query(), original, Own::of(&api))?;
        let at = self.clock.now();
        let arrived = Arrived { id: RequestId::new(at, keyring::random_id()), at, steady: self.clock.steady() };
        if api.spec.delivery == DeliveryMode::Off {
            synchronous::check(&fields)?;
            if key.is_none() {
                let sent = input(&head, &path[target.rest..], body, target.sender);
                let admitted = self.limiter.admit(&consumer, &api, at, standing).await?;
                let (input, original) = self.transform(&consumer, &api, arrived, sent).await?;
                self.check_schema(&api, &input, From::of(original.as_ref())).await?;
                self.check_price(&fields, &api)?;
                let (webhook_url, wants, traceparent) = (None, fields.wants, traceparent(&head.headers));
                let call = Call { arrived, webhook_url, wants, input, original, traceparent, idempotency: None };
                return self.call_directly(&head.method, &consumer, &api, call, admitted).await;
            }
        }
        let wait = match api.spec.delivery {
            DeliveryMode::Webhook => prefer.wait_for(fields.webhook_url.is_some()),
            // With a key, so that the same call again has the same answer, it is durable like any other.
            DeliveryMode::Off => Some(api.limits.wall),
        };
        let _claim = match &key {
            Some(key) => match self.earlier(&consumer, &api, key).await? {
                Earlier::Request(id) => return self.answer_earlier(&head.method, id, &api, prefer, wait).await,
                Earlier::None(claim) => Some(claim),
            },
            None => None,
        };
        self.check_backlog()?;
        let admitted = self.limiter.admit(&consumer, &api, at, standing).await?;
        let webhook_url = match fields.webhook_url.as_deref() {
            Some(text) => Some(self.webhooks.check_url(consumer.id, text).await?.as_str().to_owned()),
            None => None,
        };
        let depth = depth(&head.headers)?;
        let wants = Wants { depth, ..fields.wants };
        let traceparent = traceparent(&head.headers);
        let sent = input(&head, &path[target.rest..], body, target.sender);
        let (input, original) = self.transform(&consumer, &api, arrived, sent).await?;
        self.check_schema(&api, &input, From::of(original.as_ref())).await?;
        self.check_price(&fields, &api)?;
        let call = Call { arrived, webhook_url, wants, input, original, traceparent, idempotency: key };
        let accepted = self.accept(&consumer, &api, call, admitted).await?;
        match accepted {
            New { id, entry, response } => {
                let waited = match wait {
                    Some(wait) => self.wait(&entry, wait).await,
                    None => None,
                };
                drop(entry);
                Ok(match waited {
                    Some(ended) => answer_ended(&head.method, id, ended, prefer),
                    None if api.spec.delivery == DeliveryMode::Off => return Err(synchronous::too_late(Some(id))),
                    None => with_preference(response, prefer, false),
                })
            }
            Before(id) => self.answer_earlier(&head.method, id, &api, prefer, wait).await,
        }
    }

    /// What the handler is to see, and what was sent if that is something else.
    async fn transform(
        &self,
        consumer: &Consumer,
        api: &ActiveApi,
        arrived: Arrived,
        sent: RequestInput,
    ) -> Result<(RequestInput, Option<RequestInput>), Problem> {
        if api.transforms.request.is_empty() {
            return Ok((sent, None));
        }
        let Arrived { id, at, steady } = arrived;
        let until = steady.after(api.spec.expires_in);
        let expires_at = at.after(api.spec.expires_in);
        let asked = Asked { id, consumer: consumer.id, attempt: 1, input: &sent, created_at: at, expires_at, until };
        let seen = self.runs.transform_request(asked, api).await?;
        let original = (seen != sent).then_some(sent);
        if original.is_some() {
            path::check(api, &seen.path, seen.query.as_deref(), From::Transforms)?;
        }
        Ok((seen, original))
    }

    /// The end, if it comes within `wait`. When the host stops, who waits for a run that has not begun has the `202`.
    async fn wait(&self, entry: &Entry, wait: Duration) -> Option<Ended> {
        let stopped_before_the_run = async {
            self.stopping.cancelled().await;
            if entry.has_started() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            ended = entry.ended() => Some(ended),
            () = tokio::time::sleep(wait) => None,
            () = stopped_before_the_run => None,
        }
    }

    /// Sheds before anything is written.
    fn check_backlog(&self) -> Result<(), Problem> {
        let checked = self.runs.check_backlog();
        if checked.is_err() {
            self.metrics.shed.get_or_create(&Reason { reason: "backlog" }).inc();
        }
        checked
    }

    fn check_price(&self, fields: &Fields, api: &ActiveApi) -> Result<(), Problem> {
        match fields.max_price {
            Some(max) if api.spec.price > max => Err(Problem::new(
                Kind::PriceChanged,
                format!("The price is {} USDC, above your max_price_usdc of {max}. Nothing was held.", api.spec.price),
            )
            .with("price_usdc", api.spec.price.to_string())),
            _ => Ok(()),
        }
    }

    /// The request that this idempotency key named before, or the right to accept one.
    async fn earlier(&self, consumer: &Consumer, api: &ActiveApi, key: &Idempotency) -> Result<Earlier, Problem> {
        let Some(claim) = self.keys.claim(consumer.id, &api.name, &key.key) else {
            return Err(Problem::new(
                Kind::RequestInProgress,
                "Another call with this Idempotency-Key is being accepted this moment. Send it again after the time in Retry-After.",
            )
            .retry_after(Duration::from_secs(1)));
        };
        match self.store.idempotent(consumer.id, &api.name, &key.key).await? {
            Some((id, fingerprint)) => same_call(id, fingerprint, key).map(Earlier::Request),
            None => Ok(Earlier::None(claim)),
        }
    }

    /// One transaction: request, hold, idempotency key. From here on a task of `app`'s carries the work.
    async fn accept(
        self: &Arc<Self>,
        consumer: &Consumer,
        api: &Arc<ActiveApi>,
        call: Call,
        admitted: Admitted,
    ) -> Result<AcceptOutcome, Problem> {
        let Arrived { id, at: now, steady } = call.arrived;
        let idempotency = call.idempotency.clone();
        let split = self.fee.split(api.spec.price);
        let slot = self.runs.reserve(&api.owner, call.input.body.len());
        let entry = self.live.enter(id);
        let expires_at = now.after(api.spec.expires_in);
        // Without room in memory only the store gets the input: the sweep reads it from there.
        let claimed = slot.is_some().then(|| ClaimedRun {
            id,
            epoch: 1,
            attempt: 1,
            callback_epoch: 1,
            api: api.name.clone(),
            digest: api.digest,
            consumer: consumer.id,
            created_at: now,
            expires_at,
            deadline: steady.after(api.spec.expires_in),
            split,
            webhook_url: call.webhook_url.clone(),
            wants: call.wants,
            input: call.input.clone(),
            traceparent: call.traceparent.clone(),
        });
        let lease = if slot.is_some() { Lease::ThisProcess } else { Lease::Nobody };
        let accept = call.into_accept(consumer, api, split, expires_at, lease);
        let response = accepted_response(&self.base, &accept);
        // A caller that hangs up drops this future; the commit and what follows from it must not go with it.
        let (this, digest) = (self.clone(), api.digest);
        let kept = entry.clone();
        let committed = self.tasks.spawn(async move {
            let outcome = this.store.accept(accept).await;
            if let Ok(Accepted::New) = outcome {
                failpoint::hit("accept.before_answer");
                this.metrics.accepted.inc();
                admitted.accepted();
                match slot.zip(claimed) {
                    Some((slot, claimed)) => this.runs.start(slot, claimed, kept),
                    None => {
                        this.runs.one_waits();
                        this.runs.wake();
                    }
                }
                // A rollback may have moved what it saw before this was there.
                if this.plugins.is_out_of_service(digest) {
                    let plugins = this.plugins.clone();
                    this.tasks.spawn(async move { plugins.accepted_under(digest).await });
                }
            }
            outcome
        });
        match committed.await {
            Ok(Ok(Accepted::New)) => Ok(New { id, entry, response }),
            Ok(Ok(Accepted::Existing { id, fingerprint })) => match &idempotency {
                Some(key) => same_call(id, fingerprint, key).map(Before),
                None => Err(Problem::new(Kind::Internal, "A call without an idempotency key met an earlier one.")),
            },
            Ok(Err(AcceptError::InsufficientBalance { available, price })) => Err(insufficient(available, price)),
            Ok(Err(AcceptError::Store(error))) => {
                if matches!(error, StoreError::Busy) {
                    self.metrics.shed.get_or_create(&Reason { reason: "writer" }).inc();
                }
                Err(error.into())
            }
            Err(_) => Err(StoreError::Closed.into()),
        }
    }

    /// A call that was made before: the same `202` with the current state, or the answer if the caller waits for one;
    /// and that it is one of a request that was there.
    async fn answer_earlier(
        self: &Arc<Self>,
        method: &Method,
        id: RequestId,
        api: &ActiveApi,
        prefer: Prefer,
        wait: Option<Duration>,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        let mut response = self.earlier_answer(method, id, api, prefer, wait).await?;
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(response)
    }

    async fn earlier_answer(
        self: &Arc<Self>,
        method: &Method,
        id: RequestId,
        api: &ActiveApi,
        prefer: Prefer,
        wait: Option<Duration>,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        let unknown =
            || Problem::new(Kind::UnknownRequest, "The request that this idempotency key named is no longer kept.");
        if let Some(wait) = wait {
            // Entered before the state is read: an end in between is seen.
            let entry = self.live.enter(id);
            let record = self.store.request(id).await?.ok_or_else(unknown)?;
            if !record.state.is_terminal() {
                if let Some(ended) = self.wait(&entry, wait).await {
                    return Ok(answer_ended(method, id, ended, prefer));
                }
            } else if let Some(stored) = self.store.result(id).await? {
                let answer = ripost_store::Answer {
                    status: stored.meta.status,
                    headers: stored.meta.headers,
                    body: stored.body,
                };
                return Ok(answer_ended(method, id, Ended::Answer(answer), prefer));
            } else if let Some(json) = record.problem {
                let status = serde_json::from_slice::<StoredStatus>(&json).map_or(502, |stored| stored.status);
                return Ok(answer_ended(method, id, Ended::Problem { status, json }, prefer));
            } else {
                return Err(contents_gone());
            }
        }
        if api.spec.delivery == DeliveryMode::Off {
            return Err(synchronous::too_late(Some(id)));
        }
        let record = self.store.request(id).await?.ok_or_else(unknown)?;
        let current = self.current(record).await?;
        Ok(with_preference(accepted_with(id, current.body), prefer, false))
    }
}

fn traceparent(headers: &HeaderMap) -> Option<String> {
    headers.get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// The balance does not cover the price.
pub(super) fn insufficient(available: Amount, price: Amount) -> Problem {
    let detail = format!(
        "The price is {price} USDC and {available} USDC are available. Nothing was accepted. Wait until requests that have not ended release what they hold, or ask the operator to credit your balance (`ripost consumers credit`), and send it again."
    );
    Problem::new(Kind::InsufficientBalance, detail)
        .with("price_usdc", price.to_string())
        .with("available_usdc", available.to_string())
}

#[derive(serde::Deserialize)]
struct StoredStatus {
    status: u16,
}

enum Earlier {
    Request(RequestId),
    None(idempotency::Claim),
}

enum AcceptOutcome {
    New { id: RequestId, entry: Arc<Entry>, response: Response<Full<Bytes>> },
    Before(RequestId),
}
use AcceptOutcome::{Before, New};

fn same_call(id: RequestId, fingerprint: [u8; 32], key: &Idempotency) -> Result<RequestId, Problem> {
    if fingerprint == key.fingerprint {
        return Ok(id);
    }
    let detail = "This Idempotency-Key came with another method, path, body or webhook URL before. Use a new key for a new request.";
    Err(Problem::new(Kind::IdempotencyMismatch, detail).with("requestId", id.to_string()))
}

fn input(head: &Parts, rest: &str, body: Bytes, sender: Sender) -> RequestInput {
    RequestInput {
        method: head.method.as_str().to_owned(),
        path: rest.to_owned(),
        query: head.uri.query().map(str::to_owned),
        headers: passed_on(&head.headers, sender),
        body,
        attributes: Vec::new(),
    }
}
