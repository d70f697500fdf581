//! What a guest writes, bounded: the first half of the budget keeps how it began, the second half how it ended, and
//! what came between is counted.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What one line costs beside its text, so that a flood of empty lines is bounded too.
const LINE_COST_BYTES: usize = 32;
/// A longer line is cut: no single line may take the place of all others.
const LINE_BYTES_MAX: usize = 8 * 1024;
/// The same of a line that the host writes; there are a few for a run.
const HOST_LINE_BYTES_MAX: usize = 512;
/// What Rust's standard library says after each panic: the lines before are the news.
const RUST_HINT: &str = "note: run with `RUST_BACKTRACE";
/// What is quoted of a guest's last message; the whole of it is in the log.
const LAST_MESSAGE_BYTES_MAX: usize = 2 * 1024;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Step by step.
    Trace,
    /// For finding faults.
    Debug,
    /// What happened.
    Info,
    /// Something is odd.
    Warn,
    /// Something is broken.
    Error,
}

impl Level {
    /// Lower case, stable.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

/// Who wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The guest, by the log or by standard output and error.
    Guest,
    /// The host: how the run ended, and where in the guest.
    Host,
}

/// One line of a run's log. Control characters are escaped: no guest can forge a second line or talk to a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Who wrote it.
    pub by: Writer,
    /// How much it matters. Standard output is `info`, standard error `warn`.
    pub level: Level,
    /// The text.
    pub message: String,
    /// Names and values, in the guest's order.
    pub fields: Vec<(String, String)>,
}

impl LogLine {
    /// An error that the host tells the owner.
    #[must_use]
    pub fn of_host(message: String) -> Self {
        LogLine { by: Writer::Host, level: Level::Error, message, fields: Vec::new() }
    }

    fn cost_bytes(&self) -> usize {
        let fields: usize = self.fields.iter().map(|(name, value)| LINE_COST_BYTES + name.len() + value.len()).sum();
        LINE_COST_BYTES + self.message.len() + fields
    }
}

/// The last thing that a guest complained of, in one line: Rust, Python and JavaScript say over several lines of
/// standard error why they give up.
#[must_use]
pub fn last_message(lines: &[LogLine]) -> Option<String> {
    let complains = |line: &&LogLine| line.level >= Level::Warn && !line.message.starts_with(RUST_HINT);
    let of_guest = lines.iter().rev().filter(|line| line.by == Writer::Guest);
    let mut last = of_guest.skip_while(|line| !complains(line)).peekable();
    let level = last.peek()?.level;
    let mut texts: Vec<&str> = last
        .take_while(|line| line.level == level)
        .map(|line| line.message.trim())
        .filter(|text| !text.is_empty())
        .collect();
    texts.reverse();
    let text = texts.join(" | ");
    (!text.is_empty()).then(|| shortened(&text))
}

/// The beginning and the end: the one says what it is in Rust and JavaScript, the other in Python.
fn shortened(text: &str) -> String {
    if text.len() <= LAST_MESSAGE_BYTES_MAX {
        return text.to_owned();
    }
    let half = LAST_MESSAGE_BYTES_MAX / 2;
    let (first, last) = (text.floor_char_boundary(half), text.ceil_char_boundary(text.len() - half));
    format!("{} … {}", &text[..first], &text[last..])
}

/// Where standard output and standard error of a wasi guest go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stdio {
    Out,
    Err,
}

/// The log of one run. Shared, because wasi hands out streams that outlive the call that made them.
#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<Mutex<Buffer>>);

#[derive(Debug)]
struct Buffer {
    half_bytes: usize,
    first: Vec<LogLine>,
    first_bytes: usize,
    first_full: bool,
    last: VecDeque<LogLine>,
    last_bytes: usize,
    dropped: u64,
    written_bytes: u64,
    out: Vec<u8>,
    err: Vec<u8>,
    of_host: Vec<LogLine>,
}

