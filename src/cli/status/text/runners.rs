//! Remote runners, those that are offline first, and a table of their jobs.

use jiff::Timestamp;

use super::lines::{age, cut, labelled, listed};
use crate::status::{Runner, RunnerQueue, Runners};

/// More runners are only counted.
const MOST: usize = 20;
const LONGEST_NAME: usize = 40;

pub(super) fn lines(runners: &Runners, now: Timestamp) -> Vec<String> {
    let mut lines = listed("runners", &contacts(&runners.runners, now));
    if !runners.queues.is_empty() {
        lines.extend(queues(&runners.queues));
    }
    lines
}

/// Each with how long ago it last spoke.
fn contacts(runners: &[Runner], now: Timestamp) -> Vec<String> {
    let (offline, others): (Vec<_>, Vec<_>) = runners.iter().partition(|runner| runner.offline);
    let said = |runner: &Runner| {
        let offline = if runner.offline { " OFFLINE" } else { "" };
        format!("{}{offline} ({})", cut(&runner.name, LONGEST_NAME), age(runner.last_contact_at, now))
    };
    let mut all: Vec<String> = offline.into_iter().chain(others).take(MOST).map(said).collect();
    match runners.len() {
        0 => all.push("none".to_owned()),
        count if count > MOST => all.push(format!("and {} more", count - MOST)),
        _ => {}
    }
    all
}

fn queues(queues: &[RunnerQueue]) -> Vec<String> {
    let row = |job_type: &str, cells: [&str; 4]| {
        let [pending, processing, completing, after] = cells;
        format!("{:<22}{pending:>9}{processing:>12}{completing:>12}{after:>11}", cut(job_type, 22))
    };
    let mut rows = vec![row("", ["pending", "processing", "completing", "for parent"])];
    for queue in queues {
        let counts = [queue.pending, queue.processing, queue.completing, queue.waiting_for_parent_job];
        let counts = counts.map(|count| count.to_string());
        rows.push(row(&queue.job_type, counts.each_ref().map(String::as_str)));
    }
    labelled("runner jobs", rows)
}
