//! The routes of the videos. What a visitor may not see is left out of lists, and
//! refused by its own address.

use super::access::{self, RUN_TRANSCODING};
use super::ask::Ask;
use super::page::{Page, invalid_value};
use super::problem::{Invalid, Problem};
use super::reply::Reply;
use crate::accounts::{Account, Role};
use crate::jobs::Version;
use crate::videos::{Privacy, SORTS, Sort, Video, VideoQuery, VideoState};
use crate::world::World;

const NOT_ALLOWED: &str = "You are not allowed to see all videos, specify a custom include or auto tags filter.";

pub(super) fn list(world: &World, ask: &Ask<'_>) -> Result<Reply, Reply> {
    const DOCS: &str = "getVideos";
    let version = world.version();
    let account = access::visitor(world, ask, Some(DOCS))?;
    let page = Page::of(ask, version, DOCS)?;
    let sort = ask.query("sort").unwrap_or("-publishedAt");
    let key = sort.strip_prefix('-').unwrap_or(sort);
    if !SORTS.contains(&key) {
        return Err(invalid_value(ask, "sort", sort, "query", DOCS).reply(version));
    }
    // Instances of the first years know none of what came later, and say nothing.
    let old = version == Version::QuickStart;
    let numbers = |name: &str| -> Vec<u64> { ask.query_all(name).filter_map(|value| value.parse().ok()).collect() };
    let flag = |name: &str| match ask.query(name) {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    };
    let include = if old { 0 } else { ask.query("include").and_then(|bits| bits.parse().ok()).unwrap_or(0) };
    let privacy_one_of = if old { Vec::new() } else { numbers("privacyOneOf") };
    let state_one_of = if version == Version::V8_2 { numbers("stateOneOf") } else { Vec::new() };
    let wants_all = include != 0 || !privacy_one_of.is_empty() || !state_one_of.is_empty();
    if wants_all && !account.is_some_and(sees_all) {
        return Err(Problem::new(401, NOT_ALLOWED).docs(DOCS).reply(version));
    }
    let query = VideoQuery {
        start: usize::try_from(page.start).unwrap_or(usize::MAX),
        count: usize::try_from(page.count).unwrap_or(0),
        sort: Sort { key: key.to_owned(), descending: sort.starts_with('-') },
        is_local: if old { None } else { flag("isLocal") },
        // Hidden unless asked for.
        nsfw: if ask.query("nsfw") == Some("both") { None } else { Some(flag("nsfw").unwrap_or(false)) },
        include,
        privacy_one_of,
        state_one_of,
        search: ask.query("search").map(str::to_owned),
        signed_in: account.is_some(),
    };
    let (total, videos) = world.videos.list(&query);
    let host = world.host.as_deref().unwrap_or_default();
    let rows = videos.into_iter().map(|video| video.row(version, host, include)).collect();
    let counted = old || flag("skipCount") != Some(true);
    Ok(Reply::page(counted.then_some(total), rows))
}

pub(super) fn one(world: &World, ask: &Ask<'_>, id: &str) -> Result<Reply, Reply> {
    const DOCS: &str = "getVideo";
    let version = world.version();
    let account = access::visitor(world, ask, Some(DOCS))?;
    let problem = |status, detail: &str| Problem::new(status, detail).docs(DOCS);
    if !is_video_id(id) {
        let message = "Should have a valid id, a short UUID or a UUID";
        let invalid = Invalid { name: "id", value: id.to_owned(), message, location: "params" };
        return Err(Problem::invalid(ask, invalid).docs(DOCS).reply(version));
    }
    let video = world.videos.find(id).ok_or_else(|| problem(404, "Video not found").reply(version))?;
    let may = account.is_some_and(|account| sees_all(account) || account.username == video.owner);
    if !may {
        refusal(video, account, id).map_or(Ok(()), |refusal| Err(refusal.docs(DOCS).reply(version)))?;
    }
    Ok(Reply::json(&video.whole(version, world.host.as_deref().unwrap_or_default())))
}

/// Transcodes again what has been transcoded, or has failed to be. For administrators.
pub(super) fn transcode(world: &mut World, ask: &Ask<'_>, id: &str) -> Result<Reply, Reply> {
    const DOCS: &str = "createVideoTranscoding";
    let version = world.version();
    if version == Version::QuickStart {
        return Err(Reply::unknown_route());
    }
    access::administrator(world, ask, RUN_TRANSCODING, "/transcoding", Some(DOCS))?;
    let problem = |status, detail: &str| Problem::new(status, detail).docs(DOCS);
    let body = ask.json().unwrap_or_default();
    let wanted = body["transcodingType"].as_str().unwrap_or_default();
    if !matches!(wanted, "hls" | "web-video") {
        return Err(invalid_value(ask, "transcodingType", wanted, "body", DOCS).reply(version));
    }
    let video = world.videos.find(id).ok_or_else(|| problem(404, "Video not found").reply(version))?;
    // One that should be under way is taken again by force.
    let is_forced = body["forceTranscoding"] == true && video.state == VideoState::ToTranscode;
    if !is_forced && !matches!(video.state, VideoState::Published | VideoState::TranscodingFailed) {
        let busy = problem(409, "This video is already being transcoded").code("video_already_being_transcoded");
        return Err(busy.reply(version));
    }
    let uuid = video.uuid.clone();
    world.transcode_again(&uuid);
    Ok(Reply::nothing())
}

fn refusal(video: &Video, account: Option<&Account>, id: &str) -> Option<Problem> {
    if video.blocked.is_some() {
        return Some(Problem::new(403, "This video is blocked"));
    }
    let by_number = id.bytes().all(|byte| byte.is_ascii_digit());
    match video.privacy {
        Privacy::PasswordProtected => Some(
            Problem::new(403, "Please provide a password to access this password protected video")
                .code("video_requires_password"),
        ),
        Privacy::Internal if account.is_none() => Some(Problem::new(401, "Token is invalid")),
        Privacy::Private => Some(Problem::new(if account.is_none() { 401 } else { 403 }, "Cannot fetch video")),
        // Who knows the long address may see it; counting up numbers helps nobody.
        Privacy::Unlisted if by_number => Some(Problem::new(404, "Video not found")),
        _ => None,
    }
}

fn sees_all(account: &Account) -> bool {
    account.role != Role::User
}

fn is_video_id(id: &str) -> bool {
    let number = !id.is_empty() && id.len() < 10 && id.bytes().all(|byte| byte.is_ascii_digit());
    let short = id.len() == 22 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let long = id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    number || short || long
}
