//! The simulated instance and its clock, which moves only while the demo lets it: in
//! equal steps, so that the same time always brings the same history.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use peertube_sim::accounts::Role;
use peertube_sim::jobs::{ListQuery, Version};
use peertube_sim::{Sim, World};

use crate::business::Business;

/// Seconds of the instance in each of ours.
pub(crate) const SPEED: u32 = 60;
/// The administrator whom the daemon signs in as.
pub(crate) const MONITOR: (&str, &str) = ("monitor", "monitor-password");
/// The one whom the plain poller signs in as.
pub(crate) const PLAIN: (&str, &str) = ("plain", "plain-password");

/// How often the clock moves, in our time.
const TICK: Duration = Duration::from_millis(20);
/// How much faster yet it runs when nothing new comes in.
const HURRY: u32 = 15;
/// How long the instance has run before anyone looks.
const PAST: Duration = Duration::from_secs(20 * 60);

pub(crate) struct Instance {
    sim: Sim,
    business: Business,
    /// When the clock began to move.
    start: Timestamp,
}

impl Instance {
    /// One that has been busy for a while, with its clock stopped.
    pub(crate) async fn start(seed: u64) -> std::io::Result<Self> {
        let begun = Timestamp::now() - PAST;
        let mut world = World::new(seed, begun, Version::V8_2);
        for (username, password) in [MONITOR, PLAIN] {
            world.accounts.add(username, password, Role::Administrator);
        }
        let mut business = Business::open(seed, &mut world);
        let start = begun + PAST;
        business.go_on(&mut world, start);
        business.is_watched_from_now_on();
        Ok(Self { sim: Sim::serve(world).await?, business, start })
    }

    pub(crate) fn url(&self) -> String {
        self.sim.url()
    }

    /// Lets the clock run and new work come in, for so long or until it is stopped.
    pub(crate) async fn be_busy(
        &mut self,
        time: Option<Duration>,
        stop: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let mut left = time.map(|time| time.div_duration_f64(TICK).round() as u64);
        let mut ticks = tokio::time::interval(TICK);
        let mut stop = std::pin::pin!(stop);
        while left != Some(0) {
            tokio::select! {
                stopped = &mut stop => return stopped,
                _ = ticks.tick() => {}
            }
            let business = &mut self.business;
            self.sim.with(|world| business.go_on(world, world.now() + TICK * SPEED));
            left = left.map(|left| left - 1);
        }
        Ok(())
    }

    /// Lets the clock run, faster, until all that was begun has ended.
    pub(crate) async fn rest(&self) {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            self.sim.advance(TICK * SPEED * HURRY);
            if self.sim.with(|world| is_at_rest(world)) {
                return;
            }
        }
    }

    /// Looks at the world, and at what has happened in it since its clock began to move.
    pub(crate) fn since_start<T>(&self, look: impl FnOnce(&World, Timestamp) -> T) -> T {
        self.sim.with(|world| look(world, self.start))
    }

    /// How long the clock has run.
    pub(crate) fn passed(&self) -> String {
        let passed = self.sim.with(|world| world.now()).duration_since(self.start);
        format!("{:#}", SignedDuration::from_mins(passed.as_mins()))
    }
}

/// Whether nothing is left to do but what recurs for ever.
fn is_at_rest(world: &World) -> bool {
    ["active", "waiting", "delayed"].into_iter().all(|state| {
        let query = ListQuery { state: Some(state), count: 100, ..ListQuery::default() };
        world.jobs.list(&query).is_ok_and(|listing| listing.rows.iter().all(|row| row.id.starts_with("repeat:")))
    })
}
