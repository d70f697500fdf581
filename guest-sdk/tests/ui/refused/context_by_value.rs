use ripost_sdk::Context;

#[ripost_sdk::handler]
fn report(ctx: Context, body: String) -> String {
    ctx.progress(1, "started");
    body
}

fn main() {}
