//! Where no grant leads, whatever it says.

use super::*;
use tokio::net::TcpListener;

/// Plain http everywhere, and the addresses of the table.
fn production(names: Arc<Names>) -> Setup {
    Setup { addresses: Policy::default(), plain_http: PlainHttp::Everywhere, names, ..Setup::default() }
}

async fn refused(outside: &Outside, rule: &str, url: &str) -> OutboundError {
    send(&outside.grants("a", &[rule], &[]), get(url)).await.expect_err(url)
}

#[tokio::test]
async fn no_spelling_of_an_inner_address_is_connected_to_although_it_is_granted() {
    let receiver = Receiver::answering(OK).await;
    let port = receiver.address.port();
    let outside = production(Names::none()).start();
    let mut words = Vec::new();
    for (rule, url) in [
        ("http://169.254.169.254".to_owned(), "http://169.254.169.254/latest/meta-data/".to_owned()),
        (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{port}/")),
        (format!("http://127.0.0.1:{port}"), format!("http://2130706433:{port}/")),
        (format!("http://127.0.0.1:{port}"), format!("http://0x7f.1:{port}/")),
        (format!("http://127.0.0.1:{port}"), format!("http://0177.0.0.1:{port}/")),
        (format!("http://127.0.0.1:{port}"), format!("http://①②⑦.0.0.1:{port}/")),
        (format!("http://0.0.0.0:{port}"), format!("http://0.0.0.0:{port}/")),
        (format!("http://0.0.0.0:{port}"), format!("http://0:{port}/")),
        (format!("http://[::1]:{port}"), format!("http://[::1]:{port}/")),
        (format!("http://[::]:{port}"), format!("http://[::]:{port}/")),
        (format!("http://[::ffff:7f00:1]:{port}"), format!("http://[::ffff:127.0.0.1]:{port}/")),
        (format!("http://[64:ff9b::7f00:1]:{port}"), format!("http://[64:ff9b::127.0.0.1]:{port}/")),
        (format!("http://localhost:{port}"), format!("http://localhost:{port}/")),
        (format!("http://localhost:{port}"), format!("http://LOCALHOST.:{port}/")),
        (format!("http://*.a.localhost:{port}"), format!("http://b.a.localhost:{port}/")),
        ("http://10.0.0.1:8080".to_owned(), "http://10.0.0.1:8080/".to_owned()),
    ] {
        match refused(&outside, &rule, &url).await {
            OutboundError::AddressForbidden(text) => words.push(text),
            error => panic!("{url}: {error:?}"),
        }
    }
    words.dedup();
    assert_eq!(words.len(), 1, "the words are the same for all of them");
    assert_eq!(receiver.accepted(), 0);
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_connected_to_also_if_it_did_not_a_moment_ago() {
    let receiver = Receiver::answering(OK).await;
    let url = format!("http://api.example.com:{}/", receiver.address.port());
    for answers in [&["127.0.0.1"][..], &["93.184.215.14", "127.0.0.1"], &["10.0.0.1"], &["::ffff:127.0.0.1"]] {
        let outside = production(Names::answering(&[answers])).start();
        let error = refused(&outside, url.trim_end_matches('/'), &url).await;
        assert!(matches!(error, OutboundError::AddressForbidden(_)), "{answers:?}: {error:?}");
    }
    assert_eq!(receiver.accepted(), 0);
    // Reachable at first, by the operator's leave; then the name moves to where nobody may go.
    let addresses = Policy { allow: vec!["127.0.0.1/32".parse().unwrap()], ..Policy::default() };
    let names = Names::answering(&[&["127.0.0.1"], &["169.254.169.254"]]);
    let closing = Receiver::start(|mut stream, _, log| async move {
        log.request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let url = format!("http://api.example.com:{}/", closing.address.port());
    let outside = Setup { addresses, ..production(names) }.start();
    let grants = outside.grants("a", &[url.trim_end_matches('/')], &[]);
    assert_eq!(send(&grants, get(&url)).await.unwrap().status, 200);
    assert!(matches!(send(&grants, get(&url)).await.unwrap_err(), OutboundError::AddressForbidden(_)));
    assert_eq!(closing.accepted(), 1);
}

#[tokio::test]
async fn the_gateway_itself_is_no_place_to_call() {
    let receiver = Receiver::answering(OK).await;
    let own = OwnAddresses::default();
    own.set_listeners(vec![receiver.address]);
    let outside = Setup { own, ..Setup::default() }.start();
    let error = refused(&outside, &origin(&receiver), &receiver.url()).await;
    assert!(matches!(error, OutboundError::AddressForbidden(_)), "{error:?}");
    assert_eq!(receiver.accepted(), 0);
}

#[tokio::test]
async fn a_closed_port_a_name_without_address_and_silence_read_the_same() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let outside = Outside::new();
    let first = refused(&outside, &format!("http://{closed}"), &format!("http://{closed}/")).await;
    let silent = Setup { plain_http: PlainHttp::Everywhere, names: Names::silent(true), ..Setup::default() }.start();
    let second = refused(&silent, "http://api.example.com", "http://api.example.com/").await;
    assert!(matches!(&first, OutboundError::Connection(text) if !text.contains("127")), "{first:?}");
    assert_eq!(first, second);
}

#[tokio::test]
async fn plain_http_is_for_where_the_operator_allows_it() {
    let outside = Setup { plain_http: PlainHttp::Refused, ..Setup::default() }.start();
    for (outside, url) in [(&outside, "http://127.0.0.1:1/"), (&Outside::new(), "http://api.example.com/")] {
        let error = refused(outside, url.trim_end_matches('/'), url).await;
        assert!(matches!(&error, OutboundError::NotGranted(text) if text.contains("plain http")), "{error:?}");
    }
}
