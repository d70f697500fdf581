#[ripost_sdk::handler]
fn report(body: String) -> f64 {
    body.len() as f64
}

fn main() {}
