//! What is stuck, in words; the oldest of each sort, and how many more there are.

use jiff::Timestamp;

use super::lines::{age, cut, labelled};
use crate::status::{Stuck, StuckJobs};

/// More of a sort are only counted.
const MOST: usize = 20;
/// A UUID.
const LONGEST_ID: usize = 36;

pub(super) fn lines(stuck: &Stuck, now: Timestamp) -> Vec<String> {
    let mut texts = Vec::new();
    let mut say = |what: &str, rows: Vec<(Timestamp, String)>| {
        if rows.is_empty() {
            return;
        }
        texts.push(what.to_owned());
        texts.extend(rows.iter().take(MOST).map(|(since, of)| format!("  {:<7} {of}", age(*since, now))));
        if rows.len() > MOST {
            texts.push(format!("  and {} more", rows.len() - MOST));
        }
    };
    let id = |id: &str| cut(id, LONGEST_ID);
    let types = |jobs: &Option<StuckJobs>| {
        let types = jobs.iter().flat_map(|jobs| &jobs.types);
        types.map(|stuck| (stuck.since, format!("{} {}", stuck.waiting, stuck.job_type))).collect()
    };
    let active = |jobs: &Option<StuckJobs>| {
        let active = jobs.iter().flat_map(|jobs| &jobs.active);
        active.map(|job| (job.since, format!("{} {}", id(&job.id), job.job_type))).collect()
    };
    let videos = stuck.videos.iter().flatten().map(|video| {
        let name = video.name.as_deref().unwrap_or_default();
        (video.since, format!("{} {name}", id(&video.uuid)))
    });
    say("jobs that wait, and none of their type begins:", types(&stuck.jobs));
    say("jobs that run for too long:", active(&stuck.jobs));
    say("jobs that no runner takes:", types(&stuck.runner_jobs));
    say("jobs that a runner works on for too long:", active(&stuck.runner_jobs));
    say("videos that should change, and no job is for them:", videos.collect());
    labelled("stuck", texts)
}
