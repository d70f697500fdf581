//! Connections that serve more than one request.

use super::receiver::Receiver;
use super::*;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_hundred_requests_in_turn_need_one_connection() {
    for answer in [
        OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ] {
        let receiver = Receiver::answering(answer).await;
        let client = client();
        for _ in 0..100 {
            send(&client, &receiver.url()).await.unwrap();
        }
        assert_eq!((receiver.accepted(), receiver.requests().len(), client.idle_connections()), (1, 100, 1));
    }
}

#[tokio::test]
async fn clones_share_their_connections_and_origins_do_not() {
    let (one, two) = (Receiver::answering(OK).await, Receiver::answering(OK).await);
    let client = client();
    for _ in 0..3 {
        send(&client.clone(), &one.url()).await.unwrap();
        send(&client.clone(), &two.url()).await.unwrap();
    }
    assert_eq!((one.accepted(), two.accepted(), client.idle_connections()), (1, 1, 2));
}

#[tokio::test]
async fn a_receiver_that_closes_after_each_answer_gets_a_connection_each() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"[..],
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ] {
        let receiver = Receiver::answering(answer).await;
        let client = client();
        for _ in 0..3 {
            send(&client, &receiver.url()).await.unwrap();
        }
        assert_eq!((receiver.accepted(), client.idle_connections()), (3, 0));
    }
}

#[tokio::test]
async fn no_more_connections_are_kept_than_the_bounds_say() {
    let receiver = Receiver::start(|mut stream, _, log| async move {
        while log.request(&mut stream).await.is_some() {
            sleep(Duration::from_millis(100)).await;
            let _ = stream.write_all(OK).await;
        }
    })
    .await;
    for (settings, kept) in [
        (Settings { idle_per_origin: 3, ..settings() }, 3),
        (Settings { idle_total: 2, ..settings() }, 2),
        (Settings { idle_per_origin: 0, ..settings() }, 0),
    ] {
        let client = client_with(settings, Names::none());
        let url = receiver.url();
        let sends = futures_util::future::join_all((0..8).map(|_| send(&client, &url))).await;
        assert!(sends.iter().all(Result::is_ok));
        assert_eq!(client.idle_connections(), kept);
    }
    assert_eq!(receiver.accepted(), 24);
}

