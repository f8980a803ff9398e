//! Moderation over a model of an instance's lists: single stories, and random
//! histories with outages, deletions and changes in the middle of a poll.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::core::memory::Documents;

#[derive(Debug, Clone)]
enum Op {
    Create,
    Settle(usize),
    Delete(usize),
}

#[derive(Debug, PartialEq)]
struct Down;

/// One kind of row, as a server of one version lists it.
#[derive(Debug)]
struct Server {
    kind: Kind,
    /// Whether it can leave out what does not wait.
    filters: bool,
    is_unknown: bool,
    rows: Vec<Row>,
    next_id: u64,
    now: Timestamp,
    /// What happens after each question.
    meanwhile: VecDeque<Op>,
    /// It goes down after so many questions.
    up_for: Option<u64>,
    asked: u64,
}

impl Server {
    fn new(kind: Kind, filters: bool) -> Self {
        Self {
            kind,
            filters,
            is_unknown: false,
            rows: Vec::new(),
            next_id: 1,
            now: "2026-11-24T03:00:00Z".parse().unwrap(),
            meanwhile: VecDeque::new(),
            up_for: None,
            asked: 0,
        }
    }

    fn happen(&mut self, op: &Op) {
        let index = |i: usize, rows: &[Row]| (!rows.is_empty()).then(|| i % rows.len());
        match op {
            Op::Create => {
                self.rows.push(Row { id: self.next_id, is_pending: true, created_at: self.now });
                self.next_id += 1;
                // Some are made in the same millisecond.
                self.now += Duration::from_millis(self.next_id % 3);
            }
            Op::Settle(i) => {
                if let Some(i) = index(*i, &self.rows) {
                    self.rows[i].is_pending = false;
                }
            }
            Op::Delete(i) => {
                if let Some(i) = index(*i, &self.rows) {
                    self.rows.remove(i);
                }
            }
        }
    }

    fn create(&mut self, count: usize) {
        (0..count).for_each(|_| self.happen(&Op::Create));
    }

    fn settle_all(&mut self) {
        self.rows.iter_mut().for_each(|row| row.is_pending = false);
    }
}

impl Ask for Server {
    type Error = Down;

    async fn page(&mut self, query: &Query) -> Result<Option<Page>, Down> {
        assert_eq!(query.kind, self.kind);
        assert!(query.count <= 100, "the server refuses more");
        self.asked += 1;
        if self.up_for.is_some_and(|most| self.asked > most) {
            return Err(Down);
        }
        if self.is_unknown {
            return Ok(None);
        }
        let is_pending = query.list == List::Pending;
        let mut rows: Vec<Row> = self.rows.clone();
        rows.retain(|row| row.is_pending || !(is_pending && self.filters));
        match (query.list, self.kind) {
            (List::NewestFirst, _) => rows.sort_by(|a, b| b.created_at.cmp(&a.created_at).then(a.id.cmp(&b.id))),
            (List::Pending, Kind::Abuse) => rows.sort_by_key(|row| row.created_at),
            (List::Pending, Kind::Registration) => rows.sort_by_key(|row| (!row.is_pending, row.id)),
        }
        let total = rows.len() as u64;
        let rows = rows.into_iter().skip(query.start as usize).take(query.count as usize).collect();
        if let Some(op) = self.meanwhile.pop_front() {
            self.happen(&op);
        }
        Ok(Some(Page { total, rows, unread: 0 }))
    }
}

/// Who polls a server, and what was told so far.
struct Watcher {
    server: Server,
    memory: Memory,
    told: Vec<u64>,
}

impl Watcher {
    fn new(kind: Kind, filters: bool) -> Self {
        Self { server: Server::new(kind, filters), memory: Memory::default(), told: Vec::new() }
    }

    /// The ids that one poll tells.
    fn poll(&mut self) -> Result<Vec<u64>, Down> {
        let kind = self.server.kind;
        self.server.asked = 0;
        let Some(outcome) = now(look(&mut self.server, kind, self.memory.known(kind)))? else { return Ok(Vec::new()) };
        assert!(!outcome.cut);
        self.memory.set(kind, outcome.known);
        let documents: Documents = self.memory.to_documents();
        assert_eq!(Memory::from_documents(&documents).unwrap(), self.memory, "a restart forgets nothing");
        let ids: Vec<_> = outcome.told.iter().map(|told| told.id).collect();
        self.told.extend(&ids);
        Ok(ids)
    }

    fn waiting(&self) -> Waiting {
        self.memory.known(self.server.kind).map(|known| known.waiting).unwrap_or_default()
    }

