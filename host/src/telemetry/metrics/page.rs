//! The page that is scraped, in the format that the scraper asks for.

use http::{HeaderMap, HeaderValue, header};
use std::fmt::Write as _;

/// How the page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4, which all scrapers and agents know: to those that ask for it.
    Text,
}

impl Format {
    /// What the header `Accept` prefers. Who names neither, or both alike, has OpenMetrics.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let (mut open, mut text) = (0_u16, 0_u16);
        let ranges = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        for range in ranges.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
            let weight = weight.map_or(1000, thousandths);
            match kind.as_str() {
                "application/openmetrics-text" => open = open.max(weight),
                "text/plain" | "text/*" => text = text.max(weight),
                _ => {}
            }
        }
        if text > open { Self::Text } else { Self::OpenMetrics }
    }

    pub(crate) const fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        })
    }

    /// The page, from the one in OpenMetrics.
    pub(super) fn write(self, open_metrics: String) -> String {
        match self {
            Self::OpenMetrics => open_metrics,
            Self::Text => text(&open_metrics),
        }
    }
}

/// A weight (RFC 9110, 12.4.2) in thousandths; one that is none counts as not asked for.
fn thousandths(weight: &str) -> u16 {
    let weight = weight.parse::<f64>().ok().filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1000")]
    let thousandths = (weight * 1000.0).round() as u16;
    thousandths
}

/// The same in the older format: there a counter's family has the name of its samples, units are none, and nothing says
/// where the page ends.
fn text(open_metrics: &str) -> String {
    let mut page = String::with_capacity(open_metrics.len() + 1024);
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(of_family) = line.strip_prefix("# HELP ") {
            help = of_family.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|family| family.split_once(' ')) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            let help = help.take().filter(|(of, _)| *of == name).map_or("", |(_, help)| help);
            // Writing to a String cannot fail.
            let _ = writeln!(page, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with("# ") {
            page.push_str(line);
            page.push('\n');
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::super::{Metrics, Outcome, Reason, set};
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_scraper_has_the_format_that_it_asks_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, format) in [
            ("", Format::OpenMetrics),
            ("*/*", Format::OpenMetrics),
            (prometheus, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("application/openmetrics-text, text/plain", Format::OpenMetrics),
            ("text/html, */*;q=0.8", Format::OpenMetrics),
            ("text/plain;q=0", Format::OpenMetrics),
            ("text/plain;q=x", Format::OpenMetrics),
            ("text/plain", Format::Text),
            ("Text/Plain; version=0.0.4", Format::Text),
            ("text/plain;version=0.0.4;q=0.9, application/openmetrics-text;q=0.2", Format::Text),
            ("text/*;q=0.3,*/*;q=0.1", Format::Text),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(Format::of(&headers), format, "{accept}");
        }
        assert_eq!(Format::of(&HeaderMap::new()), Format::OpenMetrics);
    }

    /// Families with their types, and the names of samples with their values.
    fn read(page: &str) -> (BTreeMap<String, String>, Vec<(String, f64)>) {
        let (mut families, mut samples) = (BTreeMap::new(), Vec::new());
        for line in page.lines() {
            if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                assert!(families.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is there twice");
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').unwrap();
                samples.push((name.split('{').next().unwrap().to_owned(), value.parse().unwrap()));
            }
        }
        (families, samples)
    }

    fn busy() -> Metrics {
        let metrics = Metrics::new();
        set(&metrics.store_commits, 7);
        set(&metrics.reloads.get_or_create(&Outcome { outcome: "ok" }), 3);
        metrics.shed.get_or_create(&Reason { reason: "backlog" }).inc();
        metrics.run_seconds.observe(0.1);
        metrics.of_api(&"demo/a".parse().unwrap()).runs.inc();
        metrics
    }

    #[test]
    fn in_the_older_format_every_sample_is_of_a_family_with_its_type_and_a_text() {
        let page = busy().encode(Format::Text);
        let (families, samples) = read(&page);
        for (name, _) in &samples {
            let family =
                ["", "_bucket", "_sum", "_count"].iter().find_map(|part| families.get(name.strip_suffix(part)?));
            assert!(family.is_some(), "{name} is of no family");
        }
        let helps: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("# HELP ")).collect();
        assert_eq!(helps.len(), families.len());
        assert!(helps.iter().all(|help| help.split_once(' ').is_some_and(|(_, text)| text.len() > 5)), "{helps:?}");
        assert!(!page.contains("# EOF") && !page.contains("# UNIT") && page.ends_with('\n'));
        assert_eq!(families["ripost_store_commits_total"], "counter");
        assert!(samples.contains(&("ripost_store_commits_total".to_owned(), 7.0)));
        assert!(page.contains("ripost_plugin_reloads_total{outcome=\"ok\"} 3\n"), "{page}");
    }

    #[test]
    fn what_is_named_a_total_is_a_counter_and_both_formats_have_the_same_samples() {
        let metrics = busy();
        let (open, text) = (metrics.encode(Format::OpenMetrics), metrics.encode(Format::Text));
        assert!(open.ends_with("# EOF\n"));
        assert_eq!(read(&open).1, read(&text).1);
        for (name, kind) in read(&text).0 {
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
            assert!(["counter", "gauge", "histogram"].contains(&kind.as_str()), "{name} is a {kind}");
        }
    }
}
