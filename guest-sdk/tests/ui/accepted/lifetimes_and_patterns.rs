#![deny(warnings)]
use ripost_sdk::{Context, Failure, Json};

#[derive(serde::Deserialize)]
struct Order {
    rows: u32,
}

#[ripost_sdk::handler]
fn report<'a>(_: &'a Context, Json(Order { rows }): Json<Order>) -> Result<Json<u32>, Failure> {
    Ok(Json(rows))
}

fn main() {}
