#[ripost_sdk::handler]
async fn report(body: String) -> String {
    body
}

fn main() {}
