//! An instance that answers whatever it likes, time and again. Of it nothing true can be
//! told; but each poll ends, and no job is told twice, or without having been shown.

use std::collections::{BTreeSet, HashSet};

use jiff::{SignedDuration, Timestamp};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use tubewarden::core::event::EventKind;
use tubewarden::core::job::{JobKey, JobRow, JobsPage, JobsQuery, JobsReply, Payload, UnreadJob};
use tubewarden::core::job_sync::{Ask, Memory, Outcome, sync};

use super::watcher::{Unanswered, now, policy};

const POLLS: usize = 5;
/// A page of PeerTube has no more rows.
const MOST_ROWS: usize = 100;
/// Far more than any poll of an instance asks, and what ends.
const MOST_QUESTIONS: u32 = 100_000;

const TYPES: [&str; 6] = ["email", "notify", "video-transcoding", "video-import", "videos-stats", "never-heard-of"];

#[derive(Debug, Arbitrary)]
pub(crate) struct Liar {
    /// Given in turn, from the beginning again at the end.
    replies: Vec<Reply>,
}

#[derive(Debug, Arbitrary)]
enum Reply {
    Page { total: Total, rows: Vec<Row>, unread: Vec<Option<u8>>, clock: Clock },
    UnknownType,
    Nothing,
}

#[derive(Debug, Arbitrary)]
enum Total {
    Right,
    Small(u8),
    Any(u64),
}

#[derive(Debug, Arbitrary)]
enum Clock {
    GoesOn(u8),
    Jumps(i32),
}

#[derive(Debug, Arbitrary)]
struct Row {
    job_type: u8,
    id: Id,
    created: Time,
    processed: Option<Time>,
    finished: Option<Time>,
    error: Option<u8>,
    parent: Option<u8>,
}

#[derive(Debug, Arbitrary)]
enum Id {
    Small(u8),
    Number(u64),
    Word(u8),
    Recurring(Time),
}

#[derive(Debug, Arbitrary)]
enum Time {
    /// Seconds beside the beginning.
    Near(i8),
    /// Milliseconds.
    Any(i64),
}

struct Asked<'a> {
    liar: &'a Liar,
    clock: Timestamp,
    turn: usize,
    questions: u32,
    shown: BTreeSet<JobKey>,
}

pub(crate) fn run(liar: &Liar) {
    let mut asked = Asked { liar, clock: beginning(), turn: 0, questions: 0, shown: BTreeSet::new() };
    let (mut memory, mut settled) = (Memory::default(), HashSet::new());
    let mut told_before = BTreeSet::new();
    for _ in 0..POLLS {
        asked.questions = 0;
        let Ok(outcome) = now(sync(&mut asked, &memory, &settled, &policy())) else { continue };
        let Outcome { memory: after, told, settled: more, .. } = outcome;
        for told in told.iter().filter(|told| told.missing.is_none() && told.kind != EventKind::JobStuck) {
            let id = told.job_id.clone().expect("what is told of one job has its id");
            let created_at = told.created_at.expect("and its creation");
            let key = JobKey { job_type: told.job_type.clone(), id, created_at };
            assert!(asked.shown.contains(&key), "{key} was never shown");
            // What tells jobs apart is written in milliseconds.
            assert!(told_before.insert(key.to_string()), "{key} is told twice");
        }
        settled.extend(more);
        let read_back = Memory::from_documents(&after.to_documents()).expect("what was written can be read");
        memory = read_back;
    }
}

impl Ask for Asked<'_> {
    type Error = Unanswered;

    async fn jobs(&mut self, _: &JobsQuery) -> Result<JobsReply, Unanswered> {
        self.questions += 1;
        assert!(self.questions < MOST_QUESTIONS, "a poll does not end");
        let liar = self.liar;
        let Some(reply) = liar.replies.get(self.turn % liar.replies.len().max(1)) else { return Err(Unanswered) };
        self.turn += 1;
        let (total, rows, unread, clock) = match reply {
            Reply::Page { total, rows, unread, clock } => (total, rows, unread, clock),
            Reply::UnknownType => return Ok(JobsReply::UnknownType),
            Reply::Nothing => return Err(Unanswered),
        };
        let by = match clock {
            Clock::GoesOn(seconds) => SignedDuration::from_secs((*seconds).into()),
            Clock::Jumps(seconds) => SignedDuration::from_secs((*seconds).into()),
        };
        self.clock = self.clock.saturating_add(by).expect("a span of time");
        let rows: Vec<JobRow> = rows.iter().take(MOST_ROWS).map(Row::read).collect();
        self.shown.extend(rows.iter().map(|row| row.key.clone()));
        let total = match total {
            Total::Right => rows.len() as u64,
            Total::Small(total) => (*total).into(),
            // More is no answer: it is refused where replies are read.
            Total::Any(total) => *total & ((1 << 53) - 1),
        };
        let unread = unread.iter().take(MOST_ROWS).map(|job_type| UnreadJob { job_type: job_type.map(name_of) });
        Ok(JobsReply::Page(JobsPage { total, rows, unread: unread.collect(), date: self.clock }))
    }
}

impl Row {
    fn read(&self) -> JobRow {
        let id = match &self.id {
            Id::Small(number) => number.to_string(),
            Id::Number(number) => number.to_string(),
            Id::Word(word) => format!("id-{word}"),
            Id::Recurring(time) => format!("repeat:x:{}", time.read().as_millisecond()),
        };
        JobRow {
            key: JobKey { job_type: name_of(self.job_type), id, created_at: self.created.read() },
            processed_at: self.processed.as_ref().map(Time::read),
            finished_at: self.finished.as_ref().map(Time::read),
            error: self.error.map(|number| format!("Error: {number}")),
            parent: self.parent.map(|parent| parent.to_string()),
            payload: Payload::default(),
        }
    }
}

impl Time {
    fn read(&self) -> Timestamp {
        match self {
            Self::Near(seconds) => {
                beginning().saturating_add(SignedDuration::from_secs((*seconds).into())).expect("a span of time")
            }
            Self::Any(milliseconds) => Timestamp::from_millisecond(*milliseconds).unwrap_or(Timestamp::MAX),
        }
    }
}

fn beginning() -> Timestamp {
    "2026-11-24T06:00:00Z".parse().expect("a time")
}

fn name_of(number: u8) -> tubewarden::core::job::JobType {
    TYPES[usize::from(number) % TYPES.len()].into()
}
