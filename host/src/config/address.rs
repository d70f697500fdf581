//! Addresses to listen on and to call, as people write them.

use serde::{Deserialize as _, Deserializer, de::Error as _};
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use url::{ParseError, Url};

/// `127.0.0.1:3000`, `[::1]:3000`, `localhost:3000` or another name of this machine; `:3000` and `3000` are that port of
/// 127.0.0.1, where the default listens too.
///
/// # Errors
/// It is none of these, or the name has no address.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let port = port.parse::<u16>().ok().filter(|_| !host.contains(':'));
    let port = port.ok_or("write an address and a port, such as 127.0.0.1:3000, localhost:3000 or :3000")?;
    if host.is_empty() || host.eq_ignore_ascii_case("localhost") {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    let found = (host, port).to_socket_addrs();
    let found: Vec<SocketAddr> = found.map_err(|error| format!("`{host}` has no address: {error}"))?.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| format!("`{host}` has no address"))
}

/// The address of a gateway, with its scheme.
///
/// # Errors
/// It is something else.
pub(crate) fn gateway_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        // `localhost:3000` has a scheme too, which is `localhost`.
        Ok(_) | Err(ParseError::RelativeUrlWithoutBase) => {
            Err("write it with http:// or https:// in front, such as https://gateway.example.com".to_owned())
        }
        Err(error) => Err(format!("{error}; write it like https://gateway.example.com")),
    }
}

pub(super) fn deserialize_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    gateway_url(&String::deserialize(deserializer)?).map(Some).map_err(D::Error::custom)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    listen_address(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

pub(super) fn deserialize_some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_listen_on_can_be_written_as_people_do() {
        for (text, address) in [
            ("127.0.0.1:3000", "127.0.0.1:3000"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:3000", "[::1]:3000"),
            ("localhost:3000", "127.0.0.1:3000"),
            ("LocalHost:0", "127.0.0.1:0"),
            (":3000", "127.0.0.1:3000"),
            ("3000", "127.0.0.1:3000"),
        ] {
            assert_eq!(listen_address(text).unwrap().to_string(), address, "{text}");
        }
        for text in
            ["localhost", "127.0.0.1", "::1", "::1:3000x", ":", "", "localhost:99999", "localhost:http", "*:80:1"]
        {
            assert!(listen_address(text).unwrap_err().contains("localhost:3000"), "{text}");
        }
        assert!(listen_address("no such host:80").unwrap_err().contains("`no such host` has no address"));
    }

    #[test]
    fn the_address_of_a_gateway_has_its_scheme_and_the_error_says_so() {
        for text in ["https://gateway.example.com", "http://localhost:3000", "HTTP://10.0.0.7"] {
            assert!(gateway_url(text).is_ok(), "{text}");
        }
        for text in ["gateway.example.com", "localhost:3000", "ftp://example.com", "", "//example.com"] {
            assert!(gateway_url(text).unwrap_err().contains("http:// or https:// in front"), "{text}");
        }
        assert!(gateway_url("http://localhost:99999").unwrap_err().contains("invalid port number"));
    }
}
