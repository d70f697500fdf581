use super::*;
use proptest::prelude::*;
use serde_json::json;
use sha2::{Digest as _, Sha256};

const SALT: [u8; 32] = [9; 32];
const URL: &str = "https://consumer.example/hook?token=s3cret";
const PEER: &str = "203.0.113.7:443";

fn key() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn request_id() -> RequestId {
    RequestId::new(Timestamp::from_millis(1_764_000_000_000), [1; 10])
}

/// Attempts without their hashes: a failure to connect, a 503, then a 200.
fn attempts() -> Vec<AttemptLog> {
    let attempt = |attempt, status, error_class: Option<&str>, answered: bool| AttemptLog {
        attempt,
        at: Timestamp::from_millis(1_764_000_000_000 + i64::from(attempt) * 5000),
        duration_ms: 10 * attempt,
        status,
        error_class: error_class.map(str::to_owned),
        url_commitment: hex(&commit(&SALT, URL.as_bytes())),
        url: Some(URL.to_owned()),
        peer_commitment: answered.then(|| hex(&commit(&SALT, PEER.as_bytes()))),
        peer: answered.then(|| PEER.to_owned()),
        tls: answered.then(|| "TLSv1.3".to_owned()),
        response_sha256: answered.then(|| hex(&Sha256::digest(b"well"))),
        excerpt: answered.then(|| "well".to_owned()),
        hash: String::new(),
    };
    vec![
        attempt(1, None, Some("connect-refused"), false),
        attempt(2, Some(503), Some("status"), true),
        attempt(3, Some(200), None, true),
    ]
}

fn delivery(random: u8, event: &str) -> DeliveryLog {
    let webhook_id = DeliveryId::new(Timestamp::from_millis(1_764_000_001_000), [random; 10]);
    let payload: [u8; 32] = Sha256::digest(b"{}").into();
    let mut chain = genesis(&webhook_id.to_string(), &request_id().to_string(), event, &payload);
    let mut attempts = attempts();
    for attempt in &mut attempts {
        let entry = Entry {
            attempt: attempt.attempt,
            at_ms: attempt.at.as_millis(),
            duration_ms: attempt.duration_ms,
            status: attempt.status,
            error_class: attempt.error_class.as_deref(),
            url_commitment: commit(&SALT, URL.as_bytes()),
            peer_commitment: attempt.peer.as_ref().map(|peer| commit(&SALT, peer.as_bytes())),
            tls: attempt.tls.as_deref(),
            response_sha256: attempt.excerpt.as_ref().map(|excerpt| Sha256::digest(excerpt).into()),
        };
        chain = link(&chain, &entry);
        attempt.hash = hex(&chain);
    }
    DeliveryLog {
        webhook_id,
        event: event.to_owned(),
        payload_sha256: hex(&payload),
        payload_bytes: 2,
        state: "delivered".to_owned(),
        salt: Some(hex(&SALT)),
        attempts,
    }
}

fn unsigned() -> Unsigned {
    Unsigned {
        gateway: "https://gateway.example".to_owned(),
        issued_at: Timestamp::from_millis(1_764_000_100_000),
        request: Request {
            request_id: request_id(),
            api: "demo/reports".to_owned(),
            created_at: Timestamp::from_millis(1_764_000_000_000),
            state: "completed".to_owned(),
            finished_at: Some(Timestamp::from_millis(1_764_000_001_000)),
            settlement: Some(Settlement {
                state: "captured".to_owned(),
                price_usdc: "0.05".parse().unwrap(),
                captured_usdc: "0.02".parse().ok(),
            }),
        },
        deliveries: vec![delivery(2, "completed"), delivery(3, "progress")],
    }
}

fn check(receipt: &Receipt) -> Result<Verified, ReceiptError> {
    verify(receipt, &key().public())
}

#[test]
fn a_receipt_survives_its_text_form_and_verifies() {
    let receipt = unsigned().sign(&key());
    let text = serde_json::to_string_pretty(&receipt).unwrap();
    let read: Receipt = serde_json::from_str(&text).unwrap();
    assert_eq!(read, receipt);
    assert_eq!(check(&read), Ok(Verified { deliveries: 2, attempts: 6, opened: true }));
    // The order of fields and the white space are not signed.
    let sorted: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(check(&serde_json::from_str(&sorted.to_string()).unwrap()), check(&receipt));
}

