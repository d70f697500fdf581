//! Secrets that handlers send and never hold.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ripost_runtime::SecretError;

const VALUE: &str = r#"s3"cret/+&="#;

/// An endpoint that answers what it was asked, head and body, as a body and in a header.
async fn echo() -> Receiver {
    Receiver::start(|mut stream, _, log| async move {
        while let Some(request) = log.request(&mut stream).await {
            let line = request.replace("\r\n", " | ");
            let head = format!("HTTP/1.1 200 OK\r\nx-echo: {line}\r\ncontent-length: {}\r\n\r\n", request.len());
            if stream.write_all(format!("{head}{request}").as_bytes()).await.is_err() {
                break;
            }
        }
    })
    .await
}

struct Fixture {
    outside: Outside,
    echo: Receiver,
    grants: Grants,
    placeholder: String,
}

impl Fixture {
    async fn new() -> Self {
        let (outside, echo) = (Outside::new(), echo().await);
        outside.values.set("a", "KEY", VALUE);
        let grants = outside.grants("a", &[&format!("{}/v1/", origin(&echo))], &["KEY", "OTHER"]);
        let placeholder = secret(&grants, "KEY").unwrap();
        Self { outside, echo, grants, placeholder }
    }

    fn url(&self, rest: &str) -> String {
        format!("{}/v1/{rest}", origin(&self.echo))
    }

    /// What arrived, of a call whose answer must not have the secret in it, in any form.
    async fn arrived(&self, request: OutboundRequest) -> String {
        let response = send(&self.grants, OutboundRequest { response_bytes_max: 1 << 20, ..request }).await.unwrap();
        let told = format!("{response:?}");
        for form in [VALUE, "s3%22cret", "s3\\\"cret", "s3\\\\\\\"cret", "s3"] {
            assert!(!told.contains(form), "{form} in {told}");
        }
        let arrived = self.echo.requests().pop().unwrap();
        assert!(!arrived.contains(&self.placeholder), "{arrived}");
        arrived
    }
}

fn secret(grants: &Grants, name: &str) -> Result<String, SecretError> {
    grants.secrets.as_ref().expect("secrets are granted").get(name)
}

