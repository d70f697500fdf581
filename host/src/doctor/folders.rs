//! The folders of the configuration, and the disk that they are on.

use super::Finding;
use crate::config::Config;
use camino::Utf8Path;
use nix::sys::statvfs::statvfs;
use ripost_domain::units::counted;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;

/// Below this the next burst of results can fill the disk, and a full disk ends the gateway.
const SPACE_FAIL_BYTES: u64 = 64 << 20;
const SPACE_WARN_BYTES: u64 = 1 << 30;

pub(super) fn data(config: &Config) -> Finding {
    let folder = &config.data;
    let mode = match mode(folder) {
        Ok(mode) => mode,
        Err(error) if error.kind() == ErrorKind::NotFound => return to_be_made(folder, "the data folder"),
        Err(error) => return Finding::fail(format!("{folder}: {error}"), "give it to the user that runs the gateway"),
    };
    if let Err(error) = try_to_write(folder) {
        return Finding::fail(
            format!("{folder} cannot be written: {error}"),
            "give it to the user that runs the gateway, or name another with --data",
        );
    }
    if mode & 0o077 != 0 {
        return Finding::warn(
            format!("{folder} has mode {mode:04o}: others of this machine can look into it"),
            format!("chmod 0700 {folder}"),
        );
    }
    Finding::ok(format!("{folder} can be written, mode {mode:04o}"))
}

pub(super) fn keys(config: &Config) -> Finding {
    let mut there = Vec::new();
    for name in ["master.key", "admin-token"] {
        let path = config.data.join(name);
        match mode(&path) {
            Ok(mode) if mode & 0o077 != 0 => {
                return Finding::fail(
                    format!("{path} has mode {mode:04o}: others of this machine can read it"),
                    format!("chmod 0600 {path}, and think about who has read it"),
                );
            }
            Ok(_) => match fs::File::open(&path) {
                Ok(_) => there.push(name),
                Err(error) => {
                    return Finding::fail(
                        format!("{path} cannot be read: {error}"),
                        "run this as the user that runs the gateway",
                    );
                }
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                return Finding::fail(format!("{path}: {error}"), "run this as the user that runs the gateway");
            }
        }
    }
    match &there[..] {
        [] => Finding::ok("none yet; the first start makes them"),
        there => Finding::ok(format!("{}: for their owner alone", there.join(", "))),
    }
}

pub(super) fn plugins(config: &Config) -> Finding {
    let folder = &config.plugins_folder;
    match fs::read_dir(folder) {
        Ok(entries) => Finding::ok(format!("{folder} can be read, {}", counted(entries.count(), "entry", "entries"))),
        Err(error) if error.kind() == ErrorKind::NotFound && config.plugins_named => {
            Finding::fail(format!("{folder} does not exist"), "make it, or name another with --plugins")
        }
        Err(error) if error.kind() == ErrorKind::NotFound => to_be_made(folder, "the plugins folder"),
        Err(error) => Finding::fail(
            format!("{folder}: {error}"),
            "let the user that runs the gateway read it, or name another with --plugins",
        ),
    }
}

pub(super) fn space(config: &Config) -> Finding {
    let folder = existing(&config.data);
    let disk = match statvfs(folder.as_std_path()) {
        Ok(disk) => disk,
        Err(errno) => return Finding::warn(format!("cannot be told: {errno}"), format!("see df {folder}")),
    };
    let free = disk.blocks_available().saturating_mul(disk.fragment_size());
    let says = format!("{} MiB free for {}", free >> 20, config.data);
    let to_do = "a full disk ends the gateway: make room";
    if free < SPACE_FAIL_BYTES {
        return Finding::fail(says, to_do);
    }
    if free < SPACE_WARN_BYTES { Finding::warn(says, to_do) } else { Finding::ok(says) }
}

fn mode(path: &Utf8Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

/// A file that is made and removed: permissions, read-only mounts and quotas all say no in the same way.
fn try_to_write(folder: &Utf8Path) -> io::Result<()> {
    let path = folder.join(format!(".doctor-{}", std::process::id()));
    fs::File::options().write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)
}

fn to_be_made(folder: &Utf8Path, what: &str) -> Finding {
    let parent = existing(folder);
    match try_to_write(parent) {
        Ok(()) => Finding::ok(format!("{folder} is not there; `ripost serve` makes it")),
        Err(error) => Finding::fail(
            format!("{folder} is not there and cannot be made in {parent}: {error}"),
            format!("make {what} and give it to the user that runs the gateway"),
        ),
    }
}

/// The folder, or the next one above it that is there.
fn existing(folder: &Utf8Path) -> &Utf8Path {
    let found = folder.ancestors().find(|folder| folder.is_dir());
    found.filter(|folder| !folder.as_str().is_empty()).unwrap_or(Utf8Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;
    use camino::Utf8PathBuf;

    fn config() -> (tempfile::TempDir, Config) {
        let root = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(root.path().to_owned()).unwrap();
        let config = Config { data: path.join("data"), plugins_folder: path.join("plugins"), ..Config::default() };
        (root, config)
    }

    fn chmod(path: &Utf8Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn folders_that_are_not_there_are_made_by_the_start_and_not_by_the_doctor() {
        let (_root, config) = config();
        for look in [data, keys, plugins, space] {
            assert_eq!(look(&config).level, Level::Ok, "{:?}", look(&config));
        }
        assert!(!config.data.exists() && !config.plugins_folder.exists());
        let named = Config { plugins_named: true, ..config };
        assert_eq!(plugins(&named).level, Level::Fail, "a start does not make it");
    }

    #[test]
    fn a_data_folder_that_others_can_look_into_is_a_warning_and_a_key_that_they_can_read_a_failure() {
        let (_root, config) = config();
        fs::create_dir(&config.data).unwrap();
        chmod(&config.data, 0o755);
        assert!(
            matches!(data(&config), Finding { level: Level::Warn, to_do: Some(to_do), .. } if to_do.contains("0700"))
        );
        chmod(&config.data, 0o700);
        assert_eq!(data(&config).level, Level::Ok);
        assert_eq!(fs::read_dir(&config.data).unwrap().count(), 0, "nothing is left behind");
        let key = config.data.join("master.key");
        fs::write(&key, "").unwrap();
        chmod(&key, 0o640);
        assert!(matches!(keys(&config), Finding { level: Level::Fail, says, .. } if says.contains("master.key")));
        chmod(&key, 0o600);
        assert_eq!(keys(&config).level, Level::Ok);
    }

    #[test]
    fn a_file_in_the_place_of_a_folder_is_a_failure() {
        let (_root, config) = config();
        for path in [&config.data, &config.plugins_folder] {
            fs::write(path, "").unwrap();
        }
        assert_eq!((data(&config).level, plugins(&config).level), (Level::Fail, Level::Fail));
    }
}
