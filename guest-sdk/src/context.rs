//! What a handler may ask of the host while it runs.

use std::{fmt::Display, sync::Arc};

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::guest::Host;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::Recorder as Host;
use crate::{
    Failure, Head, Kv, Level, OutboundError, OutboundRequest, OutboundResponse, SecretError, Step, StepError, step,
};
use serde::{Serialize, de::DeserializeOwned};

/// The contract cuts a longer wish to this (`random.bytes` in `wit/`).
const RANDOM_BYTES_MAX: u32 = 65_536;

/// The run of a handler: the request it is for, and the host's services.
///
/// In a component its methods call the host. Natively they record, so that a handler can be tested as the function
/// it is: see [`Context::test`].
pub struct Context {
    request: Arc<Head>,
    host: Host,
}

impl Context {
    pub(crate) fn new(request: Arc<Head>, host: Host) -> Self {
        Self { request, host }
    }

    /// The request without its body: id, consumer, attempt, method, path, headers.
    #[must_use]
    pub fn request(&self) -> &Head {
        &self.request
    }

    /// Writes one line to the owner's log, kept with the request. Mostly called through [`info!`](crate::info!) and
    /// its like.
    pub fn log(&self, level: Level, message: &str, fields: &[(&str, &dyn Display)]) {
        self.host.log(level, message, fields);
    }

    /// Tells whoever watches how far the run is. Throttled by the host and perhaps dropped: nothing may rest on it.
    ///
    /// ```
    /// # let ctx = ripost_sdk::Context::test();
    /// ctx.progress(40, "sorting");
    /// ctx.progress(None, "waiting for a supplier"); // no idea how long
    /// ```
    pub fn progress(&self, percent: impl Into<Option<u8>>, message: &str) {
        self.host.report(percent.into(), message);
    }

