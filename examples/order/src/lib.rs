//! Takes an order: reserves the goods, charges for them, ships them. Each is a durable step, so that a crash of the
//! gateway, or a service that does not answer now, leads to another run that goes on where this one was.

use ripost_sdk::{Context, Failure, Json, OutboundError, OutboundRequest, OutboundResponse, Step};
use serde::{Deserialize, Serialize};

#[derive(Clone, Deserialize, Serialize)]
struct Order {
    item: String,
    quantity: u32,
    amount_cents: u64,
}

/// What the services answer: the id of what they have made.
#[derive(Debug, Deserialize, Serialize)]
struct Made {
    id: String,
}

/// What came of charging. Declined is an outcome of the step and not its failure: it is committed, and no later run tries
/// again.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Payment {
    Charged(Made),
    Declined,
}

#[derive(Debug, PartialEq, Serialize)]
struct Confirmation {
    reservation: String,
    charge: String,
    shipment: String,
}

#[ripost_sdk::handler]
fn order(ctx: &Context, Json(order): Json<Order>) -> Result<Json<Confirmation>, Failure> {
    if order.quantity == 0 {
        return Err(Failure::invalid("nothing-ordered", "Nothing is ordered").detail("`quantity` is 0"));
    }
    let services = Services::of(ctx)?;
    let reservation: Made = ctx.step_with("reserve", &order, |step| services.make("reservations", step, &order))?;
    ctx.progress(30, "reserved");
    let payment = ctx.step_with("charge", &order.amount_cents, |step| services.charge(step, order.amount_cents))?;
    let Payment::Charged(charge) = payment else {
        let _: Made = ctx.step_with("release", &reservation, |step| services.make("releases", step, &reservation))?;
        return Err(Failure::invalid("payment-declined", "The payment was declined").status(402));
    };
    ctx.progress(60, "charged");
    let parcel = (&reservation, &charge);
    let shipment: Made = ctx.step_with("ship", &parcel, |step| services.make("shipments", step, &parcel))?;
    Ok(Json(Confirmation { reservation: reservation.id, charge: charge.id, shipment: shipment.id }))
}

/// The shop's services, which know what they were asked before by its `Idempotency-Key`.
struct Services<'a> {
    ctx: &'a Context,
    base: String,
}

impl<'a> Services<'a> {
    fn of(ctx: &'a Context) -> Result<Self, Failure> {
        let base = ctx.config("services");
        let base = base.ok_or_else(|| Failure::failed("not-configured", "The API is not configured"))?;
        Ok(Self { ctx, base })
    }

    fn post(&self, kind: &str, step: &Step, body: &impl Serialize) -> Result<OutboundResponse, Failure> {
        let request = OutboundRequest::post(format!("{}/{kind}", self.base));
        let request = request.header("idempotency-key", step.key()).json(body);
        self.ctx.fetch(request).map_err(|error| match error {
            // Whether it has happened or not: with the same key it may be sent again.
            OutboundError::InDoubt(text) => {
                Failure::retry("service-in-doubt", "A service of the shop did not say what it did").caused_by(text)
            }
            error => error.into(),
        })
    }

    fn make(&self, kind: &str, step: &Step, body: &impl Serialize) -> Result<Made, Failure> {
        self.post(kind, step, body)?.success()?.json()
    }

