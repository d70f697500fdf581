use super::check::Verdict;
use super::report::{Answered, Report};
use super::*;
use clap::Parser;
use ripost_domain::signature::{SigningKey, sign_v1};
use ripost_domain::time::{Clock, Timestamp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

const NOW_S: i64 = 1_764_000_000;
const PATIENCE: Duration = Duration::from_secs(20);
const BODY: &str = r#"{"requestId":"req_1","status":"completed"}"#;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(NOW_S * 1000)
    }
}

fn secret() -> Secret {
    Secret::from_bytes([7; 32]).unwrap()
}

struct Endpoint {
    address: SocketAddr,
    reports: mpsc::Receiver<Report>,
    stopping: tokio_util::sync::CancellationToken,
}

/// A listener as the command line makes it.
async fn endpoint(arguments: &[&str]) -> Endpoint {
    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        listen: Listen,
    }
    let listen = Arguments::try_parse_from([&["listen"], arguments].concat()).unwrap().listen;
    let (sender, reports) = mpsc::channel(REPORTS_MAX);
    let receiver = Receiver::new(listen.checks().unwrap(), listen.conduct(), Arc::new(Still), sender);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stopping = receiver.stopping.clone();
    let receiver = Arc::new(receiver);
    receiver.tasks.clone().spawn(receiver.serve(listener));
    Endpoint { address, reports, stopping }
}

/// A webhook as the gateway sends it.
struct Webhook {
    id: &'static str,
    sent_s: i64,
    signature: String,
    body: Vec<u8>,
    attempt: u32,
}

fn webhook() -> Webhook {
    signed(BODY.as_bytes(), NOW_S)
}

fn signed(body: &[u8], sent_s: i64) -> Webhook {
    let signature = sign_v1(&[&secret()], "dlv_1", sent_s, body);
    Webhook { id: "dlv_1", sent_s, signature, body: body.to_vec(), attempt: 1 }
}