    /// What waits in truth.
    fn truth(&self) -> Waiting {
        waiting(self.server.rows.iter())
    }
}

/// The model answers at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the model does not wait"),
    }
}

fn every_server() -> [Watcher; 3] {
    [Watcher::new(Kind::Abuse, true), Watcher::new(Kind::Registration, true), Watcher::new(Kind::Registration, false)]
}

#[test]
fn what_is_there_at_first_is_counted_and_what_comes_then_is_told_once() {
    for mut watcher in every_server() {
        watcher.server.create(3);
        let oldest = watcher.server.rows[0].created_at;
        assert_eq!(watcher.poll(), Ok(vec![]));
        assert_eq!(watcher.waiting(), Waiting { count: 3, oldest: Some(oldest) });
        watcher.server.create(2);
        assert_eq!(watcher.poll(), Ok(vec![4, 5]));
        watcher.server.create(1);
        watcher.server.settle_all();
        assert_eq!(watcher.poll(), Ok(vec![6]), "also what was settled between two polls");
        assert_eq!(watcher.waiting(), Waiting::default());
        assert_eq!(watcher.poll(), Ok(vec![]));
    }
}

#[test]
fn an_empty_list_is_a_first_look_too() {
    for mut watcher in every_server() {
        assert_eq!(watcher.poll(), Ok(vec![]));
        watcher.server.create(1);
        assert_eq!(watcher.poll(), Ok(vec![1]));
    }
}

#[test]
fn a_flood_is_told_to_the_last() {
    for mut watcher in every_server() {
        watcher.server.create(40);
        watcher.poll().unwrap();
        watcher.server.create(1000);
        assert_eq!(watcher.poll(), Ok((41..=1040).collect()));
        assert_eq!(watcher.waiting(), watcher.truth());
        assert_eq!(watcher.poll(), Ok(vec![]));
    }
}

#[test]
fn what_waits_is_counted_with_few_questions_whatever_the_server_leaves_out() {
    for (mut watcher, most) in every_server().into_iter().zip([3, 3, 14]) {
        watcher.server.create(2000);
        watcher.server.settle_all();
        watcher.poll().unwrap();
        assert_eq!((watcher.waiting().count, watcher.server.asked), (0, 2), "nothing waits among many");
        watcher.server.rows.iter_mut().step_by(7).for_each(|row| row.is_pending = true);
        watcher.poll().unwrap();
        assert_eq!(watcher.waiting(), watcher.truth());
        assert!(watcher.server.asked <= most, "{} questions", watcher.server.asked);
        watcher.server.rows.iter_mut().for_each(|row| row.is_pending = true);
        watcher.poll().unwrap();
        assert_eq!(watcher.waiting(), watcher.truth());
        assert_eq!(watcher.server.asked, 3, "all of them wait");
        watcher.server.rows.truncate(5);
        watcher.poll().unwrap();
        assert_eq!((watcher.waiting().count, watcher.server.asked), (5, 1), "a short list is seen at once");
    }
}

#[test]
fn one_that_comes_to_be_seen_after_a_younger_one_is_told_all_the_same() {
    let mut watcher = Watcher::new(Kind::Abuse, true);
    watcher.poll().unwrap();
    watcher.server.create(3);
    let late = watcher.server.rows.remove(1);
    assert_eq!(watcher.poll(), Ok(vec![1, 3]));
    watcher.server.rows.push(late);
    assert_eq!(watcher.poll(), Ok(vec![2]));
    assert_eq!(watcher.poll(), Ok(vec![]));
}

#[test]
fn rows_that_go_in_the_middle_of_a_walk_hide_none_of_the_others() {
    let mut watcher = Watcher::new(Kind::Abuse, true);
    watcher.server.create(10);
    watcher.poll().unwrap();
    watcher.server.create(300);
    // Some go after each page: the next begins behind where it should.
    watcher.server.meanwhile = (0..3).map(|_| Op::Delete(305)).collect();
    assert_eq!(watcher.poll().unwrap().len(), 300);
    assert_eq!(watcher.poll(), Ok(vec![]));
}

#[test]
fn a_database_that_begins_its_ids_again_is_followed() {
    let mut watcher = Watcher::new(Kind::Registration, false);
    watcher.server.create(50);
    watcher.poll().unwrap();
    watcher.server.create(30);
    watcher.poll().unwrap();
    // A backup of fifty rows is put back a day later, and two more come in.
    watcher.server.rows.truncate(50);
    watcher.server.next_id = 51;
    watcher.server.now += Duration::from_secs(24 * 3600);
    assert_eq!(watcher.poll(), Ok(vec![]));
    watcher.server.create(2);
    assert_eq!(watcher.poll(), Ok(vec![51, 52]));
    assert_eq!(watcher.poll(), Ok(vec![]));
    // All of it is made anew.
    watcher.server.rows.clear();
    watcher.server.next_id = 1;
    watcher.server.now += Duration::from_secs(24 * 3600);
    watcher.server.create(12);
    assert_eq!(watcher.poll(), Ok((1..=12).collect()));
    assert_eq!(watcher.poll(), Ok(vec![]));
}

