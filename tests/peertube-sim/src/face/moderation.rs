//! The routes of moderation, of plugins and of notifications. The oldest versions know
//! none of them, and each says so in its way.

use serde_json::{Value, json};

use super::access;
use super::ask::Ask;
use super::page::{Page, invalid_value};
use super::problem::{Invalid, Problem};
use super::reply::Reply;
use crate::accounts::{Account, Standing};
use crate::jobs::Version;
use crate::moderation::{Case, Cases, Sort};
use crate::world::World;

const MANAGE_USERS: u64 = 1;
const MANAGE_ABUSES: u64 = 6;
const MANAGE_PLUGINS: u64 = 23;
const MANAGE_REGISTRATIONS: u64 = 28;

pub(super) fn abuses(world: &World, ask: &Ask<'_>) -> Result<Reply, Reply> {
    const DOCS: &str = "getAbuses";
    known(world)?;
    access::moderator(world, ask, MANAGE_ABUSES, "/", DOCS)?;
    let states = numbers(ask, "state");
    let host = world.host.as_deref().unwrap_or_default();
    let sorts = ["id", "createdAt", "state"];
    list(world, ask, DOCS, &sorts, &world.moderation.abuses, &states, |case| case.row(host))
}

pub(super) fn registrations(world: &World, ask: &Ask<'_>) -> Result<Reply, Reply> {
    const DOCS: &str = "listRegistrations";
    if world.version() == Version::QuickStart {
        // Taken for the address of a user, whose id this is not.
        access::moderator(world, ask, MANAGE_USERS, "/registrations", DOCS)?;
        let value = "registrations".to_owned();
        let invalid = Invalid { name: "id", value, message: "Should have a valid id", location: "params" };
        return Err(Problem::invalid(ask, invalid).reply(world.version()));
    }
    access::moderator(world, ask, MANAGE_REGISTRATIONS, "/registrations", DOCS)?;
    // Unknown parameters are ignored, and so is this one for long.
    let states = if world.version() == Version::V8_2 { numbers(ask, "stateOneOf") } else { Vec::new() };
    let sorts = ["createdAt", "state"];
    list(world, ask, DOCS, &sorts, &world.moderation.registrations, &states, |case| case.row())
}

/// Everyone who has an account, with how much of the quota is used.
pub(super) fn users(world: &World, ask: &Ask<'_>) -> Result<Reply, Reply> {
    const DOCS: &str = "getUsers";
    access::moderator(world, ask, MANAGE_USERS, "/", DOCS)?;
    let page = Page::of(ask, world.version(), DOCS)?;
    let (name, descending) = sort(world, ask, DOCS, &["id", "username", "createdAt", "videoQuotaUsed"])?;
    let mut users: Vec<&Account> = world.accounts.iter().collect();
    match name {
        "username" => users.sort_by(|a, b| a.username.cmp(&b.username)),
        "videoQuotaUsed" => users.sort_by_key(|user| user.video_quota_used),
        // Numbers are given in the order of creation.
        _ => users.sort_by_key(|user| user.id),
    }
    if descending {
        users.reverse();
    }
    let row = |user: &Account| {
        json!({
            "id": user.id,
            "username": user.username,
            "email": format!("{}@example.com", user.username),
            "role": { "id": user.role.id(), "label": user.role.label() },
            "blocked": user.standing == Standing::Blocked,
            "videoQuota": user.video_quota,
            "videoQuotaDaily": -1,
            "videoQuotaUsed": user.video_quota_used,
            "videoQuotaUsedDaily": 0,
        })
    };
    Ok(paged(&page, users, row))
}

fn list<T>(
    world: &World,
    ask: &Ask<'_>,
    docs: &'static str,
    sorts: &[&str],
    cases: &Cases<T>,
    states: &[u64],
    row: impl Fn(&Case<T>) -> Value,
) -> Result<Reply, Reply> {
    let page = Page::of(ask, world.version(), docs)?;
    let (name, descending) = sort(world, ask, docs, sorts)?;
    let cases = cases.list(states, Sort::of(name).unwrap_or(Sort::CreatedAt), descending);
    Ok(paged(&page, cases, row))
}

pub(super) fn plugins(world: &World, ask: &Ask<'_>) -> Result<Reply, Reply> {
    const DOCS: &str = "getPlugins";
    known(world)?;
    access::administrator(world, ask, MANAGE_PLUGINS, "/", Some(DOCS))?;
    let page = Page::of(ask, world.version(), DOCS)?;
    let (name, descending) = sort(world, ask, DOCS, &["name", "createdAt", "updatedAt"])?;
    let uninstalled = ask.query("uninstalled") == Some("true");
    let kinds = numbers(ask, "pluginType");
    let is_asked = |is_theme: bool| kinds.first().is_none_or(|kind| (*kind == 2) == is_theme);
    let all = world.news.plugins().iter();
    let mut plugins: Vec<_> =
        all.filter(|plugin| plugin.uninstalled == uninstalled && is_asked(plugin.is_theme)).collect();
    plugins.sort_by(|a, b| if name == "name" { a.name.cmp(&b.name) } else { a.created_at.cmp(&b.created_at) });
    if descending {
        plugins.reverse();
    }
    Ok(paged(&page, plugins, |plugin| plugin.row()))
}

pub(super) fn notifications(world: &World, ask: &Ask<'_>) -> Result<Reply, Reply> {
    const DOCS: &str = "getMyNotifications";
    known(world)?;
    let account: &Account = access::member(world, ask, Some(DOCS))?;
    let page = Page::of(ask, world.version(), DOCS)?;
    let (_, newest_first) = sort(world, ask, DOCS, &["createdAt", "read"])?;
    let types = if world.version() == Version::V8_2 { numbers(ask, "typeOneOf") } else { Vec::new() };
    Ok(paged(&page, world.news.told(account.role, &types, newest_first), |told| told.row()))
}

fn known(world: &World) -> Result<(), Reply> {
    if world.version() == Version::QuickStart { Err(Reply::unknown_route()) } else { Ok(()) }
}

fn numbers(ask: &Ask<'_>, name: &str) -> Vec<u64> {
    ask.query_all(name).filter_map(|value| value.parse().ok()).collect()
}

/// The column, and whether it falls.
fn sort<'a>(world: &World, ask: &'a Ask<'_>, docs: &'static str, sorts: &[&str]) -> Result<(&'a str, bool), Reply> {
    let sort = ask.query("sort").unwrap_or("-createdAt");
    let name = sort.strip_prefix('-').unwrap_or(sort);
    if !sorts.contains(&name) {
        return Err(invalid_value(ask, "sort", sort, "query", docs).reply(world.version()));
    }
    Ok((name, sort.starts_with('-')))
}

fn paged<T>(page: &Page, rows: Vec<T>, row: impl Fn(T) -> Value) -> Reply {
    let total = rows.len() as u64;
    let start = usize::try_from(page.start).unwrap_or(usize::MAX);
    let count = usize::try_from(page.count).unwrap_or(0);
    Reply::page(Some(total), rows.into_iter().skip(start).take(count).map(row).collect())
}
