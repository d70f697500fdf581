//! Settings that can be used and are hardly meant.

use super::Config;
use std::fmt;

/// Something that an operator should know before the first call, and that keeps no gateway from starting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// What will happen.
    pub says: String,
    /// What to set.
    pub to_do: &'static str,
}

impl fmt::Display for Doubt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.says, self.to_do)
    }
}

impl Config {
    /// What `ripost serve`, `config check` and `doctor` warn of.
    #[must_use]
    pub fn doubts(&self) -> Vec<Doubt> {
        let listen = self.listen;
        let mut doubts = Vec::new();
        // An address of one interface can be called; one that stands for all of them cannot.
        if listen.ip().is_unspecified() && self.public_url.is_none() {
            doubts.push(Doubt {
                says: format!(
                    "listen is {listen} and public_url is not set, so links, callback URLs and result_url begin with http://{listen}, which other machines cannot call"
                ),
                to_do: "set public_url to the address that consumers and owners use",
            });
        }
        let (setting, admin) = match self.admin_listen {
            Some(admin) => (format!("admin_listen is {admin}"), admin),
            None => (format!("listen is {listen} and admin_listen is not set"), listen),
        };
        if !admin.ip().is_loopback() {
            doubts.push(Doubt {
                says: format!("{setting}, so the management API (/admin/v1) is open to the network without TLS"),
                to_do: "set admin_listen to a loopback address, such as 127.0.0.1:3001",
            });
        }
        doubts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubts(listen: &str, public_url: Option<&str>, admin_listen: Option<&str>) -> Vec<&'static str> {
        let config = Config {
            listen: listen.parse().unwrap(),
            public_url: public_url.map(|url| url.parse().unwrap()),
            admin_listen: admin_listen.map(|address| address.parse().unwrap()),
            ..Config::default()
        };
        config.doubts().iter().map(|doubt| doubt.to_do.split(' ').nth(1).unwrap()).collect()
    }

    #[test]
    fn an_address_that_the_network_reaches_wants_a_public_url_and_a_management_api_of_its_own() {
        let (url, admin) = (Some("https://api.example"), Some("127.0.0.1:3001"));
        assert_eq!(doubts("127.0.0.1:3000", None, None), [""; 0]);
        assert_eq!(doubts("[::1]:3000", None, None), [""; 0]);
        for all in ["0.0.0.0:3000", "[::]:3000"] {
            assert_eq!(doubts(all, None, None), ["public_url", "admin_listen"]);
            assert_eq!(doubts(all, url, None), ["admin_listen"]);
            assert_eq!(doubts(all, None, admin), ["public_url"]);
            assert_eq!(doubts(all, url, admin), [""; 0]);
        }
        assert_eq!(doubts("192.168.1.5:3000", None, None), ["admin_listen"], "its links can be called");
        assert_eq!(doubts("127.0.0.1:3000", None, Some("0.0.0.0:3001")), ["admin_listen"]);
    }
}
