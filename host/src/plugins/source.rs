//! The plugins folder as it is now: which plugins are there, whether they changed, and their files, never half written.

use super::manifest::{self, Bounds, Manifest, ManifestError, is_ignored};
use super::revision::Revision;
use crate::causes::chain;
use crate::{schema, wall};
use camino::{Utf8Path, Utf8PathBuf};
use ripost_domain::api::Digest;
use ripost_domain::time::Timestamp;
use ripost_runtime::Value;
use std::collections::BTreeMap;
use std::fs::{self, DirEntry, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;

/// Components and schemas in one folder; with more the folder is something else.
const FILES_MAX: usize = 256;
/// Smoke cases in one folder.
pub(crate) const CASES_MAX: usize = 100;
/// One smoke case: a request's body and an answer's, with something around them.
const CASE_BYTES_MAX: u64 = 2 << 20;
/// All smoke cases of one plugin.
const CASES_BYTES_MAX: u64 = 16 << 20;
/// File systems count time in steps of up to two seconds: two writes within one can leave the same stamp.
const STAMP_STEP_MS: i64 = 2000;

/// Where a plugin stands.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The name of its folder (or of the bare component) in the plugins folder.
    pub(super) key: String,
    path: Utf8PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A folder with a manifest.
    Folder,
    /// A component without a manifest, `name.wasm`.
    Bare,
}

/// What becomes of a component that stands in the plugins folder without a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bare {
    /// `name.wasm` is the API `local/name`: development mode.
    Serve,
    /// Refused, saying what to do.
    Refuse,
}

/// All plugins in the folder, in the order of their names.
pub(super) fn places(folder: &Utf8Path) -> io::Result<Vec<Place>> {
    let mut places = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = match Utf8PathBuf::from_path_buf(entry?.path()) {
            Ok(path) => path,
            Err(path) => {
                tracing::warn!(path = %path.display(), "A plugin whose name is not UTF-8 is passed over; rename it");
                continue;
            }
        };
        let Some(key) = path.file_name().filter(|name| !is_ignored(name)) else { continue };
        let kind = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => Kind::Folder,
            Ok(metadata) if metadata.is_file() && key.ends_with(".wasm") => Kind::Bare,
            // A stray file, or something that was removed this moment.
            _ => continue,
        };
        places.push(Place { key: key.to_owned(), path, kind });
    }
    places.sort_unstable_by(|left, right| left.key.cmp(&right.key));
    Ok(places)
}

/// A plugin's files as they are in a folder, for whoever only looks at them.
#[derive(Debug)]
pub struct Files {
    /// What it offers.
    pub manifest: Manifest,
    revision: Revision,
}

impl Files {
    /// Of manifest and components together: the revision that they would be in the plugins folder, or pushed by an
    /// operator.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.revision.digest()
    }

    /// The revision that they would be pushed with an owner's token: another one if there are upstreams, because those
    /// are held to what the operator allows.
    #[must_use]
    pub fn digest_by_owner(&self) -> Digest {
        if self.manifest.has_upstreams() { self.revision.guarded_digest() } else { self.revision.digest() }
    }

    /// A component, a schema or a case that the manifest names.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.revision.file(name)
    }

    /// Manifest, components, schemas and cases, by name.
    #[must_use]
    pub fn into_files(self) -> BTreeMap<String, Vec<u8>> {
        self.revision.into_files()
    }
}

impl Files {
    /// The cases in a folder of the plugin's, by name.
    pub fn cases<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.revision.cases(folder)
    }
}

/// A folder is no plugin. In words for its owner.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ReadError(String);

/// Reads one plugin's folder, as the host does it. Blocking.
///
/// # Errors
/// What the host would refuse before it looks into a component.
pub fn read_folder(folder: &Utf8Path, bounds: &Bounds) -> Result<Files, ReadError> {
    let path = folder.canonicalize_utf8().map_err(|cause| ReadError(format!("reading {folder}: {cause}")))?;
    let key = path.file_name().unwrap_or("plugin").to_owned();
    let place = Place { key, path, kind: Kind::Folder };
    let fingerprint = place.fingerprint().map_err(|error| ReadError(chain(&error)))?;
    let Source { manifest, revision } =
        place.read(&fingerprint, bounds, Bare::Refuse).map_err(|error| ReadError(chain(&error)))?;
    Ok(Files { manifest, revision })
}

