//! Maps the requests of an older API to those that `reports` takes, so that old consumers need not change.
//!
//! ```json
//! { "report": "sales", "size": "small", "output": "JSON", "random_seed": "7" }
//! ```

use ripost_sdk::{Failure, Json};
use serde::{Deserialize, Serialize};

/// A request as it was in the old API.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Old {
    report: String,
    #[serde(default)]
    size: Size,
    #[serde(default)]
    output: Output,
    /// A number in a string: the old API's consumers wrote it by hand.
    random_seed: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Size {
    Small,
    #[default]
    Medium,
    Large,
}

#[derive(Clone, Copy, Default, Deserialize)]
enum Output {
    #[default]
    #[serde(rename = "JSON")]
    Json,
    #[serde(rename = "CSV")]
    Csv,
}

/// A request as `reports` takes it.
#[derive(Debug, PartialEq, Serialize)]
struct New {
    action: &'static str,
    format: &'static str,
    rows: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

#[ripost_sdk::request_transform]
fn normalise(Json(old): Json<Old>) -> Result<Json<New>, Failure> {
    if old.report != "sales" {
        return Err(Failure::invalid("unknown-report", "The only report is `sales`")
            .detail(format!("`report` is `{}`", old.report))
            .status(422));
    }
    let seed = old.random_seed.as_deref().map(seed).transpose()?;
    Ok(Json(New {
        action: "generate-report",
        format: match old.output {
            Output::Json => "json",
            Output::Csv => "csv",
        },
        rows: match old.size {
            Size::Small => 1_000,
            Size::Medium => 50_000,
            Size::Large => 1_000_000,
        },
        seed,
    }))
}

fn seed(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|error| {
        Failure::invalid("seed-not-a-number", "A seed is a whole number")
            .detail(format!("`random_seed` is `{text}`: {error}"))
            .status(422)
    })
}

#[cfg(test)]
mod tests {
    use ripost_sdk::{FromRequest, Json, Verdict, testing::request};

    use super::{New, Old, normalise};

    fn asked(body: &str) -> Json<Old> {
        Json::from_request(request(body)).unwrap()
    }

    #[test]
    fn an_old_request_is_said_in_the_new_words() {
        let Json(new) =
            normalise(asked(r#"{"report":"sales","size":"small","output":"CSV","random_seed":"42"}"#)).unwrap();
        assert_eq!(new, New { action: "generate-report", format: "csv", rows: 1_000, seed: Some(42) });
    }

    #[test]
    fn what_an_old_request_leaves_out_is_what_the_old_api_did() {
        let new = normalise(asked(r#"{"report":"sales"}"#)).unwrap();
        let body = serde_json::to_value(&new.0).unwrap();
        assert_eq!(body, serde_json::json!({ "action": "generate-report", "format": "json", "rows": 50_000 }));
    }

    #[test]
    fn what_cannot_be_said_in_the_new_words_is_the_consumers_mistake() {
        for (body, kind) in [
            (r#"{"report":"costs"}"#, "unknown-report"),
            (r#"{"report":"sales","random_seed":"seven"}"#, "seed-not-a-number"),
        ] {
            let failure = normalise(asked(body)).unwrap_err();
            assert_eq!((failure.verdict(), failure.problem().kind.as_str()), (Verdict::Invalid, kind));
            assert_eq!(failure.problem().status, Some(422));
        }
        let failure = Json::<Old>::from_request(request(r#"{"report":"sales","rows":1}"#)).err().unwrap();
        assert!(failure.problem().detail.as_deref().unwrap().contains("unknown field `rows`"), "{failure:?}");
    }
}
