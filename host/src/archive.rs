//! A plugin's folder as a tar, under one set of rules on both sides: regular files with plain names, at most one folder
//! deep, each once. Nothing is ever unpacked onto a disk from here.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use tar::{Archive, Builder, EntryType, Header};

/// Files of one plugin: manifest, components, smoke cases.
pub(crate) const FILES_MAX: usize = 1024;
/// Bytes of a name with its folder: what a header has room for.
const NAME_BYTES_MAX: usize = 255;

/// An archive cannot be taken as a plugin's folder. In words for whoever made it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// It is no tar, or not all of one.
    #[error("it is no whole tar: {0}")]
    NotWhole(String),
    /// Something that is no regular file.
    #[error("`{name}` is {kind} and only regular files are taken; with GNU tar say --format=ustar and name the files")]
    NotAFile {
        /// What it is called.
        name: String,
        /// What it is.
        kind: &'static str,
    },
    /// A name that is no place in a plugin's folder.
    #[error(
        "`{0}` is no file of a plugin: those are plugin.toml, *.wasm and *.json, and *.json in one folder further down"
    )]
    Name(String),
    /// One name twice.
    #[error("`{0}` is in it twice")]
    Twice(String),
    /// More files than a plugin has.
    #[error("it has more than {FILES_MAX} files")]
    TooMany,
}

/// Packs files, by name.
///
/// # Errors
/// A name is too long for a tar.
pub(crate) fn pack(files: &BTreeMap<String, Vec<u8>>) -> io::Result<Vec<u8>> {
    let room: usize = files.values().map(|bytes| bytes.len() + 1536).sum();
    let mut builder = Builder::new(Vec::with_capacity(room + 1024));
    for (name, bytes) in files {
        let mut header = Header::new_ustar();
        header.set_path(name)?;
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        builder.append(&header, bytes.as_slice())?;
    }
    builder.into_inner()
}

/// Unpacks an archive into memory; its files are no longer than it is.
///
/// # Errors
/// [`ArchiveError`]
pub(crate) fn unpack(archive: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, ArchiveError> {
    let broken = |error: io::Error| ArchiveError::NotWhole(error.to_string());
    let mut archive = Archive::new(archive);
    let mut files = BTreeMap::new();
    // Raw: extensions that would change the name or the size of what follows are entries like any other, and refused.
    for entry in archive.entries().map_err(broken)?.raw(true) {
        let mut entry = entry.map_err(broken)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        if !kind.is_file() {
            return Err(ArchiveError::NotAFile { name: shown(&name), kind: kind_name(kind) });
        }
        if !is_of_a_plugin(&name) {
            return Err(ArchiveError::Name(shown(&name)));
        }
        if files.len() == FILES_MAX {
            return Err(ArchiveError::TooMany);
        }
        let size = entry.size();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(broken)?;
        if bytes.len() as u64 != size {
            return Err(ArchiveError::NotWhole(format!("`{}` ends too early", shown(&name))));
        }
        if files.insert(name.clone(), bytes).is_some() {
            return Err(ArchiveError::Twice(shown(&name)));
        }
    }
    Ok(files)
}

/// What is shown of a name that may be anything.
fn shown(name: &str) -> String {
    name.chars().take(200).flat_map(char::escape_debug).collect()
}

const fn kind_name(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Directory => "a folder",
        EntryType::Symlink => "a symbolic link",
        EntryType::Link => "a hard link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a pipe",
        _ => "an extension",
    }
}