/// What tells that a plugin's files may have changed: manifest, components and what may be schemas and smoke cases, with their stamps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprint(BTreeMap<String, Stamp>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    file: (u64, u64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            file: (metadata.dev(), metadata.ino()),
        }
    }
}

impl Fingerprint {
    fn lens(&self) -> Lens<'_> {
        self.0.iter().map(|(name, stamp)| (name.as_str(), stamp.len)).collect()
    }

    /// Whether there is a component in it.
    pub(super) fn has_component(&self) -> bool {
        self.0.keys().any(|name| name.ends_with(".wasm"))
    }

    /// Whether every change since `now` would show: no stamp is so young that another write could leave the same.
    pub(super) fn is_conclusive(&self, now: Timestamp) -> bool {
        self.0.values().all(|stamp| {
            let changed_ms = stamp.changed.0.saturating_mul(1000).saturating_add(stamp.changed.1 / 1_000_000);
            changed_ms < now.as_millis() - STAMP_STEP_MS
        })
    }
}

/// A plugin's files, read whole.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) manifest: Manifest,
    pub(super) revision: Revision,
}

/// Why a plugin's files could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// There is no manifest, or nothing at all.
    #[error("there is no {} in it", manifest::FILE_NAME)]
    Gone,
    /// They changed while they were read: look again.
    #[error("the files are being written")]
    Torn,
    /// The manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file that the manifest names is not there, too large, or outside the folder.
    #[error("{0}")]
    Refused(String),
    /// The disk.
    #[error("reading {path}{}", wall::hint(path, source))]
    Read { path: Utf8PathBuf, source: io::Error },
}

impl Place {
    /// The stamps of manifest, components, schemas and cases, without reading them.
    pub(super) fn fingerprint(&self) -> Result<Fingerprint, SourceError> {
        if self.kind == Kind::Bare {
            let stamps = match fs::metadata(&self.path) {
                Ok(metadata) => BTreeMap::from([(self.key.clone(), Stamp::of(&metadata))]),
                Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
                Err(source) => return Err(SourceError::Read { path: self.path.clone(), source }),
            };
            return Ok(Fingerprint(stamps));
        }
        let read = |source| SourceError::Read { path: self.path.clone(), source };
        let mut stamps = BTreeMap::new();
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Fingerprint(stamps)),
            entries => entries.map_err(read)?,
        };
        for entry in entries {
            let entry = entry.map_err(read)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if is_ignored(&name) {
                continue;
            }
            // A broken link is as good as no file; it shows when it is mended.
            let Ok(metadata) = fs::metadata(entry.path()) else { continue };
            let is_schema = name.ends_with(".json") && metadata.is_file();
            if name != manifest::FILE_NAME && !name.ends_with(".wasm") && !is_schema {
                stamp_cases(&entry, &name, &mut stamps);
                continue;
            }
            if stamps.keys().filter(|name| !name.contains('/')).count() == FILES_MAX {
                return Err(SourceError::Refused(format!(
                    "the folder has more than {FILES_MAX} components and schemas; split it"
                )));
            }
            stamps.insert(name, Stamp::of(&metadata));
        }
        Ok(Fingerprint(stamps))
    }

    /// Reads manifest, components, schemas and cases, whole: `before` is the fingerprint they had, and must be what they have after.
    pub(super) fn read(&self, before: &Fingerprint, bounds: &Bounds, bare: Bare) -> Result<Source, SourceError> {
        let source = match self.kind {
            Kind::Folder => self.read_folder(before, bounds),
            Kind::Bare => self.read_bare(before, bounds, bare),
        };
        // Also when it failed: what is wrong with half a file says nothing.
        match self.fingerprint() {
            Ok(after) if after == *before => source,
            _ => Err(SourceError::Torn),
        }
    }

    fn read_folder(&self, before: &Fingerprint, bounds: &Bounds) -> Result<Source, SourceError> {
        let Some(stamp) = before.0.get(manifest::FILE_NAME) else { return Err(SourceError::Gone) };
        let file = format!("{}/{}", self.key, manifest::FILE_NAME);
        if stamp.len > manifest::BYTES_MAX as u64 {
            let message = format!("{file} has {} bytes and a manifest has at most {}", stamp.len, manifest::BYTES_MAX);
            return Err(SourceError::Refused(message));
        }
        let text = self.read_file(&self.path, manifest::FILE_NAME, stamp.len)?;
        let Ok(text) = String::from_utf8(text) else {
            return Err(SourceError::Refused(format!("{file} is not UTF-8 text; save it as UTF-8")));
        };
        let manifest = Manifest::parse(&file, &text, bounds)?;
        assemble(manifest, text, &before.lens(), bounds, |name, len| self.read_file(&self.path, name, len))
    }

    fn read_bare(&self, before: &Fingerprint, bounds: &Bounds, bare: Bare) -> Result<Source, SourceError> {
        if bare == Bare::Refuse {
            return Err(SourceError::Refused(format!(
                "{} has no manifest: put it into a folder of its own with a {}; only development mode serves bare components",
                self.key,
                manifest::FILE_NAME
            )));
        }
        let name = self.key.trim_end_matches(".wasm");
        let text = format!(
            "[plugin]\nname = \"{name}\"\nversion = \"0\"\n\n[[api]]\nowner = \"local\"\nslug = \"{name}\"\nhandler = \"{}\"\n",
            self.key
        );
        let manifest = Manifest::parse(&self.key, &text, bounds).map_err(|error| {
            SourceError::Refused(format!("{} cannot be the API local/{name}: {}", self.key, error.message))
        })?;
        let folder = self.path.parent().expect("a place is inside the plugins folder");
        assemble(manifest, text, &before.lens(), bounds, |name, len| self.read_file(folder, name, len))
    }

    /// Reads a file of a known length that is inside `folder`, wherever links may lead.
    fn read_file(&self, folder: &Utf8Path, name: &str, len: u64) -> Result<Vec<u8>, SourceError> {
        let path = folder.join(name);
        let read = |source| SourceError::Read { path: path.clone(), source };
        let real = path.canonicalize().map_err(read)?;
        if !real.starts_with(folder.canonicalize().map_err(read)?) {
            let message =
                format!("`{name}` is a link that leads out of the plugin's folder; put the file itself there");
            return Err(SourceError::Refused(message));
        }
        // A pipe would block for ever when opened.
        if !fs::metadata(&real).map_err(read)?.is_file() {
            return Err(SourceError::Refused(format!("`{name}` is not a file; put the component itself there")));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
        let file = File::open(&real).map_err(read)?;
        file.take(len + 1).read_to_end(&mut bytes).map_err(read)?;
        if bytes.len() as u64 == len { Ok(bytes) } else { Err(SourceError::Torn) }
    }
}

