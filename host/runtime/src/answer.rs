//! A guest's answer, checked before anybody else sees it.

use bytes::Bytes;

use crate::bindings::{self, types};
use crate::call::{Failure, Problem, Response};
use crate::limits::Limits;
use crate::run_error::RunError;
use crate::transform::{Rewrite, Webhook};

type Attributes = Vec<(String, String)>;

/// Header fields of one message. Bytes alone do not bound them: of fields that are one letter each there would be room for
/// more than a table of them can hold (2^15), and nobody on the way reads more than a few hundred.
const FIELDS_MAX: usize = 1000;

pub(crate) fn handled(
    answer: Result<types::Response, types::Failure>,
    limits: &Limits,
) -> Result<Result<Response, Failure>, RunError> {
    match answer {
        Ok(answer) => response(answer, limits).map(Ok),
        Err(types::Failure::Invalid(answer)) => problem(answer, limits).map(|it| Err(Failure::Invalid(it))),
        Err(types::Failure::Failed(answer)) => problem(answer, limits).map(|it| Err(Failure::Failed(it))),
        Err(types::Failure::Retry(types::Retry { after_s, problem: answer })) => {
            problem(answer, limits).map(|problem| Err(Failure::Retry { after_s, problem }))
        }
    }
}

/// A transform's answer; `check` is for what it made.
pub(crate) fn or_problem<A, B>(
    answer: Result<A, types::Problem>,
    limits: &Limits,
    check: fn(A, &Limits) -> Result<B, RunError>,
) -> Result<Result<B, Problem>, RunError> {
    match answer {
        Ok(answer) => check(answer, limits).map(Ok),
        Err(answer) => problem(answer, limits).map(Err),
    }
}

pub(crate) fn response(answer: types::Response, limits: &Limits) -> Result<Response, RunError> {
    let types::Response { status, headers, body, attributes } = answer;
    in_parts(status, headers, body.into(), attributes, limits)
}

/// What came through `wasi:http`, which has no attributes.
pub(crate) fn http(
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
    limits: &Limits,
) -> Result<Response, RunError> {
    in_parts(status, headers, body, Attributes::new(), limits)
}

fn in_parts(
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
    attributes: Attributes,
    limits: &Limits,
) -> Result<Response, RunError> {
    // 1xx is not an answer, and beyond 599 nobody knows what it means.
    if !(200..=599).contains(&status) {
        return Err(RunError::InvalidResponse(format!("its status is {status}, not 200 to 599")));
    }
    let (headers, body) = message(headers, body, attributes_bytes(&attributes), limits)?;
    Ok(Response { status, headers, body, attributes })
}

pub(crate) fn rewrite(answer: bindings::Rewrite, limits: &Limits) -> Result<Rewrite, RunError> {
    let bindings::Rewrite { path, query, headers, body, attributes } = answer;
    if !path.is_empty() && !path.starts_with('/') {
        return Err(RunError::InvalidResponse(format!("its path `{}` does not begin with `/`", shown(&path))));
    }
    // As it stands in an HTTP request.
    let carried = |char: &char| char.is_ascii_graphic() && *char != '#';
    if let Some(char) = path.chars().find(|char| !carried(char) || *char == '?') {
        return Err(RunError::InvalidResponse(format!("its path has the character {char:?}: encode it as `%XX`")));
    }
    if let Some(char) = query.iter().flat_map(|query| query.chars()).find(|char| !carried(char)) {
        return Err(RunError::InvalidResponse(format!("its query has the character {char:?}: encode it as `%XX`")));
    }
    let text = path.len() + query.as_ref().map_or(0, String::len) + attributes_bytes(&attributes);
    let (headers, body) = message(headers, body.into(), text, limits)?;
    Ok(Rewrite { path, query, headers, body, attributes })
}

pub(crate) fn webhook(answer: bindings::Webhook, limits: &Limits) -> Result<Webhook, RunError> {
    let bindings::Webhook { event, headers, body, attributes } = answer;
    let text = event.len() + attributes_bytes(&attributes);
    let (headers, body) = message(headers, body.into(), text, limits)?;
    Ok(Webhook { event, headers, body, attributes })
}

/// Fields and a body, within the limits; `text_bytes` is what counts beside the fields.
fn message(
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
    text_bytes: usize,
    limits: &Limits,
) -> Result<(Vec<(String, Bytes)>, Bytes), RunError> {
    within("body", body.len(), limits.response_body_bytes)?;
    if headers.len() > FIELDS_MAX {
        let has = format!("it has {} header fields and may have {FIELDS_MAX}", headers.len());
        return Err(RunError::InvalidResponse(has));
    }
    let fields: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    within("headers", fields + text_bytes, limits.response_headers_bytes)?;
    Ok((headers.into_iter().map(header).collect::<Result<_, _>>()?, body))
}