#[tokio::test]
async fn a_handler_gets_a_placeholder_that_is_the_same_each_time_and_nobody_elses() {
    let fixture = Fixture::new().await;
    let Fixture { outside, grants, placeholder, .. } = &fixture;
    assert!(placeholder.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{placeholder}");
    assert!(placeholder.starts_with("ripost_secret_KEY_") && !placeholder.contains(VALUE));
    assert_eq!(secret(grants, "KEY").as_ref(), Ok(placeholder));
    assert_eq!(secret(grants, "OTHER"), Err(SecretError::Missing));
    assert_eq!(secret(grants, "THIRD"), Err(SecretError::NotGranted));
    outside.values.set("b", "KEY", "theirs");
    assert_ne!(secret(&outside.grants("b", &[], &["KEY"]), "KEY").as_ref(), Ok(placeholder));
    assert!(outside.grants("a", &["https://a.example"], &[]).secrets.is_none());
}

#[tokio::test]
async fn the_value_takes_the_placeholders_place_on_the_wire_and_is_taken_out_of_what_comes_back() {
    let fixture = Fixture::new().await;
    let (url, key) = (|rest: &str| fixture.url(rest), &fixture.placeholder);
    let bearer = format!("Bearer {key}");
    let arrived = fixture.arrived(with(get(&url("x")), "authorization", &bearer)).await;
    assert!(arrived.contains(&format!("authorization: Bearer {VALUE}\r\n")), "{arrived}");

    let arrived = fixture.arrived(get(&url(&format!("x?key={key}&b=1")))).await;
    assert!(arrived.starts_with("GET /v1/x?key=s3%22cret%2F%2B%26%3D&b=1 "), "{arrived}");

    let arrived = fixture.arrived(post(&url("x"), "application/json", &format!(r#"{{"key":"{key}"}}"#))).await;
    assert!(arrived.ends_with(r#"{"key":"s3\"cret/+&="}"#), "{arrived}");

    let arrived =
        fixture.arrived(post(&url("x"), "application/x-www-form-urlencoded", &format!("a=b&key={key}"))).await;
    assert!(arrived.ends_with("a=b&key=s3%22cret%2F%2B%26%3D"), "{arrived}");

    let arrived = fixture.arrived(post(&url("x"), "text/plain", &format!("{key} and {key}"))).await;
    assert!(arrived.ends_with(&format!("{VALUE} and {VALUE}")), "{arrived}");
}

#[tokio::test]
async fn basic_credentials_may_have_a_placeholder_in_them() {
    let fixture = Fixture::new().await;
    let credentials = STANDARD.encode(format!("user:{}", fixture.placeholder));
    let request = with(get(&fixture.url("x")), "authorization", &format!("Basic {credentials}"));
    let response = send(&fixture.grants, OutboundRequest { response_bytes_max: 1 << 20, ..request }).await.unwrap();
    let sent = STANDARD.encode(format!("user:{VALUE}"));
    assert!(fixture.echo.requests()[0].contains(&format!("authorization: Basic {sent}\r\n")));
    assert!(!format!("{response:?}").contains(&sent), "{response:?}");
}

#[tokio::test]
async fn an_encoding_that_would_hide_the_value_is_not_asked_for() {
    let fixture = Fixture::new().await;
    let request = with(get(&fixture.url("x")), "accept-encoding", "gzip");
    assert!(fixture.arrived(request.clone()).await.contains("accept-encoding: gzip"));
    let arrived = fixture.arrived(with(request, "x-key", &fixture.placeholder)).await;
    assert!(arrived.contains("accept-encoding: identity") && !arrived.contains("gzip"), "{arrived}");
}

#[tokio::test]
async fn no_value_goes_where_no_grant_leads_nor_to_whoever_runs_the_name_servers() {
    let fixture = Fixture::new().await;
    let other = Receiver::answering(OK).await;
    let key = &fixture.placeholder;
    for url in [other.url(), format!("{}/v2/{key}", origin(&fixture.echo)), format!("http://{key}.example.org/")] {
        let error = send(&fixture.grants, with(get(&url), "x-key", key)).await.unwrap_err();
        assert!(matches!(error, OutboundError::NotGranted(_)), "{url}: {error:?}");
        assert!(!error.to_string().contains(VALUE), "{error}");
    }
    // A value with a slash stays one segment; one that would climb out of what is granted goes nowhere.
    for (value, sent) in [("a+b", "GET /v1/a%2Bb/x "), ("a/b", "GET /v1/a%2Fb/x ")] {
        fixture.outside.values.set("a", "KEY", value);
        send(&fixture.grants, get(&fixture.url(&format!("{key}/x")))).await.unwrap();
        assert!(fixture.echo.requests().pop().unwrap().starts_with(sent), "{:?}", fixture.echo.requests());
    }
    for value in ["..", "../v2", "x/../..", "..;", "..\\"] {
        fixture.outside.values.set("a", "KEY", value);
        let error = send(&fixture.grants, get(&fixture.url(&format!("{key}/admin")))).await.unwrap_err();
        assert!(matches!(error, OutboundError::NotGranted(_)), "{value}: {error:?}");
        assert!(!error.to_string().contains(value), "{error}");
    }
    // Another owner's placeholder is a text like any other.
    fixture.outside.values.set("b", "KEY", "theirs");
    let theirs = secret(&fixture.outside.grants("b", &[], &["KEY"]), "KEY").unwrap();
    let response = send(&fixture.grants, with(get(&fixture.url("x")), "x-key", &theirs)).await.unwrap();
    assert!(fixture.echo.requests().pop().unwrap().contains(&theirs), "{response:?}");
    assert_eq!(other.accepted(), 0);
}

#[tokio::test]
async fn a_value_that_cannot_be_sent_is_an_error_that_names_the_secret_and_not_the_value() {
    let fixture = Fixture::new().await;
    let key = &fixture.placeholder;
    let url = fixture.url("x");
    fixture.outside.values.set("a", "KEY", "two\r\nlines");
    let error = send(&fixture.grants, with(get(&url), "x-key", key)).await.unwrap_err();
    assert!(
        matches!(&error, OutboundError::Invalid(text) if text.contains("`KEY`") && text.contains("`x-key`")),
        "{error:?}"
    );
    assert!(!error.to_string().contains("two"), "{error}");
    fixture.outside.values.unset("a", "KEY");
    let error = send(&fixture.grants, with(get(&url), "x-key", key)).await.unwrap_err();
    assert!(matches!(&error, OutboundError::Invalid(text) if text.contains("`KEY`")), "{error:?}");
    fixture.outside.values.set("a", "KEY", VALUE);
    let error = send(&fixture.grants, post(&url, "text/plain", &key.repeat(65))).await.unwrap_err();
    assert!(matches!(&error, OutboundError::Limit(text) if text.contains("64")), "{error:?}");
    assert_eq!(fixture.echo.accepted(), 0);
}

#[tokio::test]
async fn an_answer_that_grows_by_what_is_taken_out_of_it_keeps_to_its_limit() {
    let fixture = Fixture::new().await;
    fixture.outside.values.set("a", "KEY", "xy");
    let request = post(&fixture.url("x"), "text/plain", &"xy".repeat(100));
    let error = send(&fixture.grants, OutboundRequest { response_bytes_max: 1000, ..request }).await.unwrap_err();
    assert!(matches!(&error, OutboundError::Limit(text) if text.contains("1000 bytes")), "{error:?}");
}

#[tokio::test]
async fn a_handler_has_the_value_itself_if_the_operator_says_so() {
    let outside = Setup { form: SecretForm::Plain, ..Setup::default() }.start();
    let echo = echo().await;
    outside.values.set("a", "KEY", VALUE);
    let grants = outside.grants("a", &[&origin(&echo)], &["KEY"]);
    assert_eq!(secret(&grants, "KEY").as_deref(), Ok(VALUE));
    let response = send(&grants, with(get(&echo.url()), "x-key", VALUE)).await.unwrap();
    assert!(response.body.windows(VALUE.len()).any(|window| window == VALUE.as_bytes()));
}
