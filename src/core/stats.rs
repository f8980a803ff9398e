//! What an instance counts itself, `/server/stats`, by a fixed table: a number that is
//! not in the table, or has no value, is left out.

use std::collections::BTreeMap;

/// One number of the instance, as a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// As PeerTube names it.
    field: &'static str,
    pub metric: &'static str,
    pub help: &'static str,
    /// What makes the metric's unit one.
    per: f64,
}

const fn figure(field: &'static str, metric: &'static str, help: &'static str) -> Figure {
    Figure { field, metric, help, per: 1.0 }
}

const fn milliseconds(field: &'static str, metric: &'static str, help: &'static str) -> Figure {
    Figure { field, metric, help, per: 1000.0 }
}

pub const FIGURES: [Figure; 29] = [
    figure("totalUsers", "peertube_stats_users", "Users."),
    figure("totalDailyActiveUsers", "peertube_stats_daily_active_users", "Users who were active within a day."),
    figure("totalWeeklyActiveUsers", "peertube_stats_weekly_active_users", "Users who were active within a week."),
    figure("totalMonthlyActiveUsers", "peertube_stats_monthly_active_users", "Users who were active within a month."),
    figure("totalModerators", "peertube_stats_moderators", "Moderators."),
    figure("totalAdmins", "peertube_stats_admins", "Administrators."),
    figure("totalLocalVideos", "peertube_stats_local_videos", "Public videos of the instance."),
    figure("totalLocalVideoViews", "peertube_stats_local_video_views", "Views of the instance's videos."),
    figure("totalLocalVideoDownloads", "peertube_stats_local_video_downloads", "Downloads of the instance's videos."),
    figure("totalLocalVideoComments", "peertube_stats_local_video_comments", "Comments by the instance's users."),
    figure("totalLocalVideoFilesSize", "peertube_stats_local_video_files_bytes", "Size of the instance's video files."),
    figure("totalVideos", "peertube_stats_videos", "Public videos, those of other instances included."),
    figure("totalVideoComments", "peertube_stats_video_comments", "Comments, those of other instances included."),
    figure("totalLocalVideoChannels", "peertube_stats_local_video_channels", "Channels of the instance."),
    figure(
        "totalLocalDailyActiveVideoChannels",
        "peertube_stats_local_daily_active_video_channels",
        "Channels of the instance that were active within a day.",
    ),
    figure(
        "totalLocalWeeklyActiveVideoChannels",
        "peertube_stats_local_weekly_active_video_channels",
        "Channels of the instance that were active within a week.",
    ),
    figure(
        "totalLocalMonthlyActiveVideoChannels",
        "peertube_stats_local_monthly_active_video_channels",
        "Channels of the instance that were active within a month.",
    ),
    figure("totalLocalPlaylists", "peertube_stats_local_playlists", "Playlists of the instance."),
    figure("totalInstanceFollowers", "peertube_stats_instance_followers", "Instances that follow this one."),
    figure("totalInstanceFollowing", "peertube_stats_instance_following", "Instances that this one follows."),
    figure("totalAbuses", "peertube_stats_abuses", "Abuses that were ever reported."),
    figure("totalAbusesProcessed", "peertube_stats_abuses_processed", "Of them, those that were settled."),
    milliseconds(
        "averageAbuseResponseTimeMs",
        "peertube_stats_average_abuse_response_time_seconds",
        "How long abuses waited on average until they were settled.",
    ),
    figure(
        "totalRegistrationRequests",
        "peertube_stats_registration_requests",
        "Registrations that were ever requested.",
    ),
    figure(
        "totalRegistrationRequestsProcessed",
        "peertube_stats_registration_requests_processed",
        "Of them, those that were settled.",
    ),
    milliseconds(
        "averageRegistrationRequestResponseTimeMs",
        "peertube_stats_average_registration_request_response_time_seconds",
        "How long registrations waited on average until they were settled.",
    ),
    figure(
        "totalActivityPubMessagesProcessed",
        "peertube_stats_activitypub_messages_processed",
        "Messages of other instances that were processed since the server's start.",
    ),
    figure(
        "activityPubMessagesProcessedPerSecond",
        "peertube_stats_activitypub_messages_processed_per_second",
        "Messages of other instances that are processed each second.",
    ),
    figure(
        "totalActivityPubMessagesWaiting",
        "peertube_stats_activitypub_messages_waiting",
        "Messages of other instances that wait to be processed.",
    ),
];

