//! The smallest `wasi:http` component, for the bench's peer `wasmtime serve`. No plugin: it has no manifest.

use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Hello;

impl wasip2::exports::http::incoming_handler::Guest for Hello {
    fn handle(_request: IncomingRequest, outparam: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("a new response gives its body once");
        ResponseOutparam::set(outparam, Ok(response));
        let stream = body.write().expect("a new body gives its stream once");
        stream.blocking_write_and_flush(b"hello").expect("five bytes fit");
        drop(stream);
        OutgoingBody::finish(body, None).expect("no length was promised");
    }
}

wasip2::http::proxy::export!(Hello);