#[tokio::test]
async fn connections_are_not_used_past_their_time() {
    for settings in [
        Settings { idle: Duration::from_millis(50), ..settings() },
        Settings { age: Duration::from_millis(50), ..settings() },
    ] {
        let receiver = Receiver::answering(OK).await;
        let client = client_with(settings, Names::none());
        send(&client, &receiver.url()).await.unwrap();
        sleep(Duration::from_millis(80)).await;
        send(&client, &receiver.url()).await.unwrap();
        assert_eq!(receiver.accepted(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed_even_if_nobody_sends() {
    let receiver = Receiver::answering(OK).await;
    let client = client();
    send(&client, &receiver.url()).await.unwrap();
    assert_eq!(client.idle_connections(), 1);
    sleep(40 * SECOND).await;
    assert_eq!(client.idle_connections(), 0);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_attempt() {
    let receiver = Receiver::start(|mut stream, _, log| async move {
        log.request(&mut stream).await;
        let _ = stream.write_all(OK).await;
        sleep(Duration::from_millis(20)).await;
    })
    .await;
    let client = client();
    for sent in 1..=5 {
        send(&client, &receiver.url()).await.unwrap();
        assert_eq!(client.idle_connections(), 1, "nothing said that it would be closed");
        sleep(Duration::from_millis(60)).await;
        assert_eq!((receiver.accepted(), receiver.requests().len()), (sent, sent), "each request was seen once");
    }
}

async fn send_repeatable(client: &EgressClient, receiver: &Receiver) -> Exchange {
    client.send_repeatable(&|| post(&receiver.url())).await
}

/// Answers the first request of each connection, and `end`s it when a second one comes.
async fn one_answer_each(end: fn(&tokio::net::TcpStream)) -> Receiver {
    Receiver::start(move |mut stream, _, log| async move {
        log.request(&mut stream).await;
        let _ = stream.write_all(OK).await;
        log.request(&mut stream).await;
        end(&stream);
    })
    .await
}

fn reset(stream: &tokio::net::TcpStream) {
    stream.set_zero_linger().unwrap();
}

#[tokio::test]
async fn a_kept_connection_that_is_dead_costs_no_attempt() {
    for end in [reset, |_: &tokio::net::TcpStream| {}] {
        let receiver = one_answer_each(end).await;
        let client = client();
        for sent in 1..=4 {
            let Exchange { result, facts } = send_repeatable(&client, &receiver).await;
            assert_eq!(&result.unwrap().excerpt[..], b"ok");
            assert_eq!((facts.resent, facts.reused), (sent > 1, false), "{sent}");
            assert_eq!((facts.peer, facts.phases.connect.is_some()), (Some(receiver.address), true));
            assert_eq!((receiver.accepted(), receiver.requests().len()), (sent, 2 * sent - 1));
        }
    }
}

#[tokio::test]
async fn what_must_not_arrive_twice_is_not_sent_again() {
    let receiver = one_answer_each(reset).await;
    let client = client();
    send(&client, &receiver.url()).await.unwrap();
    let error = fails(&client, &receiver.url()).await;
    assert_eq!(error.class(), "connection-closed");
    assert_eq!((receiver.accepted(), receiver.requests().len()), (1, 2));
}

#[tokio::test]
async fn it_is_sent_again_once_and_only_from_a_kept_connection() {
    // Hangs up on everything but the first request of the first connection.
    let receiver = Receiver::start(|mut stream, number, log| async move {
        log.request(&mut stream).await;
        if number == 0 {
            let _ = stream.write_all(OK).await;
            log.request(&mut stream).await;
        }
    })
    .await;
    let client = client();
    send_repeatable(&client, &receiver).await.result.unwrap();
    for (resent, accepted, requests) in [(true, 2, 3), (false, 3, 4)] {
        let Exchange { result, facts } = send_repeatable(&client, &receiver).await;
        assert_eq!((result.unwrap_err().class(), facts.resent), ("connection-closed", resent));
        assert_eq!((receiver.accepted(), receiver.requests().len()), (accepted, requests));
    }
}

#[tokio::test]
async fn after_a_byte_of_the_answer_nothing_is_sent_again() {
    for beginning in [&b"H"[..], b"HTTP/1.1 100 Continue\r\n\r\n"] {
        let receiver = Receiver::start(move |mut stream, _, log| async move {
            log.request(&mut stream).await;
            let _ = stream.write_all(OK).await;
            log.request(&mut stream).await;
            let _ = stream.write_all(beginning).await;
        })
        .await;
        let client = client();
        send_repeatable(&client, &receiver).await.result.unwrap();
        let Exchange { result, facts } = send_repeatable(&client, &receiver).await;
        assert_eq!((result.unwrap_err().class(), facts.resent), ("connection-closed", false));
        assert_eq!((receiver.accepted(), receiver.requests().len()), (1, 2));
    }
}

#[tokio::test]
async fn the_deadline_is_one_for_both() {
    // Reads the second request for most of the time, and says nothing on any later connection.
    let receiver = Receiver::start(|mut stream, number, log| async move {
        log.request(&mut stream).await;
        if number > 0 {
            std::future::pending().await
        }
        let _ = stream.write_all(OK).await;
        log.request(&mut stream).await;
        sleep(DEADLINE * 2 / 3).await;
    })
    .await;
    let client = client();
    send_repeatable(&client, &receiver).await.result.unwrap();
    let started = Instant::now();
    let Exchange { result, facts } =
        client.send_repeatable(&|| Outgoing { deadline: DEADLINE, ..post(&receiver.url()) }).await;
    assert_eq!((result.unwrap_err().class(), facts.resent), ("answer-timeout", true));
    let took = started.elapsed();
    assert!((DEADLINE..DEADLINE * 3 / 2).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_dead_connection_takes_those_beside_it_along() {
    // Keeps what it has open, answers on the newest connection only, and resets the others when they are used.
    let receiver = Receiver::start(|mut stream, number, log| async move {
        log.request(&mut stream).await;
        sleep(Duration::from_millis(100)).await;
        let _ = stream.write_all(OK).await;
        while log.request(&mut stream).await.is_some() {
            if number < 4 {
                return reset(&stream);
            }
            let _ = stream.write_all(OK).await;
        }
    })
    .await;
    let client = client();
    let sends = futures_util::future::join_all((0..4).map(|_| send_repeatable(&client, &receiver))).await;
    assert!(sends.iter().all(|exchange| exchange.result.is_ok()));
    assert_eq!((receiver.accepted(), client.idle_connections()), (4, 4));
    let resent = send_repeatable(&client, &receiver).await;
    assert!(resent.result.is_ok() && resent.facts.resent);
    assert_eq!((receiver.accepted(), client.idle_connections()), (5, 1));
    let next = send_repeatable(&client, &receiver).await;
    assert!(next.result.is_ok() && next.facts.reused && !next.facts.resent);
}

#[tokio::test]
async fn a_large_body_that_was_partly_sent_is_sent_again_whole() {
    let receiver = Receiver::start(|mut stream, number, log| async move {
        log.request(&mut stream).await;
        let _ = stream.write_all(OK).await;
        if number == 0 {
            // Takes a little of the second request, and resets.
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 1000]).await;
            return reset(&stream);
        }
        log.request(&mut stream).await;
    })
    .await;
    let client = client();
    send_repeatable(&client, &receiver).await.result.unwrap();
    let body = Bytes::from("x".repeat(8 << 20));
    let Exchange { result, facts } =
        client.send_repeatable(&|| Outgoing { body: body.clone(), ..post(&receiver.url()) }).await;
    assert!(facts.resent && result.is_ok(), "{result:?}");
    assert!(receiver.requests()[1].ends_with(std::str::from_utf8(&body).unwrap()));
}

#[tokio::test]
async fn what_was_said_without_being_asked_is_no_answer_to_the_next_request() {
    let receiver = Receiver::start(|mut stream, number, log| async move {
        log.request(&mut stream).await;
        let _ = stream.write_all(OK).await;
        if number == 0 {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged").await;
        }
        std::future::pending().await
    })
    .await;
    let client = client();
    send(&client, &receiver.url()).await.unwrap();
    sleep(Duration::from_millis(20)).await;
    assert_eq!(&send(&client, &receiver.url()).await.unwrap().excerpt[..], b"ok");
    assert_eq!(receiver.accepted(), 2);
}

#[tokio::test]
async fn a_send_that_is_dropped_closes_its_connection() {
    let receiver = Receiver::start(|mut stream, _, log| async move {
        log.request(&mut stream).await;
        assert!(log.request(&mut stream).await.is_none());
        log.request(&mut &b"GET /closed HTTP/1.1\r\n\r\n"[..]).await;
    })
    .await;
    let client = client();
    assert!(tokio::time::timeout(Duration::from_millis(100), send(&client, &receiver.url())).await.is_err());
    let started = Instant::now();
    while receiver.requests().len() < 2 {
        assert!(started.elapsed() < 5 * SECOND, "the connection is still open");
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(client.idle_connections(), 0);
}

#[tokio::test]
async fn shutdown_ends_what_is_under_way_and_its_task() {
    let silent = Receiver::saying_once(b"").await;
    let quick = Receiver::answering(OK).await;
    let tasks = TaskTracker::new();
    let client = EgressClient::new(settings(), Arc::default(), Names::none(), &tasks).unwrap();
    send(&client, &quick.url()).await.unwrap();
    let stop = async {
        while silent.requests().is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
        client.shutdown();
    };
    let url = silent.url();
    let (under_way, ()) = tokio::join!(send(&client, &url), stop);
    let error = under_way.unwrap_err();
    assert_eq!((error.class(), error.is_ours()), ("shutdown", true));
    assert_eq!(client.idle_connections(), 0);
    assert_eq!(fails(&client, &quick.url()).await.class(), "shutdown");
    tasks.close();
    tokio::time::timeout(SECOND, tasks.wait()).await.unwrap();
}

#[tokio::test]
async fn two_parties_never_share_a_connection() {
    let receiver = Receiver::answering(OK).await;
    let client = client();
    let owner = |name: &str| Party::Owner(name.into());
    for _ in 0..3 {
        for party in [Party::Gateway, owner("a"), owner("b"), owner("http://a")] {
            client.send(Outgoing { party, ..post(&receiver.url()) }).await.result.unwrap();
        }
    }
    assert_eq!((receiver.accepted(), receiver.requests().len(), client.idle_connections()), (4, 12, 4));
}

#[tokio::test]
async fn an_owner_may_name_itself_and_ask_for_an_encoding_and_nobody_else_may() {
    let receiver = Receiver::answering(OK).await;
    let client = client();
    let mut headers = HeaderMap::new();
    headers.insert("user-agent", "mine".parse().unwrap());
    headers.insert("accept-encoding", "gzip".parse().unwrap());
    let owner = Party::Owner("a".into());
    for (party, headers) in [(Party::Gateway, headers.clone()), (owner.clone(), headers), (owner, HeaderMap::new())] {
        client.send(Outgoing { party, headers, ..post(&receiver.url()) }).await.result.unwrap();
    }
    let asked = |request: &String| (request.contains("user-agent: mine"), request.contains("accept-encoding: gzip"));
    assert_eq!(
        receiver.requests().iter().map(asked).collect::<Vec<_>>(),
        [(false, false), (true, true), (false, false)]
    );
    assert!(receiver.requests()[2].contains("user-agent: Ripost/") && receiver.requests()[2].contains("identity"));
}
