//! Typed JSON, in and out.

mod mismatch;

use std::ops::{Deref, DerefMut};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Failure, FromRequest, IntoResponse, Request, Response};

/// A value that comes or goes as JSON.
///
/// A body that is no JSON, or not of this shape, is answered as [`Failure::invalid`] before the handler runs, with a
/// detail that names the place and what is wrong there, in words of JSON rather than of Rust:
///
/// ```
/// use ripost_sdk::{FromRequest, Json, testing::request};
///
/// #[derive(Debug, serde::Deserialize)]
/// struct Order {
///     lines: Vec<Line>,
/// }
/// #[derive(Debug, serde::Deserialize)]
/// struct Line {
///     quantity: u32,
/// }
///
/// let failure = Json::<Order>::from_request(request(r#"{"lines":[{"quantity":"many"}]}"#)).unwrap_err();
/// assert_eq!(
///     failure.problem().detail.as_deref(),
///     Some("at `lines[0].quantity`: invalid type: string \"many\", expected a whole number from 0 to 4294967295 at line 1 column 28")
/// );
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Json<T> {
    fn from_request(request: Request) -> Result<Self, Failure> {
        let mut deserializer = serde_json::Deserializer::from_slice(&request.body);
        let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let path = error.path().to_string();
            invalid(&request.body, error.inner(), Some(path.as_str()).filter(|path| *path != "."))
        })?;
        deserializer.end().map_err(|error| invalid(&request.body, &error, None))?;
        Ok(Self(value))
    }
}

/// The path says where in the consumer's own words; a column alone would be off once the gateway has taken its own
/// fields out of the body.
fn invalid(body: &[u8], error: &serde_json::Error, path: Option<&str>) -> Failure {
    // Read again, because the error does not tell: serde's category of some wrong values is that of wrong syntax.
    if let Err(why) = mismatch::check_syntax(body) {
        return Failure::invalid("malformed-json", "The body is not JSON").detail(why).status(400);
    }
    let what = mismatch::describe(error);
    let detail = path.map_or_else(|| what.clone(), |path| format!("at `{path}`: {what}"));
    Failure::invalid("unexpected-json", "The body is JSON of another shape than this API takes")
        .detail(detail)
        .status(422)
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Result<Response, Failure> {
        Response::json(&self.0)
    }
}

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Json<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::Json;
    use crate::{Failure, FromRequest, Verdict, testing::request};

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Format {
        Json,
        Csv,
    }

    #[derive(Debug, Deserialize)]
    struct Order {
        format: Format,
    }

    fn refused(body: &str) -> (String, String, Option<u16>) {
        let failure: Failure = Json::<Order>::from_request(request(body)).unwrap_err();
        assert_eq!(failure.verdict(), Verdict::Invalid, "{body}");
        let problem = failure.problem().clone();
        (problem.kind, problem.detail.unwrap(), problem.status)
    }

    #[test]
    fn a_body_of_the_right_shape_is_read_and_fields_it_has_beside_are_left_alone() {
        let order = Json::<Order>::from_request(request(r#" {"format":"csv","more":1} "#)).unwrap();
        assert!(matches!(order.format, Format::Csv));
        let order = Json::<Order>::from_request(request(r#"{"format":"json"}"#)).unwrap();
        assert!(matches!(order.format, Format::Json));
    }

    #[test]
    fn a_body_of_another_shape_is_invalid_and_the_detail_names_the_place() {
        let (kind, detail, status) = refused(r#"{"format":"pdf"}"#);
        assert_eq!((kind.as_str(), status), ("unexpected-json", Some(422)));
        assert_eq!(detail, "at `format`: unknown variant `pdf`, expected `json` or `csv` at line 1 column 15");
        let (_, detail, _) = refused("{}");
        assert_eq!(detail, "missing field `format` at line 1 column 2");
        for body in [r#"{"format":5}"#, r#"{"format":null}"#, "[1]"] {
            let (kind, detail, status) = refused(body);
            assert_eq!((kind.as_str(), status), ("unexpected-json", Some(422)), "{body}: {detail}");
            assert!(detail.contains("this API takes another kind of value here"), "{body}: {detail}");
        }
    }

    #[test]
    fn a_body_that_is_no_json_is_invalid_and_the_detail_names_line_and_column() {
        for (body, detail) in [
            ("", "the body is empty"),
            ("{\n\"format\" \"csv\"}", "expected `:` at line 2 column 10"),
            (r#"{"format":"csv"} trailing"#, "trailing characters at line 1 column 18"),
            (r#"{"format":5} trailing"#, "trailing characters at line 1 column 14"),
        ] {
            assert_eq!(refused(body), ("malformed-json".to_owned(), detail.to_owned(), Some(400)));
        }
    }
}
