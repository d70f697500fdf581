//! The master key: where it lies, and whether it is the one that a data folder was used with.

use super::file::{self, read_or_create};
use super::{Keyring, KeyringError, random};
use crate::environment;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use ripost_store::SealedSample;
use std::fmt;

/// Environment variable that holds the master key (base64 of 32 bytes) in place of the file.
pub const VARIABLE: &str = "RIPOST_MASTER_KEY";
pub(crate) const FILE_NAME: &str = "master.key";
/// Where one goes that is no key, when the operator has given up what it sealed.
const DAMAGED_NAME: &str = "master.key.damaged";

/// Where the key is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The environment goes before the file.
    Environment,
    /// In the data folder.
    File(Utf8PathBuf),
}

impl Place {
    /// Where this process has to look.
    #[must_use]
    pub fn of(data: &Utf8Path) -> Self {
        match environment::value(VARIABLE) {
            Some(_) => Self::Environment,
            None => Self::File(data.join(FILE_NAME)),
        }
    }

    /// The key; `None`: the file is not there.
    ///
    /// # Errors
    /// It cannot be read, or is no key.
    pub fn read(&self) -> Result<Option<Keyring>, KeyringError> {
        let text = match self {
            Self::Environment => Some(environment::value(VARIABLE).unwrap_or_default()),
            Self::File(path) => file::read(path)?,
        };
        text.map(|text| parse(&text).ok_or_else(|| KeyringError::NotAKey(self.clone()))).transpose()
    }

    /// The same; a key is made if the file is not there.
    ///
    /// # Errors
    /// It cannot be made, or what is there is no key.
    pub fn read_or_create(&self) -> Result<Keyring, KeyringError> {
        let text = match self {
            Self::Environment => environment::value(VARIABLE).unwrap_or_default(),
            Self::File(path) => read_or_create(path, || STANDARD.encode(random::<32>()))?,
        };
        parse(&text).ok_or_else(|| KeyringError::NotAKey(self.clone()))
    }

    /// Puts a file that is no key out of the way; the environment is the operator's to change.
    ///
    /// # Errors
    /// It cannot be renamed, or is in the environment.
    pub fn set_aside(&self) -> Result<(), KeyringError> {
        match self {
            Self::Environment => Err(KeyringError::NotAKey(self.clone())),
            Self::File(path) => std::fs::rename(path, path.with_file_name(DAMAGED_NAME))
                .map_err(|source| KeyringError::File { path: path.clone(), source }),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => formatter.write_str(VARIABLE),
            Self::File(path) => path.fmt(formatter),
        }
    }
}

fn parse(text: &str) -> Option<Keyring> {
    let key: [u8; 32] = STANDARD.decode(text.trim()).ok()?.try_into().ok()?;
    Some(Keyring::new(key))
}

/// How a key stands to the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It is the one that the data was used with.
    Fits,
    /// Nothing was sealed yet, and no key is known: this one, or a new one, is the data's from now on.
    First,
    /// There is none, and there was one.
    Missing,
    /// There was another one.
    Other,
}

impl Fit {
    /// In words.
    #[must_use]
    pub fn says(self, place: &Place) -> String {
        match self {
            Self::Fits => format!("{place} is the master key of this data folder"),
            Self::First => "no master key was used yet".to_owned(),
            Self::Missing => format!(
                "the master key is missing: {place} does not exist and {VARIABLE} is not set, but this data folder was used with a master key"
            ),
            Self::Other => format!("{place} is not the master key that this data folder was used with"),
        }
    }

    /// What helps.
    #[must_use]
    pub const fn to_do(self) -> &'static str {
        match self {
            Self::Fits | Self::First => "nothing",
            Self::Missing | Self::Other => {
                "restore the key from its backup. Without it the webhook secrets of consumers, the secrets of owners, the key of receipts and the callback URLs in use are lost; to give them up, start once with --new-master-key"
            }
        }
    }

    /// By the check value that the data keeps; where it has none yet, by whether something that is sealed opens.
    #[must_use]
    pub fn of(key: Option<&Keyring>, check: Option<&[u8]>, sample: Option<&SealedSample>) -> Self {
        let fits = |key: &Keyring| match (check, sample) {
            (Some(check), _) => bool::from(subtle::ConstantTimeEq::ct_eq(check, &key.check()[..])),
            (None, Some(sample)) => key.opens(sample),
            (None, None) => true,
        };
        match key {
            _ if check.is_none() && sample.is_none() => Self::First,
            None => Self::Missing,
            Some(key) if fits(key) => Self::Fits,
            Some(_) => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::new_webhook_secret;
    use ripost_domain::id::ConsumerId;
    use ripost_domain::time::Timestamp;

    #[test]
    fn a_key_fits_by_its_check_value_and_in_an_old_folder_by_what_it_opens() {
        let (key, other) = (Keyring::new([1; 32]), Keyring::new([2; 32]));
        let consumer = ConsumerId::new(Timestamp::from_millis(1), [1; 10]);
        let sample = SealedSample::Webhook { consumer, sealed: key.seal(consumer.as_bytes(), &new_webhook_secret()) };
        let (check, sample) = (key.check(), Some(&sample));
        for (found, check, sample, fit) in [
            (None, None, None, Fit::First),
            (Some(&key), None, None, Fit::First),
            (Some(&key), Some(&check[..]), None, Fit::Fits),
            (Some(&other), Some(&check[..]), None, Fit::Other),
            (None, Some(&check[..]), None, Fit::Missing),
            (Some(&key), None, sample, Fit::Fits),
            (Some(&other), None, sample, Fit::Other),
            (None, None, sample, Fit::Missing),
            // The check value decides: one damaged row does not make the right key a wrong one.
            (Some(&other), Some(&other.check()[..]), sample, Fit::Fits),
            (Some(&key), Some(b""), sample, Fit::Other),
        ] {
            assert_eq!(Fit::of(found, check, sample), fit, "{check:?} {sample:?}");
        }
    }

    #[test]
    fn a_file_that_is_no_key_is_named_and_left_alone_until_it_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let data = Utf8Path::from_path(folder.path()).unwrap();
        let place = Place::File(data.join(FILE_NAME));
        assert!(place.read().unwrap().is_none());
        for text in ["", "not a key", "AAAA"] {
            std::fs::write(data.join(FILE_NAME), text).unwrap();
            assert!(matches!(place.read(), Err(KeyringError::NotAKey(_))), "{text:?}");
            assert!(matches!(place.read_or_create(), Err(KeyringError::NotAKey(_))), "{text:?}");
            assert_eq!(std::fs::read_to_string(data.join(FILE_NAME)).unwrap(), text);
        }
        place.set_aside().unwrap();
        let key = place.read_or_create().unwrap();
        assert_eq!(place.read().unwrap().unwrap().check(), key.check());
        assert_eq!(std::fs::read_to_string(data.join(DAMAGED_NAME)).unwrap(), "AAAA");
    }
}