    fn charge(&self, step: &Step, amount_cents: u64) -> Result<Payment, Failure> {
        let answer = self.post("charges", step, &amount_cents)?;
        match answer.status {
            402 => Ok(Payment::Declined),
            _ => Ok(Payment::Charged(answer.success()?.json()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use ripost_sdk::{Context, Failure, Json, OutboundError, OutboundRequest, OutboundResponse, Verdict};
    use serde_json::json;

    use super::{Confirmation, Order, order};

    fn ordered(ctx: &Context) -> Result<Confirmation, Failure> {
        let order_of = Order { item: "anvil".to_owned(), quantity: 2, amount_cents: 9_800 };
        order(ctx, Json(order_of)).map(|Json(confirmation)| confirmation)
    }

    fn shop(answer: impl Fn(&str) -> Result<OutboundResponse, OutboundError> + 'static) -> Context {
        let name = |request: &OutboundRequest| request.url.rsplit('/').next().unwrap().to_owned();
        Context::test()
            .with_config("services", "https://services.example.com")
            .on_fetch(move |request| answer(&name(request)))
    }

    fn made(kind: &str) -> Result<OutboundResponse, OutboundError> {
        Ok(OutboundResponse::new(201, json!({ "id": format!("{kind}-1") }).to_string()))
    }

    /// What was called, with which key.
    fn called(ctx: &Context) -> Vec<(String, String)> {
        let fetches = ctx.recorded().fetches().into_iter();
        let key = |request: &OutboundRequest| request.headers.get("idempotency-key").unwrap().to_owned();
        fetches.map(|request| (request.url.rsplit('/').next().unwrap().to_owned(), key(&request))).collect()
    }

    fn calls(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(kind, step)| ((*kind).to_owned(), format!("key-of-{step}"))).collect()
    }

    #[test]
    fn an_order_is_reserved_charged_and_shipped_each_with_its_own_key() {
        let ctx = shop(made);
        let confirmation = ordered(&ctx).unwrap();
        assert_eq!(confirmation.shipment, "shipments-1");
        let once = calls(&[("reservations", "reserve"), ("charges", "charge"), ("shipments", "ship")]);
        assert_eq!(called(&ctx), once);
        ctx.recorded().run_again();
        assert_eq!((ordered(&ctx).unwrap(), called(&ctx)), (confirmation, once), "another run does nothing again");
    }

    #[test]
    fn a_service_that_does_not_answer_now_leads_to_another_run_that_goes_on_there() {
        let tries = std::cell::Cell::new(0);
        let ctx = shop(move |kind| {
            tries.set(tries.get() + 1);
            match tries.get() {
                2 => Ok(OutboundResponse::new(503, "")),
                3 => Err(OutboundError::InDoubt("no answer".to_owned())),
                _ => made(kind),
            }
        });
        for _ in 0..2 {
            assert_eq!(ordered(&ctx).unwrap_err().verdict(), Verdict::Retry { after_s: None });
            ctx.recorded().run_again();
        }
        ordered(&ctx).unwrap();
        let charge = ("charges", "charge");
        assert_eq!(called(&ctx), calls(&[("reservations", "reserve"), charge, charge, charge, ("shipments", "ship")]));
    }

    #[test]
    fn of_a_payment_that_was_declined_the_reservation_is_released() {
        let ctx = shop(|kind| if kind == "charges" { Ok(OutboundResponse::new(402, "")) } else { made(kind) });
        for _ in 0..2 {
            let failure = ordered(&ctx).unwrap_err();
            assert_eq!((failure.verdict(), failure.problem().kind.as_str()), (Verdict::Invalid, "payment-declined"));
            ctx.recorded().run_again();
        }
        assert_eq!(called(&ctx).len(), 3, "once, and nothing is shipped");
    }

    #[test]
    fn what_an_earlier_run_has_done_is_not_done_again() {
        let ctx = shop(made)
            .with_step("reserve", &json!({ "id": "r" }))
            .with_step("charge", &json!({ "charged": { "id": "c" } }));
        let confirmation = ordered(&ctx).unwrap();
        assert_eq!((confirmation.reservation.as_str(), confirmation.charge.as_str()), ("r", "c"));
        assert_eq!(called(&ctx), calls(&[("shipments", "ship")]));
    }

    #[test]
    fn an_order_of_nothing_calls_nobody() {
        let ctx = shop(made);
        let nothing = Order { item: "anvil".to_owned(), quantity: 0, amount_cents: 0 };
        assert_eq!(order(&ctx, Json(nothing)).unwrap_err().verdict(), Verdict::Invalid);
        assert!(called(&ctx).is_empty());
    }
}
