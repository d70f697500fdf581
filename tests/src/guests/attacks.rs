//! The attacks of `tests/guests/hostile` as components, and what each must come to.

use super::{PRELUDE, component};

/// A guest that does what no guest should.
#[derive(Debug, Clone, Copy)]
pub struct Attack {
    /// The file's name without its ending.
    pub name: &'static str,
    /// The problem that it ends with: one of these.
    pub problems: &'static [&'static str],
    text: &'static str,
}

macro_rules! attack {
    ($name:literal, $problems:expr) => {
        Attack {
            name: $name,
            problems: &$problems,
            text: include_str!(concat!("../../guests/hostile/", $name, ".wat")),
        }
    };
}

/// All of them, in the order of the table.
pub const ATTACKS: &[Attack] = &[
    attack!("01-loop", ["cpu-limit"]),
    attack!("01-loop-in-post-return", ["cpu-limit"]),
    attack!("01-loop-in-realloc", ["cpu-limit"]),
    attack!("01-loop-in-start", ["cpu-limit"]),
    attack!("02-waits", ["wall-limit"]),
    attack!("03-memory", ["memory-limit"]),
    attack!("04-table", ["resource-limit"]),
    attack!("05-recursion", ["stack-overflow"]),
    attack!("06-bad-tag", ["handler-trapped"]),
    attack!("06-bad-text", ["handler-trapped"]),
    attack!("06-giant-answer", ["handler-trapped", "resource-limit"]),
    attack!("06-giant-log", ["handler-trapped", "resource-limit"]),
    attack!("07-host-calls", ["cpu-limit"]),
    attack!("07-random", ["cpu-limit"]),
    attack!("08-resources", ["handler-trapped"]),
    attack!("09-log-flood", ["cpu-limit"]),
    attack!("15-exit", ["handler-trapped"]),
    attack!("15-unreachable", ["handler-trapped"]),
];

impl Attack {
    /// The component.
    ///
    /// # Panics
    /// The file is not WAT, or not of its world.
    #[must_use]
    pub fn component(&self) -> Vec<u8> {
        let said = |what: &str| {
            let prefix = format!(";; {what}: ");
            self.text.lines().find_map(|line| line.strip_prefix(&prefix))
        };
        let (imports, rest): (Vec<&str>, Vec<&str>) = self.text.lines().partition(|line| line.starts_with("(import "));
        let prelude = if said("prelude") == Some("none") { "" } else { PRELUDE };
        let text = format!("(module {} {prelude} {})", imports.join("\n"), rest.join("\n"));
        let module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{} is not WAT: {error}\n{text}", self.name));
        component(module, said("world").unwrap_or("ripost:plugin/handler@1.0.0"))
    }

    /// As an API's slug.
    #[must_use]
    pub fn slug(&self) -> String {
        format!("a{}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_an_attack_and_a_component() {
        let folder = crate::places::workspace().join("tests/guests/hostile");
        let files = folder.read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned());
        let mut files: Vec<String> = files.filter_map(|name| name.strip_suffix(".wat").map(str::to_owned)).collect();
        files.sort();
        assert_eq!(files, ATTACKS.iter().map(|attack| attack.name).collect::<Vec<_>>());
        for attack in ATTACKS {
            assert_eq!(&attack.component()[..8], b"\0asm\x0d\0\x01\0", "{}", attack.name);
        }
    }
}
