//! What each kind of problem means and what to do about it: the sections of `docs/problems.md`, as pages.

use super::Kind;
use bytes::Bytes;
use std::fmt::Write as _;

/// What the address of a page begins with; its slug follows.
pub const PATH: &str = "/problems/";

/// All sections, as people read them in the repository.
const TEXT: &str = include_str!("../../../docs/problems.md");

/// A section of the text.
#[derive(Debug, PartialEq, Eq)]
struct Section {
    slug: &'static str,
    /// Markdown: paragraphs, a list, code in backticks, two asterisks around what is strong.
    text: &'static str,
}

fn sections() -> impl Iterator<Item = Section> {
    TEXT.split("\n## ").skip(1).map(|section| {
        let (slug, text) = section.split_once('\n').unwrap_or((section, ""));
        Section { slug: slug.trim(), text: text.trim() }
    })
}

/// The page about a kind, as HTML.
#[must_use]
pub fn page(slug: &str) -> Option<Bytes> {
    let section = sections().find(|section| section.slug == slug)?;
    Some(html(section.slug, &body(section.text)))
}

/// A page with a link to each.
#[must_use]
pub fn index() -> Bytes {
    let mut list = String::from("<ul>\n");
    for kind in Kind::ALL {
        let (slug, title) = (kind.slug(), inline(kind.title()));
        let _ = writeln!(list, "<li><a href=\"{PATH}{slug}\">{slug}</a> ({}): {title}</li>", kind.status());
    }
    list.push_str("</ul>\n");
    html("problems", &list)
}

fn html(title: &str, body: &str) -> Bytes {
    format!("<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\n<h1>{title}</h1>\n{body}</html>\n").into()
}

fn body(markdown: &str) -> String {
    let mut html = String::new();
    for block in markdown.split("\n\n") {
        if block.starts_with("- ") {
            html.push_str("<ul>\n");
            for line in block.lines() {
                let _ = writeln!(html, "<li>{}</li>", inline(line.trim_start_matches("- ")));
            }
            html.push_str("</ul>\n");
        } else {
            let _ = writeln!(html, "<p>{}</p>", inline(block));
        }
    }
    html
}

/// A line of Markdown; an odd mark at its end stands for itself.
fn inline(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let code = between(&escaped, "`", ("<code>", "</code>"));
    between(&code, "**", ("<strong>", "</strong>"))
}

fn between(text: &str, mark: &str, (open, close): (&str, &str)) -> String {
    let parts: Vec<&str> = text.split(mark).collect();
    let mut html = String::with_capacity(text.len());
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            let is_last_and_odd = at % 2 == 1 && at + 1 == parts.len();
            html.push_str(if is_last_and_odd {
                mark
            } else if at % 2 == 1 {
                open
            } else {
                close
            });
        }
        html.push_str(part);
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_section_and_every_section_its_kind() {
        let slugs: Vec<&str> = sections().map(|section| section.slug).collect();
        let mut kinds: Vec<_> = Kind::ALL.iter().map(|kind| (kind.status(), kind.slug())).collect();
        kinds.sort_unstable();
        let wanted: Vec<&str> = kinds.iter().map(|(_, slug)| *slug).collect();
        assert_eq!(slugs, wanted, "docs/problems.md has a section a kind, by status and name");
        for (kind, section) in
            Kind::ALL.iter().filter_map(|kind| Some((kind, sections().find(|found| found.slug == kind.slug())?)))
        {
            let (head, rest) = section.text.split_once("\n\n").unwrap_or_default();
            assert_eq!(head, format!("**{}** {}", kind.status(), kind.title()), "{}", kind.slug());
            let (meaning, list) = rest.rsplit_once("\n\n").unwrap_or_default();
            assert!(meaning.len() > 20, "{} says what has happened", kind.slug());
            let facts: Vec<&str> =
                list.lines().filter_map(|line| line.split_once(": ").map(|(fact, _)| fact)).collect();
            assert_eq!(facts, ["- Seen by", "- Left behind", "- Again", "- To do"], "{}", kind.slug());
        }
    }

    #[test]
    fn a_page_is_its_section_with_nothing_that_a_browser_runs() {
        let page = page("missing-key").unwrap();
        let page = std::str::from_utf8(&page).unwrap();
        assert!(page.contains("<strong>401</strong> The header X-Consumer-Key is missing"), "{page}");
        assert!(page.contains("<li>To do: Send <code>X-Consumer-Key</code>."), "{page}");
        assert_eq!(super::page("Missing-Key"), None);
        assert_eq!(super::page(""), None);
        assert_eq!(inline("a < b & `c <d>` ** e `f"), "a &lt; b &amp; <code>c &lt;d&gt;</code> ** e `f");
        let index = index();
        assert!(Kind::ALL.iter().all(|kind| {
            let link = format!("<a href=\"/problems/{}\">", kind.slug());
            index.windows(link.len()).any(|part| part == link.as_bytes())
        }));
    }
}
