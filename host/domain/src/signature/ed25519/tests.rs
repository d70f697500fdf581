use super::*;
use crate::signature::{
    ID_HEADER, SIGNATURE_HEADER, Secret, SignedHeaders, TIMESTAMP_HEADER, TOLERANCE_S, VerifyError, sign_v1, verify,
    verify_v1a,
};
use proptest::prelude::*;

// From the test files of the public libraries.
const SIGNING_KEY: &str = "6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC_KEY: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const TIMESTAMP_S: i64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";

fn check(signature: &str, now_s: i64) -> Result<(), VerifyError> {
    let headers = SignedHeaders { id: Some(ID), timestamp: Some("1614265330"), signature: Some(signature) };
    verify_v1a(&PublicKey::parse(PUBLIC_KEY).unwrap(), headers, BODY, now_s, TOLERANCE_S)
}

#[test]
fn the_published_vector_holds_both_ways() {
    for text in [SIGNING_KEY.to_owned(), format!("whsk_{SIGNING_KEY}")] {
        let key = SigningKey::parse(&text).unwrap();
        assert_eq!(key.public().to_whpk(), PUBLIC_KEY);
        assert_eq!(key.sign_v1a(ID, TIMESTAMP_S, BODY), SIGNATURE);
    }
    assert_eq!(check(SIGNATURE, TIMESTAMP_S), Ok(()));
}

#[test]
fn a_signature_that_is_not_whole_or_not_v1a_matches_nothing() {
    let shortened = format!("v1a,{}", &SIGNATURE[4..12]);
    let changed = SIGNATURE.replace("v1a,h", "v1a,i");
    let last = SIGNATURE.replace("TBAg==", "TBAw==");
    let of_another_version = SIGNATURE.replace("v1a,", "v2,");
    let as_v1 = SIGNATURE.replace("v1a,", "v1,");
    for bad in [
        "v1a,",
        "v1a",
        "",
        " ",
        &SIGNATURE[..8],
        &SIGNATURE[4..],
        &shortened,
        &changed,
        &last,
        &of_another_version,
        &as_v1,
    ] {
        assert_eq!(check(bad, TIMESTAMP_S), Err(VerifyError::NoMatch), "{bad:?}");
    }
}

#[test]
fn each_missing_header_is_named_and_a_timestamp_is_good_for_five_minutes_either_way() {
    let key = PublicKey::parse(PUBLIC_KEY).unwrap();
    let whole = SignedHeaders { id: Some(ID), timestamp: Some("1614265330"), signature: Some(SIGNATURE) };
    let run = |headers| verify_v1a(&key, headers, BODY, TIMESTAMP_S, TOLERANCE_S);
    assert_eq!(run(whole), Ok(()));
    assert_eq!(run(SignedHeaders { id: None, ..whole }), Err(VerifyError::MissingHeader(ID_HEADER)));
    assert_eq!(run(SignedHeaders { timestamp: None, ..whole }), Err(VerifyError::MissingHeader(TIMESTAMP_HEADER)));
    assert_eq!(run(SignedHeaders { signature: None, ..whole }), Err(VerifyError::MissingHeader(SIGNATURE_HEADER)));
    assert_eq!(run(SignedHeaders { id: Some("a.b"), ..whole }), Err(VerifyError::InvalidId));
    let at = |offset_s| check(SIGNATURE, TIMESTAMP_S + offset_s);
    assert_eq!([at(-300), at(300)], [Ok(()), Ok(())]);
    assert_eq!([at(-301), at(301)], [Err(VerifyError::TooNew), Err(VerifyError::TooOld)]);
}

#[test]
fn both_kinds_of_signature_live_in_one_header() {
    let secret = Secret::from_bytes([3; 32]).unwrap();
    let key = SigningKey::from_seed([4; 32]);
    let both = format!("{} {}", sign_v1(&[&secret], "dlv_1", 100, b"{}"), key.sign_v1a("dlv_1", 100, b"{}"));
    // The public Python library throws at a token without exactly one comma.
    assert!(both.split(' ').all(|token| token.matches(',').count() == 1), "{both}");
    let headers = SignedHeaders { id: Some("dlv_1"), timestamp: Some("100"), signature: Some(&both) };
    assert_eq!(verify(&[&secret], headers, b"{}", 100, TOLERANCE_S), Ok(()));
    assert_eq!(verify_v1a(&key.public(), headers, b"{}", 100, TOLERANCE_S), Ok(()));
    let other = SigningKey::from_seed([5; 32]).public();
    assert_eq!(verify_v1a(&other, headers, b"{}", 100, TOLERANCE_S), Err(VerifyError::NoMatch));
}

#[test]
fn keys_survive_their_text_forms_and_others_are_refused() {
    let public = SigningKey::from_seed([6; 32]).public();
    assert_eq!(PublicKey::parse(&public.to_whpk()), Ok(public));
    assert_eq!(PublicKey::from_jwk(&public.to_jwk()), Ok(public));
    assert_eq!(public.to_jwk()["kid"], public.id());
    assert_eq!((public.id().len(), public.to_jwk()["alg"].as_str()), (16, Some("EdDSA")));
    for bad in ["", "whpk_", "whpk_AAAA", "whpk_not base64!", SIGNING_KEY] {
        assert_eq!(PublicKey::parse(bad), Err(KeyError::NotAPublicKey), "{bad:?}");
    }
    for (name, value) in [("kty", "EC"), ("crv", "X25519"), ("x", "AAAA")] {
        let mut jwk = public.to_jwk();
        jwk[name] = value.into();
        assert_eq!(PublicKey::from_jwk(&jwk), Err(KeyError::NotAJwk), "{name}");
    }
    for bad in ["", "whsk_AAAA", "whsk_not base64!"] {
        assert_eq!(SigningKey::parse(bad).unwrap_err(), KeyError::NotASigningKey, "{bad:?}");
    }
    let seed_alone = STANDARD.encode([6; 32]);
    assert_eq!(SigningKey::parse(&seed_alone).unwrap().public(), public);
    let of_two = STANDARD.encode([[6; 32], [7; 32]].concat());
    assert_eq!(SigningKey::parse(&of_two).unwrap_err(), KeyError::Halves);
    let too_long = STANDARD.encode([6; 65]);
    assert_eq!(SigningKey::parse(&too_long).unwrap_err(), KeyError::NotASigningKey);
}

#[test]
fn printing_a_signing_key_shows_nothing_of_it() {
    assert_eq!(format!("{:?}", SigningKey::from_seed([8; 32])), "whsk_[redacted]");
}

proptest! {
    #[test]
    fn whatever_was_signed_verifies_and_a_flipped_bit_anywhere_does_not(
        seed: [u8; 32],
        message in prop::collection::vec(any::<u8>(), 1..200),
        place: prop::sample::Index,
        bit in 0_u8..8,
        of_signature: bool,
    ) {
        let key = SigningKey::from_seed(seed);
        let mut parts = [message.clone(), key.sign(&message).to_vec()];
        prop_assert!(key.public().verify(&parts[0], &parts[1]));
        let flipped = &mut parts[usize::from(of_signature)];
        let place = place.index(flipped.len());
        flipped[place] ^= 1 << bit;
        prop_assert!(!key.public().verify(&parts[0], &parts[1]));
    }
}
