//! From the tables of the files to a [`Config`]. Errors are gathered over all files;
//! while there is one, no `Config` leaves here.

mod actions;
mod rules;
mod server;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use toml::de::DeValue;

use crate::core::cron::Cron;
use crate::core::event::Origin;
use crate::core::glob::Globs;
use crate::core::poll::PollKind;

use super::error::{ConfigError, ConfigErrors};
use super::include::included;
use super::secret::Vault;
use super::section::{self, Section};
use super::source::Source;
use super::{
    Config, Instance, JobsPolicy, Log, LogFormat, Polls, Scope, State, StuckActive, VideosPolicy, When, value,
};

/// Jobs of these types come in floods; what matters about them is how many.
const COUNT_ONLY: [&str; 9] = [
    "activitypub-*",
    "federate-video",
    "notify",
    "manage-video-torrent",
    "videos-stats",
    "videos-views-stats",
    "transcoding-job-builder",
    "actor-keys",
    "build-automatic-tags",
];

/// Names of instances, each with the place where it stands.
type Names = BTreeMap<String, String>;

pub(super) fn load(path: &Path, vault: &Vault<'_>) -> Result<Config, ConfigErrors> {
    let whole_file = |key: &str, problem: String| {
        ConfigErrors(vec![ConfigError { file: path.to_owned(), position: None, key: key.to_owned(), problem }])
    };
    let main = Source::read(path).map_err(|problem| {
        whole_file("", format!("{problem}; name another file with -c, or begin with config.example.toml"))
    })?;

    let mut errors = Vec::new();
    let mut names = Names::new();
    let mut seen = rules::Seen::default();
    let read = section::read(&main, &mut errors, |root| {
        let includes = included(root);
        let server = root.table("server", |section| server::server(section, vault));
        let state = root.table("state", state);
        let log = root.table("log", log);
        let jobs = root.table("jobs", jobs);
        let videos = root.table("videos", videos);
        let polls = root.table("poll", |section| polls(section, &Polls::default()));
        let instances = root.tables("instance", |section| instance(section, &polls, &mut names, vault));
        let rules = root.tables("rule", |section| rules::rule(section, &mut seen, vault));
        let schedules = root.tables("schedule", |section| rules::schedule(section, &mut seen, vault));
        (includes, polls, Config { server, state, log, jobs, videos, instances, rules, schedules, exposed: Vec::new() })
    });
    let Some((includes, polls, mut config)) = read else { return Err(ConfigErrors(errors)) };

    for source in &includes {
        let more = section::read(source, &mut errors, |root| {
            for key in ["include", "server", "state", "log", "jobs", "videos", "poll"] {
                root.refuse(
                    key,
                    "belongs into the main file; an included one holds [[instance]], [[rule]] and [[schedule]]",
                );
            }
            let instances = root.tables("instance", |section| instance(section, &polls, &mut names, vault));
            let rules = root.tables("rule", |section| rules::rule(section, &mut seen, vault));
            let schedules = root.tables("schedule", |section| rules::schedule(section, &mut seen, vault));
            (instances, rules, schedules)
        });
        let (instances, rules, schedules) = more.unwrap_or_default();
        config.instances.extend(instances);
        config.rules.extend(rules);
        config.schedules.extend(schedules);
    }
    errors.extend(seen.unknown(|name| names.contains_key(name)));

    if !errors.is_empty() {
        return Err(ConfigErrors(errors));
    }
    if config.instances.is_empty() {
        let problem = "there is none to watch; write at least one [[instance]] with a name and a url";
        return Err(whole_file("instance", problem.to_owned()));
    }
    config.exposed = vault.exposed();
    Ok(config)
}

fn state(section: &mut Section<'_, '_>) -> State {
    let directory = section.source().directory();
    let path = section.get("url", |item| {
        let path = value::sqlite_path(item)?;
        // Absolute, so that it stays the same file wherever the process goes.
        std::path::absolute(directory.join(path))
            .map_err(|error| format!("cannot find the working directory: {error}").into())
    });
    State {
        path: path.unwrap_or_else(|| "/var/lib/tubewarden/state.db".into()),
        keep_events: section
            .get("keep_events", |item| value::duration(item, &value::KEEP_EVENTS))
            .unwrap_or(Duration::from_secs(30 * 86_400)),
    }
}

fn log(section: &mut Section<'_, '_>) -> Log {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    Log {
        format: section.get("format", |item| value::one_of(item, &formats)).unwrap_or(LogFormat::Text),
        filter: section.get("level", value::log_filter).unwrap_or_else(|| "info".to_owned()),
        events: section.get("events", value::event_globs).unwrap_or_else(|| Globs::new(["*", "!job.completed"])),
    }
}

