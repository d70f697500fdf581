//! What this user may do. Whoever runs the doctor should be who runs the gateway.

use super::Finding;
use crate::config::Config;
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::geteuid;

/// A connection is an open file, and each delivery is one too: 1024 of those at once by default.
const OPEN_FILES_MIN: u64 = 4096;

pub(super) fn user(_: &Config) -> Finding {
    let user = geteuid();
    if user.is_root() {
        return Finding::warn(
            "root",
            "run the gateway as a user of its own: nothing that it does needs root (contrib/ripost.service)",
        );
    }
    Finding::ok(format!("uid {user}"))
}

pub(super) fn open_files(_: &Config) -> Finding {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, _)) if soft >= OPEN_FILES_MIN => Finding::ok(format!("at most {soft}")),
        Ok((soft, hard)) => Finding::warn(
            format!("at most {soft}, this user could have {hard}"),
            format!("raise it to {OPEN_FILES_MIN} or more (LimitNOFILE= in the unit, or ulimit -n)"),
        ),
        Err(errno) => Finding::warn(format!("the limit cannot be read: {errno}"), "see ulimit -n"),
    }
}
