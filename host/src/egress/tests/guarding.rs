//! What the guard keeps in.

use super::super::{Phase, Why};
use super::receiver::Receiver;
use super::*;
use ripost_domain::address::Reason;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const CLOSING: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";

fn why(error: &SendError) -> Why {
    match error {
        SendError::Refused(refused) => refused.why,
        other => panic!("not refused: {other:?}"),
    }
}

fn reason(error: &SendError) -> Option<Reason> {
    match why(error) {
        Why::Address(refused) => Some(refused.reason),
        Why::Own => None,
    }
}

fn named(receiver: &Receiver) -> String {
    format!("http://hook.example.com:{}/", receiver.address.port())
}

#[tokio::test]
async fn a_forbidden_address_is_not_even_connected_to() {
    let receiver = Receiver::answering(OK).await;
    let production = client_with(Settings::default(), Names::none());
    for host in ["127.0.0.1", "localhost", "hook.localhost", "[::ffff:127.0.0.1]", "2130706433"] {
        let error = fails(&production, &format!("http://{host}:{}/", receiver.address.port())).await;
        assert_eq!(reason(&error), Some(Reason::Loopback), "{host}");
        assert_eq!((error.class(), error.public_class(), error.is_ours()), ("refused-address", "unreachable", false));
    }
    let named_production = client_with(Settings::default(), Names::answering(&[&["127.0.0.1"]]));
    assert_eq!(reason(&fails(&named_production, &named(&receiver)).await), Some(Reason::Loopback));
    assert_eq!(receiver.accepted(), 0);
}

#[tokio::test]
async fn one_forbidden_answer_refuses_them_all() {
    let receiver = Receiver::answering(OK).await;
    let many: Vec<&str> = std::iter::repeat_n("127.0.0.1", 40).chain(["169.254.169.254"]).collect();
    for (answers, expected) in [
        (&["127.0.0.1", "10.0.0.1"][..], Reason::Private),
        (&["10.0.0.1", "127.0.0.1"], Reason::Private),
        (&["127.0.0.1", "::1", "fd00:ec2::254"], Reason::Metadata),
        (&["127.0.0.1", "64:ff9b::a00:1"], Reason::Private),
        (&many, Reason::Metadata), // also beyond those that would be tried
    ] {
        let client = client_with(settings(), Names::answering(&[answers]));
        assert_eq!(reason(&fails(&client, &named(&receiver)).await), Some(expected), "{answers:?}");
    }
    assert_eq!(receiver.accepted(), 0);
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_one_connected_to() {
    let receiver = Receiver::answering(CLOSING).await;
    // A second look-up would find a private address.
    let names = Names::answering(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let client = client_with(settings(), names.clone());
    send(&client, &named(&receiver)).await.unwrap();
    assert_eq!((names.calls(), receiver.accepted()), (1, 1));
    let host = format!("host: hook.example.com:{}", receiver.address.port());
    assert!(receiver.requests()[0].contains(&host), "the name, not the address, is who is spoken to");
    // A new connection is a new look-up.
    assert_eq!(reason(&fails(&client, &named(&receiver)).await), Some(Reason::Private));
    assert_eq!((names.calls(), receiver.accepted()), (2, 1));
}

#[tokio::test]
async fn an_open_connection_is_used_without_another_look_up() {
    let receiver = Receiver::answering(OK).await;
    let names = Names::answering(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let client = client_with(settings(), names.clone());
    for _ in 0..5 {
        send(&client, &named(&receiver)).await.unwrap();
    }
    assert_eq!((names.calls(), receiver.accepted()), (1, 1));
}

#[tokio::test]
async fn an_address_that_does_not_answer_gives_way_to_the_next() {
    let receiver = Receiver::answering(OK).await;
    let client = client_with(settings(), Names::answering(&[&["127.0.0.9", "::1", "127.0.0.1"]]));
    send(&client, &named(&receiver)).await.unwrap();
}

#[tokio::test]
async fn localhost_is_this_machine_and_nobody_is_asked() {
    let receiver = Receiver::answering(OK).await;
    for host in ["localhost", "hook.localhost", "localhost."] {
        send(&client(), &format!("http://{host}:{}/", receiver.address.port())).await.unwrap();
    }
    assert_eq!(receiver.accepted(), 3);
}

#[tokio::test]
async fn our_own_listeners_are_refused_also_on_a_connection_that_is_open() {
    let receiver = Receiver::answering(OK).await;
    let own = Arc::new(OwnAddresses::default());
    let names = Names::answering(&[&["127.0.0.1"]]);
    let client = EgressClient::new(settings(), own.clone(), names, &TaskTracker::new()).unwrap();
    send(&client, &receiver.url()).await.unwrap();
    own.set_listeners(vec![receiver.address]);
    for text in [receiver.url(), named(&receiver), format!("http://localhost:{}/", receiver.address.port())] {
        assert_eq!(why(&fails(&client, &text).await), Why::Own, "{text}");
    }
    assert_eq!(receiver.requests().len(), 1);
    own.set_listeners(vec![]);
    send(&client, &receiver.url()).await.unwrap();
}

#[tokio::test]
async fn our_public_url_is_refused_by_name_and_nobody_is_asked() {
    let own = Arc::new(OwnAddresses::new(Some(&"https://gateway.example.com/".parse().unwrap())));
    let client = EgressClient::new(settings(), own, Names::none(), &TaskTracker::new()).unwrap();
    assert_eq!(why(&fails(&client, "https://GATEWAY.example.com./api/demo").await), Why::Own);
    let refused = client.lookup_at_accept(&url("https://gateway.example.com/x"), SECOND).await.unwrap_err();
    assert_eq!(refused.why, Why::Own);
}

#[tokio::test]
async fn a_look_up_that_takes_too_long_is_ours_only_if_the_resolver_is_down() {
    for (responds, class, ours) in [(true, "dns-timeout", false), (false, "dns-unavailable", true)] {
        let quick = Settings { dns_budget: Duration::from_millis(50), ..settings() };
        let error = fails(&client_with(quick, Names::silent(responds)), "http://hook.example.com/").await;
        assert_eq!((error.class(), error.is_ours()), (class, ours));
    }
    let slow = client_with(settings(), Names::silent(true));
    let error =
        slow.send(Outgoing { deadline: SECOND / 10, ..post("http://hook.example.com/") }).await.result.unwrap_err();
    assert!(matches!(error, SendError::Timeout { phase: Phase::Dns, status: None }), "the deadline is for all of it");
}

#[tokio::test]
async fn a_name_without_addresses_is_the_endpoints_fault() {
    for (answer, class) in [
        (Ok(vec![]), "dns-no-address"),
        (Err(ResolveError::NoAddress), "dns-no-address"),
        (Err(ResolveError::Failed("SERVFAIL".to_owned())), "dns-failed"),
    ] {
        let error = fails(&client_with(settings(), Names::scripted(vec![answer])), "http://hook.example.com/").await;
        assert_eq!((error.class(), error.public_class(), error.is_ours()), (class, "unreachable", false));
    }
}
