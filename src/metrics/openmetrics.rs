//! OpenMetrics 1.0.0 as text. A counter's family has no `_total`, its samples do;
//! the last line says that nothing was cut off.

use std::fmt::Write;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// The whole exposition of some families, sorted as they are.
pub(super) fn encode(families: &[MetricFamily]) -> String {
    let mut out = String::new();
    for family in families {
        write_family(&mut out, family);
    }
    out.push_str("# EOF\n");
    out
}

fn write_family(out: &mut String, family: &MetricFamily) {
    let (kind, name) = match family.get_field_type() {
        MetricType::COUNTER => ("counter", family.name().strip_suffix("_total").unwrap_or(family.name())),
        MetricType::GAUGE => ("gauge", family.name()),
        MetricType::HISTOGRAM => ("histogram", family.name()),
        // Nothing here makes one of these.
        MetricType::SUMMARY | MetricType::UNTYPED => return,
    };
    line(out, format_args!("# TYPE {name} {kind}"));
    if let Some(unit) = ["seconds", "bytes"].into_iter().find(|unit| has_unit(name, unit)) {
        line(out, format_args!("# UNIT {name} {unit}"));
    }
    line(out, format_args!("# HELP {name} {}", escape(family.help())));
    for metric in family.get_metric() {
        match family.get_field_type() {
            MetricType::COUNTER => sample(out, name, "_total", metric, None, metric.get_counter().get_value()),
            MetricType::HISTOGRAM => write_histogram(out, name, metric),
            _ => sample(out, name, "", metric, None, metric.get_gauge().get_value()),
        }
    }
}

fn write_histogram(out: &mut String, name: &str, metric: &Metric) {
    let histogram = metric.get_histogram();
    let total = histogram.get_sample_count() as f64;
    for bucket in histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite()) {
        // `le` is a number written canonically: 1 is "1.0", in every exposition.
        let bound = format!("{:?}", bucket.upper_bound());
        sample(out, name, "_bucket", metric, Some(&bound), bucket.cumulative_count() as f64);
    }
    sample(out, name, "_bucket", metric, Some("+Inf"), total);
    sample(out, name, "_count", metric, None, total);
    sample(out, name, "_sum", metric, None, histogram.get_sample_sum());
}

fn sample(out: &mut String, name: &str, suffix: &str, metric: &Metric, le: Option<&str>, value: f64) {
    out.push_str(name);
    out.push_str(suffix);
    let labels = metric.get_label().iter().map(|pair: &LabelPair| (pair.name(), pair.value()));
    let mut separator = '{';
    for (label, value) in labels.chain(le.map(|le| ("le", le))) {
        out.push(separator);
        out.push_str(label);
        out.push_str("=\"");
        out.push_str(&escape(value));
        out.push('"');
        separator = ',';
    }
    if separator == ',' {
        out.push('}');
    }
    line(out, format_args!(" {}", number(value)));
}

/// A value: `f64` says "inf" where the format wants "+Inf".
fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}

/// Whether a family's name ends in a unit, as it must where the unit is told.
fn has_unit(name: &str, unit: &str) -> bool {
    name.strip_suffix(unit).is_some_and(|stem| stem.ends_with('_'))
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

/// Writing to a string can't fail.
fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use prometheus::{GaugeVec, Histogram, HistogramOpts, IntCounter, Opts, Registry};

    use super::encode;

    fn encoded(collector: impl prometheus::core::Collector + 'static) -> String {
        let registry = Registry::new();
        registry.register(Box::new(collector)).unwrap();
        encode(&registry.gather())
    }

    #[test]
    fn a_counter_says_total_in_its_samples_alone() {
        let counter = IntCounter::new("things_total", "Things.").unwrap();
        counter.inc_by(17);
        assert_eq!(encoded(counter), "# TYPE things counter\n# HELP things Things.\nthings_total 17\n# EOF\n");
    }

    #[test]
    fn text_from_elsewhere_is_escaped() {
        let gauge = GaugeVec::new(Opts::new("thing", "Says \"a\\b\"\nand more."), &["label"]).unwrap();
        gauge.with_label_values(&["one \"two\" \\three\nfour é"]).set(0.5);
        assert_eq!(
            encoded(gauge),
            "# TYPE thing gauge\n# HELP thing Says \\\"a\\\\b\\\"\\nand more.\n\
             thing{label=\"one \\\"two\\\" \\\\three\\nfour é\"} 0.5\n# EOF\n"
        );
    }

    #[test]
    fn numbers_that_are_not_finite_are_written_as_the_format_has_them() {
        let gauge = GaugeVec::new(Opts::new("thing", "Things."), &["n"]).unwrap();
        for (n, value) in [("1", f64::INFINITY), ("2", f64::NEG_INFINITY), ("3", f64::NAN), ("4", 1e-9)] {
            gauge.with_label_values(&[n]).set(value);
        }
        let text = encoded(gauge);
        for line in
            [r#"thing{n="1"} +Inf"#, r#"thing{n="2"} -Inf"#, r#"thing{n="3"} NaN"#, r#"thing{n="4"} 0.000000001"#]
        {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }

    #[test]
    fn a_histogram_has_canonical_bounds_and_its_unit() {
        let opts = HistogramOpts::new("took_seconds", "How long.").buckets(vec![0.25, 1.0, 86400.0]);
        let histogram = Histogram::with_opts(opts).unwrap();
        histogram.observe(0.5);
        histogram.observe(100_000.0);
        assert_eq!(
            encoded(histogram),
            "# TYPE took_seconds histogram\n# UNIT took_seconds seconds\n# HELP took_seconds How long.\n\
             took_seconds_bucket{le=\"0.25\"} 0\ntook_seconds_bucket{le=\"1.0\"} 1\n\
             took_seconds_bucket{le=\"86400.0\"} 1\ntook_seconds_bucket{le=\"+Inf\"} 2\n\
             took_seconds_count 2\ntook_seconds_sum 100000.5\n# EOF\n"
        );
    }
}
