//! What this process consists of on the disk: its program, and the libraries that a child of it will load again.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Folders that belong to the system, with nothing private in them. In these the whole folder of a library is granted:
/// an update replaces the file, and the program must start again after it.
const SYSTEM: &[&str] = &["/lib", "/usr/lib", "/usr/local/lib", "/nix/store", "/gnu/store"];

/// Program and libraries.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Own {
    /// Read and executed: the program, libraries outside the system's folders, and the system's folders with libraries.
    ///
    /// The dynamic loader is one of the libraries, and executes whatever it can read: to read and to execute is the
    /// same here.
    pub(super) paths: BTreeSet<PathBuf>,
}

/// By the list of what is mapped now.
///
/// # Errors
/// There is no such list, or it does not say where the program is.
pub(super) fn own() -> io::Result<Own> {
    let mut own = parse(&std::fs::read_to_string("/proc/self/maps")?);
    own.paths.insert(std::env::current_exe()?);
    Ok(own)
}

fn parse(maps: &str) -> Own {
    let paths = maps.lines().filter_map(executable).map(|path| match path.parent() {
        Some(folder) if is_system(folder) => folder.to_owned(),
        _ => path.to_owned(),
    });
    Own { paths: paths.collect() }
}

/// `from-to r-xp offset device inode   /path`: the path, if there is one and it has code.
fn executable(line: &str) -> Option<&Path> {
    let mut fields = line.split_ascii_whitespace();
    let access = fields.nth(1)?;
    let path = line.get(line.find('/')?..)?;
    (access.contains('x') && fields.nth(2)? != "0" && !path.ends_with(" (deleted)")).then(|| Path::new(path))
}

fn is_system(folder: &Path) -> bool {
    // `/lib64` and `/usr/lib32` too: the name goes on, but only in that component.
    SYSTEM.iter().any(|system| {
        let same = ["", "32", "64", "x32"].map(|suffix| format!("{system}{suffix}"));
        same.iter().any(|system| folder.starts_with(system))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
5580c0000000-5580c1000000 r--p 00000000 fe:00 131 /opt/my programs/ripost
5580c1000000-5580c2000000 r-xp 00001000 fe:00 131 /opt/my programs/ripost
7f0000000000-7f0000100000 r-xp 00000000 00:00 0
7f0000200000-7f0000300000 r-xp 00000000 fe:00 132                        /usr/lib/x86_64-linux-gnu/libc.so.6
7f0000400000-7f0000500000 r-xp 00000000 fe:00 133                        /usr/lib64/ld-linux-x86-64.so.2
7f0000600000-7f0000700000 r-xp 00000000 fe:00 134                        /home/me/shim.so
7f0000800000-7f0000900000 r--p 00000000 fe:00 135                        /home/me/secret.db
7f0000a00000-7f0000b00000 r-xp 00000000 fe:00 136                        /usr/lib/gone.so (deleted)
7ffd00000000-7ffd00001000 r-xp 00000000 00:00 0                          [vdso]
";

    #[test]
    fn system_libraries_are_granted_by_folder_others_by_file_and_data_not_at_all() {
        let paths = ["/opt/my programs/ripost", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/home/me/shim.so"];
        assert_eq!(parse(MAPS).paths, paths.into_iter().map(PathBuf::from).collect());
    }

    #[test]
    fn a_folder_that_only_begins_like_one_of_the_system_is_not_one() {
        assert!(!is_system(Path::new("/usr/library/private")) && !is_system(Path::new("/libraries")));
        assert!(is_system(Path::new("/lib64")) && is_system(Path::new("/lib/x86_64-linux-gnu")));
    }
}
