//! Who asks, and whether they may.

use super::ask::Ask;
use super::problem::Problem;
use super::reply::Reply;
use crate::accounts::{Account, Role};
use crate::jobs::Version;
use crate::world::World;

/// PeerTube's number of the right to manage jobs.
pub(super) const MANAGE_JOBS: u64 = 7;
/// That to transcode again.
pub(super) const RUN_TRANSCODING: u64 = 26;
/// And that of runners.
pub(super) const MANAGE_RUNNERS: u64 = 29;

/// Who asks, where anyone may; but a token, if there is one, must be good.
pub(super) fn visitor<'w>(
    world: &'w World,
    ask: &Ask<'_>,
    docs: Option<&'static str>,
) -> Result<Option<&'w Account>, Reply> {
    let Some(authorization) = ask.header("authorization") else { return Ok(None) };
    let refusal = |status, code| {
        let problem = Problem::new(status, "Token is invalid").code(code).docs(docs);
        problem.reply(world.version())
    };
    let token = authorization.strip_prefix("Bearer ").ok_or_else(|| refusal(400, "invalid_request"))?;
    match world.accounts.authenticate(world.now(), token) {
        Some(account) => Ok(Some(account)),
        None => Err(refusal(401, "invalid_token")),
    }
}

/// Who asks, where one must be signed in.
pub(super) fn member<'w>(world: &'w World, ask: &Ask<'_>, docs: Option<&'static str>) -> Result<&'w Account, Reply> {
    visitor(world, ask, docs)?.ok_or_else(|| {
        let problem = Problem::new(401, "Token is invalid").code("unauthorized_request").docs(docs);
        problem.reply(world.version())
    })
}

/// An administrator, else 403. `route` is the path below that of the resource.
pub(super) fn administrator<'w>(
    world: &'w World,
    ask: &Ask<'_>,
    right: u64,
    route: &str,
    docs: Option<&'static str>,
) -> Result<&'w Account, Reply> {
    with_right(world, ask, |role| role == Role::Administrator, right, route, docs)
}

/// A moderator or an administrator, else 403.
pub(super) fn moderator<'w>(
    world: &'w World,
    ask: &Ask<'_>,
    right: u64,
    route: &str,
    docs: &'static str,
) -> Result<&'w Account, Reply> {
    with_right(world, ask, |role| role != Role::User, right, route, Some(docs))
}

fn with_right<'w>(
    world: &'w World,
    ask: &Ask<'_>,
    has: impl FnOnce(Role) -> bool,
    right: u64,
    route: &str,
    docs: Option<&'static str>,
) -> Result<&'w Account, Reply> {
    let account = member(world, ask, docs)?;
    if has(account.role) {
        return Ok(account);
    }
    let username = &account.username;
    let detail = match world.version() {
        Version::QuickStart => format!("User {username} does not have right MANAGE_JOBS to access to {route}."),
        Version::V6_3 => format!("User {username} does not have right {right} to access to {route}."),
        Version::V8_2 => format!("User {username} does not have right (No. {right}) to access to {}.", ask.path()),
    };
    Err(Problem::new(403, detail).docs(docs).reply(world.version()))
}
