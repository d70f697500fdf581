#[ripost_sdk::handler]
struct Report;

fn main() {}