#[test]
fn the_owners_form_has_the_same_hashes_and_nothing_of_the_consumers() {
    let receipt = unsigned().for_owner().sign(&key());
    assert_eq!(check(&receipt), Ok(Verified { deliveries: 2, attempts: 6, opened: false }));
    let hashes = |deliveries: &[DeliveryLog]| -> Vec<String> {
        deliveries.iter().flat_map(|delivery| &delivery.attempts).map(|attempt| attempt.hash.clone()).collect()
    };
    assert_eq!(hashes(&receipt.deliveries), hashes(&unsigned().deliveries));
    let text = serde_json::to_string(&receipt).unwrap();
    for hidden in ["consumer.example", "s3cret", "203.0.113.7", "well", &hex(&SALT), "salt", "\"url\"", "\"peer\""] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
}

#[test]
fn a_receipt_of_a_version_that_did_not_tell_of_the_money_verifies() {
    let mut older = unsigned();
    older.request.settlement = None;
    let text = serde_json::to_string(&older.sign(&key())).unwrap();
    assert!(!text.contains("settlement"), "{text}");
    assert!(check(&serde_json::from_str(&text).unwrap()).is_ok());
}

/// The value with each leaf changed, each field and each element removed, and each two neighbours swapped; with where.
fn tampered(value: &Value, path: &str, out: &mut Vec<(String, Value)>) {
    let within = |name: &str, inner: Vec<(String, Value)>, put: &dyn Fn(Value) -> Value, out: &mut Vec<_>| {
        out.extend(inner.into_iter().map(|(at, value)| (format!("{path}/{name}{at}"), put(value))));
    };
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                let mut changes = Vec::new();
                tampered(inner, "", &mut changes);
                let put = |changed: Value| {
                    let mut whole = fields.clone();
                    whole.insert(name.clone(), changed);
                    Value::Object(whole)
                };
                within(name, changes, &put, out);
                let mut without = fields.clone();
                without.remove(name);
                out.push((format!("{path}/-{name}"), Value::Object(without)));
            }
        }
        Value::Array(values) => {
            for index in 0..values.len() {
                let mut changes = Vec::new();
                tampered(&values[index], "", &mut changes);
                let put = |changed: Value| {
                    let mut whole = values.clone();
                    whole[index] = changed;
                    Value::Array(whole)
                };
                within(&index.to_string(), changes, &put, out);
                let mut without = values.clone();
                without.remove(index);
                out.push((format!("{path}/-{index}"), Value::Array(without)));
                let mut doubled = values.clone();
                doubled.insert(index, values[index].clone());
                out.push((format!("{path}/+{index}"), Value::Array(doubled)));
                if index > 0 {
                    let mut swapped = values.clone();
                    swapped.swap(index, index - 1);
                    out.push((format!("{path}/~{index}"), Value::Array(swapped)));
                }
            }
        }
        Value::Number(number) => out.push((path.to_owned(), json!(number.as_u64().unwrap() ^ 1))),
        Value::String(text) => {
            let mut changed: Vec<char> = text.chars().collect();
            // A digit becomes another digit, so that hashes, ids and times stay readable.
            let place = changed.iter().rposition(char::is_ascii_digit).unwrap_or(0);
            changed[place] = if changed[place] == '1' { '2' } else { '1' };
            out.push((path.to_owned(), changed.into_iter().collect::<String>().into()));
            out.push((path.to_owned(), "".into()));
        }
        other => panic!("no {other} in a receipt"),
    }
}

#[test]
fn every_change_is_found() {
    for receipt in [unsigned().sign(&key()), unsigned().for_owner().sign(&key())] {
        let mut changes = Vec::new();
        tampered(&serde_json::to_value(&receipt).unwrap(), "", &mut changes);
        assert!(changes.len() > 150, "{}", changes.len());
        let mut found_by_verifying = 0;
        for (path, changed) in changes {
            let Ok(read) = serde_json::from_value::<Receipt>(changed) else { continue };
            assert_ne!(read, receipt, "{path} changed nothing");
            assert!(check(&read).is_err(), "{path} was not found");
            found_by_verifying += 1;
        }
        assert!(found_by_verifying > 100, "{found_by_verifying}");
    }
}

