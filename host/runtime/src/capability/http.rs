//! `wasi:http/outgoing-handler`: the same gate as `outbound`. Bodies are collected whole, within the limits, in both
//! directions, so that nothing of a guest's streams outlives its run and no answer is larger than a guest may have.

use bytes::Bytes;
use http::HeaderName;
use http::uri::Scheme;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView,
    WasiHttpHooks, WasiHttpView,
};

use crate::gate::{Gate, Wish};
use crate::grants::OutboundError;
use crate::guest::State;

/// What one `fields` may hold in memory, more than on the wire.
const FIELDS_BYTES_MAX: usize = 128 * 1024;

/// Made when a guest first calls wasi:http.
pub(crate) struct Http {
    context: WasiHttpCtx,
    hooks: Hooks,
}

struct Hooks(Gate);

type Told = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answered = Result<(http::Response<WasiBody>, Told), Error>;

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.make_wasi();
        if self.http.is_none() {
            let mut context = WasiHttpCtx::new();
            context.set_field_size_limit(FIELDS_BYTES_MAX);
            let hooks = Hooks(self.gate().clone());
            self.http = Some(Box::new(Http { context, hooks }));
        }
        let wasi = self.wasi.as_mut().expect("it was just made");
        let http = self.http.as_mut().expect("it was just made");
        WasiHttpCtxView { hooks: &mut http.hooks, table: wasi.table_mut(), ctx: &mut http.context }
    }
}

impl WasiHttpHooks for Hooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        std::sync::Arc::new(|name: &HeaderName| DEFAULT_FORBIDDEN_HEADERS.contains(name))
    }

    fn set_host_header(&mut self) -> bool {
        // Whoever sends it does.
        false
    }

    fn default_scheme(&mut self) -> Option<Scheme> {
        Some(Scheme::HTTPS)
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _told: Told,
    ) -> Box<dyn Future<Output = Answered> + Send> {
        // Now, and not when it is polled: the guest may start thousands.
        let passage = self.0.enter();
        let body_bytes_max = self.0.body_bytes_max();
        Box::new(async move {
            let passage = passage.map_err(wasi_error)?;
            let response = passage.send(wish(request, options, body_bytes_max).await?).await.map_err(wasi_error)?;
            let mut builder = http::Response::builder().status(response.status);
            for (name, value) in &response.headers {
                builder = builder.header(name.as_str(), value.as_ref());
            }
            // An answer that waits for the guest keeps its place among the calls in flight.
            let body = Full::new(response.body).map_frame(move |frame| {
                let _held = &passage;
                frame
            });
            let body = body.map_err(|never| match never {}).boxed_unsync();
            let response = builder.body(body).map_err(|error| Error::InternalError(Some(error.to_string())))?;
            Ok((response, Box::new(async { Ok(()) }) as Told))
        })
    }
}

async fn wish(
    request: http::Request<WasiBody>,
    options: Option<RequestOptions>,
    body_bytes_max: usize,
) -> Result<Wish, Error> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, body_bytes_max).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return Error::HttpRequestBodySize(Some(body_bytes_max as u64));
        }
        match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => Error::InternalError(Some(error.to_string())),
        }
    })?;
    let options = options.unwrap_or_default();
    Ok(Wish {
        method: head.method.as_str().to_owned(),
        url: head.uri.to_string(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes())))
            .collect(),
        body: body.to_bytes(),
        // What lies between the bytes of an answer is bounded by the whole.
        timeout: options.first_byte_timeout.map(|first| first + options.connect_timeout.unwrap_or_default()),
    })
}

fn wasi_error(error: OutboundError) -> Error {
    match error {
        OutboundError::NotGranted(_) => Error::HttpRequestDenied,
        OutboundError::AddressForbidden(_) => Error::DestinationIpProhibited,
        OutboundError::Limit(_) => Error::ConnectionLimitReached,
        OutboundError::Timeout => Error::HttpResponseTimeout,
        OutboundError::Connection(_) => Error::ConnectionRefused,
        OutboundError::InDoubt(_) => Error::ConnectionTerminated,
        OutboundError::Unavailable(_) => Error::DestinationUnavailable,
        OutboundError::Invalid(_) => Error::HttpProtocolError,
    }
}
