use ripost_sdk::{Request, Response, Webhook};

#[ripost_sdk::webhook_transform]
fn slack(request: Request) -> Webhook {
    Webhook::new("completed", request.body)
}

mod returned {
    use super::*;

    #[ripost_sdk::request_transform]
    fn normalise(request: Request) -> Response {
        Response::text(request.path.clone())
    }
}

fn main() {}
