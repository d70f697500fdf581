use ripost_sdk::Context;

#[ripost_sdk::handler]
fn whoami(ctx: &Context) -> String {
    ctx.request().consumer.clone()
}

fn main() {}
