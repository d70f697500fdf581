#[ripost_sdk::handler]
fn report(input: impl ripost_sdk::FromRequest) -> String {
    drop(input);
    String::new()
}

fn main() {}
