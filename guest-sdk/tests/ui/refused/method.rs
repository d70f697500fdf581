struct Reports;

impl Reports {
    #[ripost_sdk::handler]
    fn report(&self, body: String) -> String {
        body
    }
}

fn main() {}
