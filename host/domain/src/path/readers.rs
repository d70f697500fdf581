//! Readers of paths, for tests: written apart from the rule that they check.

use proptest::prelude::*;

/// What servers do with a path, in the combinations that are known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader {
    /// How often it decodes.
    pub(crate) decodings: usize,
    pub(crate) backslash_is_slash: bool,
    pub(crate) cuts_parameters: bool,
    /// Before it decodes, or after.
    pub(crate) resolves_first: bool,
}

impl Reader {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..5_usize).flat_map(|decodings| {
            (0..8_u8).map(move |bits| Self {
                decodings,
                backslash_is_slash: bits & 1 != 0,
                cuts_parameters: bits & 2 != 0,
                resolves_first: bits & 4 != 0,
            })
        })
    }

    /// The place that it finds; nothing above the root.
    pub(crate) fn read(self, path: &str) -> Vec<Vec<u8>> {
        let mut text = path.as_bytes().to_vec();
        if self.resolves_first {
            text = self.resolved(&text).into_iter().flat_map(|name| [b"/", name.as_slice()].concat()).collect();
        }
        for _ in 0..self.decodings {
            text = percent_decoded(&text);
        }
        self.resolved(&text)
    }

    fn resolved(self, text: &[u8]) -> Vec<Vec<u8>> {
        let mut place: Vec<Vec<u8>> = Vec::new();
        for segment in text.split(|byte| *byte == b'/' || self.backslash_is_slash && *byte == b'\\') {
            let name = match self.cuts_parameters {
                true => segment.split(|byte| *byte == b';').next().unwrap_or_default(),
                false => segment,
            };
            match name {
                b"" | b"." => {}
                b".." => drop(place.pop()),
                name => place.push(name.to_vec()),
            }
        }
        place
    }
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let code = text.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.filter(|_| text[at] == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if text[at + 1] != b'+' => {
                decoded.push(byte);
                at += 3;
            }
            _ => {
                decoded.push(text[at]);
                at += 1;
            }
        }
    }
    decoded
}

/// What hostile paths are made of.
pub(crate) fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "\\", "..", ".", "%2e", "%2E", "%2f", "%2F", "%5c", "%25", "2e", "2f", ";", "%3b", "a", "v1", "admin",
        "%00", "%", "?", "#", "@", ":", "//", "é", "%c3", " ", "\t", "%c0%ae", "%c0", "%u002e", "．", "%20",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}
