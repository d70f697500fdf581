#[ripost_sdk::handler]
fn report(body: String) -> String {
    body
}

#[ripost_sdk::handler]
fn invoice(body: String) -> String {
    body
}

fn main() {}
