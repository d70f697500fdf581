//! Whether a delivery is from who it says.

use http::HeaderMap;
use ripost_domain::signature::{
    ID_HEADER, PublicKey, SIGNATURE_HEADER, Secret, SignedHeaders, TIMESTAMP_HEADER, TOLERANCE_S, verify, verify_v1a,
};

/// What deliveries are checked with.
#[derive(Debug, Default)]
pub(super) struct Checks {
    pub(super) secrets: Vec<Secret>,
    pub(super) public_key: Option<PublicKey>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// By all that there is to check with.
    Verified(&'static str),
    /// Why not.
    Refused(String),
    /// There is nothing to check with.
    Unchecked,
}

impl Checks {
    pub(super) fn is_empty(&self) -> bool {
        self.secrets.is_empty() && self.public_key.is_none()
    }

    pub(super) fn check(&self, headers: &HeaderMap, body: &[u8], now_s: i64) -> Verdict {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let signed =
            SignedHeaders { id: text(ID_HEADER), timestamp: text(TIMESTAMP_HEADER), signature: text(SIGNATURE_HEADER) };
        let secrets: Vec<&Secret> = self.secrets.iter().collect();
        let v1 = (!secrets.is_empty()).then(|| verify(&secrets, signed, body, now_s, TOLERANCE_S));
        let v1a = self.public_key.map(|key| verify_v1a(&key, signed, body, now_s, TOLERANCE_S));
        match (v1, v1a) {
            (None, None) => Verdict::Unchecked,
            (Some(Ok(())), None) => Verdict::Verified("v1"),
            (None, Some(Ok(()))) => Verdict::Verified("v1a"),
            (Some(Ok(())), Some(Ok(()))) => Verdict::Verified("v1 and v1a"),
            (Some(Err(error)), _) => Verdict::Refused(format!("v1: {error}")),
            (_, Some(Err(error))) => Verdict::Refused(format!("v1a: {error}")),
        }
    }
}
