//! The routes of remote runners and their jobs, for administrators.

use super::access::{self, MANAGE_RUNNERS};
use super::ask::Ask;
use super::page::{Page, invalid_value};
use super::reply::Reply;
use crate::jobs::Version;
use crate::runners::{Runner, RunnerJobsQuery, SORTS};
use crate::world::World;

pub(super) fn runners(world: &World, ask: &Ask<'_>) -> Result<Reply, Reply> {
    let page = page(world, ask, "/")?;
    let all = world.runners.runners();
    let rows = all.iter().skip(page.0).take(page.1).map(Runner::row).collect();
    Ok(Reply::page(Some(all.len() as u64), rows))
}

pub(super) fn jobs(world: &World, ask: &Ask<'_>) -> Result<Reply, Reply> {
    let (start, count) = page(world, ask, "/jobs")?;
    let sort = ask.query("sort").unwrap_or("-updatedAt");
    if !SORTS.contains(&sort.strip_prefix('-').unwrap_or(sort)) {
        return Err(invalid_value(ask, "sort", sort, "query", "getRunnerJobs").reply(world.version()));
    }
    let state_one_of = ask.query_all("stateOneOf").filter_map(|state| state.parse().ok()).collect();
    let (total, jobs) = world.runners.list(&RunnerJobsQuery { start, count, sort, state_one_of });
    let host = world.host.as_deref().unwrap_or_default();
    let rows = jobs.into_iter().map(|job| world.runners.row(job, host)).collect();
    Ok(Reply::page(Some(total), rows))
}

/// Start and count, for who may ask. Runners came with 5.2.
fn page(world: &World, ask: &Ask<'_>, route: &str) -> Result<(usize, usize), Reply> {
    let version = world.version();
    if version == Version::QuickStart {
        return Err(Reply::unknown_route());
    }
    access::administrator(world, ask, MANAGE_RUNNERS, route, None)?;
    let page = Page::of(ask, version, "getRunners")?;
    Ok((usize::try_from(page.start).unwrap_or(usize::MAX), usize::try_from(page.count).unwrap_or(0)))
}
