//! Plugins as a test writes them: a manifest and components.

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A plugin folder to be.
#[derive(Debug, Clone)]
#[must_use]
pub struct Plugin {
    name: String,
    manifest: String,
    files: BTreeMap<String, Vec<u8>>,
}

/// One `[[api]]` of a manifest.
#[derive(Debug, Clone)]
#[must_use]
pub struct Api {
    owner: String,
    slug: String,
    component: Vec<u8>,
    lines: String,
    limits: String,
    grants: String,
}

impl Api {
    /// A free API whose handler is this component.
    pub fn new(owner: &str, slug: &str, component: impl Into<Vec<u8>>) -> Self {
        let (owner, slug) = (owner.to_owned(), slug.to_owned());
        Self {
            owner,
            slug,
            component: component.into(),
            lines: String::new(),
            limits: String::new(),
            grants: String::new(),
        }
    }

    /// With a price in USDC, six decimals.
    pub fn price(self, usdc: &str) -> Self {
        self.line(&format!("price = \"{usdc}\""))
    }

    /// With any line of the `[[api]]` table.
    pub fn line(mut self, toml: &str) -> Self {
        self.lines.push_str(toml);
        self.lines.push('\n');
        self
    }

    /// With any line of its `[api.limits]`.
    pub fn limit(mut self, toml: &str) -> Self {
        self.limits.push_str(toml);
        self.limits.push('\n');
        self
    }

    /// With any line of its `[api.grants]`.
    pub fn grant(mut self, toml: &str) -> Self {
        self.grants.push_str(toml);
        self.grants.push('\n');
        self
    }
}

impl Plugin {
    /// A plugin with these APIs; each component is a file named by its slug.
    pub fn new(name: &str, apis: impl IntoIterator<Item = Api>) -> Self {
        let mut manifest = format!("[plugin]\nname = \"{name}\"\nversion = \"1.0.0\"\n");
        let mut files = BTreeMap::new();
        for api in apis {
            let Api { owner, slug, component, lines, limits, grants } = api;
            write!(
                manifest,
                "\n[[api]]\nowner = \"{owner}\"\nslug = \"{slug}\"\nhandler = \"{slug}.wasm\"\n{lines}\n[api.limits]\n{limits}\n[api.grants]\n{grants}"
            )
            .expect("writing to a String cannot fail");
            files.insert(format!("{slug}.wasm"), component);
        }
        Self { name: name.to_owned(), manifest, files }
    }

    /// The usual one: a plugin `name` with one free API `demo/name`.
    pub fn one(name: &str, component: impl Into<Vec<u8>>) -> Self {
        Self::new(name, [Api::new("demo", name, component)])
    }

    /// Another manifest for the same files.
    pub fn with_manifest(mut self, change: impl FnOnce(String) -> String) -> Self {
        self.manifest = change(self.manifest);
        self
    }

    /// With one more file, such as a transform that a line of an API names.
    pub fn file(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(name.to_owned(), bytes.into());
        self
    }

    /// Without one of its files.
    pub fn without_file(mut self, name: &str) -> Self {
        self.files.remove(name);
        self
    }

    /// Its name, which is that of its folder.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts it into `plugins` whole, by one rename; a folder of that name is taken away first.
    ///
    /// # Errors
    /// Writing or renaming.
    pub fn install(&self, stage: &Utf8Path, plugins: &Utf8Path) -> Result<Utf8PathBuf> {
        let (draft, place) = (stage.join(&self.name), plugins.join(&self.name));
        self.write(&draft)?;
        if place.exists() {
            let old = stage.join(format!("{}.old", self.name));
            std::fs::rename(&place, &old).context("taking the old plugin away")?;
            std::fs::rename(&draft, &place).context("putting the new plugin into place")?;
            std::fs::remove_dir_all(&old).context("removing the old plugin")?;
        } else {
            std::fs::rename(&draft, &place).with_context(|| format!("renaming {draft} to {place}"))?;
        }
        Ok(place)
    }

    /// Writes manifest and files into a folder, made if it is not there.
    ///
    /// # Errors
    /// Writing.
    pub fn write(&self, folder: &Utf8Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        for (name, bytes) in &self.files {
            let path = folder.join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(path, bytes).with_context(|| format!("writing {folder}/{name}"))?;
        }
        std::fs::write(folder.join("plugin.toml"), &self.manifest)
            .with_context(|| format!("writing {folder}/plugin.toml"))
    }
}

/// Renames `bytes` into place, as a careful owner replaces one file.
///
/// # Errors
/// Writing or renaming.
pub fn rename_into_place(stage: &Utf8Path, path: &Utf8Path, bytes: &[u8]) -> Result<()> {
    let draft = stage.join("draft");
    std::fs::write(&draft, bytes).context("writing a draft")?;
    std::fs::rename(&draft, path).with_context(|| format!("renaming a draft to {path}"))
}