#[test]
fn the_error_says_which_attempt() {
    let delivery = unsigned().deliveries[0].webhook_id;
    let at = |attempt, fault| Err(ReceiptError::Attempt { delivery, attempt, fault });
    let changed = |change: &dyn Fn(&mut DeliveryLog)| {
        let mut receipt = unsigned().sign(&key());
        change(&mut receipt.deliveries[0]);
        check(&receipt)
    };
    assert_eq!(changed(&|log| log.attempts[1].status = Some(200)), at(2, Fault::Chain));
    assert_eq!(changed(&|log| log.attempts[1].duration_ms += 1), at(2, Fault::Chain));
    assert_eq!(
        changed(&|log| log.attempts[2].url = Some("https://a.example/".to_owned())),
        at(3, Fault::Commitment("url"))
    );
    assert_eq!(
        changed(&|log| log.attempts[1].peer = Some("203.0.113.8:443".to_owned())),
        at(2, Fault::Commitment("peer"))
    );
    assert_eq!(changed(&|log| log.attempts[0].peer = Some(PEER.to_owned())), at(1, Fault::Unchecked("peer")));
    assert_eq!(changed(&|log| log.salt = None), at(1, Fault::Unchecked("url")));
    assert_eq!(changed(&|log| log.attempts[0].hash = "F".repeat(64)), at(1, Fault::NotHex("hash")));
    assert_eq!(changed(&|log| log.event = "failed".to_owned()), at(1, Fault::Chain));
    assert_eq!(
        changed(&|log| log.payload_sha256 = "+1".repeat(32)),
        Err(ReceiptError::Delivery { delivery, fault: Fault::NotHex("payloadSha256") })
    );
    let text = changed(&|log| log.attempts[1].status = Some(200)).unwrap_err().to_string();
    assert!(text.starts_with(&format!("delivery {delivery}, attempt 2: ")), "{text}");
}

#[test]
fn attempts_that_were_left_out_are_missed() {
    let without = |index: usize| {
        let mut receipt = unsigned().sign(&key());
        receipt.deliveries[0].attempts.remove(index);
        check(&receipt).unwrap_err()
    };
    assert!(matches!(without(0), ReceiptError::Attempt { attempt: 2, fault: Fault::Chain, .. }));
    assert!(matches!(without(1), ReceiptError::Attempt { attempt: 3, fault: Fault::Chain, .. }));
    // What is left of the chain is whole: only the signature knows of the last one.
    assert_eq!(without(2), ReceiptError::Signature);
}

#[test]
fn another_key_does_not_verify_even_if_it_takes_the_name() {
    let mut receipt = unsigned().sign(&key());
    let other = SigningKey::from_seed([2; 32]).public();
    let error = verify(&receipt, &other).unwrap_err();
    assert_eq!(error, ReceiptError::Key { receipt: key().public().id(), key: other.id() });
    receipt.key_id = other.id();
    assert_eq!(verify(&receipt, &other), Err(ReceiptError::Signature));
    receipt.signature = "not base64!".to_owned();
    assert_eq!(verify(&receipt, &other), Err(ReceiptError::Signature));
}

#[test]
fn a_receipt_of_a_request_without_deliveries_verifies() {
    let unsigned = Unsigned { deliveries: Vec::new(), ..unsigned() };
    assert_eq!(check(&unsigned.sign(&key())), Ok(Verified { deliveries: 0, attempts: 0, opened: false }));
}

#[test]
fn unknown_fields_are_refused() {
    for path in ["", "/request", "/deliveries/0", "/deliveries/0/attempts/0"] {
        let mut value = serde_json::to_value(unsigned().sign(&key())).unwrap();
        value.pointer_mut(path).unwrap()["note"] = json!("not signed");
        assert!(serde_json::from_value::<Receipt>(value).is_err(), "{path}");
    }
}

#[test]
fn canonical_json_is_that_of_rfc_8785() {
    // §3.2.3, with the order it gives.
    let value = json!({
        "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh", "1": "One",
        "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control", "\u{f6}": "Latin Small Letter O With Diaeresis"
    });
    assert_eq!(
        canonical(&value).unwrap(),
        "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\
         \"\u{f6}\":\"Latin Small Letter O With Diaeresis\",\"\u{20ac}\":\"Euro Sign\",\
         \"\u{1f600}\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}"
    );
    // §3.2.2.2
    let text = json!("\u{20ac}$\u{f}\nA'\u{42}\"\\\\\"/\u{8}\t\u{c}\r\u{7f}\u{2028}");
    assert_eq!(canonical(&text).unwrap(), "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\\b\\t\\f\\r\u{7f}\u{2028}\"");
    assert_eq!(canonical(&json!([null, true, false, 0, -1, {}, []])).unwrap(), "[null,true,false,0,-1,{},[]]");
    let max = 9_007_199_254_740_991_i64;
    assert_eq!(canonical(&json!([max, -max])).unwrap(), format!("[{max},-{max}]"));
    for bad in [json!(1.5), json!(1.0), json!(-0.0), json!(max + 1), json!(-max - 1), json!(u64::MAX)] {
        assert!(canonical(&json!({ "a": [bad.clone()] })).is_err(), "{bad}");
    }
}

