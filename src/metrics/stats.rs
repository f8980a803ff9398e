//! An instance's own statistics as metric families. They are another program's totals,
//! which may fall, so all of them are gauges.

use prometheus::core::Desc;
use prometheus::proto::MetricFamily;

use crate::core::stats::{FIGURES, Figure, Redundancy, Stats};

use super::family::Family;

const MESSAGES: Family<2> = Family::gauge(
    "peertube_stats_activitypub_messages",
    "Messages of other instances that were processed since the server's start.",
    ["activity", "result"],
);
type Of = fn(&Redundancy) -> Option<f64>;

const REDUNDANCY: [(Family<1>, Of); 4] = [
    (
        Family::gauge(
            "peertube_stats_redundancy_used_bytes",
            "Size of other instances' videos that are kept here too.",
            ["strategy"],
        ),
        |kept| kept.used_bytes,
    ),
    (Family::gauge("peertube_stats_redundancy_size_bytes", "How much of them may be kept.", ["strategy"]), |kept| {
        kept.size_bytes
    }),
    (
        Family::gauge(
            "peertube_stats_redundancy_videos",
            "Videos of other instances that are kept here too.",
            ["strategy"],
        ),
        |kept| kept.videos,
    ),
    (Family::gauge("peertube_stats_redundancy_video_files", "Files of these videos.", ["strategy"]), |kept| kept.files),
];

pub(super) fn descs(instance: &str) -> prometheus::Result<Vec<Desc>> {
    let mut descs = vec![MESSAGES.desc(instance)?];
    for (family, _) in &REDUNDANCY {
        descs.push(family.desc(instance)?);
    }
    for figure in &FIGURES {
        descs.push(family(figure).desc(instance)?);
    }
    Ok(descs)
}

pub(super) fn present(instance: &str, stats: &Stats) -> Vec<MetricFamily> {
    let figures = stats.figures.iter().map(|(figure, number)| family(figure).samples(instance, [([], *number)]));
    let messages = stats.messages.iter().map(|(activity, result, number)| ([*activity, *result], *number));
    let redundancy = REDUNDANCY.iter().map(|(family, of)| {
        let kept = stats.redundancy.iter().filter_map(|(strategy, kept)| Some(([*strategy], of(kept)?)));
        family.samples(instance, kept)
    });
    figures.chain([MESSAGES.samples(instance, messages)]).chain(redundancy).collect()
}

fn family(figure: &Figure) -> Family<0> {
    Family::gauge(figure.metric, figure.help, [])
}
