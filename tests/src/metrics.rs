//! Metrics in the Prometheus text format.

use std::collections::BTreeMap;

/// Values by series, written as served: `name` or `name{label="value"}`.
#[derive(Debug, Clone, Default)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Reads the text form; comments and lines of another shape are left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        };
        Self(text.lines().filter(|text| !text.starts_with('#')).filter_map(line).collect())
    }

    /// The sum over all series of that name whose labels contain `labels` (`state="failed"`, or empty); 0 if none is there.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &str) -> f64 {
        let matches = |series: &&String| {
            let (own, rest) = series.split_once('{').unwrap_or((series, ""));
            own == name && rest.contains(labels)
        };
        self.0.keys().filter(matches).map(|series| self.0[series]).sum()
    }

    /// Whether any series of that name is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.keys().any(|series| series.split('{').next() == Some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_a_name_add_up_by_label() {
        let text = "# TYPE a counter\na_total{state=\"x\",o=\"1\"} 2\na_total{state=\"y\"} 3\nab_total 7\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.sum("a_total", "").to_bits(), 5f64.to_bits());
        assert_eq!(metrics.sum("a_total", "state=\"y\"").to_bits(), 3f64.to_bits());
        assert!(metrics.has("ab_total") && !metrics.has("b_total"));
    }
}
