//! `tubewarden check --online`: what each instance says of itself and of the account.
//! Nothing is stored, no token that a daemon lives by is renewed, and nobody is asked
//! to sign in by password more than once.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;

use super::visit::kept_tokens;
use crate::config::{self, Config};
use crate::core::poll::PollKind;
use crate::core::rights::Role;
use crate::core::text::clean;
use crate::core::video::{Scope, VideoSort, VideosQuery};
use crate::daemon::interval;
use crate::peertube::{self, Client, MemoryHost, SignIn, TokenPair};
use crate::poll::client_options;
use crate::store::{Access, Store};

/// Instances asked at the same time.
const AT_ONCE: usize = 16;
/// Clocks may differ by so much.
const MOST_SKEW: SignedDuration = SignedDuration::from_secs(2);
/// PeerTube's default limit for all but administrators, in [`LIMIT_WINDOW`].
const LIMIT: u64 = 50;
const LIMIT_WINDOW: Duration = Duration::from_secs(10);

pub(super) async fn check(config: &Config) -> anyhow::Result<()> {
    // Readable or not, older or not: without it a password will do.
    let store = Store::open(&config.state.path, Access::Beside).await.ok();
    let mut failed = 0;
    for instances in config.instances.chunks(AT_ONCE) {
        let mut visits: Vec<JoinHandle<Visit>> = Vec::new();
        for instance in instances {
            let kept = match &store {
                Some(store) => kept_tokens(instance, store).await,
                None => None,
            };
            let (instance, scope) = (instance.clone(), config.videos.scope);
            visits.push(tokio::spawn(async move { visit(&instance, scope, kept).await }));
        }
        for visit in visits {
            let visit = visit.await?;
            failed += usize::from(!visit.is_well);
            let text = visit.lines.join("\n  ");
            writeln!(std::io::stdout(), "\n{text}").context("write to standard output")?;
        }
    }
    match failed {
        0 => Ok(()),
        _ => Err(anyhow!("{failed} of {} instances can't be watched as configured", config.instances.len())),
    }
}

/// What an instance was found to be.
struct Visit {
    lines: Vec<String>,
    is_well: bool,
}

impl Visit {
    fn say(&mut self, label: &str, text: &str) {
        self.lines.push(format!("{label:<11} {text}"));
    }

    fn fail(&mut self, label: &str, error: &peertube::Error) {
        self.is_well = false;
        self.say(label, &clean(&error.to_string(), 1000));
    }
}

async fn visit(instance: &config::Instance, scope: Scope, kept: Option<TokenPair>) -> Visit {
    let name = &instance.origin.name;
    let mut visit = Visit { lines: vec![format!("{name}  {}", instance.origin.url)], is_well: true };
    if let Err(error) = ask(instance, scope, kept, &mut visit).await {
        visit.is_well = false;
        visit.say("failed", &format!("{error:#}"));
    }
    visit
}

async fn ask(
    instance: &config::Instance,
    scope: Scope,
    kept: Option<TokenPair>,
    visit: &mut Visit,
) -> anyhow::Result<()> {
    // Whether it is there does not depend on the account.
    let mut options = client_options(instance);
    options.account = None;
    match Client::new(options, Arc::new(MemoryHost::default()))?.config().await {
        Ok(config) => visit.say("reached", &format!("PeerTube {}", clean(&config.server_version, 64))),
        Err(error) => {
            visit.fail("not reached", &error);
            return Ok(());
        }
    }

    let kept_until = kept.as_ref().map(|pair| pair.access_expires_at);
    let mut options = client_options(instance);
    options.is_visit = true;
    let host = kept.map_or_else(MemoryHost::default, MemoryHost::holding);
    let client = Client::new(options, Arc::new(host))?;
    let role = match client.has_account() {
        false => {
            visit.say("account", "none: what anyone may see");
            None
        }
        true => match client.me().await {
            Ok(me) => {
                let is_kept = matches!(client.state(), SignIn::SignedIn { access_expires, .. } if Some(access_expires) == kept_until);
                let how = if is_kept { "by the token in the state" } else { "by password" };
                visit.say("account", &format!("signed in as {}, {}, {how}", clean(&me.username, 64), me.role));
                Some(me.role)
            }
            Err(error) => {
                visit.fail("account", &error);
                visit.say("polls", "none but of what takes no account, until that is mended");
                return Ok(());
            }
        },
    };
    for kind in PollKind::ALL {
        match kind.needs().are_met_by(role) {
            true => visit.say("on", kind.as_str()),
            false => visit.say("off", &format!("{kind}: needs {}", kind.needs())),
        }
    }

    let everything = role.is_some_and(Role::moderates);
    let before = Timestamp::now();
    let sort = VideoSort::NewestPublished;
    let videos = client.videos(&VideosQuery { start: 0, count: 1, sort, scope, skip_count: false, everything }).await;
    match videos {
        Ok(page) => {
            if let Some(skew) = skew(page.date, before, Timestamp::now()) {
                visit.say("warning", &skew);
            }
            if role != Some(Role::Administrator) {
                visit.say("warning", &limit(instance, role, page.total.unwrap_or(0)));
            }
        }
        Err(error) => visit.fail("videos", &error),
    }
    Ok(())
}

