//! What an instance tells of itself and of who asks. Recorded replies, with what the
//! world knows better put in.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};

use super::access;
use super::ask::Ask;
use super::reply::Reply;
use crate::accounts::Role;
use crate::jobs::Version;
use crate::world::World;

/// How long PeerTube keeps its statistics, by address.
const STATS_KEPT: Duration = Duration::from_secs(4 * 3_600);

/// What the oldest versions count.
const OLD_STATS: [&str; 10] = [
    "totalLocalVideos",
    "totalLocalVideoViews",
    "totalLocalVideoFilesSize",
    "totalLocalVideoComments",
    "totalVideos",
    "totalVideoComments",
    "totalUsers",
    "totalInstanceFollowers",
    "totalInstanceFollowing",
    "videosRedundancy",
];

static CONFIG: LazyLock<Value> = LazyLock::new(|| body(include_str!("../../captures/6.3/s5-config-anon.json")));
static NODEINFO: LazyLock<Value> = LazyLock::new(|| body(include_str!("../../captures/6.3/s5-nodeinfo-anon.json")));
static STATS_6_3: LazyLock<Value> =
    LazyLock::new(|| body(include_str!("../../captures/6.3/s5-server-stats-anon.json")));
static STATS_8_2: LazyLock<Value> = LazyLock::new(|| body(include_str!("../../captures/8.2/stats.json")));
static ME_6_3: LazyLock<Value> = LazyLock::new(|| body(include_str!("../../captures/6.3/users-me.json")));
static ME_8_2: LazyLock<Value> = LazyLock::new(|| body(include_str!("../../captures/8.2/users-me.json")));

/// The body of a recorded reply.
fn body(capture: &str) -> Value {
    let mut capture: Value = serde_json::from_str(capture).unwrap_or_default();
    capture["response"]["body"].take()
}

pub(super) fn config(world: &World) -> Reply {
    let mut config = CONFIG.clone();
    config["serverVersion"] = json!(world.server_version);
    Reply::json(&config)
}

pub(super) fn nodeinfo(world: &World) -> Reply {
    let mut info = NODEINFO.clone();
    info["software"]["version"] = json!(world.server_version);
    info["usage"]["localPosts"] = json!(local_videos(world));
    Reply::json(&info)
        .content_type("application/json; charset=utf-8; profile=\"http://nodeinfo.diaspora.software/ns/schema/2.0#\"")
}

pub(super) fn ping() -> Reply {
    Reply::html(200, "pong")
}

pub(super) fn stats(world: &mut World, ask: &Ask<'_>) -> Reply {
    let now = world.now();
    let address = ask.target();
    if let Some((until, kept)) = world.stats_cache.get(&address)
        && *until > now
    {
        return Reply::raw_json(kept.clone());
    }
    let mut stats = match world.version() {
        Version::QuickStart | Version::V6_3 => STATS_6_3.clone(),
        Version::V8_2 => STATS_8_2.clone(),
    };
    let with_role = |role| world.accounts.iter().filter(|account| account.role == role).count();
    stats["totalUsers"] = json!(world.accounts.iter().count());
    stats["totalModerators"] = json!(with_role(Role::Moderator));
    stats["totalAdmins"] = json!(with_role(Role::Administrator));
    stats["totalLocalVideos"] = json!(local_videos(world));
    stats["totalVideos"] = json!(world.videos.len());
    let (abuses, processed, average) = world.moderation.abuses.stats();
    stats["totalAbuses"] = json!(abuses);
    stats["totalAbusesProcessed"] = json!(processed);
    stats["averageAbuseResponseTimeMs"] = json!(average);
    let (registrations, processed, average) = world.moderation.registrations.stats();
    stats["totalRegistrationRequests"] = json!(registrations);
    stats["totalRegistrationRequestsProcessed"] = json!(processed);
    stats["averageRegistrationRequestResponseTimeMs"] = json!(average);
    if world.version() == Version::QuickStart
        && let Value::Object(stats) = &mut stats
    {
        stats.retain(|name, _| OLD_STATS.contains(&name.as_str()));
    }
    let body = stats.to_string().into_bytes();
    world.stats_cache.insert(address, (now + STATS_KEPT, body.clone()));
    Reply::raw_json(body)
}

pub(super) fn me(world: &World, ask: &Ask<'_>) -> Result<Reply, Reply> {
    let account = access::member(world, ask, None)?;
    let mut me = match world.version() {
        Version::QuickStart | Version::V6_3 => ME_6_3.clone(),
        Version::V8_2 => ME_8_2.clone(),
    };
    me["id"] = json!(account.id);
    me["username"] = json!(account.username);
    me["email"] = json!(format!("{}@example.com", account.username));
    me["twoFactorEnabled"] = json!(account.totp_secret.is_some());
    me["account"]["name"] = json!(account.username);
    me["account"]["displayName"] = json!(account.username);
    if world.version() == Version::QuickStart {
        me["role"] = json!(account.role.id());
    } else {
        me["role"] = json!({ "id": account.role.id(), "label": account.role.label() });
    }
    Ok(Reply::json(&me))
}

fn local_videos(world: &World) -> usize {
    world.videos.iter().filter(|video| video.is_local()).count()
}
