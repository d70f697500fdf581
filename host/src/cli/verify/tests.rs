use super::*;
use ripost_domain::id::{DeliveryId, RequestId};
use ripost_domain::receipt::{Entry, Unsigned, commit, genesis, link};
use ripost_domain::signature::SigningKey;
use ripost_domain::time::Timestamp;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::net::TcpListener;

const NOW: Timestamp = Timestamp::from_millis(1_764_000_000_000);
const SALT: [u8; 32] = [9; 32];
const URL: &str = "https://consumer.example/hook";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

fn receipt(gateway: &str) -> Receipt {
    let (request_id, webhook_id) = (RequestId::new(NOW, [1; 10]), DeliveryId::new(NOW, [2; 10]));
    let payload: [u8; 32] = Sha256::digest(b"{}").into();
    let mut chain = genesis(&webhook_id.to_string(), &request_id.to_string(), "completed", &payload);
    let mut attempt = |number: u32, status: Option<u16>, class: Option<&str>| {
        let url_commitment = commit(&SALT, URL.as_bytes());
        let entry = Entry {
            attempt: number,
            at_ms: NOW.as_millis(),
            duration_ms: 12,
            status,
            error_class: class,
            url_commitment,
            peer_commitment: None,
            tls: None,
            response_sha256: None,
        };
        chain = link(&chain, &entry);
        AttemptLog {
            attempt: number,
            at: NOW,
            duration_ms: 12,
            status,
            error_class: class.map(str::to_owned),
            url_commitment: hex(&url_commitment),
            url: Some(URL.to_owned()),
            peer_commitment: None,
            peer: None,
            tls: None,
            response_sha256: None,
            excerpt: None,
            hash: hex(&chain),
        }
    };
    let attempts = vec![
        attempt(1, None, Some("connect-\u{1b}[2Jrefused")),
        attempt(2, Some(503), Some("status")),
        attempt(3, Some(200), None),
    ];
    let delivery = DeliveryLog {
        webhook_id,
        event: "completed".to_owned(),
        payload_sha256: hex(&payload),
        payload_bytes: 2,
        state: "delivered".to_owned(),
        salt: Some(hex(&SALT)),
        attempts,
    };
    let request = receipt::Request {
        request_id,
        api: "demo/reports".to_owned(),
        created_at: NOW,
        state: "completed".to_owned(),
        finished_at: Some(NOW),
        settlement: Some(receipt::Settlement {
            state: "captured".to_owned(),
            price_usdc: "0.05".parse().unwrap(),
            captured_usdc: "0.02".parse().ok(),
        }),
    };
    Unsigned { gateway: gateway.to_owned(), issued_at: NOW, request, deliveries: vec![delivery] }.sign(&key())
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn put(&self, name: &str, content: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn folder() -> Folder {
    Folder(tempfile::tempdir().unwrap())
}

fn verify(file: &str, key: Option<&str>, jwks: Option<&str>, fetch: bool) -> Result<(), (Exit, String)> {
    let command = Verify { file: file.into(), key: key.map(str::to_owned), jwks: jwks.map(str::to_owned), fetch };
    command.run().map_err(|Failure { exit, error }| (exit, format!("{error:#}")))
}

#[test]
fn a_receipt_verifies_with_the_key_or_the_key_document() {
    let folder = folder();
    let file = folder.put("receipt.json", &serde_json::to_string_pretty(&receipt("https://gateway.example")).unwrap());
    let public = key().public();
    verify(&file, Some(&public.to_whpk()), None, false).unwrap();
    let other = SigningKey::from_seed([2; 32]).public();
    for (name, document) in [
        (
            "both.json",
            json!({ "keys": [other.to_jwk(), public.to_jwk()], "whpk": [other.to_whpk(), public.to_whpk()] }),
        ),
        ("jwks.json", json!({ "keys": [{ "kty": "RSA" }, public.to_jwk()] })),
        ("whpk.json", json!({ "whpk": [public.to_whpk()] })),
    ] {
        verify(&file, None, Some(&folder.put(name, &document.to_string())), false).unwrap();
    }
}

#[test]
fn each_way_to_fail_has_its_exit_code_and_one_line() {
    let folder = folder();
    let good = receipt("https://gateway.example");
    let file = folder.put("receipt.json", &serde_json::to_string(&good).unwrap());
    let whpk = key().public().to_whpk();
    let other = SigningKey::from_seed([2; 32]).public();

    let mut changed = good.clone();
    changed.deliveries[0].attempts[1].status = Some(200);
    let changed = folder.put("changed.json", &serde_json::to_string(&changed).unwrap());
    let (exit, line) = verify(&changed, Some(&whpk), None, false).unwrap_err();
    assert_eq!(exit, Exit::Failure);
    assert!(
        line.starts_with("NOT VERIFIED: delivery dlv_") && line.contains("attempt 2") && !line.contains('\n'),
        "{line}"
    );

    let others = folder.put("others.json", &json!({ "keys": [other.to_jwk()] }).to_string());
    let (exit, line) = verify(&file, None, Some(&others), false).unwrap_err();
    assert_eq!((exit, line.starts_with("NOT VERIFIED: no key ")), (Exit::Failure, true), "{line}");
    let (exit, line) = verify(&file, Some(&other.to_whpk()), None, false).unwrap_err();
    assert_eq!((exit, line.starts_with("NOT VERIFIED: it is signed with the key ")), (Exit::Failure, true), "{line}");
    // A key under the name of another one is not that one.
    let mut renamed = other.to_jwk();
    renamed["kid"] = key().public().id().into();
    let renamed = folder.put("renamed.json", &json!({ "keys": [renamed] }).to_string());
    assert_eq!(verify(&file, None, Some(&renamed), false).unwrap_err().0, Exit::Failure);

    let nothing = folder.put("nothing.json", "{}");
    let (exit, line) = verify(&nothing, Some(&whpk), None, false).unwrap_err();
    assert_eq!((exit, line.starts_with("NOT VERIFIED: not a delivery receipt: ")), (Exit::Failure, true), "{line}");

    for (exit, line) in [
        verify(&file, None, None, false).unwrap_err(),
        verify(&file, Some("whpk_AAAA"), None, false).unwrap_err(),
        verify(&file, None, Some(&nothing), false).unwrap_err(),
    ] {
        assert_eq!(exit, Exit::Configuration, "{line}");
        assert!(!line.contains('\n'), "{line}");
    }
    for (file, jwks) in [("no/such/file", None), (file.as_str(), Some("no/such/file"))] {
        let key = jwks.is_none().then_some(whpk.as_str());
        let (exit, line) = verify(file, key, jwks, false).unwrap_err();
        assert_eq!((exit, line.contains("no/such/file")), (Exit::NoInput, true), "{line}");
    }
}

#[test]
fn the_summary_is_readable_and_harmless() {
    let text = Summary(&receipt("https://gateway.example")).to_string();
    for part in [
        "of demo/reports\n",
        "from https://gateway.example\n",
        "accepted 2025-11-24T16:00:00.000Z, completed 2025-11-24T16:00:00.000Z\n",
        "price 0.050000 USDC, captured: 0.020000 USDC paid\n",
        "completed, delivered\n  payload of 2 bytes, SHA-256 ",
        "  attempt 1 at 2025-11-24T16:00:00.000Z, 12 ms: connect-\\u001b[2Jrefused to https://consumer.example/hook\n",
        "12 ms: 503 to ",
        "12 ms: 200 to ",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(!text.contains('\u{1b}'));
}

/// Answers one request with the document; says what was asked for.
fn serve(status: &'static str, document: String) -> (String, std::thread::JoinHandle<String>) {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let head: Vec<String> =
            BufReader::new(&stream).lines().map(|line| line.unwrap()).take_while(|line| !line.is_empty()).collect();
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{document}",
            document.len()
        )
        .unwrap();
        head[0].clone()
    });
    (base, thread)
}