#[test]
fn a_server_that_does_not_know_the_question_is_no_first_look() {
    let mut watcher = Watcher::new(Kind::Registration, true);
    watcher.server.is_unknown = true;
    assert_eq!(watcher.poll(), Ok(vec![]));
    assert_eq!(watcher.memory, Memory::default());
    watcher.server.is_unknown = false;
    watcher.server.create(4);
    assert_eq!(watcher.poll(), Ok(vec![]));
    assert_eq!(watcher.waiting().count, 4);
}

#[test]
fn more_than_a_poll_reads_is_said_and_never_told_later() {
    let mut watcher = Watcher::new(Kind::Abuse, true);
    watcher.poll().unwrap();
    watcher.server.create(7000);
    let known = watcher.memory.known(Kind::Abuse);
    let outcome = now(look(&mut watcher.server, Kind::Abuse, known)).unwrap().unwrap();
    assert!(outcome.cut && outcome.told.len() > 5000);
    watcher.memory.set(Kind::Abuse, outcome.known);
    assert_eq!(watcher.poll(), Ok(vec![]));
}

#[test]
fn an_event_has_the_id_and_nothing_of_who_or_why() {
    let origin = Origin { name: "main".into(), url: "https://peertube.example.com".into() };
    let created_at = "2026-11-24T02:50:32.901Z".parse().unwrap();
    for (kind, id) in [(Kind::Abuse, "abuse_id"), (Kind::Registration, "registration_id")] {
        let event = Told { kind, id: 7, created_at, pending: 3 }.to_event(&origin);
        assert_eq!(event.subject, Some(format!("{}/7", kind.as_str())));
        let data: BTreeMap<_, _> = event.data.into_iter().collect();
        let expected = json!({"instance": "main", id: 7, "created_at": "2026-11-24T02:50:32.901Z", "pending": 3});
        assert_eq!(json!(data), expected);
    }
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Create),
        2 => (0..1000_usize).prop_map(Op::Settle),
        1 => (0..1000_usize).prop_map(Op::Delete),
    ]
}

/// What happens between two polls, what in the middle of the second, and after how
/// many questions the server goes down in it.
type Round = (Vec<Op>, Vec<Op>, Option<u64>);

fn any_round() -> impl Strategy<Value = Round> {
    let burst = prop_oneof![3 => 0..8_usize, 1 => 100..250_usize];
    let before = burst.prop_flat_map(|count| prop::collection::vec(any_op(), count));
    let outage = prop_oneof![3 => Just(None), 1 => (0..3_u64).prop_map(Some)];
    (before, prop::collection::vec(any_op(), 0..6), outage)
}

proptest! {
    #[test]
    fn each_is_told_once_through_outages_and_whatever_is_settled_or_deleted(
        which in 0..3_usize,
        at_first in 0..40_usize,
        rounds in prop::collection::vec(any_round(), 1..12),
    ) {
        let [a, b, c] = every_server();
        let mut watcher = [a, b, c].into_iter().nth(which).unwrap();
        watcher.server.create(at_first);
        watcher.poll().unwrap();
        for (before, meanwhile, up_for) in rounds {
            before.iter().for_each(|op| watcher.server.happen(op));
            watcher.server.meanwhile = meanwhile.into();
            watcher.server.up_for = up_for;
            // One that fails tells nothing, and the next makes up for it.
            let _ = watcher.poll();
        }
        watcher.server.meanwhile.clear();
        watcher.server.up_for = None;
        watcher.poll().unwrap();

        prop_assert_eq!(watcher.waiting(), watcher.truth());
        let mut told = watcher.told.clone();
        told.sort_unstable();
        told.dedup();
        prop_assert_eq!(told.len(), watcher.told.len(), "twice");
        prop_assert!(told.iter().all(|id| (at_first as u64 + 1..watcher.server.next_id).contains(id)), "invented");
        let missed = watcher.server.rows.iter().filter(|row| row.id > at_first as u64 && !told.contains(&row.id));
        prop_assert_eq!(missed.count(), 0, "missed");
        prop_assert_eq!(watcher.poll(), Ok(vec![]));
    }
}