/// Whether a plugin may have a file of this name; which of them it has, its manifest says.
fn is_of_a_plugin(name: &str) -> bool {
    let plain = |part: &str| {
        let letters = part.chars().all(|letter| !letter.is_control() && !matches!(letter, '\\' | '\u{fffd}'));
        !part.is_empty() && !part.starts_with('.') && letters
    };
    let ends = |part: &str, end: &str| part.len() > end.len() && part.ends_with(end);
    let fits = name.len() <= NAME_BYTES_MAX && name.split('/').all(plain);
    fits && match name.split_once('/') {
        None => name == crate::plugins::FILE_NAME || ends(name, ".wasm") || ends(name, ".json"),
        Some((_, file)) => !file.contains('/') && ends(file, ".json"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn files(list: &[(&str, &[u8])]) -> BTreeMap<String, Vec<u8>> {
        list.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
    }

    /// An archive of one entry whose name is not looked at by the builder.
    fn one(name: &[u8], kind: EntryType, bytes: &[u8]) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        let mut builder = Builder::new(Vec::new());
        builder.append(&header, bytes).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let long = format!("{}/{}.json", "f".repeat(60), "c".repeat(80));
        let plugin = files(&[
            ("plugin.toml", b"[plugin]"),
            ("a b.wasm", &[7; 5000]),
            ("schema.json", b""),
            ("cases/one.json", b"{}"),
            (&long, b"{}"),
        ]);
        assert_eq!(unpack(&pack(&plugin).unwrap()), Ok(plugin));
        assert_eq!(unpack(&pack(&BTreeMap::new()).unwrap()), Ok(BTreeMap::new()));
    }

    #[test]
    fn names_that_lead_out_of_the_folder_or_deep_into_it_are_refused() {
        for name in [
            "../plugin.toml",
            "/etc/plugin.toml",
            "/plugin.toml",
            "./plugin.toml",
            "cases/../plugin.toml",
            "cases/../../x.json",
            "a/b/c.json",
            "cases//x.json",
            "cases/",
            "cases/x.wasm",
            "x/plugin.toml",
            "..",
            "",
            ".wasm",
            ".hidden.wasm",
            "cases/.x.json",
            "a\\b.wasm",
            "a\nb.wasm",
            "other.toml",
            "run.sh",
        ] {
            let refused = unpack(&one(name.as_bytes(), EntryType::Regular, b"x"));
            assert_eq!(refused, Err(ArchiveError::Name(shown(name))), "{name:?}");
        }
        assert!(matches!(unpack(&one(b"\xff.wasm", EntryType::Regular, b"x")), Err(ArchiveError::Name(_))));
    }

    #[test]
    fn links_devices_folders_and_extensions_are_refused() {
        for (kind, word) in [
            (EntryType::Symlink, "symbolic link"),
            (EntryType::Link, "hard link"),
            (EntryType::Directory, "folder"),
            (EntryType::Char, "device"),
            (EntryType::Block, "device"),
            (EntryType::Fifo, "pipe"),
            (EntryType::GNULongName, "extension"),
            (EntryType::GNUSparse, "extension"),
            (EntryType::XHeader, "extension"),
            (EntryType::XGlobalHeader, "extension"),
        ] {
            let refused = unpack(&one(b"handler.wasm", kind, b"")).unwrap_err().to_string();
            assert!(refused.contains(word) && refused.contains("handler.wasm"), "{refused}");
        }
    }

    #[test]
    fn a_name_twice_too_many_files_and_half_an_archive_are_refused() {
        let (first, second) = (one(b"a.wasm", EntryType::Regular, b"1"), one(b"a.wasm", EntryType::Regular, b"2"));
        // Without the end mark of the first.
        let twice = [&first[..1024], &second].concat();
        assert_eq!(unpack(&twice), Err(ArchiveError::Twice("a.wasm".to_owned())));
        let many = (0..=FILES_MAX).map(|number| (format!("{number}.wasm"), Vec::new())).collect();
        assert_eq!(unpack(&pack(&many).unwrap()), Err(ArchiveError::TooMany));
        let whole = one(b"a.wasm", EntryType::Regular, &[1; 4000]);
        for cut in [100, 513, 2000, 4000] {
            assert!(matches!(unpack(&whole[..cut]), Err(ArchiveError::NotWhole(_))), "{cut}");
        }
        assert!(matches!(unpack(&[b'x'; 2048]), Err(ArchiveError::NotWhole(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let _ = unpack(&bytes);
        }

        #[test]
        fn no_changed_byte_breaks_the_reader(at in 0_usize..2048, to: u8) {
            let mut archive = pack(&files(&[("plugin.toml", b"x"), ("cases/a.json", b"{}")])).unwrap();
            archive[at] = to;
            for name in unpack(&archive).unwrap_or_default().keys() {
                prop_assert!(is_of_a_plugin(name), "{name}");
            }
        }
    }
}