/// The same of files that came some other way.
///
/// # Errors
/// What the host would refuse before it looks into a component.
pub(crate) fn read_files(files: BTreeMap<String, Vec<u8>>, bounds: &Bounds) -> Result<Files, ReadError> {
    let Source { manifest, revision } =
        of_files(files, manifest::FILE_NAME, bounds).map_err(|error| ReadError(chain(&error)))?;
    Ok(Files { manifest, revision })
}

/// The files that there are, with their lengths.
type Lens<'a> = BTreeMap<&'a str, u64>;

/// A plugin of files that came some other way than through the plugins folder: all that the manifest names, and nothing
/// else.
pub(super) fn of_files(
    mut files: BTreeMap<String, Vec<u8>>,
    file: &str,
    bounds: &Bounds,
) -> Result<Source, SourceError> {
    let refused = |message: String| Err(SourceError::Refused(message));
    let Some(text) = files.remove(manifest::FILE_NAME) else { return Err(SourceError::Gone) };
    if text.len() > manifest::BYTES_MAX {
        let message = format!("{file} has {} bytes and a manifest has at most {}", text.len(), manifest::BYTES_MAX);
        return refused(message);
    }
    let Ok(text) = String::from_utf8(text) else {
        return refused(format!("{file} is not UTF-8 text; save it as UTF-8"));
    };
    let manifest = Manifest::parse(file, &text, bounds)?;
    let names: Vec<(String, u64)> = files.iter().map(|(name, bytes)| (name.clone(), bytes.len() as u64)).collect();
    let lens: Lens<'_> = names.iter().map(|(name, len)| (name.as_str(), *len)).collect();
    let source = assemble(manifest, text, &lens, bounds, |name, _| files.remove(name).ok_or(SourceError::Torn))?;
    match files.keys().next() {
        None => Ok(source),
        Some(stray) => refused(format!("nothing in the manifest names `{stray}`; leave it out")),
    }
}

