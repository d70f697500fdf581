#[ripost_sdk::handler]
fn report<T: serde::de::DeserializeOwned>(input: ripost_sdk::Json<T>) -> String {
    drop(input);
    String::new()
}

fn main() {}
