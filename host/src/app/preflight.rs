//! What a start refuses of its configuration, its environment and the files that they name, before it touches the data.
//! `ripost serve`, `ripost config check` and `ripost doctor` all ask here, and so refuse the same in the same words.

use super::StartError;
use crate::causes::chain;
use crate::config::{Config, WallMode};
use crate::egress;
use crate::keyring::master_key::Place;
use crate::telemetry;
use crate::wall::{self, Report, ServePaths};

/// What [`Config::load`] cannot know: it asks the environment and reads files, and commands that only speak to a gateway
/// need neither.
///
/// # Errors
/// [`StartError`], the first one that a start would end with.
pub(crate) fn check(config: &Config) -> Result<(), StartError> {
    telemetry::filter(&config.log).map_err(StartError::Configuration)?;
    let place = Place::of(&config.data);
    if place == Place::Environment {
        place.read()?;
    }
    let authorities = [
        ("delivery.ca_file", &config.delivery.ca_file),
        ("outbound.ca_file", &config.outbound.ca_file),
        ("upstream.ca_file", &config.upstream.ca_file),
    ];
    for (setting, file) in authorities {
        let connector = egress::tls_connector(file.as_deref());
        connector.map_err(|error| StartError::Configuration(format!("{setting}: {}", chain(&error))))?;
    }
    Ok(())
}

/// Whether the wall that went up, or would, is one that the configuration puts up with.
///
/// # Errors
/// It is required and there is not all of it.
pub(crate) fn check_wall(config: &Config, wall: &Report) -> Result<(), StartError> {
    if config.wall.mode == WallMode::Required && !wall.is_complete() {
        return Err(StartError::Configuration(format!(
            "wall.mode is \"required\", and there is not all of it ({wall}): see `ripost doctor`, or take \"auto\""
        )));
    }
    Ok(())
}

/// Puts the wall up on a thread that then ends: this thread and those after it are as before. None: it broke down.
#[must_use]
pub(crate) fn try_wall(config: &Config) -> Option<Report> {
    let mut paths = ServePaths::of(config);
    // `serve` makes these; whether it can is checked by itself.
    for folder in [&mut paths.data, &mut paths.plugins] {
        if !folder.exists() {
            *folder = "/".into();
        }
    }
    std::thread::scope(|scope| scope.spawn(|| wall::serve_this_thread(&paths)).join()).ok()
}
