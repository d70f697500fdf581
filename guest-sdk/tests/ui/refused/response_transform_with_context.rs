use ripost_sdk::{Context, Response};

#[ripost_sdk::response_transform]
fn redact(ctx: &Context, response: Response) -> Response {
    response
}

fn main() {}