/// Activities of the federation: in PeerTube's names, and as labels.
const ACTIVITIES: [(&str, &str); 15] = [
    ("Create", "create"),
    ("Update", "update"),
    ("Delete", "delete"),
    ("Follow", "follow"),
    ("Accept", "accept"),
    ("Reject", "reject"),
    ("Announce", "announce"),
    ("Undo", "undo"),
    ("Like", "like"),
    ("Dislike", "dislike"),
    ("Flag", "flag"),
    ("View", "view"),
    ("Download", "download"),
    ("ApproveReply", "approve_reply"),
    ("RejectReply", "reject_reply"),
];
const RESULTS: [(&str, &str); 2] = [("Successes", "success"), ("Errors", "error")];

/// How other instances' videos are chosen to be kept here too.
const STRATEGIES: [&str; 4] = ["manual", "most-views", "trending", "recently-added"];

/// The numbers of one instance that are in the table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    pub figures: Vec<(Figure, f64)>,
    /// Activity, result, how many messages.
    pub messages: Vec<(&'static str, &'static str, f64)>,
    /// By strategy.
    pub redundancy: BTreeMap<&'static str, Redundancy>,
}

/// Videos of other instances that are kept here too.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Redundancy {
    pub used_bytes: Option<f64>,
    pub size_bytes: Option<f64>,
    pub videos: Option<f64>,
    pub files: Option<f64>,
}

impl Stats {
    /// Of numbers by PeerTube's names, and of what it keeps by strategy.
    pub fn of<'a>(
        numbers: &BTreeMap<String, f64>,
        redundancy: impl IntoIterator<Item = (&'a str, Redundancy)>,
    ) -> Self {
        let figures = FIGURES.into_iter().filter_map(|figure| {
            let number = numbers.get(figure.field)?;
            Some((figure, number / figure.per))
        });
        let messages = ACTIVITIES.into_iter().flat_map(|activity| RESULTS.map(|result| (activity, result)));
        let messages = messages.filter_map(|((activity, label), (end, result))| {
            let number = numbers.get(&format!("totalActivityPub{activity}Messages{end}"))?;
            Some((label, result, *number))
        });
        let known = |(strategy, kept)| Some((STRATEGIES.into_iter().find(|known| *known == strategy)?, kept));
        Self {
            figures: figures.collect(),
            messages: messages.collect(),
            redundancy: redundancy.into_iter().filter_map(known).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn of(numbers: &[(&str, f64)]) -> Stats {
        Stats::of(&numbers.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect(), [])
    }

    #[test]
    fn numbers_come_in_base_units_and_unknown_ones_not_at_all() {
        let stats = of(&[("averageAbuseResponseTimeMs", 1500.0), ("totalUsers", 3.0), ("totalUnicorns", 7.0)]);
        let figures: Vec<_> = stats.figures.iter().map(|(figure, number)| (figure.metric, *number)).collect();
        assert_eq!(
            figures,
            [("peertube_stats_users", 3.0), ("peertube_stats_average_abuse_response_time_seconds", 1.5)]
        );
        assert_eq!(stats.messages, []);
    }

    #[test]
    fn messages_are_told_by_activity_and_result_without_their_sums() {
        let stats = of(&[
            ("totalActivityPubMessagesSuccesses", 9.0),
            ("totalActivityPubRejectMessagesErrors", 2.0),
            ("totalActivityPubRejectReplyMessagesSuccesses", 3.0),
        ]);
        assert_eq!(stats.messages, [("reject", "error", 2.0), ("reject_reply", "success", 3.0)]);
        assert_eq!(stats.figures, []);
    }

    #[test]
    fn a_strategy_that_is_not_known_is_left_out() {
        let kept = Redundancy { used_bytes: Some(1.0), ..Redundancy::default() };
        let stats = Stats::of(&BTreeMap::new(), [("manual", kept), ("by-mood", kept)]);
        assert_eq!(stats.redundancy, BTreeMap::from([("manual", kept)]));
    }

    #[test]
    fn no_name_stands_twice_in_the_table_or_claims_to_be_a_counter() {
        let names: BTreeSet<_> = FIGURES.iter().map(|figure| figure.metric).collect();
        let fields: BTreeSet<_> = FIGURES.iter().map(|figure| figure.field).collect();
        assert_eq!((names.len(), fields.len()), (FIGURES.len(), FIGURES.len()));
        assert!(names.iter().all(|name| name.starts_with("peertube_stats_") && !name.ends_with("_total")));
    }
}