impl Log {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Log(Arc::new(Mutex::new(Buffer {
            half_bytes: bytes_max / 2,
            first: Vec::new(),
            first_bytes: 0,
            first_full: false,
            last: VecDeque::new(),
            last_bytes: 0,
            dropped: 0,
            written_bytes: 0,
            out: Vec::new(),
            err: Vec::new(),
            of_host: Vec::new(),
        })))
    }

    pub(crate) fn write(&self, level: Level, message: &str, fields: &[(String, String)]) {
        let mut buffer = self.lock();
        let text: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        buffer.written_bytes += (message.len() + text) as u64;
        buffer.push(level, message, fields);
    }

    /// What the host has to say of the run: behind all that the guest said, and not in the place of any of it.
    pub(crate) fn write_of_host(&self, message: &str) {
        let message = escaped(message, &mut { HOST_LINE_BYTES_MAX });
        self.lock().of_host.push(LogLine::of_host(message));
    }

    pub(crate) fn write_stdio(&self, stdio: Stdio, bytes: &[u8]) {
        let mut buffer = self.lock();
        buffer.written_bytes += bytes.len() as u64;
        for chunk in bytes.split_inclusive(|byte| *byte == b'\n') {
            let partial = buffer.partial(stdio);
            partial.extend_from_slice(&chunk[..chunk.len().min(LINE_BYTES_MAX.saturating_sub(partial.len()))]);
            if chunk.ends_with(b"\n") {
                buffer.end_line(stdio);
            }
        }
    }

    /// Lines kept, lines dropped, bytes written.
    pub(crate) fn finish(&self) -> (Vec<LogLine>, u64, u64) {
        let mut buffer = self.lock();
        buffer.end_line(Stdio::Out);
        buffer.end_line(Stdio::Err);
        let mut lines = std::mem::take(&mut buffer.first);
        lines.extend(std::mem::take(&mut buffer.last));
        lines.append(&mut buffer.of_host);
        (lines, buffer.dropped, buffer.written_bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Buffer> {
        // A panic while it was held leaves at worst half a line.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    fn partial(&mut self, stdio: Stdio) -> &mut Vec<u8> {
        match stdio {
            Stdio::Out => &mut self.out,
            Stdio::Err => &mut self.err,
        }
    }

    fn end_line(&mut self, stdio: Stdio) {
        let mut line = std::mem::take(self.partial(stdio));
        if line.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(&line);
        let level = match stdio {
            Stdio::Out => Level::Info,
            Stdio::Err => Level::Warn,
        };
        let text = text.trim_end_matches(['\n', '\r']).to_owned();
        self.push(level, &text, &[]);
        line.clear();
        *self.partial(stdio) = line;
    }

    fn push(&mut self, level: Level, message: &str, fields: &[(String, String)]) {
        let line_bytes_max = LINE_BYTES_MAX.min(self.half_bytes);
        let mut room = line_bytes_max.saturating_sub(LINE_COST_BYTES);
        let message = escaped(message, &mut room);
        let mut kept = Vec::new();
        for (name, value) in fields {
            if room <= LINE_COST_BYTES {
                break;
            }
            room -= LINE_COST_BYTES;
            kept.push((escaped(name, &mut room), escaped(value, &mut room)));
        }
        let line = LogLine { by: Writer::Guest, level, message, fields: kept };
        let cost = line.cost_bytes();
        if !self.first_full && self.first_bytes + cost <= self.half_bytes {
            self.first_bytes += cost;
            self.first.push(line);
            return;
        }
        self.first_full = true;
        self.last_bytes += cost;
        self.last.push_back(line);
        while self.last_bytes > self.half_bytes {
            let Some(oldest) = self.last.pop_front() else { break };
            self.last_bytes -= oldest.cost_bytes();
            self.dropped += 1;
        }
    }
}

/// `text` with control characters (and those that reorder a line) written out, at most `room` bytes of it.
fn escaped(text: &str, room: &mut usize) -> String {
    let mut result = String::with_capacity(text.len().min(*room));
    for c in text.chars() {
        let before = result.len();
        match c {
            '\n' => result.push_str("\\n"),
            '\r' => result.push_str("\\r"),
            '\t' => result.push(c),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' => write_code(&mut result, c),
            c if c.is_control() => write_code(&mut result, c),
            c => result.push(c),
        }
        if result.len() > *room {
            result.truncate(before);
            break;
        }
    }
    *room -= result.len();
    result
}

fn write_code(result: &mut String, c: char) {
    // Writing to a String cannot fail.
    let _ = write!(result, "\\u{{{:x}}}", u32::from(c));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_forge_another_one_nor_talk_to_a_terminal() {
        let log = Log::new(4096);
        log.write(Level::Info, "one\ntwo\u{1b}[31m\u{202e}x", &[("k\r".into(), "v\0".into())]);
        let (lines, dropped, _) = log.finish();
        assert_eq!(lines[0].message, "one\\ntwo\\u{1b}[31m\\u{202e}x");
        assert_eq!(lines[0].fields, [("k\\r".to_owned(), "v\\u{0}".to_owned())]);
        assert_eq!(dropped, 0);
    }

    #[test]
    fn of_a_flood_the_beginning_and_the_end_are_kept_and_the_rest_is_counted() {
        let log = Log::new(2000);
        for i in 0..1000 {
            log.write(Level::Info, &format!("line {i}"), &[]);
        }
        let (lines, dropped, bytes) = log.finish();
        assert_eq!(lines.first().unwrap().message, "line 0");
        assert_eq!(lines.last().unwrap().message, "line 999");
        assert_eq!(lines.len() as u64 + dropped, 1000);
        assert!(lines.iter().map(LogLine::cost_bytes).sum::<usize>() <= 2000);
        assert_eq!(bytes, 7890);
    }

    #[test]
    fn one_giant_line_is_cut_and_a_flood_of_empty_lines_is_bounded() {
        let log = Log::new(64 * 1024);
        log.write(Level::Error, &"é".repeat(1 << 20), &[]);
        for _ in 0..100_000 {
            log.write(Level::Info, "", &[]);
        }
        let (lines, dropped, _) = log.finish();
        assert!(lines[0].message.len() <= LINE_BYTES_MAX);
        assert_eq!(lines.len() as u64 + dropped, 100_001);
        assert!(lines.len() <= 64 * 1024 / LINE_COST_BYTES);
    }

    #[test]
    fn what_the_host_says_takes_no_room_from_a_guests_last_words() {
        let log = Log::new(1000);
        for i in 0..20 {
            log.write_of_host(&format!("frame {i} {}\u{1b}", "x".repeat(1000)));
        }
        log.write_stdio(Stdio::Err, b"panicked: out of cheese");
        let (lines, dropped, _) = log.finish();
        assert_eq!((lines.len(), dropped, lines[0].message.as_str()), (21, 0, "panicked: out of cheese"));
        assert!(lines[1..].iter().all(|line| line.by == Writer::Host && line.message.len() <= HOST_LINE_BYTES_MAX));
    }

    #[test]
    fn standard_output_becomes_lines_however_it_is_written() {
        let log = Log::new(64 * 1024);
        log.write_stdio(Stdio::Out, b"hel");
        log.write_stdio(Stdio::Err, b"Traceback\nValueError: x");
        log.write_stdio(
            Stdio::Err,
            b"\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
        );
        log.write_stdio(Stdio::Out, b"lo\r\nworld");
        let (lines, _, _) = log.finish();
        let texts: Vec<_> = lines.iter().map(|line| (line.level, line.message.as_str())).collect();
        assert_eq!(
            texts,
            [
                (Level::Warn, "Traceback"),
                (Level::Warn, "ValueError: x"),
                (Level::Warn, "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace"),
                (Level::Info, "hello"),
                (Level::Info, "world")
            ]
        );
    }

    #[test]
    fn the_last_message_of_a_guest_is_all_of_its_lines_and_none_of_the_hosts() {
        let last = |write: &dyn Fn(&Log)| {
            let log = Log::new(64 * 1024);
            write(&log);
            log.write_of_host("   0: handler!handle");
            last_message(&log.finish().0)
        };
        let javascript = "Error: thrown\n  at handle (a.js:1)\n)\n";
        assert_eq!(
            last(&|log| log.write_stdio(Stdio::Err, javascript.as_bytes())).as_deref(),
            Some("Error: thrown | at handle (a.js:1) | )")
        );
        let rust = "thread 'main' panicked at src/lib.rs:3:5:\nasked to\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        let after_a_warning = |log: &Log| {
            log.write(Level::Warn, "slow", &[]);
            log.write(Level::Info, "retrying", &[]);
            log.write_stdio(Stdio::Err, rust.as_bytes());
            // What was buffered comes out when it ends.
            log.write_stdio(Stdio::Out, b"done so far: 3");
        };
        assert_eq!(last(&after_a_warning).as_deref(), Some("thread 'main' panicked at src/lib.rs:3:5: | asked to"));
        assert_eq!(last(&|log| log.write(Level::Info, "all is well", &[])), None);
        assert_eq!(last(&|log| log.write_stdio(Stdio::Err, b"\n \n")), None);
        let long = format!("Traceback\n{}\nValueError: x\n", "é".repeat(5000));
        let shown = last(&|log| log.write_stdio(Stdio::Err, long.as_bytes())).unwrap();
        assert!(shown.starts_with("Traceback | é") && shown.ends_with("é | ValueError: x"), "{shown}");
        assert!(shown.len() <= LAST_MESSAGE_BYTES_MAX + 8, "{}", shown.len());
    }
}
