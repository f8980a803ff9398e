//! The routes of the queues, for administrators.

use super::access::{self, MANAGE_JOBS};
use super::ask::Ask;
use super::page::{Page, invalid_value};
use super::problem::Problem;
use super::record::Requests;
use super::reply::Reply;
use crate::jobs::{JobView, ListQuery, Naming, Version};
use crate::world::World;

const DOCS: &str = "getJobs";

pub(super) fn list(world: &World, ask: &Ask<'_>, state: Option<&str>, requests: &mut Requests) -> Result<Reply, Reply> {
    let version = world.version();
    let by_states = world.jobs.naming == Naming::ByStates;
    if by_states && state.is_some() {
        return Err(Reply::unknown_route());
    }
    let state = if by_states { ask.query("states") } else { state };
    let route = format!("/{}", state.unwrap_or_default());
    access::administrator(world, ask, MANAGE_JOBS, &route, Some(DOCS))?;
    let page = Page::of(ask, version, DOCS)?;
    let oldest_first = match ask.query("sort") {
        None | Some("-createdAt") => false,
        Some("createdAt") => true,
        Some(sort) => return Err(invalid_value(ask, "sort", sort, "query", DOCS).reply(version)),
    };
    let job_type = ask.query("jobType");
    let query = ListQuery { state, job_type, start: page.start, count: page.count, oldest_first };
    let listing = world.jobs.list(&query).map_err(|error| {
        let (value, location) = match error.parameter() {
            "state" => (state, "params"),
            "jobType" => (job_type, "query"),
            other => (ask.query(other), "query"),
        };
        invalid_value(ask, error.parameter(), value.unwrap_or_default(), location, DOCS).reply(version)
    })?;
    requests.read_rows(state, listing.rows_read);
    let rows = listing.rows.iter().map(JobView::to_json).collect();
    Ok(Reply::page(Some(listing.total), rows))
}

/// Since 8.2.
pub(super) fn cancel(world: &mut World, ask: &Ask<'_>, job_type: &str, id: &str) -> Result<Reply, Reply> {
    if world.version() != Version::V8_2 {
        return Err(Reply::unknown_route());
    }
    access::administrator(world, ask, MANAGE_JOBS, "", None)?;
    match world.jobs.cancel(job_type, id) {
        Ok(()) => Ok(Reply::nothing()),
        Err(error) => Err(Problem::new(error.status(), error.to_string()).reply(world.version())),
    }
}
