#[ripost_sdk::handler]
fn ping() {}

fn main() {}
