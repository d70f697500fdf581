use ripost_sdk::{Context, Headers};

#[ripost_sdk::handler]
fn report(ctx: &Context, body: String, headers: Headers) -> String {
    drop((ctx, headers));
    body
}

fn main() {}
