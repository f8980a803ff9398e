use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::core::event::{EventKind, Origin};

fn event(number: u64, video: &str) -> Event {
    let origin = Origin { name: "main".into(), url: "https://peertube.example.com".into() };
    let data = Map::from_iter([("video".to_owned(), json!({"uuid": video})), ("runner".to_owned(), Value::Null)]);
    Event::new(&origin, EventKind::VideoFailed, &number.to_string(), None, Timestamp::UNIX_EPOCH, data)
}

fn at(second: i64) -> Timestamp {
    "2026-11-24T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(second)
}

fn seconds(number: i64) -> SignedDuration {
    SignedDuration::from_secs(number)
}

fn dues(admissions: &[Admission]) -> Vec<Timestamp> {
    admissions.iter().filter_map(|one| if let Admission::Owed { due, .. } = one { Some(*due) } else { None }).collect()
}

#[test]
fn without_terms_each_event_is_owed_at_once_under_an_id_of_its_own() {
    let mut memory = RuleMemory::default();
    let event = event(1, "a");
    let owed = memory.admit("to the chat", &Terms::default(), &event, at(0));
    assert_eq!(owed, Admission::Owed { delivery: delivery_id(&event.id, "to the chat"), due: at(0) });
    let id = delivery_id(&event.id, "to the chat");
    assert_ne!(id, delivery_id(&event.id, "another rule"));
    let (first, digits) = id.rsplit_once('-').unwrap();
    assert_eq!((first, digits.len()), (event.id.as_str(), 8));
    assert_eq!(memory, RuleMemory::default());
}

#[test]
fn what_a_limit_swallows_is_summed_up_once_as_soon_as_it_allows_one_more() {
    let terms = Terms { limit: Some(Limit { most: 2, within: seconds(60) }), ..Terms::default() };
    let mut memory = RuleMemory::default();
    let admitted: Vec<_> = (0..50).map(|i| memory.admit("r", &terms, &event(i as u64, "a"), at(i))).collect();
    assert_eq!(dues(&admitted), [at(0), at(1)]);
    assert_eq!(memory.sums_up_at(&terms), Some(at(60)));
    assert_eq!(memory.sum_up(&terms, at(59)), None);
    let swallowed = memory.sum_up(&terms, at(60)).unwrap();
    assert_eq!((swallowed.count, swallowed.since), (48, at(2)));
    assert_eq!(swallowed.types, BTreeMap::from([("video.failed".to_owned(), 48)]));
    assert_eq!((swallowed.instance.as_str(), swallowed.source.as_str()), ("main", "https://peertube.example.com"));
    assert_eq!(memory.sum_up(&terms, at(61)), None);
    assert!(matches!(memory.admit("r", &terms, &event(60, "a"), at(60)), Admission::Owed { .. }));
}

#[test]
fn what_a_limit_swallowed_is_no_repetition_yet() {
    let terms = Terms {
        limit: Some(Limit { most: 1, within: seconds(10) }),
        dedupe: Some(Dedupe { by: DedupeBy::Video, within: seconds(60) }),
        ..Terms::default()
    };
    let mut memory = RuleMemory::default();
    assert!(matches!(memory.admit("r", &terms, &event(1, "a"), at(0)), Admission::Owed { .. }));
    assert_eq!(memory.admit("r", &terms, &event(2, "b"), at(1)), Admission::Limited);
    assert!(matches!(memory.admit("r", &terms, &event(3, "b"), at(10)), Admission::Owed { .. }));
    assert_eq!(memory.admit("r", &terms, &event(4, "b"), at(30)), Admission::Deduplicated);
}