fn jobs(section: &mut Section<'_, '_>) -> JobsPolicy {
    JobsPolicy {
        follow: section.get("follow", value::job_globs).unwrap_or_else(|| Globs::new(["*"])),
        count_only: section.get("count_only", value::job_globs).unwrap_or_else(|| Globs::new(COUNT_ONLY)),
        stuck_waiting: section.get("stuck_waiting", value::stuck_after).unwrap_or(SignedDuration::from_mins(30)),
        stuck_active: stuck_active(section),
    }
}

/// A table that is given replaces the default one, but for its `default`.
fn stuck_active(section: &mut Section<'_, '_>) -> StuckActive {
    let default = SignedDuration::from_hours(2);
    let by_type = [("video-transcoding", 12), ("video-import", 3)];
    let by_type = by_type.map(|(name, hours)| (name.into(), SignedDuration::from_hours(hours)));
    let otherwise = StuckActive { default, by_type: by_type.into() };
    let Some(item) = section.take("stuck_active") else { return otherwise };
    let Some(table) = section.table_of(item, r#"{ default = "2h", video-transcoding = "12h" }"#) else {
        return otherwise;
    };
    section.open(table, |section| StuckActive {
        default: section.get("default", value::stuck_after).unwrap_or(default),
        by_type: section
            .rest(|name, item| Ok((value::job_type(name)?, value::stuck_after(item)?)))
            .into_iter()
            .collect(),
    })
}

fn videos(section: &mut Section<'_, '_>) -> VideosPolicy {
    let scopes = [("local", Scope::Local), ("all", Scope::All)];
    VideosPolicy { scope: section.get("scope", |item| value::one_of(item, &scopes)).unwrap_or(Scope::Local) }
}

fn polls(section: &mut Section<'_, '_>, otherwise: &Polls) -> Polls {
    Polls(PollKind::ALL.map(|kind| when(section, kind.as_str()).unwrap_or_else(|| otherwise.when(kind).clone())))
}

fn when(section: &mut Section<'_, '_>, key: &'static str) -> Option<When> {
    let item = section.take(key)?;
    if !matches!(item.value, DeValue::Table(_)) {
        return section.parse(&item, |item| value::duration(item, &value::POLL_EVERY)).map(When::Every);
    }
    let table = section.table_of(item, "{ cron = … }")?;
    section.open(table, |section| {
        let zone = section.get("timezone", value::time_zone).unwrap_or(TimeZone::UTC);
        let cron = section.require("cron", r#""0 */5 * * * *""#, |item| {
            Cron::parse(item.string()?, zone).map_err(|error| error.to_string().into())
        });
        cron.map(When::Cron)
    })
}

fn instance(
    section: &mut Section<'_, '_>,
    polls_otherwise: &Polls,
    names: &mut Names,
    vault: &Vault<'_>,
) -> Option<Instance> {
    let source = section.source();
    let name = section.require("name", r#""main""#, |item| {
        let name = value::instance_name(item)?;
        if let Some(place) = names.get(name) {
            return Err(format!("{name:?} is also the name of the instance at {place}; give each its own").into());
        }
        let line = source.position(item.place.start).line;
        names.insert(name.to_owned(), format!("{} line {line}", source.path().display()));
        Ok(name.to_owned())
    });
    let url = section.require("url", r#""https://peertube.example.com""#, value::server_url);
    let connect = section.take("connect");
    let connect = connect.and_then(|item| section.parse(&item, |item| value::connect(item, url.as_ref())));
    let directory = source.directory();
    let authorities = section.get("ca_file", |item| value::certificates(&directory.join(item.string()?)));
    let (username, account) = vault.account(section);
    let timeout = section.get("timeout", |item| value::duration(item, &value::TIMEOUT));
    let down_after = section.get("down_after", |item| item.integer(1, 1000));
    let read_only = section.get("read_only", |item| item.boolean());
    let polls = section.table("poll", |section| polls(section, polls_otherwise));
    let url = url?;
    Some(Instance {
        origin: Origin { name: name?, url: url.as_str().trim_end_matches('/').to_owned() },
        url,
        connect,
        authorities,
        username,
        account,
        timeout: timeout.unwrap_or(Duration::from_secs(15)),
        down_after: down_after.unwrap_or(3),
        read_only: read_only.unwrap_or(true),
        polls,
    })
}
