//! Where a path leads, whoever reads it. A gateway and the server behind it read one text twice, and what is a name to
//! the one may be a way up to the other: `..%2f`. Here is the one rule for both ways out, what callers send on to owners'
//! services and what components call. Pure.
//!
//! A text is read as the most obliging of servers would: decoded again and again, `\` as `/`, what follows a `;` cut off,
//! and bytes taken for the ASCII that some decoder makes of them. If no reading has a segment of dots, none leads up.

use std::borrow::Cow;
use url::Url;

/// How often a path may be percent-encoded over itself; nobody decodes as often.
const DECODINGS_MAX: usize = 3;

/// Why a path goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathRefused {
    /// Plain `..`, more of them than there are segments before.
    #[error("it leads out of the API")]
    Outside,
    /// `..` in some encoding.
    #[error("it has `.` or `..` as a segment in an encoded form, which some servers take for a way out")]
    Dots,
    /// Encoded or not.
    #[error("it has a control character in it")]
    Control,
    /// Not encoded: no URL has it, and half of the programs take it for a slash.
    #[error("it has a backslash in it: write `/`, or %5C where one is meant")]
    Backslash,
    /// Over itself.
    #[error("it is percent-encoded more than {DECODINGS_MAX} times over")]
    TooDeep,
}

/// The URL of what stands below another: `rest` is empty or begins with a slash, and stays there whoever reads it.
///
/// # Errors
/// Why some server would find another place.
pub fn below(base: &Url, rest: &str) -> Result<Url, PathRefused> {
    // The parser takes it for a slash, and leaves out what is Control.
    if rest.contains('\\') {
        return Err(PathRefused::Backslash);
    }
    if rest.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(PathRefused::Control);
    }
    let (own, mut url) = (base.path().trim_end_matches('/'), base.clone());
    if rest.is_empty() {
        return Ok(url);
    }
    url.set_path(&format!("{own}{rest}"));
    if !is_below(own, url.path()) {
        return Err(PathRefused::Outside);
    }
    check(&url.path()[own.len()..])?;
    Ok(url)
}

/// Checks the path of a URL whose plain `.` and `..` are resolved, so that any that is still found was hidden.
///
/// # Errors
/// Why some server would find another place than the one that stands there.
pub fn check(path: &str) -> Result<(), PathRefused> {
    each_reading(path, |text| if text.split(is_separator).any(is_of_dots) { Err(PathRefused::Dots) } else { Ok(()) })
}

/// Whether a path stays at a prefix or below it, as it stands: the prefix ends where a segment does.
#[must_use]
pub fn is_below(prefix: &str, path: &str) -> bool {
    let Some(rest) = path.strip_prefix(prefix) else { return false };
    rest.is_empty() || rest.starts_with('/') || prefix.is_empty() || prefix.ends_with('/')
}

/// Whether every server finds the same segments in it: for prefixes, which are compared as they stand.
#[must_use]
pub fn is_literal(path: &str) -> bool {
    let separators = |text: &[u8]| text.iter().filter(|byte| is_separator(byte)).count();
    let plain = path.bytes().filter(|byte| *byte == b'/').count();
    let literal = |text: &[u8]| if separators(text) == plain { Ok(()) } else { Err(PathRefused::Backslash) };
    check(path).and_then(|()| each_reading(path, literal)).is_ok()
}

fn is_separator(byte: &u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

fn each_reading(path: &str, judge: impl Fn(&[u8]) -> Result<(), PathRefused>) -> Result<(), PathRefused> {
    let mut text = Cow::Borrowed(path.as_bytes());
    for _ in 0..=DECODINGS_MAX {
        let read = as_ascii(&text);
        if text.iter().chain(&*read).any(u8::is_ascii_control) {
            return Err(PathRefused::Control);
        }
        judge(&read)?;
        match decoded(&read) {
            Some(decoded) => text = Cow::Owned(decoded),
            None => return Ok(()),
        }
    }
    Err(PathRefused::TooDeep)
}

/// `.`, `..`, and what is cut down to them: parameters behind a `;`, and the spaces and dots at the end of a name that
/// Windows passes over.
fn is_of_dots(segment: &[u8]) -> bool {
    let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
    name.starts_with(b".") && name.iter().all(|byte| matches!(byte, b'.' | b' '))
}

/// `%2e`, and `%u002e` as IIS has it; nothing, if there is nothing to decode.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let first = text.iter().position(|byte| *byte == b'%')?;
    let mut decoded = Vec::with_capacity(text.len());
    decoded.extend_from_slice(&text[..first]);
    let mut rest = &text[first..];
    while let [byte, behind @ ..] = rest {
        rest = behind;
        if *byte != b'%' {
            decoded.push(*byte);
        } else if let Some(code) = hex(behind.get(..2)) {
            decoded.push(u8::try_from(code).unwrap_or_default());
            rest = &behind[2..];
        } else if let Some(unit) = behind.strip_prefix(b"u").and_then(|unit| hex(unit.get(..4)))
            && let Some(letter) = char::from_u32(unit)
        {
            decoded.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &behind[5..];
        } else {
            decoded.push(*byte);
        }
    }
    (decoded != text).then_some(decoded)
}

fn hex(digits: Option<&[u8]>) -> Option<u32> {
    digits?.iter().try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?))
}

/// The same with what lax decoders take for ASCII as ASCII: UTF-8 that is longer than it need be (`C0 AE` for a dot), and
/// the full-width forms (U+FF0E), which are folded to it where names are matched by their looks.
fn as_ascii(text: &[u8]) -> Cow<'_, [u8]> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut read = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, behind @ ..] = rest {
        match long_form(rest) {
            Some((ascii, length)) => {
                read.push(ascii);
                rest = &rest[length..];
            }
            None => {
                read.push(*byte);
                rest = behind;
            }
        }
    }
    Cow::Owned(read)
}

/// An ASCII character in two to six bytes, and how many they are.
fn long_form(text: &[u8]) -> Option<(u8, usize)> {
    let lead = *text.first()?;
    let length = usize::try_from(lead.leading_ones()).ok().filter(|length| (2..=6).contains(length))?;
    let behind = text.get(1..length)?;
    let code = behind.iter().fold(u32::from(lead & (0x7f >> length)), |code, byte| code << 6 | u32::from(byte & 0x3f));
    let ascii = match code {
        0..0x80 => code,
        0xff01..0xff5f => code - 0xfee0,
        _ => return None,
    };
    let ascii = u8::try_from(ascii).ok()?;
    // Decoders are known that do not look at the first two bits of the bytes behind (`C0 2F`). In Latin-1 that is two
    // letters, so it counts only for what separates.
    let is_whole = behind.iter().all(|byte| byte & 0xc0 == 0x80);
    (is_whole || matches!(ascii, b'.' | b'/' | b'\\')).then_some((ascii, length))
}

#[cfg(test)]
pub(crate) mod readers;
#[cfg(test)]
mod tests;
