//! Variables of the environment.

/// The value of a variable. Empty is not set: Compose makes an empty one of `${RIPOST_LOG:-}`, and so do unit files.
pub(crate) fn value(name: &str) -> Option<String> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(|value| value.to_string_lossy().into_owned())
}
