#![deny(warnings)]
use ripost_sdk::{Failure, Json, Log, Request};

mod whole {
    use super::*;

    #[ripost_sdk::request_transform]
    fn forget_the_query(log: &Log, mut request: Request) -> Request {
        ripost_sdk::info!(log, "it was {:?}", request.query);
        request.query = None;
        request
    }
}

mod typed {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Old {
        count: u32,
    }

    #[derive(serde::Serialize)]
    struct New {
        rows: u32,
    }

    #[ripost_sdk::request_transform]
    fn rename(Json(old): Json<Old>) -> Result<Json<New>, Failure> {
        if old.count == 0 {
            return Err(Failure::invalid("nothing", "There is nothing to do").status(422));
        }
        Ok(Json(New { rows: old.count }))
    }
}

fn main() {}
