//! A server that invents types of jobs without end.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use tubewarden::core::job::{JobKey, JobList, JobRow, JobType, JobsPage, JobsQuery, JobsReply, MOST_TYPES, Payload};
use tubewarden::core::job_sync::{Ask, Memory, sync};

use super::watcher::{Unanswered, now, policy};

/// Each reply of its lists holds a hundred jobs, each of a type of its own.
struct Inventor {
    types: u64,
    longest: bool,
    questions: u64,
    at: Timestamp,
}

impl Ask for Inventor {
    type Error = Unanswered;

    async fn jobs(&mut self, query: &JobsQuery) -> Result<JobsReply, Unanswered> {
        self.questions += 1;
        self.at += SignedDuration::from_millis(50);
        if query.job_type.is_some() {
            return Ok(JobsReply::UnknownType);
        }
        let date = Timestamp::from_second(self.at.as_second()).unwrap();
        let rows: Vec<JobRow> = (0..100).filter(|_| query.list == JobList::Completed).map(|_| self.invent()).collect();
        Ok(JobsReply::Page(JobsPage { total: rows.len() as u64, rows, unread: Vec::new(), date }))
    }
}

impl Inventor {
    fn invent(&mut self) -> JobRow {
        self.types += 1;
        let long = if self.longest { "x".repeat(1000) } else { String::new() };
        JobRow {
            key: JobKey {
                job_type: JobType(format!("never-heard-of-{}{long}", self.types)),
                id: "1".to_owned(),
                created_at: self.at,
            },
            processed_at: Some(self.at),
            finished_at: Some(self.at),
            error: None,
            parent: None,
            payload: Payload::default(),
        }
    }
}

fn watch(ask: &mut Inventor) -> (Memory, usize) {
    let (mut memory, mut settled, mut told) = (Memory::default(), HashSet::new(), 0);
    for _ in 0..12 {
        ask.at += SignedDuration::from_secs(30);
        let outcome = now(sync(ask, &memory, &settled, &policy())).unwrap();
        told += outcome.told.len();
        settled.extend(outcome.settled);
        memory = outcome.memory;
    }
    (memory, told)
}

#[test]
fn so_many_types_are_remembered_and_no_more() {
    let mut ask = Inventor { types: 0, longest: false, questions: 0, at: "2026-11-24T06:00:00Z".parse().unwrap() };
    let (memory, told) = watch(&mut ask);
    assert!(ask.types > 1000);
    assert!(memory.leaves_types_out());
    assert_eq!(memory.view().types.len(), MOST_TYPES);
    // All that came after the first look, as long as there was room.
    assert!((100..MOST_TYPES).contains(&told), "{told} told");
    assert!(ask.questions < 12 * MOST_TYPES as u64);
    assert!(Memory::from_documents(&memory.to_documents()).unwrap().leaves_types_out());
}

#[test]
fn a_name_too_long_for_a_type_is_none() {
    let mut ask = Inventor { types: 0, longest: true, questions: 0, at: "2026-11-24T06:00:00Z".parse().unwrap() };
    let (memory, told) = watch(&mut ask);
    assert!(memory.leaves_types_out());
    assert!(memory.view().types.keys().all(|job_type| job_type.0.len() < 100));
    assert_eq!(told, 0);
}
