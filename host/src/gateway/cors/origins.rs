//! Origins of pages (RFC 6454), as `cors.origins` names them.

use std::collections::BTreeSet;
use std::str::FromStr;
use url::{Host, Url};

/// One entry of a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    /// `*`: every page there is.
    Every,
    /// One origin, as browsers send it.
    One(Box<str>),
}

/// The text is no origin.
#[derive(Debug, thiserror::Error)]
pub enum ParseOriginError {
    /// Not even nearly.
    #[error("`{0}` is no origin: write a scheme and a host, such as \"https://shop.example\", or \"*\" for every page")]
    Malformed(String),
    /// Browsers send it in another form, so it would never be found.
    #[error("`{written}` is not as browsers send it; write \"{sent}\"")]
    Form {
        /// What is in the list.
        written: String,
        /// What browsers send.
        sent: String,
    },
}

impl FromStr for Named {
    type Err = ParseOriginError;

    fn from_str(text: &str) -> Result<Self, ParseOriginError> {
        if text == "*" {
            return Ok(Self::Every);
        }
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let Some(url) = url else { return Err(ParseOriginError::Malformed(text.to_owned())) };
        let sent = url.origin().ascii_serialization();
        if sent == text {
            return Ok(Self::One(sent.into()));
        }
        Err(ParseOriginError::Form { written: text.to_owned(), sent })
    }
}

/// Whose pages may call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    every: bool,
    named: BTreeSet<Box<str>>,
}

impl Origins {
    /// Whether no page may.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.every && self.named.is_empty()
    }

    /// Whether every page may.
    #[must_use]
    pub const fn has_every(&self) -> bool {
        self.every
    }

    /// Whether pages of this origin may.
    #[must_use]
    pub fn has(&self, origin: &str) -> bool {
        self.every || self.named.contains(origin)
    }

    /// Adds those of another list.
    pub fn add(&mut self, others: &Self) {
        self.every |= others.every;
        self.named.extend(others.named.iter().cloned());
    }
}

impl FromIterator<Named> for Origins {
    fn from_iter<I: IntoIterator<Item = Named>>(entries: I) -> Self {
        let mut origins = Self::default();
        for entry in entries {
            match entry {
                Named::Every => origins.every = true,
                Named::One(origin) => {
                    origins.named.insert(origin);
                }
            }
        }
        origins
    }
}

/// Whether an origin is this machine's: a page that its developer has opened.
pub(super) fn is_loopback(origin: &str) -> bool {
    let Ok(url) = Url::parse(origin) else { return false };
    if !matches!(url.scheme(), "http" | "https") || url.origin().ascii_serialization() != origin {
        return false;
    }
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_send_it_or_refused_with_that_form() {
        let read = |text: &str| text.parse::<Named>().map_err(|error| error.to_string());
        for good in ["https://shop.example", "http://localhost:5173", "https://shop.example:8443", "http://[::1]:80800"]
        {
            let well_formed = !good.ends_with("80800");
            assert_eq!(read(good).is_ok(), well_formed, "{good}");
        }
        assert_eq!(read("*").unwrap(), Named::Every);
        for (written, sent) in [
            ("https://shop.example/", "https://shop.example"),
            ("https://Shop.Example", "https://shop.example"),
            ("https://shop.example:443", "https://shop.example"),
            ("https://shop.example/app", "https://shop.example"),
        ] {
            assert_eq!(read(written).unwrap_err(), format!("`{written}` is not as browsers send it; write \"{sent}\""));
        }
        for wrong in ["shop.example", "null", "", "https://", "file:///x", "https://*.shop.example:x"] {
            assert!(read(wrong).unwrap_err().contains("is no origin"), "{wrong}");
        }
    }

    #[test]
    fn the_pages_of_this_machine_are_told_by_their_whole_origin() {
        for own in [
            "http://localhost:3000",
            "http://127.0.0.1",
            "https://127.9.9.9:1",
            "http://[::1]:8080",
            "http://app.localhost:1",
        ] {
            assert!(is_loopback(own), "{own}");
        }
        for other in [
            "http://localhost.evil.example",
            "http://evil.example",
            "null",
            "http://127.0.0.1.evil.example",
            "http://localhost@evil.example",
            "ws://localhost",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
