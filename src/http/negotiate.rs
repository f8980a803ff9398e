//! Which format a scraper wants. OpenMetrics only where it is named and preferred;
//! in doubt text, which every scraper reads.

use axum::http::{HeaderMap, header};

use crate::metrics::Format;

const OPEN_METRICS: &str = "application/openmetrics-text";
const TEXT: &str = "text/plain";

/// The format that the `Accept` header asks for.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let accepted: Vec<Range> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(Range::parse)
        .collect();
    let open_metrics = quality(&accepted, |range| range.is(OPEN_METRICS, "1.0.0"));
    let text = quality(&accepted, |range| range.is(TEXT, "0.0.4"))
        .or_else(|| quality(&accepted, |range| range.media == "text/*"))
        .or_else(|| quality(&accepted, |range| range.media == "*/*"));
    match open_metrics {
        Some(open_metrics) if open_metrics > 0.0 && open_metrics >= text.unwrap_or(0.0) => Format::OpenMetrics,
        _ => Format::Text,
    }
}

/// One member of an `Accept` header.
struct Range {
    media: String,
    version: Option<String>,
    quality: f32,
}

impl Range {
    /// `None` for what can't be understood, which then counts for nothing.
    fn parse(member: &str) -> Option<Self> {
        let mut parts = member.split(';').map(str::trim);
        let mut range = Self { media: parts.next()?.to_ascii_lowercase(), version: None, quality: 1.0 };
        for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
            match name.trim().to_ascii_lowercase().as_str() {
                "version" => range.version = Some(value.trim().trim_matches('"').to_owned()),
                "q" => range.quality = value.trim().parse().ok().filter(|q| (0.0..=1.0).contains(q))?,
                _ => {}
            }
        }
        Some(range)
    }

    fn is(&self, media: &str, version: &str) -> bool {
        self.media == media && self.version.as_deref().is_none_or(|asked| asked == version)
    }
}

/// The highest quality among the ranges that match, if any does.
fn quality(accepted: &[Range], matches: impl Fn(&Range) -> bool) -> Option<f32> {
    accepted.iter().filter(|range| matches(range)).map(|range| range.quality).reduce(f32::max)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::*;

    fn asked(accept: &[&'static str]) -> Format {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT, HeaderValue::from_static(value));
        }
        format(&headers)
    }

    #[test]
    fn prometheus_gets_open_metrics() {
        let old = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                   text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let new = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                   application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                   text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(asked(&[old]), Format::OpenMetrics);
        assert_eq!(asked(&[new]), Format::OpenMetrics);
        assert_eq!(
            asked(&["text/plain;q=0.5", "Application/OpenMetrics-Text; Version=\"1.0.0\""]),
            Format::OpenMetrics
        );
    }

    #[test]
    fn everybody_else_gets_text() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for accept in [
            "",
            "*/*",
            "text/plain",
            "application/json",
            browser,
            "text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.8",
            "text/*,application/openmetrics-text;q=0.8",
            "application/openmetrics-text;version=1.0.0;q=0",
            "application/openmetrics-text;version=1.0.0;q=NaN",
            "application/openmetrics-text;version=1.0.0;q=7",
            "application/openmetrics-text;version=2.0.0",
            ";;=,q=;",
        ] {
            assert_eq!(asked(&[accept]), Format::Text, "{accept}");
        }
        assert_eq!(asked(&[]), Format::Text);
    }

    #[test]
    fn the_most_specific_range_decides_how_much_text_is_wanted() {
        assert_eq!(asked(&["*/*,text/plain;q=0.2,application/openmetrics-text;q=0.5"]), Format::OpenMetrics);
        assert_eq!(asked(&["*/*;q=0.1,text/plain,application/openmetrics-text;q=0.5"]), Format::Text);
    }
}
