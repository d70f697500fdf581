//! The top level of a JSON object: which members are the gateway's, and the body without them.

use super::names::Name;
use bytes::{Bytes, BytesMut};
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::ops::Range;

/// More than that in one body are no mistakes.
pub(super) const NEAR_MAX: usize = 8;

/// One of our members: where it begins (its key's quote), where its value is, and which in order it is.
pub(super) struct Member {
    pub(super) name: Name,
    key_start: usize,
    pub(super) value: Range<usize>,
    index: usize,
}

/// What a walk along the members has come to.
#[derive(Default)]
pub(super) struct Found {
    pub(super) ours: Vec<Member>,
    /// Names that are nearly ours, up to [`NEAR_MAX`].
    pub(super) near: Vec<(Name, String)>,
    count: usize,
}

impl Found {
    /// Walks the top level of a text that begins with a brace; the values stay unparsed but are checked to be JSON. Up
    /// to an error it has found what there is.
    ///
    /// # Errors
    /// The text is no JSON, or goes on after the object.
    pub(super) fn walk(&mut self, text: &str) -> Result<(), serde_json::Error> {
        let mut reader = serde_json::Deserializer::from_str(text);
        serde::Deserializer::deserialize_map(&mut reader, Members { text, found: self })?;
        reader.end()
    }

    /// The body without our members.
    pub(super) fn cut_from(&self, body: Bytes) -> Bytes {
        if self.ours.is_empty() { body } else { without(&body, &self.ours, self.count) }
    }
}

struct Members<'t, 'f> {
    text: &'t str,
    found: &'f mut Found,
}

impl<'de> Visitor<'de> for Members<'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { text, found } = self;
        // The key of the first member is the first quote after the brace, that of each other the first after the value before.
        let mut from = 0;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let value: &'de RawValue = map.next_value()?;
            let start = value.get().as_ptr() as usize - text.as_ptr() as usize;
            let range = start..start + value.get().len();
            if let Some(name) = Name::exactly(key.as_bytes()) {
                let key_start = from + text[from..].find('"').unwrap_or_default();
                found.ours.push(Member { name, key_start, value: range.clone(), index: found.count });
            } else if let Some(name) = Name::nearly(key.as_bytes())
                && found.near.len() < NEAR_MAX
            {
                found.near.push((name, key.into_owned()));
            }
            from = range.end;
            found.count += 1;
        }
        Ok(())
    }
}

/// Copies everything but the cuts. A member goes with the comma after it; what is cut from the end goes with the comma before.
fn without(body: &[u8], cuts: &[Member], count: usize) -> Bytes {
    let next_comma = |from: usize| body[from..].iter().position(|byte| *byte == b',').map_or(from, |at| from + at + 1);
    let last_comma = |until: usize| body[..until].iter().rposition(|byte| *byte == b',');
    // Members from here to the end are all cut.
    let mut tail = count;
    for cut in cuts.iter().rev() {
        if cut.index + 1 == tail {
            tail = cut.index;
        }
    }
    let mut kept = BytesMut::with_capacity(body.len());
    let mut from = 0;
    for cut in cuts {
        let last = cut.index + 1 == count;
        let start = if cut.index == tail && tail > 0 {
            last_comma(cut.key_start).unwrap_or(cut.key_start)
        } else {
            cut.key_start
        };
        kept.extend_from_slice(&body[from..start.max(from)]);
        from = if last { cut.value.end } else { next_comma(cut.value.end) };
    }
    kept.extend_from_slice(&body[from..]);
    kept.freeze()
}
