//! The smallest `wasi:http` component, for the bench's peer `wasmtime serve`. No plugin: it has no manifest.

use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Hello;

impl wasip2::exports::http::incoming_handler::Guest for Hello {
    fn handle(_request: IncomingRequest, outparam: ResponseOutparam) {
        // A length, as ours have: without it the answer would come in chunks.
        let headers =
            Fields::from_list(&[("content-length".to_owned(), b"5".to_vec())]).expect("a header that may be set");
        let response = OutgoingResponse::new(headers);
        let body = response.body().expect("a new response gives its body once");
        ResponseOutparam::set(outparam, Ok(response));
        let stream = body.write().expect("a new body gives its stream once");
        stream.blocking_write_and_flush(b"hello").expect("five bytes fit");
        drop(stream);
        OutgoingBody::finish(body, None).expect("as many as were promised");
    }
}

wasip2::http::proxy::export!(Hello);
