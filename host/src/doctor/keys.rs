//! Whether the keys beside the database are the ones that `serve` would take.

use super::Finding;
use crate::config::Config;
use crate::keyring::master_key::{Fit, Place};
use crate::keyring::{AdminToken, KeyringError};
use ripost_store::Mark;
use ripost_store::sqlite::Beside;
use std::io::ErrorKind;

/// As a start with this environment would find it.
pub(super) fn master_key(config: &Config) -> Finding {
    let place = Place::of(&config.data);
    match look(config, &place) {
        Ok(Fit::Fits) => Finding::ok(format!("{place} is the one of this data folder")),
        Ok(Fit::First) => Finding::ok("nothing is sealed yet"),
        Ok(fit) => Finding::fail(fit.says(&place), fit.to_do()),
        Err(error) => Finding::fail(crate::causes::chain(&error), "the gateway will not start"),
    }
}

#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error("reading the database")]
    Store(#[from] ripost_store::StoreError),
}

fn look(config: &Config, place: &Place) -> Result<Fit, LookError> {
    let found = place.read()?;
    let Some(database) = Beside::open(&config.data)? else { return Ok(Fit::First) };
    let check = database.mark(Mark::MasterKey)?;
    let sample = if check.is_some() { None } else { database.sealed_sample()? };
    Ok(Fit::of(found.as_ref(), check.as_deref(), sample.as_ref()))
}

pub(super) fn admin_token(config: &Config) -> Finding {
    match AdminToken::read(&config.data) {
        Ok(_) => Finding::ok("is one"),
        Err(KeyringError::File { source, .. }) if source.kind() == ErrorKind::NotFound => {
            Finding::ok("none yet; the first start makes it")
        }
        Err(error @ KeyringError::EmptyToken(_)) => {
            Finding::warn(error.to_string(), "the next start makes a new one; scripts need it from there")
        }
        Err(error) => Finding::fail(crate::causes::chain(&error), "the gateway will not start"),
    }
}