#[test]
fn of_the_same_video_the_first_within_the_time_is_acted_on() {
    let terms = Terms { dedupe: Some(Dedupe { by: DedupeBy::Video, within: seconds(60) }), ..Terms::default() };
    let mut memory = RuleMemory::default();
    let mut admit = |number, video, second| memory.admit("r", &terms, &event(number, video), at(second));
    assert!(matches!(admit(1, "a", 0), Admission::Owed { .. }));
    assert_eq!(admit(2, "a", 59), Admission::Deduplicated);
    assert!(matches!(admit(3, "b", 59), Admission::Owed { .. }));
    assert!(matches!(admit(4, "a", 60), Admission::Owed { .. }), "what was dropped does not draw it out");
    let other = Terms { dedupe: Some(Dedupe { by: DedupeBy::Runner, within: seconds(60) }), ..Terms::default() };
    for number in 5..8 {
        let admitted = memory.admit("r", &other, &event(number, "a"), at(61));
        assert!(matches!(admitted, Admission::Owed { .. }), "of no runner, each is its own");
    }
}

#[test]
fn a_batch_takes_what_happens_within_it_and_counts_as_one_for_the_limit() {
    let limit = Some(Limit { most: 1, within: seconds(3600) });
    let terms = Terms { batch: Some(seconds(30)), limit, ..Terms::default() };
    let mut memory = RuleMemory::default();
    let mut admit = |number: u64, second| memory.admit("r", &terms, &event(number, "a"), at(second));
    let delivery = delivery_id(&event(1, "a").id, "r");
    assert_eq!(admit(1, 0), Admission::Owed { delivery: delivery.clone(), due: at(30) });
    assert_eq!(admit(2, 29), Admission::Joins { delivery });
    assert_eq!(admit(3, 30), Admission::Limited);
}

#[test]
fn a_batch_is_closed_when_it_is_full_or_under_way() {
    let terms = Terms { batch: Some(seconds(30)), ..Terms::default() };
    let mut memory = RuleMemory::default();
    let begun =
        (0..1200).filter(|i| matches!(memory.admit("r", &terms, &event(*i, "a"), at(0)), Admission::Owed { .. }));
    assert_eq!(begun.count(), 3);
    let open = memory.open_batches();
    assert_eq!(open.len(), 1);
    memory.close_batch(&open[0]);
    assert!(matches!(memory.admit("r", &terms, &event(2000, "a"), at(0)), Admission::Owed { .. }));
}

#[test]
fn quiet_hours_hold_until_they_end_and_a_batch_goes_on_collecting() {
    let quiet = Some(Quiet::parse("11:00-13:00", TimeZone::UTC).unwrap());
    let mut memory = RuleMemory::default();
    let terms = Terms { quiet: quiet.clone(), ..Terms::default() };
    let owed = [memory.admit("r", &terms, &event(1, "a"), at(0)), memory.admit("r", &terms, &event(2, "a"), at(9000))];
    assert_eq!(dues(&owed), [at(3600), at(9000)]);
    let terms = Terms { quiet, batch: Some(seconds(30)), ..Terms::default() };
    let owed: Vec<_> =
        [0, 100, 3599].map(|second| memory.admit("r", &terms, &event(second as u64, "a"), at(second))).into();
    assert_eq!(dues(&owed), [at(3600)]);
}

proptest! {
    #[test]
    fn no_span_of_the_limit_holds_more_and_nothing_is_lost(
        steps in prop::collection::vec((0..40_i64, 0..5_u8), 1..200), most in 1..5_u32, within in 1..120_i64,
    ) {
        let terms = Terms { limit: Some(Limit { most, within: seconds(within) }), ..Terms::default() };
        let (mut memory, mut second, mut acted, mut summed) = (RuleMemory::default(), 0, Vec::new(), 0);
        for (i, (step, reads)) in steps.iter().enumerate() {
            second += step;
            let text = serde_json::to_string(&memory).unwrap();
            memory = serde_json::from_str(&text).unwrap();
            if *reads == 0 {
                summed += memory.sum_up(&terms, at(second)).map_or(0, |swallowed| swallowed.count);
            }
            if let Admission::Owed { .. } = memory.admit("r", &terms, &event(i as u64, "a"), at(second)) {
                acted.push(second);
            }
        }
        for span in acted.windows(most as usize + 1) {
            prop_assert!(span[most as usize] - span[0] >= within, "{acted:?}");
        }
        summed += memory.sum_up(&terms, at(second + within)).map_or(0, |swallowed| swallowed.count);
        prop_assert_eq!(acted.len() as u64 + summed, steps.len() as u64);
    }
}
