//! One round of every poll, as the daemon makes it when it starts, and no second one.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{FIRST_RUNS, open, prune};
use crate::config::Config;
use crate::core::poll::PollKind;
use crate::metrics::Metrics;
use crate::poll::Ended;
use crate::rules::Rules;
use crate::store::Store;

/// How each poll of each instance ended, in the order of the configuration.
pub type OneRound = Vec<(String, PollKind, Ended)>;

/// Polls every instance, or `only` the one of that name. What was learnt is in the
/// store. Dropped before its end it leaves what was committed by then.
pub async fn one_round(config: &Config, store: &Arc<Store>, only: Option<&str>) -> anyhow::Result<OneRound> {
    // Nobody scrapes it; the polls tell what they measure all the same.
    let metrics = Metrics::new(open::BUILD)?;
    // What is owed is written, and delivered by the next daemon.
    let rules = Arc::new(Rules::open(config, store, metrics.rules()).await?);
    let first_runs = Arc::new(Semaphore::new(FIRST_RUNS));
    let mut polls = JoinSet::new();
    let is_wanted = |name: &str| only.is_none_or(|only| only == name);
    let mut place = 0_usize;
    for instance in config.instances.iter().filter(|instance| is_wanted(&instance.origin.name)) {
        let opened =
            open::open(instance, config, store, open::measured(instance, &metrics, None)?, &rules, None).await?;
        for kind in PollKind::ALL {
            let (opened, first_runs, at) = (opened.clone(), first_runs.clone(), place);
            polls.spawn(async move {
                let _turn = first_runs.acquire().await;
                (at, (opened.name().to_owned(), kind, opened.run(kind).await))
            });
            place += 1;
        }
    }
    let mut ended = Vec::with_capacity(place);
    while let Some(poll) = polls.join_next().await {
        ended.push(poll?);
    }
    ended.sort_by_key(|(at, _)| *at);
    // A state that only such rounds write to must not grow for ever either.
    prune(store, config.state.keep_events).await;
    Ok(ended.into_iter().map(|(_, poll)| poll).collect())
}
