//! Headers, as the contract has them: lower-case names, bytes as values, order kept.

/// HTTP headers of a request or a response.
///
/// ```
/// let headers = [("Content-Type", "text/csv")].into_iter().collect::<ripost_sdk::Headers>();
/// assert_eq!(headers.get("content-type"), Some("text/csv"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// The first value of that name, if there is one and it is text. The name's case does not matter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        str::from_utf8(self.get_bytes(name)?).ok()
    }

    /// The first value of that name as it came.
    #[must_use]
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Sets a header, in place of all of that name.
    pub fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.0.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        self.append(name, value);
    }

    /// Adds a header, beside those of that name.
    pub fn append(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.0.push((name.to_ascii_lowercase(), value.into()));
    }

    /// Every header, in order; a name can come more than once.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The host lowers names before it calls a guest.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn from_lower_case(pairs: Vec<(String, Vec<u8>)>) -> Self {
        Self(pairs)
    }

    #[cfg(target_arch = "wasm32")]
    pub(crate) fn into_pairs(self) -> Vec<(String, Vec<u8>)> {
        self.0
    }
}

impl<N: AsRef<str>, V: Into<Vec<u8>>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.as_ref().to_ascii_lowercase(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Headers;

    #[test]
    fn set_replaces_every_header_of_the_name_and_append_keeps_them() {
        let mut headers = Headers::default();
        headers.append("Link", "<a>");
        headers.append("link", "<b>");
        headers.append("x-other", "1");
        assert_eq!(headers.iter().filter(|(name, _)| *name == "link").count(), 2);
        headers.set("LINK", "<c>");
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(all, [("x-other", &b"1"[..]), ("link", &b"<c>"[..])]);
    }

    #[test]
    fn a_value_that_is_not_text_is_read_as_bytes_only() {
        let headers = [("x-raw", vec![0xff, 0xfe])].into_iter().collect::<Headers>();
        assert_eq!(headers.get("x-raw"), None);
        assert_eq!(headers.get_bytes("X-Raw"), Some(&[0xff, 0xfe][..]));
    }
}
