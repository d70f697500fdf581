use ripost_sdk::Context;

#[ripost_sdk::handler]
fn report(body: String, ctx: &Context) -> String {
    ctx.progress(1, "started");
    body
}

fn main() {}
