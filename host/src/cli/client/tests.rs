use super::*;
use crate::egress::tests::tls::{Authority, https_receiver};
use clap::Parser;

/// Any command that speaks to a gateway.
#[derive(Parser)]
struct Command {
    #[command(flatten)]
    gateway: Gateway,
}

/// What a command said to the gateway at `to`; it has a thread and a runtime of its own.
async fn ask(to: &str, more: &[&str]) -> Result<serde_json::Value, String> {
    let whole = [&["ripost", "--to", to, "--token", "rpt_secret"][..], more].concat();
    let gateway = Command::try_parse_from(whole).map_err(|error| error.to_string())?.gateway;
    let asking = tokio::task::spawn_blocking(move || gateway.ask(Method::GET, "/admin/v1/status", None));
    asking.await.unwrap().map_err(|Failure { error, .. }| format!("{error:#}"))
}

#[tokio::test]
async fn a_gateway_behind_tls_hears_the_token_only_if_its_certificate_is_trusted() {
    let authority = Authority::new();
    let receiver = https_receiver(authority.acceptor(&["localhost"], |_| {})).await;
    let to = format!("https://localhost:{}/behind/", receiver.address.port());
    let refused = ask(&to, &[]).await.unwrap_err();
    assert!(refused.contains("no gateway answers at https://localhost") && refused.contains("TLS"), "{refused}");
    assert!(receiver.requests().is_empty(), "nothing was said to who is not trusted");
    assert_eq!(ask(&to, &["--ca-file", authority.file.as_str()]).await, Ok(serde_json::json!({})));
    let heard = receiver.requests().remove(0).to_lowercase();
    assert!(heard.starts_with("get /behind/admin/v1/status http/1.1\r\n"), "{heard}");
    assert!(heard.contains("authorization: bearer rpt_secret"), "{heard}");
    assert!(heard.contains(&format!("host: localhost:{}\r\n", receiver.address.port())), "{heard}");
}

#[tokio::test]
async fn a_token_is_not_sent_in_the_clear_beyond_this_machine() {
    for to in ["http://gateway.example", "http://10.0.0.1:3000", "http://localhost.example"] {
        let refused = ask(to, &[]).await.unwrap_err();
        assert!(refused.contains("use https://"), "{refused}");
    }
    let refused = ask("ftp://localhost", &[]).await.unwrap_err();
    assert!(refused.contains("write it with http:// or https://"), "{refused}");
    for to in ["http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"] {
        let absent = ask(to, &[]).await.unwrap_err();
        assert!(absent.contains("no gateway answers"), "{absent}");
    }
}

#[test]
fn whatever_a_name_is_it_is_one_segment_of_a_path() {
    assert_eq!(segment("Blue Bottle/é?"), "Blue%20Bottle%2F%C3%A9%3F");
}