impl Webhook {
    fn bytes(&self) -> Vec<u8> {
        let Self { id, sent_s, signature, body, attempt } = self;
        let head = format!(
            "POST /hook?a=b HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nwebhook-id: {id}\r\nwebhook-timestamp: {sent_s}\r\n\
             webhook-signature: {signature}\r\nripost-attempt: {attempt}\r\nripost-request-id: req_1\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    }
}

impl Endpoint {
    async fn open(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    async fn report(&mut self) -> Report {
        timeout(PATIENCE, self.reports.recv()).await.expect("a report").unwrap()
    }

    /// The whole answer, as text.
    async fn post(&mut self, webhook: &Webhook) -> (Report, String) {
        let mut stream = self.open(&webhook.bytes()).await;
        let report = self.report().await;
        (report, rest(&mut stream).await.0)
    }
}

/// All that comes, and how it ends.
async fn rest(stream: &mut TcpStream) -> (String, std::io::Result<()>) {
    let mut bytes = Vec::new();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the end of the connection");
    (String::from_utf8(bytes).unwrap(), ended.map(drop))
}

fn whsec() -> String {
    secret().to_whsec()
}

#[tokio::test]
async fn a_webhook_that_verifies_is_answered_200_and_shown() {
    let mut endpoint = endpoint(&["--secret", &whsec()]).await;
    let (report, answer) = endpoint.post(&signed(BODY.as_bytes(), NOW_S - 12)).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!((report.verified, report.reason.as_deref()), (Some(true), Some("v1")));
    assert_eq!(
        report.to_string(),
        "2025-11-24T16:00:00.000Z POST /hook?a=b  VERIFIED (v1)\n  \
         webhook-id dlv_1, attempt 1, request req_1, signed 12 s ago\n  \
         {\n    \"requestId\": \"req_1\",\n    \"status\": \"completed\"\n  }\n  answered 200\n\n"
    );
    let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    assert_eq!((&json["verified"], &json["ageS"]), (&true.into(), &12.into()));
    assert_eq!(json["body"]["requestId"], "req_1");
    assert_eq!(json["answered"]["status"], 200);
}

#[tokio::test]
async fn what_does_not_verify_is_answered_401_and_says_why() {
    let other = Secret::from_bytes([8; 32]).unwrap().to_whsec();
    let mut wrong = endpoint(&["--secret", &other]).await;
    let (report, answer) = wrong.post(&webhook()).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(report.to_string().contains("NOT VERIFIED (v1: no signature matches"), "{report}");

    let mut right = endpoint(&["--secret", &other, "--secret", &whsec()]).await;
    assert_eq!(right.post(&webhook()).await.0.verified, Some(true), "while a secret rotates either one verifies");
    let changed = Webhook { body: BODY.replace("completed", "failed!!!").into_bytes(), ..webhook() };
    let old = signed(BODY.as_bytes(), NOW_S - 301);
    let early = signed(BODY.as_bytes(), NOW_S + 301);
    let unsigned = Webhook { signature: String::new(), ..webhook() };
    for (webhook, why) in [(changed, "no signature"), (old, "too old"), (early, "future"), (unsigned, "no signature")] {
        let (report, answer) = right.post(&webhook).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert_eq!(report.verified, Some(false));
        assert!(report.reason.as_deref().unwrap().contains(why), "{report}");
    }
    // Asked for is asked for.
    let mut anyway = endpoint(&["--secret", &other, "--status", "204"]).await;
    let (report, answer) = anyway.post(&webhook()).await;
    assert_eq!(report.verified, Some(false));
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
}

#[tokio::test]
async fn without_a_secret_nothing_is_claimed() {
    let mut endpoint = endpoint(&[]).await;
    let (report, answer) = endpoint.post(&webhook()).await;
    assert_eq!(report.verified, None);
    assert!(report.to_string().contains("not verified: no --secret\n"), "{report}");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn with_both_secret_and_public_key_both_have_to_fit() {
    let key = SigningKey::from_seed([5; 32]);
    let whpk = key.public().to_whpk();
    let v1a = key.sign_v1a("dlv_1", NOW_S, BODY.as_bytes());
    let v1 = webhook().signature;
    let mut both = endpoint(&["--secret", &whsec(), "--public-key", &whpk]).await;
    let mut asymmetric = endpoint(&["--public-key", &whpk]).await;
    let with = |signature: String| Webhook { signature, ..webhook() };
    let (report, _) = both.post(&with(format!("{v1} {v1a}"))).await;
    assert_eq!((report.verified, report.reason.as_deref()), (Some(true), Some("v1 and v1a")));
    let (report, _) = both.post(&with(v1.clone())).await;
    assert_eq!(report.verified, Some(false));
    assert!(report.reason.unwrap().starts_with("v1a: "));
    let (report, _) = both.post(&with(v1a.clone())).await;
    assert!(report.reason.unwrap().starts_with("v1: "));
    let (report, _) = asymmetric.post(&with(format!("{v1} {v1a}"))).await;
    assert_eq!((report.verified, report.reason.as_deref()), (Some(true), Some("v1a")));
}

#[tokio::test]
async fn an_id_that_comes_again_is_told_and_so_is_another_body_under_it() {
    let mut endpoint = endpoint(&["--secret", &whsec()]).await;
    assert!(!endpoint.post(&webhook()).await.0.to_string().contains("seen before"));
    let again = Webhook { attempt: 2, ..webhook() };
    let shown = endpoint.post(&again).await.0.to_string();
    assert!(shown.contains("webhook-id dlv_1, attempt 2 (seen before), request"), "{shown}");
    let shown = endpoint.post(&signed(b"{}", NOW_S)).await.0.to_string();
    assert!(shown.contains("seen before WITH ANOTHER BODY"), "{shown}");
}

#[tokio::test]
async fn the_answer_is_the_one_that_was_asked_for_as_often_as_it_was() {
    let mut endpoint = endpoint(&[
        "--secret",
        &whsec(),
        "--status",
        "503",
        "--retry-after",
        "-1",
        "--header",
        "webhook-delivery: disable",
        "--body",
        "not now",
        "--times",
        "2",
    ])
    .await;
    for _ in 0..2 {
        let (report, answer) = endpoint.post(&webhook()).await;
        assert_eq!(report.answered, Answered::Status(503));
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(
            answer.contains("\r\nretry-after: -1\r\n") && answer.contains("\r\nwebhook-delivery: disable\r\n"),
            "{answer}"
        );
        assert!(answer.ends_with("\r\n\r\nnot now"), "{answer}");
    }
    let (report, answer) = endpoint.post(&webhook()).await;
    assert_eq!(report.answered, Answered::Status(200));
    assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains("retry-after"), "{answer}");
}

#[tokio::test]
async fn a_delayed_answer_comes_late() {
    let mut endpoint = endpoint(&["--delay", "300ms"]).await;
    let begun = Instant::now();
    let (report, answer) = endpoint.post(&webhook()).await;
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(report.to_string().contains("answered 200 after 300 ms\n"), "{report}");
}

#[tokio::test]
async fn an_answer_that_is_under_way_is_finished_when_the_listener_ends() {
    let mut endpoint = endpoint(&["--delay", "100ms", "--body", "the end"]).await;
    let mut stream = endpoint.open(&webhook().bytes()).await;
    endpoint.report().await;
    endpoint.stopping.cancel();
    let (answer, _) = rest(&mut stream).await;
    assert!(answer.ends_with("\r\n\r\nthe end"), "{answer}");
}

#[tokio::test]
async fn hanging_sends_nothing_until_the_end() {
    let mut endpoint = endpoint(&["--hang"]).await;
    let mut stream = endpoint.open(&webhook().bytes()).await;
    assert_eq!(endpoint.report().await.answered, Answered::Nothing);
    endpoint.stopping.cancel();
    assert_eq!(rest(&mut stream).await.0, "");
}

#[tokio::test]
async fn a_reset_is_a_reset_and_no_orderly_end() {
    let mut endpoint = endpoint(&["--reset", "--times", "1"]).await;
    let mut stream = endpoint.open(&webhook().bytes()).await;
    assert_eq!(endpoint.report().await.answered, Answered::Reset);
    let (answer, ended) = rest(&mut stream).await;
    assert_eq!(answer, "");
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert!(endpoint.post(&webhook()).await.1.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn dripping_begins_an_answer_and_never_ends_it() {
    let mut endpoint = endpoint(&["--drip=5 ms", "--status", "202"]).await;
    let mut stream = endpoint.open(&webhook().bytes()).await;
    assert_eq!(endpoint.report().await.answered, Answered::Drip(202));
    let mut answer = String::new();
    while answer.matches("1\r\n.\r\n").count() < 5 {
        let mut piece = [0; 16];
        let read = timeout(PATIENCE, stream.read(&mut piece)).await.expect("another drop").unwrap();
        assert_ne!(read, 0, "it ended: {answer}");
        answer.push_str(std::str::from_utf8(&piece[..read]).unwrap());
    }
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    endpoint.stopping.cancel();
    let (end, _) = rest(&mut stream).await;
    assert!(!end.contains("0\r\n\r\n"), "it was ended as if it were whole: {end}");
}

#[tokio::test]
async fn a_body_over_8_mib_is_refused_and_one_cut_short_is_told() {
    let mut endpoint = endpoint(&["--secret", &whsec()]).await;
    let large = vec![b' '; 8 << 20];
    assert_eq!(endpoint.post(&signed(&large, NOW_S)).await.0.verified, Some(true));
    let mut stream = TcpStream::connect(endpoint.address).await.unwrap();
    let too_large = signed(&[&large[..], b" "].concat(), NOW_S).bytes();
    // It may be refused before all of it is written.
    let _ = stream.write_all(&too_large).await;
    let shown = endpoint.report().await.to_string();
    assert!(shown.contains("NOT VERIFIED (its body is over 8 MiB)") && shown.contains("answered 413"), "{shown}");

    let whole = webhook().bytes();
    let mut stream = endpoint.open(&whole[..whole.len() - 1]).await;
    stream.shutdown().await.unwrap();
    let shown = endpoint.report().await.to_string();
    assert!(shown.contains("NOT VERIFIED (its body did not arrive whole"), "{shown}");
}

#[tokio::test]
async fn get_tells_what_this_is() {
    let endpoint = endpoint(&["--status", "500"]).await;
    for (path, status) in [("/", "200"), ("/favicon.ico", "404")] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let (answer, _) = rest(&mut endpoint.open(request.as_bytes()).await).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(answer.contains("webhook_url"), status == "200", "{answer}");
    }
}

#[tokio::test]
async fn no_body_steers_the_terminal_or_floods_it() {
    let mut endpoint = endpoint(&[]).await;
    for body in [&b"plain \x1b[2J\x07 text\r\n\xff"[..], b"{\"a\":\"\xc2\x9b\xe2\x80\xae\"}"] {
        let report = endpoint.post(&signed(body, NOW_S)).await.0;
        for shown in [report.to_string(), report.to_json().unwrap()] {
            assert!(!shown.contains(|letter: char| letter != '\n' && letter.is_control()), "{shown:?}");
            assert!(!shown.contains('\u{202e}'), "{shown:?}");
        }
        let json = report.to_json().unwrap();
        assert!(!json.contains('\n') && serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
    }
    let long = vec![b'x'; 200 << 10];
    let shown = endpoint.post(&signed(&long, NOW_S)).await.0.to_string();
    assert!(shown.len() < 70 << 10 && shown.contains("(204800 bytes in all)"), "{}", shown.len());
    let letters = "\u{e9}".repeat(100 << 10);
    let shown = endpoint.post(&signed(letters.as_bytes(), NOW_S)).await.0.to_string();
    assert!(!shown.contains('\u{fffd}'));
}

#[test]
fn arguments_that_mean_nothing_are_refused() {
    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        _listen: Listen,
    }
    for bad in [
        &["--status", "99"][..],
        &["--status", "101"],
        &["--delay", "10"],
        &["--drip", "--hang"],
        &["--hang", "--reset"],
        &["--header", "no colon"],
        &["--header", "content-length: 1"],
        &["--count", "0"],
        &["--listen", "localhost"],
    ] {
        assert!(Arguments::try_parse_from([&["listen"], bad].concat()).is_err(), "{bad:?}");
    }
    assert!(Arguments::try_parse_from(["listen", "--drip", "--delay", "10 s", "--count", "3"]).is_ok());
}

#[test]
fn the_secret_file_has_a_secret_a_line_and_errors_show_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets");
    let checks = |text: &str| {
        std::fs::write(&path, text).unwrap();
        #[derive(Parser)]
        struct Arguments {
            #[command(flatten)]
            listen: Listen,
        }
        Arguments::try_parse_from(["listen", "--secret-file", path.to_str().unwrap()]).unwrap().listen.checks()
    };
    let both = checks(&format!("{}\n\n  {}  \n", whsec(), Secret::from_bytes([9; 24]).unwrap().to_whsec())).unwrap();
    assert_eq!(both.secrets.len(), 2);
    let headers = http::HeaderMap::new();
    assert!(matches!(both.check(&headers, b"", NOW_S), Verdict::Refused(why) if why.contains("webhook-id")));
    assert!(checks("\n").is_err());
    let error = checks("whsec_hunter2!").unwrap_err();
    assert!(!format!("{error:#}").contains("hunter2"), "{error:#}");
}