/// What a `Date`, given between two moments of our clock, says of the two clocks. It
/// has whole seconds.
fn skew(date: Timestamp, before: Timestamp, after: Timestamp) -> Option<String> {
    let ahead = date.duration_since(after);
    let behind = before.duration_since(date) - SignedDuration::from_secs(1);
    let (by, how) = if ahead > behind { (ahead, "ahead of") } else { (behind, "behind") };
    (by > MOST_SKEW).then(|| {
        format!("the instance's clock is {} s {how} this one: one-time codes and ages go wrong by it", by.as_secs())
    })
}

/// Without an administrator's token all that comes from one address shares a limit.
fn limit(instance: &config::Instance, role: Option<Role>, videos: u64) -> String {
    let ours: u64 = PollKind::ALL
        .into_iter()
        .filter(|kind| kind.needs().are_met_by(role))
        .map(|kind| requests(kind, videos).saturating_mul(times(interval(instance.polls.when(kind)))))
        .sum();
    let ours = ours + u64::from(role.is_some());
    let account = if role.is_some() { "this account is no administrator" } else { "there is no account" };
    let verdict = if ours > LIMIT { "which is too many: poll less often" } else { "more while videos are under way" };
    format!(
        "{account}, so PeerTube's limit of {LIMIT} requests in {} s is shared with all who come from this address; \
         these polls make up to {ours}, {verdict}",
        LIMIT_WINDOW.as_secs()
    )
}

/// Requests of one run, as long as nothing is under way.
fn requests(kind: PollKind, videos: u64) -> u64 {
    match kind {
        // Pages of a hundred overlap by ten.
        PollKind::VideosFull => videos / 90 + 1,
        PollKind::Videos => 2,
        PollKind::Runners => 3,
        PollKind::Moderation => 4,
        PollKind::Jobs | PollKind::Config | PollKind::Stats => 1,
    }
}

/// How often a poll can run within the window of the limit.
fn times(interval: Duration) -> u64 {
    let interval = interval.as_secs().max(1);
    LIMIT_WINDOW.as_secs().div_ceil(interval).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_by_more_than_two_seconds_are_told() {
        let at = |text: &str| format!("2026-11-24T10:00:{text}Z").parse::<Timestamp>().unwrap();
        // A Date of 10 was given somewhere from 10.0 to 10.999.
        assert_eq!(skew(at("10"), at("10.2"), at("10.4")), None);
        assert_eq!(skew(at("10"), at("07.9"), at("08.1")), None);
        assert_eq!(skew(at("10"), at("13"), at("13.1")), None);
        assert!(skew(at("10"), at("07.0"), at("07.5")).unwrap().contains("is 2 s ahead of this one"));
        assert!(skew(at("10"), at("16"), at("17")).unwrap().contains("is 5 s behind this one"));
    }

    #[test]
    fn a_poll_runs_as_often_as_its_interval_fits_into_the_window() {
        let times = |seconds| times(Duration::from_secs(seconds));
        assert_eq!([times(1), times(3), times(10), times(11), times(3600)], [10, 4, 1, 1, 1]);
        assert_eq!([requests(PollKind::VideosFull, 0), requests(PollKind::VideosFull, 5000)], [1, 56]);
    }
}