fn header((mut name, value): (String, Vec<u8>)) -> Result<(String, Bytes), RunError> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(RunError::InvalidResponse(format!("`{}` is not a header name", shown(&name))));
    }
    // RFC 9110 §5.5: no control characters, so that no field can end early and begin another one.
    if value.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
        return Err(RunError::InvalidResponse(format!("the value of header `{name}` has a control character")));
    }
    name.make_ascii_lowercase();
    Ok((name, Bytes::from(value)))
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn problem(answer: types::Problem, limits: &Limits) -> Result<Problem, RunError> {
    let text = answer.kind.len() + answer.title.len() + answer.detail.as_ref().map_or(0, String::len);
    within("problem", text + attributes_bytes(&answer.attributes), limits.response_headers_bytes)?;
    Ok(Problem {
        kind: answer.kind,
        title: answer.title,
        detail: answer.detail,
        status: answer.status.filter(|status| (400..=599).contains(status)),
        attributes: answer.attributes,
    })
}

fn within(part: &'static str, bytes: usize, bytes_max: usize) -> Result<(), RunError> {
    if bytes > bytes_max { Err(RunError::ResponseTooLarge { part, bytes, bytes_max }) } else { Ok(()) }
}

fn attributes_bytes(attributes: &Attributes) -> usize {
    attributes.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// A guest's text inside an error: short and in one line.
fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> types::Response {
        types::Response {
            status: 200,
            headers: vec![("Content-Type".to_owned(), b"text/plain\t; x".to_vec())],
            body: b"hi".to_vec(),
            attributes: Vec::new(),
        }
    }

    #[test]
    fn a_good_answer_passes_with_names_in_lower_case() {
        let response = handled(Ok(answer()), &Limits::default()).unwrap().unwrap();
        assert_eq!(response.headers[0].0, "content-type");
        assert_eq!(response.body, "hi");
    }

    #[test]
    fn an_answer_that_http_cannot_carry_is_refused() {
        let limits = Limits::default();
        for status in [0, 100, 199, 600, 65535] {
            let error = handled(Ok(types::Response { status, ..answer() }), &limits).unwrap_err();
            assert_eq!(error.kind(), "invalid-response");
        }
        for (name, value) in [("", "x"), ("a b", "x"), ("a:", "x"), ("é", "x"), ("a", "x\r\nb: c"), ("a", "\0")] {
            let headers = vec![(name.to_owned(), value.as_bytes().to_vec())];
            let error = handled(Ok(types::Response { headers, ..answer() }), &limits).unwrap_err();
            assert_eq!(error.kind(), "invalid-response", "{name:?}: {value:?}");
        }
    }

    #[test]
    fn an_answer_over_its_limits_is_refused_with_both_figures() {
        let limits = Limits { response_body_bytes: 3, response_headers_bytes: 10, ..Limits::default() };
        let error = handled(Ok(types::Response { body: vec![0; 4], headers: Vec::new(), ..answer() }), &limits);
        assert_eq!(error.unwrap_err(), RunError::ResponseTooLarge { part: "body", bytes: 4, bytes_max: 3 });
        let error = handled(Ok(answer()), &limits).unwrap_err();
        assert!(matches!(error, RunError::ResponseTooLarge { part: "headers", .. }));
        let problem = types::Problem {
            kind: "k".to_owned(),
            title: "a title that is too long".to_owned(),
            detail: None,
            status: None,
            attributes: Vec::new(),
        };
        let error = handled(Err(types::Failure::Failed(problem)), &limits).unwrap_err();
        assert!(matches!(error, RunError::ResponseTooLarge { part: "problem", .. }));
    }

    #[test]
    fn no_answer_has_more_header_fields_than_a_table_of_them_can_hold() {
        let limits = Limits::ceiling();
        let headers = |many: usize| (0..many).map(|_| ("a".to_owned(), Vec::new())).collect::<Vec<_>>();
        assert!(handled(Ok(types::Response { headers: headers(FIELDS_MAX), ..answer() }), &limits).is_ok());
        let many = headers(32_768);
        let error = handled(Ok(types::Response { headers: many.clone(), ..answer() }), &limits).unwrap_err();
        assert!(error.to_string().contains("32768 header fields and may have 1000"), "{error}");
        let made = bindings::Webhook {
            event: "completed".to_owned(),
            headers: many.clone(),
            body: Vec::new(),
            attributes: Vec::new(),
        };
        assert!(webhook(made, &limits).is_err());
        let made = bindings::Rewrite {
            path: String::new(),
            query: None,
            headers: many,
            body: Vec::new(),
            attributes: Vec::new(),
        };
        assert!(rewrite(made, &limits).is_err());
    }

    #[test]
    fn a_problem_has_an_error_status_or_none() {
        for (status, kept) in [(Some(200), None), (Some(404), Some(404)), (Some(599), Some(599)), (Some(600), None)] {
            let problem = types::Problem {
                kind: "k".to_owned(),
                title: "t".to_owned(),
                detail: None,
                status,
                attributes: Vec::new(),
            };
            let failure = handled(Err(types::Failure::Invalid(problem)), &Limits::default()).unwrap().unwrap_err();
            let Failure::Invalid(problem) = failure else { panic!("{failure:?}") };
            assert_eq!(problem.status, kept);
        }
    }
}
