//! Whether an upstream can be sent what a call asks for: decided before anything is held.

use super::schema::From;
use crate::plugins::{ActiveApi, Target};
use crate::problem::{Kind, Problem};
use crate::upstreams::check_target;

/// # Errors
/// 400 for what no upstream is sent, 502 if a transform made it so.
pub(super) fn check(api: &ActiveApi, rest: &str, query: Option<&str>, from: From) -> Result<(), Problem> {
    let Target::Upstream { upstream, .. } = &api.target else { return Ok(()) };
    check_target(&upstream.url, rest, query).map_err(|reason| match from {
        From::Consumer => {
            let mut reason = reason;
            if let Some(first) = reason.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            Problem::new(Kind::InvalidPath, format!("{reason}. Nothing was accepted or held."))
        }
        From::Transforms => Problem::new(
            Kind::TransformFailed,
            format!("After the API's request transforms {reason}. Nothing was accepted; ask the owner."),
        ),
    })
}
