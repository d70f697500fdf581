//! Section `[cors]` of the configuration.

use crate::gateway::cors::{Named, Origins};
use serde::{Deserialize, Serialize};

/// Section `[cors]`: whose pages may call from a browser. An API can let in more of them for itself (`cors` in its
/// manifest).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cors {
    /// Origins such as `"https://shop.example"`, or `"*"` for every page. Development mode adds those of this machine.
    /// Default none.
    pub origins: Vec<String>,
}

impl Cors {
    /// The list as it is looked into.
    ///
    /// # Errors
    /// An entry is no origin.
    pub fn origins(&self) -> Result<Origins, String> {
        let entries = self.origins.iter().map(|text| text.parse::<Named>());
        entries.collect::<Result<_, _>>().map_err(|error| format!("cors.origins: {error}"))
    }
}
