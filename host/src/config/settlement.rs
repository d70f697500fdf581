//! Section `[settlement]` of the configuration.

use ripost_domain::money::FeeRate;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Section `[settlement]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settlement {
    /// The platform's share in basis points, rounded down; frozen into each request at accept. Default 500 (5 %).
    #[serde(rename = "fee_bps", deserialize_with = "read_bps", serialize_with = "write_bps")]
    pub fee: FeeRate,
}

impl Default for Settlement {
    fn default() -> Self {
        Self { fee: FeeRate::DEFAULT }
    }
}

fn read_bps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<FeeRate, D::Error> {
    let bps = u16::deserialize(deserializer)?;
    FeeRate::from_bps(bps).ok_or_else(|| serde::de::Error::custom("fee_bps is in basis points, 10 000 at most"))
}

fn write_bps<S: Serializer>(fee: &FeeRate, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(fee.as_bps())
}