    /// True once the consumer has cancelled: a good moment to stop.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.host.cancelled()
    }

    /// The wall clock, in milliseconds since 1970. [`time::rfc3339`](crate::time::rfc3339) prints it.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.host.now_ms()
    }

    /// Milliseconds until the host stops this run.
    #[must_use]
    pub fn remaining_ms(&self) -> u64 {
        self.request.deadline_ms.saturating_sub(self.now_ms())
    }

    /// Random bytes, recorded by the host so that a run can be replayed.
    #[must_use]
    pub fn random(&self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let missing = u32::try_from(len - bytes.len()).unwrap_or(u32::MAX).min(RANDOM_BYTES_MAX);
            bytes.extend(self.host.random(missing));
        }
        bytes
    }

    /// A random number, every value as likely as any other.
    #[must_use]
    pub fn random_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.random(8));
        u64::from_le_bytes(bytes)
    }

    /// A value of `[api.config]` in the manifest.
    #[must_use]
    pub fn config(&self, key: &str) -> Option<String> {
        self.host.config(key)
    }

    /// One of the owner's secrets, if `grants.secrets` names it. What comes back may be a placeholder, which the host
    /// replaces by the value in calls of [`Context::fetch`] to granted hosts, in header values (inside of `Basic`
    /// credentials too), path, query and body: send it as if it were the secret, and do not compute with it.
    ///
    /// ```
    /// use ripost_sdk::{Context, Failure, OutboundRequest, OutboundResponse};
    ///
    /// fn rate(ctx: &Context) -> Result<f64, Failure> {
    ///     let key = ctx.secret("RATES_KEY")?;
    ///     let request = OutboundRequest::get("https://rates.example.com/v1/eur").header("authorization", format!("Bearer {key}"));
    ///     ctx.fetch(request)?.success()?.json()
    /// }
    ///
    /// let ctx = Context::test().with_secret("RATES_KEY", "k").on_fetch(|request| {
    ///     assert_eq!(request.headers.get("authorization"), Some("Bearer k"));
    ///     Ok(OutboundResponse::new(200, "1.25"))
    /// });
    /// assert_eq!(rate(&ctx).unwrap(), 1.25);
    /// ```
    ///
    /// # Errors
    /// [`SecretError`]: not granted, or not set.
    pub fn secret(&self, name: &str) -> Result<String, SecretError> {
        self.host.secret(name)
    }

    /// The owner's store, if the manifest has `grants.kv`.
    ///
    /// ```
    /// # fn main() -> Result<(), ripost_sdk::KvError> {
    /// # let ctx = ripost_sdk::Context::test();
    /// let kv = ctx.kv();
    /// kv.set_with_ttl("rates/eur", "1.25", 60)?;
    /// assert_eq!(kv.get("rates/eur")?.unwrap().value, b"1.25");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn kv(&self) -> Kv<'_> {
        Kv { host: &self.host }
    }

    /// Calls the outside, where `grants.outbound` allows it. A status of 4xx or 5xx is a response and no error.
    ///
    /// ```
    /// use ripost_sdk::{Context, OutboundRequest, OutboundResponse};
    ///
    /// let ctx = Context::test().on_fetch(|_| Ok(OutboundResponse::new(404, "no such thing")));
    /// let response = ctx.fetch(OutboundRequest::get("https://api.example.com/thing").timeout_ms(2_000)).unwrap();
    /// assert_eq!((response.status, response.text().unwrap()), (404, "no such thing"));
    /// assert_eq!(ctx.recorded().fetches()[0].timeout_ms, Some(2_000));
    /// ```
    ///
    /// # Errors
    /// [`OutboundError`]; with `?` those that may pass ask for another run.
    pub fn fetch(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        request.check()?;
        let host = request.host().to_owned();
        let response = self.host.fetch(request)?;
        Ok(OutboundResponse { host: Some(host), ..response })
    }

    /// Does something once for this request, however often its handler runs: the value is kept, durably, when the work
    /// has succeeded, and later runs are given it without doing the work. A crash before that does the work again, so
    /// tell the outside what belongs together: [`Step::key`] is the same in all runs.
    ///
    /// ```
    /// use ripost_sdk::{Context, Failure, OutboundRequest, OutboundResponse};
    ///
    /// fn charge(ctx: &Context, cents: u64) -> Result<String, Failure> {
    ///     let charge = ctx.step_with("charge", &cents, |step| {
    ///         let request = OutboundRequest::post("https://pay.example.com/v1/charges")
    ///             .header("idempotency-key", step.key())
    ///             .json(&cents);
    ///         ctx.fetch(request)?.success()?.json()
    ///     })?;
    ///     Ok(charge)
    /// }
    ///
    /// let ctx = Context::test().on_fetch(|_| Ok(OutboundResponse::new(201, r#""ch_1""#)));
    /// assert_eq!(charge(&ctx, 999).unwrap(), "ch_1");
    /// ctx.recorded().run_again();
    /// assert_eq!(charge(&ctx, 999).unwrap(), "ch_1");
    /// assert_eq!(ctx.recorded().fetches().len(), 1, "once");
    /// ```
    ///
    /// The name is unique within the request. Steps do not nest, and after one that failed the run has to end: pass the
    /// error on with `?`. The value travels as JSON, in the first run too.
    ///
    /// # Errors
    /// [`StepError`]; with `?` the work's own failure is passed on.
    pub fn step<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        work: impl FnOnce(&Step) -> Result<T, Failure>,
    ) -> Result<T, StepError> {
        step::run(&self.host, name, Ok(Vec::new()), work)
    }

    /// The same for work that depends on something: if a later run comes with another input, the value of the first
    /// would be of something else, and the step is refused ([`StepError::InputChanged`]).
    ///
    /// # Errors
    /// As [`Context::step`].
    pub fn step_with<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        input: &impl Serialize,
        work: impl FnOnce(&Step) -> Result<T, Failure>,
    ) -> Result<T, StepError> {
        step::run(&self.host, name, serde_json::to_vec(input), work)
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Context {
    /// A context for tests: it records instead of calling a host. Its clock stands still, its randomness is the same
    /// in every run, and its request is [`testing::head`](crate::testing::head).
    ///
    /// ```
    /// use ripost_sdk::{Context, Level};
    ///
    /// let ctx = Context::test().with_config("region", "eu");
    /// ripost_sdk::warn!(ctx, region = ctx.config("region").unwrap(), "slow today");
    ///
    /// let line = &ctx.recorded().logs()[0];
    /// assert_eq!((line.level, line.message.as_str()), (Level::Warn, "slow today"));
    /// assert_eq!(line.fields, [("region".to_owned(), "eu".to_owned())]);
    /// ```
    #[must_use]
    pub fn test() -> Self {
        Self::test_for(crate::testing::head())
    }

    /// A context for tests of a request of your own.
    #[must_use]
    pub fn test_for(head: Head) -> Self {
        Self::new(Arc::new(head), Host::default())
    }

    /// Gives the manifest's `[api.config]` one value.
    #[must_use]
    pub fn with_config(self, key: &str, value: &str) -> Self {
        self.host.set_config(key, value);
        self
    }

    /// Grants and sets one secret.
    #[must_use]
    pub fn with_secret(self, name: &str, value: &str) -> Self {
        self.host.set_secret(name, value);
        self
    }

    /// A step that an earlier run has committed, whatever its input was. The value must be JSON.
    ///
    /// # Panics
    /// It is not.
    #[must_use]
    pub fn with_step(self, name: &str, value: &impl Serialize) -> Self {
        self.host.set_step(name, serde_json::to_vec(value).expect("the value of a step is JSON"));
        self
    }

    /// Who answers calls to the outside; without one none is granted.
    #[must_use]
    pub fn on_fetch(
        self,
        answer: impl Fn(&OutboundRequest) -> Result<OutboundResponse, OutboundError> + 'static,
    ) -> Self {
        self.host.set_on_fetch(answer);
        self
    }

    /// What was logged, reported and called so far; also moves the clock and cancels.
    #[must_use]
    pub fn recorded(&self) -> &Host {
        &self.host
    }
}

#[cfg(test)]
mod tests {
    use crate::{Context, testing::head};

    #[test]
    fn a_wish_for_more_random_bytes_than_one_call_gives_is_filled_by_several() {
        let ctx = Context::test();
        assert_eq!(ctx.random(200_000).len(), 200_000);
        assert_eq!(ctx.recorded().random_calls(), 4);
        assert_ne!(ctx.random_u64(), ctx.random_u64());
        assert!(ctx.random(0).is_empty());
    }

    #[test]
    fn what_is_left_of_the_run_shrinks_with_the_clock_and_never_wraps() {
        let ctx = Context::test();
        let deadline_ms = head().deadline_ms;
        ctx.recorded().set_now_ms(deadline_ms - 1_500);
        assert_eq!(ctx.remaining_ms(), 1_500);
        ctx.recorded().set_now_ms(deadline_ms + 10);
        assert_eq!(ctx.remaining_ms(), 0);
    }

    #[test]
    fn a_cancelled_run_is_told_so() {
        let ctx = Context::test();
        assert!(!ctx.cancelled());
        ctx.recorded().cancel();
        assert!(ctx.cancelled());
    }

    #[test]
    fn config_that_the_manifest_does_not_have_is_none() {
        let ctx = Context::test().with_config("region", "eu");
        assert_eq!(ctx.config("region").as_deref(), Some("eu"));
        assert_eq!(ctx.config("Region"), None);
    }
}
