use sqlx::{AssertSqlSafe, Executor};

use super::*;
use crate::store::Access;

const OWED: i64 = 20_000;

/// A state in which one rule owes ten thousand deliveries, three others the rest, and a
/// tenth of all is dead.
async fn deep_in_debt(path: &std::path::Path) -> Store {
    let store = Store::open(path, Access::Daemon).await.unwrap();
    let fill = format!(
        "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {OWED})
         INSERT INTO deliveries
             (seq, id, rule, action, instance, state, is_batch, is_sealed, created_at, first_due_at, due_at, tries)
         SELECT n, 'an-id-as-long-as-they-are-' || n, 'rule ' || max(n % 6 - 2, 0), 'webhook', 'main',
                CASE WHEN n % 10 = 0 THEN 'dead' ELSE 'pending' END, 0, 0, 5000 + n, 5000 + n, 5000 + n, 0
         FROM number"
    );
    store.writer.as_ref().unwrap().pool.execute(AssertSqlSafe(fill)).await.unwrap();
    store
}

#[tokio::test]
async fn what_couriers_ask_is_found_by_an_index_and_sorts_nothing() {
    let home = tempfile::tempdir().unwrap();
    let store = deep_in_debt(&home.path().join("state.db")).await;
    for (question, index) in [
        (NEXT, "INDEX deliveries_turn"),
        (NEXT_FRESH, "INDEX deliveries_turn"),
        (NEXT_BY_HAND, "INDEX deliveries_turn"),
        (NEXT_DUE, "COVERING INDEX deliveries_due"),
        (OWES, "COVERING INDEX deliveries_turn"),
    ] {
        let plan = sqlx::query_as(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {question}")));
        let steps: Vec<(i64, i64, i64, String)> = plan.fetch_all(&store.readers).await.unwrap();
        assert!(steps.iter().any(|step| step.3.contains(index)), "{question}: {steps:?}");
        assert!(!steps.iter().any(|step| step.3.contains("TEMP B-TREE")), "{question}: {steps:?}");
    }
}

#[tokio::test]
async fn of_twenty_thousand_deliveries_the_oldest_that_is_due_comes_next_and_all_are_counted() {
    let home = tempfile::tempdir().unwrap();
    let store = deep_in_debt(&home.path().join("state.db")).await;
    let owes = store.owes().await.unwrap();
    assert_eq!(owes.iter().map(|owes| owes.pending + owes.dead).sum::<u64>(), OWED as u64);
    assert_eq!(owes.iter().map(|owes| owes.dead).sum::<u64>(), OWED as u64 / 10);
    assert_eq!(owes[0].oldest_pending_at, Some(Timestamp::from_millisecond(5001).unwrap()));
    let first = store.next_owed("rule 0", Timestamp::now(), Turn::Oldest).await.unwrap();
    assert!(matches!(&first, Next::Owed(owed) if owed.seq == 1), "{first:?}");
    let early = store.next_owed("rule 0", Timestamp::UNIX_EPOCH, Turn::Fresh).await.unwrap();
    assert_eq!(early, Next::At(Timestamp::from_millisecond(5001).unwrap()));
}

#[tokio::test]
async fn old_dead_letters_go_with_the_old_events_and_what_is_owed_stays() {
    let home = tempfile::tempdir().unwrap();
    let store = deep_in_debt(&home.path().join("state.db")).await;
    let pool = &store.writer.as_ref().unwrap().pool;
    for statement in [
        "UPDATE deliveries SET tried_at = seq",
        "INSERT INTO delivery_events (delivery, position, event) SELECT seq, 0, '{}' FROM deliveries",
    ] {
        pool.execute(statement).await.unwrap();
    }
    let pruned = store.prune(Timestamp::from_millisecond(OWED / 2).unwrap(), Timestamp::UNIX_EPOCH).await.unwrap();
    // One in ten is dead, and those from the middle on are young.
    assert_eq!(pruned.dead_letters, OWED as u64 / 20 - 1);
    let owes = store.owes().await.unwrap();
    assert_eq!(owes.iter().map(|owes| owes.pending).sum::<u64>(), OWED as u64 * 9 / 10);
    let events: i64 =
        sqlx::query_scalar("SELECT count(*) FROM delivery_events").fetch_one(&store.readers).await.unwrap();
    assert_eq!(events, OWED - OWED / 20 + 1);
}
