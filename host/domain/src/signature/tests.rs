use super::*;
use proptest::prelude::*;

struct Vector {
    secret: &'static str,
    id: &'static str,
    timestamp_s: i64,
    body: &'static str,
    signature: &'static str,
}

/// From the test files of the public libraries.
const VECTORS: [Vector; 2] = [
    Vector {
        secret: "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp_s: 1_614_265_330,
        body: r#"{"test": 2432232314}"#,
        signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    },
    Vector {
        secret: "C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        id: "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        timestamp_s: 1_649_367_553,
        body: r#"{"email":"test@example.com","username":"test_user"}"#,
        signature: "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    },
];

fn check(vector: &Vector, signature: &str, now_s: i64) -> Result<(), VerifyError> {
    let timestamp = vector.timestamp_s.to_string();
    let headers = SignedHeaders { id: Some(vector.id), timestamp: Some(&timestamp), signature: Some(signature) };
    verify(&[&Secret::parse(vector.secret).unwrap()], headers, vector.body.as_bytes(), now_s, TOLERANCE_S)
}

#[test]
fn the_published_vectors_hold_both_ways() {
    for vector in &VECTORS {
        for text in [vector.secret.to_owned(), format!("whsec_{}", vector.secret)] {
            let secret = Secret::parse(&text).unwrap();
            assert_eq!(sign_v1(&[&secret], vector.id, vector.timestamp_s, vector.body.as_bytes()), vector.signature);
        }
        assert_eq!(check(vector, vector.signature, vector.timestamp_s), Ok(()));
    }
}

#[test]
fn a_signature_that_is_not_whole_or_not_v1_matches_nothing() {
    for vector in &VECTORS {
        let good = vector.signature;
        let changed = format!("{}A=", &good[..good.len() - 2]);
        let of_another_version = good.replace("v1,", "v2,");
        let shortened_mac = format!("v1,{}", &good[3..11]);
        for bad in ["v1,", "v1", "", " ", ",", &good[..8], &shortened_mac, &good[3..], &changed, &of_another_version] {
            assert_eq!(check(vector, bad, vector.timestamp_s), Err(VerifyError::NoMatch), "{bad:?}");
        }
    }
    assert_eq!(check(&VECTORS[0], VECTORS[1].signature, VECTORS[0].timestamp_s), Err(VerifyError::NoMatch));
}

#[test]
fn other_versions_beside_a_good_token_do_no_harm() {
    let vector = &VECTORS[0];
    let among_others = format!("v1a,AAAA v2,{} {} v1,AAAA", &vector.signature[3..], vector.signature);
    assert_eq!(check(vector, &among_others, vector.timestamp_s), Ok(()));
}

#[test]
fn a_timestamp_is_good_for_five_minutes_either_way() {
    let vector = &VECTORS[0];
    let at = |offset_s| check(vector, vector.signature, vector.timestamp_s + offset_s);
    assert_eq!([at(-300), at(300)], [Ok(()), Ok(())]);
    assert_eq!([at(-301), at(301)], [Err(VerifyError::TooNew), Err(VerifyError::TooOld)]);
}

#[test]
fn each_missing_header_is_named() {
    let vector = &VECTORS[0];
    let secret = Secret::parse(vector.secret).unwrap();
    let timestamp = vector.timestamp_s.to_string();
    let whole = SignedHeaders { id: Some(vector.id), timestamp: Some(&timestamp), signature: Some(vector.signature) };
    let run = |headers| verify(&[&secret], headers, vector.body.as_bytes(), vector.timestamp_s, TOLERANCE_S);
    assert_eq!(run(whole), Ok(()));
    assert_eq!(run(SignedHeaders { id: None, ..whole }), Err(VerifyError::MissingHeader(ID_HEADER)));
    assert_eq!(run(SignedHeaders { timestamp: None, ..whole }), Err(VerifyError::MissingHeader(TIMESTAMP_HEADER)));
    assert_eq!(run(SignedHeaders { signature: None, ..whole }), Err(VerifyError::MissingHeader(SIGNATURE_HEADER)));
    for odd in ["", "x", "+1614265330", "01614265330", "1614265330.0", " 1614265330", "99999999999999999999"] {
        assert_eq!(run(SignedHeaders { timestamp: Some(odd), ..whole }), Err(VerifyError::InvalidTimestamp), "{odd:?}");
    }
}

#[test]
fn an_id_with_a_dot_cannot_move_the_border_between_its_parts() {
    // `a` + `5` + `6.x` and `a.5` + `6` + `x` are the same signed bytes.
    let secret = Secret::from_bytes([7; 32]).unwrap();
    let signature = sign_v1(&[&secret], "a", 5, b"6.x");
    let moved = SignedHeaders { id: Some("a.5"), timestamp: Some("6"), signature: Some(&signature) };
    assert_eq!(verify(&[&secret], moved, b"x", 6, TOLERANCE_S), Err(VerifyError::InvalidId));
}

#[test]
fn while_a_secret_rotates_either_one_verifies() {
    let [old, new, other] = [1, 2, 3].map(|byte| Secret::from_bytes([byte; 24]).unwrap());
    let signature = sign_v1(&[&new, &old], "dlv_1", 100, b"{}");
    assert_eq!(signature.split(' ').count(), 2);
    assert!(signature.split(' ').all(|token| token.len() == TOKEN_LEN && token.matches(',').count() == 1));
    let headers = SignedHeaders { id: Some("dlv_1"), timestamp: Some("100"), signature: Some(&signature) };
    for live in [&[&old][..], &[&new], &[&other, &old]] {
        assert_eq!(verify(live, headers, b"{}", 100, TOLERANCE_S), Ok(()));
    }
    for live in [&[&other][..], &[]] {
        assert_eq!(verify(live, headers, b"{}", 100, TOLERANCE_S), Err(VerifyError::NoMatch));
    }
}

#[test]
fn secrets_have_24_to_64_bytes_and_survive_their_text_form() {
    for (length, fits) in [(0, false), (23, false), (24, true), (32, true), (64, true), (65, false)] {
        assert_eq!(Secret::from_bytes(vec![9; length]).is_ok(), fits, "{length}");
    }
    let secret = Secret::from_bytes([0xfb; 32]).unwrap();
    assert_eq!(Secret::parse(&secret.to_whsec()).unwrap().as_bytes(), secret.as_bytes());
    assert_eq!(Secret::parse("whsec_not base64!").unwrap_err(), SecretError::NotBase64);
    assert_eq!(Secret::parse("whsec_AAAA").unwrap_err(), SecretError::Length(3));
}

#[test]
fn printing_a_secret_shows_nothing_of_it() {
    let secret = Secret::parse(VECTORS[0].secret).unwrap();
    assert_eq!([format!("{secret:?}"), format!("{secret}")], ["whsec_[redacted]", "whsec_[redacted]"]);
}

proptest! {
    #[test]
    fn whatever_was_signed_verifies_and_a_flipped_bit_anywhere_does_not(
        id in "[a-z0-9_]{1,40}",
        timestamp_s in 0_i64..4_000_000_000,
        body in prop::collection::vec(any::<u8>(), 1..200),
        key in prop::collection::vec(any::<u8>(), 24..=64),
        place: prop::sample::Index,
        bit in 0_u8..8,
        part in 0_usize..3,
    ) {
        let secret = Secret::from_bytes(key).unwrap();
        let signature = sign_v1(&[&secret], &id, timestamp_s, &body);
        let run = |id: &[u8], timestamp: &[u8], body: &[u8]| {
            let (Ok(id), Ok(timestamp)) = (std::str::from_utf8(id), std::str::from_utf8(timestamp)) else {
                return Err(VerifyError::NoMatch); // not a header at all
            };
            let headers = SignedHeaders { id: Some(id), timestamp: Some(timestamp), signature: Some(&signature) };
            verify(&[&secret], headers, body, timestamp_s, i64::MAX)
        };
        let mut parts: [Vec<u8>; 3] = [id.into_bytes(), timestamp_s.to_string().into_bytes(), body];
        prop_assert_eq!(run(&parts[0], &parts[1], &parts[2]), Ok(()));
        let flipped = &mut parts[part];
        let place = place.index(flipped.len());
        flipped[place] ^= 1 << bit;
        prop_assert!(run(&parts[0], &parts[1], &parts[2]).is_err());
    }

    #[test]
    fn no_header_makes_the_verifier_panic(id: Option<String>, timestamp: Option<String>, signature: Option<String>) {
        let secret = Secret::from_bytes([5; 32]).unwrap();
        let headers =
            SignedHeaders { id: id.as_deref(), timestamp: timestamp.as_deref(), signature: signature.as_deref() };
        prop_assert!(verify(&[&secret], headers, b"", i64::MIN, i64::MAX).is_err());
    }
}
