#[ripost_sdk::handler]
fn double(mut body: String) -> Result<String, std::num::ParseIntError> {
    body = (body.parse::<i64>()? * 2).to_string();
    Ok(body)
}

fn main() {}
