//! What is known of an exchange besides its result.

use super::super::Phases;
use super::receiver::Receiver;
use super::*;
use tokio::io::AsyncWriteExt as _;
use tokio::time::sleep;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const MOMENT: Duration = Duration::from_millis(30);

/// Look-up, connection, TLS, head, body.
fn took_place(phases: Phases) -> [bool; 5] {
    [phases.dns, phases.connect, phases.tls, phases.first_byte, phases.body].map(|phase| phase.is_some())
}

#[tokio::test]
async fn a_new_connection_has_every_phase_and_a_reused_one_the_last_two() {
    let receiver = Receiver::answering(OK).await;
    let client = client_with(settings(), Names::answering(&[&["127.0.0.1"]]));
    let url = format!("http://hook.example.com:{}/", receiver.address.port());
    let first = client.send(post(&url)).await.facts;
    assert_eq!(took_place(first.phases), [true, true, false, true, true]);
    assert_eq!((first.reused, first.peer, first.tls), (false, Some(receiver.address), None));
    let second = client.send(post(&url)).await.facts;
    assert_eq!(took_place(second.phases), [false, false, false, true, true]);
    assert_eq!((second.reused, second.peer, second.tls), (true, Some(receiver.address), None));
}

#[tokio::test]
async fn an_address_is_not_looked_up() {
    let receiver = Receiver::answering(OK).await;
    let facts = client().send(post(&receiver.url())).await.facts;
    assert_eq!(took_place(facts.phases), [false, true, false, true, true]);
}

#[tokio::test]
async fn each_phase_has_its_own_time() {
    let receiver = Receiver::start(|mut stream, _, log| async move {
        log.request(&mut stream).await;
        sleep(MOMENT).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await;
        sleep(2 * MOMENT).await;
        let _ = stream.write_all(b"ok").await;
    })
    .await;
    let Phases { first_byte, body, .. } = client().send(post(&receiver.url())).await.facts.phases;
    assert!(first_byte.unwrap() >= MOMENT && body.unwrap() >= 2 * MOMENT - MOMENT / 4, "{first_byte:?} {body:?}");
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_leaves_no_trace() {
    let receiver = Receiver::start(|mut stream, _, log| async move {
        log.request(&mut stream).await;
        let _ = stream.write_all(OK).await;
    })
    .await;
    let client = client();
    for _ in 0..5 {
        let Exchange { result, facts } = client.send(post(&receiver.url())).await;
        result.unwrap();
        assert!(!facts.reused && facts.phases.connect.is_some() && facts.phases.first_byte.is_some(), "{facts:?}");
        sleep(MOMENT).await;
    }
}

#[tokio::test]
async fn what_is_refused_reached_nobody() {
    let named =
        client_with(settings(), Names::answering(&[&["10.0.0.1"]])).send(post("http://hook.example.com/")).await;
    assert_eq!(named.result.unwrap_err().class(), "refused-address");
    assert_eq!((took_place(named.facts.phases), named.facts.peer), ([true, false, false, false, false], None));
}

#[tokio::test]
async fn the_phase_that_the_deadline_ends_has_the_time_until_then() {
    let waiting = client_with(settings(), Names::silent(true));
    let Exchange { result, facts } = hurried(&waiting, post("http://hook.example.com/")).await;
    assert_eq!(result.unwrap_err().class(), "dns-timeout");
    assert_eq!((took_place(facts.phases), facts.peer), ([true, false, false, false, false], None));
    assert!(facts.phases.dns.unwrap() > DEADLINE / 2);
}

#[tokio::test]
async fn an_exchange_that_shutdown_ends_says_how_far_it_came() {
    let silent = Receiver::saying_once(b"").await;
    let client = client();
    let stop = async {
        while silent.requests().is_empty() {
            sleep(Duration::from_millis(2)).await;
        }
        client.shutdown();
    };
    let (Exchange { result, facts }, ()) = tokio::join!(client.send(post(&silent.url())), stop);
    assert_eq!(result.unwrap_err().class(), "shutdown");
    assert_eq!((took_place(facts.phases), facts.peer), ([false, true, false, true, false], Some(silent.address)));
}