/// All that a manifest names, within its limits.
fn assemble(
    manifest: Manifest,
    text: String,
    lens: &Lens<'_>,
    bounds: &Bounds,
    mut read: impl FnMut(&str, u64) -> Result<Vec<u8>, SourceError>,
) -> Result<Source, SourceError> {
    let mut files = BTreeMap::from([(manifest::FILE_NAME.to_owned(), text.into_bytes())]);
    for (file, (role, bytes_max)) in manifest.components(bounds.transform.component_bytes_max) {
        let Some(len) = lens.get(file) else {
            let message = format!("the {role} `{file}` is not in the folder; build it, or correct its name");
            return Err(SourceError::Refused(message));
        };
        if *len > bytes_max as u64 {
            let has =
                format!("the {role} `{file}` has {len} bytes and the limit `component` is {}", Value::Bytes(bytes_max));
            let remedy = match role {
                "handler" => "raise `component` in [api.limits]",
                _ => "have the operator raise `component` in [sandbox.transform]",
            };
            return Err(SourceError::Refused(format!("{has}; make it smaller, or {remedy}")));
        }
        files.insert(file.to_owned(), read(file, *len)?);
    }
    for file in manifest.schemas() {
        let Some(len) = lens.get(file) else {
            let message = format!("the schema `{file}` is not in the folder; write it, or correct its name");
            return Err(SourceError::Refused(message));
        };
        if *len > schema::BYTES_MAX as u64 {
            let max = Value::Bytes(schema::BYTES_MAX);
            let message =
                format!("the schema `{file}` has {len} bytes and a schema has at most {max}; make it smaller");
            return Err(SourceError::Refused(message));
        }
        files.insert(file.to_owned(), read(file, *len)?);
    }
    for cases in manifest.cases() {
        for (name, len) in cases_in(lens, cases).map_err(SourceError::Refused)? {
            files.insert(name.to_owned(), read(name, len)?);
        }
    }
    Ok(Source { manifest, revision: Revision::new(files) })
}

/// The stamps of what may be cases in a folder of the plugin's. With more than there can be, the folder stands for them.
fn stamp_cases(entry: &DirEntry, name: &str, stamps: &mut BTreeMap<String, Stamp>) {
    let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
    let Some(entries) = (!is_file).then(|| fs::read_dir(entry.path()).ok()).flatten() else { return };
    let cases = entries.filter_map(|case| {
        let case = case.ok()?.file_name().into_string().ok()?;
        (case.ends_with(".json") && !is_ignored(&case)).then_some(case)
    });
    let cases: Vec<String> = cases.take(CASES_MAX + 1).collect();
    if cases.len() > CASES_MAX {
        stamps.extend(fs::metadata(entry.path()).ok().map(|metadata| (format!("{name}/"), Stamp::of(&metadata))));
        return;
    }
    for case in cases {
        let metadata = fs::metadata(entry.path().join(&case)).ok();
        stamps.extend(metadata.map(|metadata| (format!("{name}/{case}"), Stamp::of(&metadata))));
    }
}

/// The cases in a folder with their lengths, or what is wrong with them.
fn cases_in<'a>(lens: &Lens<'a>, folder: &str) -> Result<Vec<(&'a str, u64)>, String> {
    let prefix = format!("{folder}/");
    let of_folder = lens.iter().filter(|(name, _)| name.starts_with(&prefix));
    let cases: Vec<(&str, u64)> = of_folder.map(|(name, len)| (*name, *len)).collect();
    match cases.first() {
        Some(_) if cases.len() > CASES_MAX => {
            return Err(format!("the folder `{folder}` has more than {CASES_MAX} cases; leave some out"));
        }
        None => return Err(format!("there is no case in the folder `{folder}`; write one, or leave out `cases`")),
        Some((name, _)) if *name == prefix => {
            return Err(format!("the folder `{folder}` has more than {CASES_MAX} cases; leave some out"));
        }
        Some(_) => {}
    }
    if let Some((name, len)) = cases.iter().find(|(_, len)| *len > CASE_BYTES_MAX) {
        return Err(format!("`{name}` has {len} bytes and a case has at most {CASE_BYTES_MAX}; make it smaller"));
    }
    let sum: u64 = cases.iter().map(|(_, len)| len).sum();
    if sum > CASES_BYTES_MAX {
        return Err(format!("the cases in `{folder}` have {sum} bytes and may have {CASES_BYTES_MAX}; leave some out"));
    }
    Ok(cases)
}
