//! Which part of the instance answers what.

use super::ask::Ask;
use super::record::Requests;
use super::reply::Reply;
use super::{access, jobs, moderation, runners, server, token, videos};
use crate::accounts::Role;
use crate::world::World;

/// A question that the face understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Client,
    Token,
    Me,
    Jobs(Option<&'a str>),
    CancelJob(&'a str, &'a str),
    Runners,
    RunnerJobs,
    Videos,
    Video(&'a str),
    Transcode(&'a str),
    Config,
    Ping,
    Nodeinfo,
    Stats,
    Abuses,
    Registrations,
    Users,
    Plugins,
    Notifications,
    /// Of the API, but not one that there is.
    Unknown,
    /// Not of the API.
    Elsewhere,
    /// Of another application.
    Outside,
}

/// The rest of a path below a base.
pub(super) fn below<'a>(base: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl<'a> Route<'a> {
    pub(super) fn of(method: &str, path: &'a str) -> Self {
        let path = path.strip_suffix('/').unwrap_or(path);
        if path == "/nodeinfo/2.0.json" {
            return Self::Nodeinfo;
        }
        let Some(path) = path.strip_prefix("/api/v1/") else { return Self::Elsewhere };
        let parts: Vec<_> = path.split('/').collect();
        match (method, parts.as_slice()) {
            ("GET", ["oauth-clients", "local"]) => Self::Client,
            ("POST", ["users", "token"]) => Self::Token,
            ("GET", ["users", "me"]) => Self::Me,
            ("GET", ["jobs"]) => Self::Jobs(None),
            ("GET", ["jobs", state]) => Self::Jobs(Some(state)),
            ("POST", ["jobs", job_type, id, "cancel"]) => Self::CancelJob(job_type, id),
            ("GET", ["runners"]) => Self::Runners,
            ("GET", ["runners", "jobs"]) => Self::RunnerJobs,
            ("GET", ["videos"]) => Self::Videos,
            ("GET", ["videos", id]) => Self::Video(id),
            ("POST", ["videos", id, "transcoding"]) => Self::Transcode(id),
            ("GET", ["config"]) => Self::Config,
            ("GET", ["ping"]) => Self::Ping,
            ("GET", ["server", "stats"]) => Self::Stats,
            ("GET", ["abuses"]) => Self::Abuses,
            ("GET", ["users", "registrations"]) => Self::Registrations,
            ("GET", ["users"]) => Self::Users,
            ("GET", ["plugins"]) => Self::Plugins,
            ("GET", ["users", "me", "notifications"]) => Self::Notifications,
            _ => Self::Unknown,
        }
    }

    /// As the counts name it.
    pub(super) fn name(self) -> String {
        let name = match self {
            Self::Client => "oauth_clients_local",
            Self::Token => "users_token",
            Self::Me => "users_me",
            Self::Jobs(None) => "jobs",
            Self::Jobs(Some(state)) => return format!("jobs/{state}"),
            Self::CancelJob(..) => "job_cancel",
            Self::Runners => "runners",
            Self::RunnerJobs => "runners/jobs",
            Self::Videos => "videos",
            Self::Video(_) => "video",
            Self::Transcode(_) => "video_transcoding",
            Self::Config => "config",
            Self::Ping => "ping",
            Self::Nodeinfo => "nodeinfo",
            Self::Stats => "server_stats",
            Self::Abuses => "abuses",
            Self::Registrations => "users_registrations",
            Self::Users => "users",
            Self::Plugins => "plugins",
            Self::Notifications => "users_me_notifications",
            Self::Unknown => "unknown",
            Self::Elsewhere => "elsewhere",
            Self::Outside => "outside",
        };
        name.to_owned()
    }
}

/// Answers as the instance does: limits first, then rights, then the question.
pub(super) fn answer(world: &mut World, ask: &Ask<'_>, route: Route<'_>, requests: &mut Requests) -> Reply {
    if matches!(route, Route::Ping | Route::Unknown | Route::Elsewhere | Route::Outside) {
        return plain(route);
    }
    let now = world.now();
    let mut allowances = vec![world.limits.api.hit(now, ask.address())];
    if route == Route::Token {
        allowances.push(world.limits.token.hit(now, ask.address()));
    }
    // The last limit that counts a request is the one that its reply tells of.
    let told = allowances[allowances.len() - 1];
    let exceeded = allowances.into_iter().find(|allowance| allowance.exceeded);
    let Some(exceeded) = exceeded else { return ask_world(world, ask, route, requests).limits(told) };
    let retry_after = exceeded.retry_after(now);
    match access::visitor(world, ask, None) {
        Ok(Some(account)) if account.role != Role::User => {
            ask_world(world, ask, route, requests).limits(told).header("Retry-After", retry_after)
        }
        Ok(_) => Reply::too_many(retry_after).limits(exceeded),
        Err(refusal) => refusal.limits(exceeded),
    }
}

fn plain(route: Route<'_>) -> Reply {
    match route {
        Route::Ping => server::ping(),
        Route::Outside => Reply::of_another(404),
        Route::Elsewhere => Reply::html(404, "<!DOCTYPE html><title>PeerTube</title>"),
        _ => Reply::unknown_route(),
    }
}

fn ask_world(world: &mut World, ask: &Ask<'_>, route: Route<'_>, requests: &mut Requests) -> Reply {
    let answer = match route {
        Route::Client => Ok(token::client(world, ask)),
        Route::Token => Ok(token::token(world, ask)),
        Route::Me => server::me(world, ask),
        Route::Jobs(state) => jobs::list(world, ask, state, requests),
        Route::CancelJob(job_type, id) => jobs::cancel(world, ask, job_type, id),
        Route::Runners => runners::runners(world, ask),
        Route::RunnerJobs => runners::jobs(world, ask),
        Route::Videos => videos::list(world, ask),
        Route::Video(id) => videos::one(world, ask, id),
        Route::Transcode(id) => videos::transcode(world, ask, id),
        Route::Config => Ok(server::config(world)),
        Route::Nodeinfo => Ok(server::nodeinfo(world)),
        Route::Stats => Ok(server::stats(world, ask)),
        Route::Abuses => moderation::abuses(world, ask),
        Route::Registrations => moderation::registrations(world, ask),
        Route::Users => moderation::users(world, ask),
        Route::Plugins => moderation::plugins(world, ask),
        Route::Notifications => moderation::notifications(world, ask),
        Route::Ping | Route::Unknown | Route::Elsewhere | Route::Outside => Ok(plain(route)),
    };
    answer.unwrap_or_else(|refusal| refusal)
}
