#[ripost_sdk::handler(price = "0.05")]
fn report(body: String) -> String {
    body
}

fn main() {}
