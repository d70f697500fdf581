#![deny(warnings)]
use ripost_sdk::{Json, Log, Request, Response};

mod alone {
    use super::*;

    #[ripost_sdk::response_transform]
    fn created(response: Response) -> Response {
        response.with_status(201)
    }
}

mod with_both {
    use super::*;

    #[ripost_sdk::response_transform]
    fn sign<'a>(log: &'a Log, request: &'a Request, mut response: Response) -> Response {
        ripost_sdk::debug!(log, "for {}", request.consumer);
        response.headers.set("x-for", request.consumer.as_str());
        response
    }
}

mod with_the_request {
    use super::*;

    #[ripost_sdk::response_transform]
    fn count(_: &Request, Json(rows): Json<Vec<u32>>) -> Result<Json<usize>, std::num::ParseIntError> {
        Ok(Json(rows.len()))
    }
}

fn main() {}
