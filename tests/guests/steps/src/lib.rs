//! Does the steps that its body says, and answers what came of each. `{{attempt}}` in an input is the number of the run.

use ripost_sdk::{Context, Failure, Json, OutboundError, OutboundRequest, Step, StepError};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Orders {
    steps: Vec<Order>,
    /// Runs that end with `retry` once all is done.
    #[serde(default)]
    retries: u32,
}

#[derive(Deserialize)]
struct Order {
    /// None: what it says is done outside of any step.
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    input: String,
    /// Begins this one inside.
    #[serde(default)]
    nested: Option<String>,
    #[serde(default)]
    call: Option<Call>,
    /// Commits so much.
    #[serde(default)]
    bytes: usize,
    /// More than one: steps `name-1`, `name-2` and so on.
    #[serde(default)]
    times: Option<usize>,
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    method: Option<String>,
    url: String,
    #[serde(default)]
    body: String,
    /// With the step's key as its `Idempotency-Key`.
    #[serde(default)]
    keyed: bool,
}

/// What a step commits, or what was done outside of one.
#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
struct Value {
    attempt: u32,
    at_ms: u64,
    key: String,
    status: Option<u16>,
    body: String,
    filler: String,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct Outcome {
    value: Option<Value>,
    error: Option<&'static str>,
    text: Option<String>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Report {
    attempt: u32,
    /// The clock outside of the steps, before each and at the end.
    times_ms: Vec<u64>,
    outcomes: Vec<Outcome>,
}

#[ripost_sdk::handler]
fn steps(ctx: &Context, Json(orders): Json<Orders>) -> Result<Json<Report>, Failure> {
    let attempt = ctx.request().attempt;
    let (mut times_ms, mut outcomes) = (Vec::new(), Vec::new());
    for order in &orders.steps {
        times_ms.push(ctx.now_ms());
        for nth in 1..=order.times.unwrap_or(1) {
            let outcome = one(ctx, order, nth)?;
            let failed = outcome.error.is_some();
            outcomes.push(outcome);
            if failed {
                break;
            }
        }
    }
    times_ms.push(ctx.now_ms());
    if attempt <= orders.retries {
        return Err(Failure::retry("again", "Again").after_s(0));
    }
    Ok(Json(Report { attempt, times_ms, outcomes }))
}

fn one(ctx: &Context, order: &Order, nth: usize) -> Result<Outcome, Failure> {
    let Some(name) = &order.name else {
        return Ok(work(ctx, order, None).map_or_else(|(error, text)| refused(error, text), done));
    };
    let name = if order.times.is_some() { format!("{name}-{nth}") } else { name.clone() };
    let input = order.input.replace("{{attempt}}", &ctx.request().attempt.to_string());
    let result = ctx.step_with(&name, &input, |step| {
        if let Some(nested) = &order.nested {
            ctx.step(nested, |_| Ok(()))?;
        }
        work(ctx, order, Some(step))
            .map_err(|(error, text)| Failure::retry(error, "A call has failed").after_s(0).caused_by(text))
    });
    match result {
        Ok(value) => Ok(done(value)),
        Err(StepError::Work(failure)) if order.nested.is_none() => Err(failure),
        Err(error) => {
            let kind = match &error {
                StepError::InputChanged(_) => "input-changed",
                StepError::Misuse(_) => "misuse",
                StepError::Limit(_) => "limit",
                StepError::Unavailable(_) => "unavailable",
                StepError::Value(_) => "value",
                StepError::Work(_) => "work",
            };
            Ok(refused(kind, error.to_string()))
        }
    }
}

/// What was committed may be more than an answer has room for.
fn done(value: Value) -> Outcome {
    Outcome { value: Some(Value { filler: String::new(), ..value }), ..Outcome::default() }
}

fn refused(error: &'static str, text: String) -> Outcome {
    Outcome { error: Some(error), text: Some(text), ..Outcome::default() }
}

/// A step does not keep an answer that asks for another try; what is done outside of one tells of it.
fn work(ctx: &Context, order: &Order, step: Option<&Step>) -> Result<Value, (&'static str, String)> {
    let key = step.map(|step| step.key().to_owned()).unwrap_or_default();
    let filler = "x".repeat(order.bytes);
    let mut value = Value { attempt: ctx.request().attempt, at_ms: ctx.now_ms(), key, filler, ..Value::default() };
    if let Some(call) = &order.call {
        let mut request = OutboundRequest::new(call.method.as_deref().unwrap_or("POST"), &call.url);
        if call.keyed {
            request = request.header("idempotency-key", value.key.as_str());
        }
        request.body = call.body.clone().into_bytes();
        let response = ctx.fetch(request).map_err(|error| (kind(&error), error.to_string()))?;
        if step.is_some() && response.status >= 500 {
            return Err(("service-failed", response.status.to_string()));
        }
        value.status = Some(response.status);
        value.body = String::from_utf8_lossy(&response.body).into_owned();
    }
    Ok(value)
}

fn kind(error: &OutboundError) -> &'static str {
    match error {
        OutboundError::InDoubt(_) => "in-doubt",
        OutboundError::Timeout(_) => "timeout",
        OutboundError::Connection(_) => "connection",
        _ => "not-made",
    }
}

#[cfg(test)]
mod tests {
    use ripost_sdk::{Context, FromRequest, Json, OutboundResponse, testing::request};

    use super::steps;

    #[test]
    fn it_does_what_it_is_told_and_tells_what_came_of_it() {
        let ctx = Context::test().on_fetch(|_| Ok(OutboundResponse::new(201, "made")));
        let orders = r#"{"steps":[{"name":"a","call":{"url":"https://a.example/","keyed":true}},{"name":"b","times":2},
            {"name":"c","nested":"d"}]}"#;
        let Json(report) = steps(&ctx, Json::from_request(request(orders)).unwrap()).unwrap();
        let value = report.outcomes[0].value.as_ref().unwrap();
        assert_eq!((value.key.as_str(), value.status, value.body.as_str()), ("key-of-a", Some(201), "made"));
        assert_eq!((report.outcomes.len(), report.outcomes[3].error), (4, Some("work")));
        assert_eq!(ctx.recorded().steps().len(), 3);
    }
}
