//! The output of commands. Text from strangers (names, reasons, logs) cannot steer the terminal, and a closed pipe ends the
//! printing and nothing else.

pub(super) use ripost_domain::units::counted;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

/// Why standard output takes no more text. Nothing is written after that.
static ENDED: OnceLock<io::Error> = OnceLock::new();

/// Whether printing is in vain. Commands that print until they are stopped end then; the others go on to their own exit
/// code: `ripost push … | head -1` still deploys, and its exit code still says how that went.
pub(super) fn is_closed() -> bool {
    ENDED.get().is_some()
}

/// Why the output is incomplete, such as a full disk. A reader that went away has what it wanted: that is no failure.
pub(super) fn failure() -> Option<&'static io::Error> {
    ENDED.get().filter(|error| error.kind() != ErrorKind::BrokenPipe)
}

/// Writes to standard output and flushes it.
pub(super) fn text(text: fmt::Arguments<'_>) {
    if is_closed() {
        return;
    }
    let text = printable(&text.to_string());
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        let _ = ENDED.set(error);
    }
}

/// Writes a line to standard error: for messages that are not the command's result. There is no place left to report that
/// it cannot be written.
pub(super) fn message(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{}", printable(&text.to_string()));
}

/// `print!` for commands.
macro_rules! out {
    ($($text:tt)+) => { $crate::cli::out::text(format_args!($($text)+)) };
}

/// `println!` for commands.
macro_rules! outln {
    ($($text:tt)+) => { $crate::cli::out::text(format_args!("{}\n", format_args!($($text)+))) };
}

/// `eprintln!` for commands.
macro_rules! note {
    ($($text:tt)+) => { $crate::cli::out::message(format_args!($($text)+)) };
}

pub(super) use {note, out, outln};

/// The text with everything that could steer a terminal or turn the direction of reading written as `\u….`; line ends and
/// tabs stay.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        let steers = letter.is_control() && !matches!(letter, '\n' | '\t');
        // All of them below U+10000, so four digits do, and inside JSON they mean the same.
        if steers || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            out.push(letter);
        }
    }
    out
}

/// The same on one line: for text that must not look like a line of ours.
pub(super) fn one_line(text: &str) -> String {
    printable(text).replace('\n', "\\n").replace('\t', "\\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_strangers_keeps_its_lines_and_tabs_and_cannot_steer_the_terminal() {
        assert_eq!(
            printable("a\tb\n\u{1b}[31mred\u{9b}0m\r\u{202e}x \u{e9}\u{1f600}"),
            "a\tb\n\\u001b[31mred\\u009b0m\\u000d\\u202ex \u{e9}\u{1f600}"
        );
        assert_eq!(one_line("a\n\tb"), "a\\n\\tb");
    }

    #[test]
    fn one_is_not_many() {
        let counts = [0_usize, 1, 2].map(|count| counted(count, "delivery", "deliveries"));
        assert_eq!(counts, ["0 deliveries", "1 delivery", "2 deliveries"]);
    }
}
