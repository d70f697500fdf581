//! The operator's token.

use super::file;
use super::{KeyringError, hash, random};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use camino::Utf8Path;

pub(crate) const FILE_NAME: &str = "admin-token";
/// Of a token that an operator writes into the file: less could be guessed. Ours has 47.
const CHARS_MIN: usize = 24;

/// The operator's token.
#[derive(Clone)]
pub struct AdminToken {
    text: String,
    hash: [u8; 32],
}

/// How a start came by its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The file had it.
    File,
    /// There was no file.
    Made,
    /// The file was empty: nobody can have used what it held.
    MadeForEmpty,
}

impl AdminToken {
    /// Reads `<data>/admin-token`, or makes it (0600): also in the place of an empty one, which a copy that was cut short
    /// leaves behind.
    ///
    /// # Errors
    /// The file cannot be read or made, or holds something that is no token.
    pub fn open(data: &Utf8Path) -> Result<(Self, Origin), KeyringError> {
        let path = data.join(FILE_NAME);
        let origin = match file::read(&path)? {
            None => Origin::Made,
            Some(text) if text.trim().is_empty() => Origin::MadeForEmpty,
            Some(text) => return Ok((Self::parse(&path, &text)?, Origin::File)),
        };
        let text = file::create(&path, format!("rat_{}", URL_SAFE_NO_PAD.encode(random::<32>())))?;
        Ok((Self::new(&text), origin))
    }

    /// Reads it without making it: for the command line beside a host.
    ///
    /// # Errors
    /// The file cannot be read, or holds no token.
    pub fn read(data: &Utf8Path) -> Result<Self, KeyringError> {
        let path = data.join(FILE_NAME);
        let text =
            std::fs::read_to_string(&path).map_err(|source| KeyringError::File { path: path.clone(), source })?;
        Self::parse(&path, &text)
    }

    fn parse(path: &Utf8Path, text: &str) -> Result<Self, KeyringError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(KeyringError::EmptyToken(path.to_owned()));
        }
        // It travels in a header field.
        let can_be_sent = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.len() < CHARS_MIN || !can_be_sent {
            return Err(KeyringError::NotAToken { path: path.to_owned(), chars_min: CHARS_MIN });
        }
        Ok(Self::new(text))
    }

    fn new(text: &str) -> Self {
        Self { hash: hash(text.as_bytes()), text: text.to_owned() }
    }

    /// The token itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Whether `offered` is this token; takes as long whichever it is.
    #[must_use]
    pub fn matches(&self, offered: &str) -> bool {
        subtle::ConstantTimeEq::ct_eq(&self.hash[..], &hash(offered.as_bytes())[..]).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_token_is_made_where_there_is_none_and_one_that_is_no_token_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let data = Utf8Path::from_path(folder.path()).unwrap();
        let path = data.join(FILE_NAME);
        assert!(AdminToken::read(data).is_err());
        let (token, origin) = AdminToken::open(data).unwrap();
        assert_eq!(origin, Origin::Made);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (again, origin) = AdminToken::open(data).unwrap();
        assert!(again.matches(token.reveal()) && !again.matches("rat_other") && !again.matches(""));
        assert_eq!(origin, Origin::File);
        for empty in ["", "\n", "  \n"] {
            std::fs::write(&path, empty).unwrap();
            assert!(matches!(AdminToken::read(data), Err(KeyringError::EmptyToken(_))));
            let (made, origin) = AdminToken::open(data).unwrap();
            assert_eq!(origin, Origin::MadeForEmpty);
            assert!(!made.matches(token.reveal()) && AdminToken::read(data).unwrap().matches(made.reveal()));
        }
        for bad in ["x", "rat_cut-short", "twenty four characters with spaces", "rat_ääääääääääääääääääääääää"]
        {
            std::fs::write(&path, bad).unwrap();
            assert!(matches!(AdminToken::open(data), Err(KeyringError::NotAToken { .. })), "{bad}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), bad, "it is left as it is");
        }
    }
}
