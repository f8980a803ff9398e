//! A server whose clock is set back by an hour in the middle of a burst.

use std::collections::{BTreeSet, HashSet};

use jiff::{SignedDuration, Timestamp};
use tubewarden::core::event::EventKind;
use tubewarden::core::job::{JobKey, JobList, JobRow, JobsPage, JobsQuery, JobsReply, Order, Payload};
use tubewarden::core::job_sync::{Ask, Memory, Outcome, sync};

use super::watcher::{Unanswered, now, policy};

/// Its jobs end as soon as they are made, so none is ever seen pending.
struct Server {
    now: Timestamp,
    rows: Vec<JobRow>,
}

impl Ask for Server {
    type Error = Unanswered;

    async fn jobs(&mut self, query: &JobsQuery) -> Result<JobsReply, Unanswered> {
        let is_asked = |row: &&JobRow| query.job_type.as_ref().is_none_or(|asked| *asked == row.key.job_type);
        let listed = self.rows.iter().filter(|_| query.list == JobList::Completed).filter(is_asked);
        let mut rows: Vec<JobRow> = listed.cloned().collect();
        rows.sort_by_key(|row| row.key.created_at);
        if query.order == Order::NewestFirst {
            rows.reverse();
        }
        let total = rows.len() as u64;
        let cut = |n: u64| usize::try_from(n).unwrap();
        let rows = rows.into_iter().skip(cut(query.start)).take(cut(query.count)).collect();
        Ok(JobsReply::Page(JobsPage { total, rows, unread: Vec::new(), date: self.now }))
    }
}

impl Server {
    /// So many jobs end, one after the other.
    fn work(&mut self, jobs: usize, every: SignedDuration) {
        for _ in 0..jobs {
            let key =
                JobKey { job_type: "video-import".into(), id: (self.rows.len() + 1).to_string(), created_at: self.now };
            let (processed_at, finished_at) = (Some(self.now), Some(self.now));
            self.rows.push(JobRow {
                key,
                processed_at,
                finished_at,
                error: None,
                parent: None,
                payload: Payload::default(),
            });
            self.now += every;
        }
    }
}

#[test]
fn a_clock_that_is_set_back_hides_no_job() {
    let mut server = Server { now: "2026-11-24T10:00:00Z".parse().unwrap(), rows: Vec::new() };
    let (mut memory, mut settled, mut told) = (Memory::default(), HashSet::new(), Vec::new());
    let mut poll = |server: &mut Server| {
        let Outcome { memory: after, told: more, settled: new, .. } =
            now(sync(server, &memory, &settled, &policy())).unwrap();
        memory = after;
        settled.extend(new);
        told.extend(more);
        told.len()
    };
    server.work(3, SignedDuration::from_secs(1));
    server.now += SignedDuration::from_secs(30);
    assert_eq!(poll(&mut server), 0, "that was before");
    server.now += SignedDuration::from_hours(2);
    server.work(120, SignedDuration::from_millis(100));
    assert_eq!(poll(&mut server), 120);
    // More than a page, all of it older by its times than the last poll.
    server.now -= SignedDuration::from_hours(1);
    server.work(150, SignedDuration::from_millis(100));
    assert_eq!(poll(&mut server), 270);
    server.now += SignedDuration::from_secs(30);
    server.work(150, SignedDuration::from_millis(100));
    assert_eq!(poll(&mut server), 420);
    server.now += SignedDuration::from_hours(2);
    server.work(10, SignedDuration::from_millis(100));
    assert_eq!(poll(&mut server), 430);

    let jobs: BTreeSet<_> = told.iter().map(|told| told.job_id.clone()).collect();
    assert_eq!(jobs.len(), told.len(), "each once");
    assert!(told.iter().all(|told| told.kind == EventKind::JobCompleted));
}
