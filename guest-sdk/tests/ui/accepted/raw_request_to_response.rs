#![deny(warnings)]
#![forbid(unsafe_code)]
use ripost_sdk::{Request, Response};

#[ripost_sdk::handler]
fn echo(request: Request) -> Response {
    Response::bytes("text/plain", request.body)
}

fn main() {}
