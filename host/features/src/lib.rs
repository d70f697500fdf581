//! Nothing but dependencies: `Cargo.toml` says which and why.
//!
//! **Invariant:** this package has no code.
