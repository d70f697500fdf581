//! The gateway's own port, and the way out.

use super::{Finding, NO_START};
use crate::app::StartError;
use crate::causes::chain;
use crate::cli::ADMIN_ADDRESS_FILE;
use crate::config::Config;
use crate::egress::{Resolve as _, SystemResolver};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

const CONNECT_MAX: Duration = Duration::from_secs(1);
const RESOLVER_MAX: Duration = Duration::from_secs(3);
/// For documentation (RFC 3849): nothing is sent there, the kernel only says whether it would know the way.
const SOMEWHERE_V6: &str = "[2001:db8::1]:9";

/// Whether one runs on this folder; if not, whether it could listen.
pub(super) fn gateway(config: &Config) -> Finding {
    let file = std::fs::read_to_string(config.data.join(ADMIN_ADDRESS_FILE)).unwrap_or_default();
    let address = file.trim().strip_prefix("http://").and_then(|address| address.parse::<SocketAddr>().ok());
    if let Some(address) = address.filter(|address| TcpStream::connect_timeout(address, CONNECT_MAX).is_ok()) {
        return Finding::ok(format!("one runs on {}, at {address}", config.data));
    }
    for (address, flag) in [(Some(config.listen), "--listen"), (config.admin_listen, "--admin-listen")] {
        if let Some((address, error)) = address.and_then(|address| Some((address, TcpListener::bind(address).err()?))) {
            let error = StartError::cannot_listen(address, flag, error);
            return Finding::fail(format!("none runs on {}: {}", config.data, chain(&error)), NO_START);
        }
    }
    Finding::ok(format!("none runs on {}; {} is free", config.data, config.listen))
}

pub(super) fn resolver(_: &Config) -> Finding {
    let to_do = "webhooks to names wait until it does: see /etc/resolv.conf";
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Finding::fail(format!("starting a thread: {error}"), "see ulimit -u"),
    };
    let answers = runtime.block_on(async {
        let resolver = SystemResolver::new().map_err(|error| error.to_string())?;
        Ok::<_, String>(tokio::time::timeout(RESOLVER_MAX, resolver.responds()).await.unwrap_or(false))
    });
    match answers {
        Ok(true) => Finding::ok("answers"),
        Ok(false) => Finding::warn("does not answer", to_do),
        Err(error) => Finding::warn(error, to_do),
    }
}

pub(super) fn ipv6(_: &Config) -> Finding {
    let known = UdpSocket::bind("[::]:0").and_then(|socket| socket.connect(SOMEWHERE_V6));
    Finding::ok(match known {
        Ok(()) => "there is a way out".to_owned(),
        Err(error) => format!("no way out ({error}): webhooks to receivers that have nothing else fail"),
    })
}