#[test]
fn the_encoding_does_not_change_by_itself() {
    // Receipts that were handed out are to verify for ever: when this fails, the tag and KIND have to change.
    let begin = genesis("dlv_1", "req_1", "completed", &[7; 32]);
    let entry = Entry {
        attempt: 1,
        at_ms: 1_764_000_000_000,
        duration_ms: 12,
        status: Some(200),
        error_class: None,
        url_commitment: commit(&SALT, URL.as_bytes()),
        peer_commitment: Some(commit(&SALT, PEER.as_bytes())),
        tls: Some("TLSv1.3"),
        response_sha256: None,
    };
    // Computed by another program.
    assert_eq!(hex(&begin), "6a36e0293d79a3a1ccbae20244d8a64643564ad01f095974146fd242535fd0b9");
    assert_eq!(hex(&link(&begin, &entry)), "3bff6fa8f052b1b944c3ce67eecb0e160343da70a242a658d3f85f8d11832789");
}

type Parts = (u32, i64, u32, Option<u16>, Option<String>, [u8; 32], Option<[u8; 32]>, Option<String>, Option<[u8; 32]>);

fn entry_of(parts: &Parts) -> Entry<'_> {
    Entry {
        attempt: parts.0,
        at_ms: parts.1,
        duration_ms: parts.2,
        status: parts.3,
        error_class: parts.4.as_deref(),
        url_commitment: parts.5,
        peer_commitment: parts.6,
        tls: parts.7.as_deref(),
        response_sha256: parts.8,
    }
}

/// Few values for each field, so that two entries are often alike in all but one.
fn parts() -> impl Strategy<Value = Parts> {
    let text = || prop::option::of("[ab\u{0}\u{1}]{0,2}");
    let hash = || prop::sample::select(vec![[0_u8; 32], [1; 32]]);
    let small = 0_u32..2;
    (
        small.clone(),
        -1_i64..2,
        small,
        prop::option::of(0_u16..2),
        text(),
        hash(),
        prop::option::of(hash()),
        text(),
        prop::option::of(hash()),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn two_entries_have_one_encoding_only_if_they_are_the_same(left in parts(), right in parts()) {
        let (left, right) = (entry_of(&left), entry_of(&right));
        prop_assert_eq!(left == right, link(&[0; 32], &left) == link(&[0; 32], &right));
    }

    /// Read back field by field: nothing of an entry is lost in its encoding, whatever the texts in it.
    #[test]
    fn an_encoding_can_be_read_back(
        attempt: u32, at_ms: i64, duration_ms: u32, status: Option<u16>, error_class: Option<String>, url: [u8; 32],
        peer: Option<[u8; 32]>, tls: Option<String>, response: Option<[u8; 32]>,
    ) {
        let parts = (attempt, at_ms, duration_ms, status, error_class, url, peer, tls, response);
        let entry = entry_of(&parts);
        let encoded = entry.encode();
        let mut rest = &encoded[..];
        let mut take = |optional: bool| {
            if optional {
                let (mark, after) = rest.split_first().unwrap();
                rest = after;
                if *mark == 0 {
                    return None;
                }
            }
            let (length, after) = rest.split_first_chunk::<8>().unwrap();
            let (bytes, after) = after.split_at(usize::try_from(u64::from_be_bytes(*length)).unwrap());
            rest = after;
            Some(bytes)
        };
        prop_assert_eq!(take(false), Some(&attempt.to_be_bytes()[..]));
        prop_assert_eq!(take(false), Some(&at_ms.to_be_bytes()[..]));
        prop_assert_eq!(take(false), Some(&duration_ms.to_be_bytes()[..]));
        let status = status.map(u16::to_be_bytes);
        prop_assert_eq!(take(true), status.as_ref().map(|bytes| &bytes[..]));
        prop_assert_eq!(take(true), entry.error_class.map(str::as_bytes));
        prop_assert_eq!(take(false), Some(&entry.url_commitment[..]));
        prop_assert_eq!(take(true), entry.peer_commitment.as_ref().map(|bytes| &bytes[..]));
        prop_assert_eq!(take(true), entry.tls.map(str::as_bytes));
        prop_assert_eq!(take(true), entry.response_sha256.as_ref().map(|bytes| &bytes[..]));
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn chains_of_different_deliveries_begin_differently(left in ("[ab]{0,2}", "[ab]{0,2}", "[ab]{0,2}"), right in ("[ab]{0,2}", "[ab]{0,2}", "[ab]{0,2}")) {
        let begin = |of: &(String, String, String)| genesis(&of.0, &of.1, &of.2, &[0; 32]);
        prop_assert_eq!(left == right, begin(&left) == begin(&right));
    }
}
