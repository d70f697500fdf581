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
            // After the host, which the handler knows.
            OutboundError::AddressForbidden(text) => words.push(text.split_once(' ').unwrap().1.to_owned()),
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

/// What is told of a port that nobody listens on, a name that nobody has, and name servers that are silent.
async fn told_of_the_unreachable(addresses: &Policy) -> [String; 3] {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let setup =
        |names| Setup { addresses: addresses.clone(), plain_http: PlainHttp::Everywhere, names, ..Setup::default() };
    let told = async |outside: Outside, url: &str| match refused(&outside, url, &format!("{url}/")).await {
        OutboundError::Connection(text) => text.replace(&closed.to_string(), "api.example.com"),
        other => panic!("{other:?}"),
    };
    [
        told(setup(Names::none()).start(), &format!("http://{closed}")).await,
        told(setup(Names::unknown()).start(), "http://api.example.com").await,
        told(setup(Names::silent(true)).start(), "http://api.example.com").await,
    ]
}

#[tokio::test]
async fn a_handler_is_told_which_host_refused_was_not_found_or_was_silent() {
    assert_eq!(
        told_of_the_unreachable(&development()).await,
        [
            "api.example.com refused the connection; nothing was sent",
            "api.example.com was not found: its name has no address; nothing was sent",
            "api.example.com was not found: the name servers did not answer for it; nothing was sent",
        ]
    );
}

#[tokio::test]
async fn where_private_networks_are_open_a_closed_port_an_unknown_name_and_silence_read_the_same() {
    let addresses = Policy { allow: vec!["10.0.0.0/8".parse().unwrap()], ..development() };
    let same =
        "api.example.com cannot be reached: it has no address, refuses the connection, or is silent; nothing was sent";
    assert_eq!(told_of_the_unreachable(&addresses).await, [same; 3]);
}

#[tokio::test]
async fn plain_http_is_for_where_the_operator_allows_it() {
    let outside = Setup { plain_http: PlainHttp::Refused, ..Setup::default() }.start();
    for (outside, url) in [(&outside, "http://127.0.0.1:1/"), (&Outside::new(), "http://api.example.com/")] {
        let error = refused(outside, url.trim_end_matches('/'), url).await;
        assert!(matches!(&error, OutboundError::NotGranted(text) if text.contains("plain http")), "{error:?}");
    }
}
