#[ripost_sdk::handler]
fn report(rows: u32) -> String {
    rows.to_string()
}

fn main() {}