#[test]
fn the_key_is_fetched_from_the_gateway_only_if_that_is_wanted() {
    let folder = folder();
    let document = json!({ "keys": [key().public().to_jwk()] }).to_string();
    let (base, asked) = serve("200 OK", document.clone());
    let file = folder.put("receipt.json", &serde_json::to_string(&receipt(&format!("{base}/"))).unwrap());
    assert_eq!(verify(&file, None, None, false).unwrap_err().0, Exit::Configuration);
    verify(&file, None, None, true).unwrap();
    assert_eq!(asked.join().unwrap(), "GET /.well-known/webhook-keys HTTP/1.1");

    let (base, asked) = serve("200 OK", document.clone());
    verify(&file, None, Some(&format!("{base}/keys?a=b")), false).unwrap();
    assert_eq!(asked.join().unwrap(), "GET /keys?a=b HTTP/1.1");

    let (base, asked) = serve("302 Found", document);
    let (exit, line) = verify(&file, None, Some(&format!("{base}/keys")), false).unwrap_err();
    assert_eq!((exit, line.contains("it answered 302")), (Exit::Unavailable, true), "{line}");
    asked.join().unwrap();

    // Nobody is asked over plain HTTP who is not on this machine.
    let (exit, line) = verify(&file, None, Some("http://192.0.2.1/keys"), false).unwrap_err();
    assert_eq!((exit, line.contains("only https")), (Exit::Unavailable, true), "{line}");
    for gateway in ["gateway.example", "file:///etc/passwd", "ftp://gateway.example"] {
        let odd = folder.put("odd.json", &serde_json::to_string(&receipt(gateway)).unwrap());
        assert!(verify(&odd, None, None, true).is_err(), "{gateway}");
    }
}
