//! `[[rule]]` and `[[schedule]]` tables. What they say of instances is held against
//! those that there are when all files are read.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::actions::{For, action};
use crate::config::error::ConfigError;
use crate::config::rule::{Rule, Schedule};
use crate::config::secret::Vault;
use crate::config::section::{Item, Problem, Section};
use crate::config::value::{self, quoted};
use crate::core::cron::Cron;
use crate::core::event::{EventKind, Origin};
use crate::core::glob::Globs;
use crate::core::lang::{Trial, When};
use crate::core::rule::{Dedupe, DedupeBy, Limit, Quiet, Terms};
use crate::core::samples::sample;

const MOST_OF_A_LIMIT: u32 = 1000;

/// What is known of all files together.
#[derive(Default)]
pub(super) struct Seen {
    /// Names of rules and schedules, each with the place where it stands.
    names: BTreeMap<String, String>,
    /// Names of instances that are spoken of, each with the error if there is none.
    instances: Vec<(String, ConfigError)>,
}

impl Seen {
    /// Instances that are spoken of, and that there are not.
    pub(super) fn unknown(self, is_known: impl Fn(&str) -> bool) -> impl Iterator<Item = ConfigError> {
        self.instances.into_iter().filter(move |(name, _)| !is_known(name)).map(|(_, error)| error)
    }

    fn name(&mut self, section: &mut Section<'_, '_>, what: &str) -> Option<String> {
        let source = section.source();
        section.require("name", r#""failed transcodes to the chat""#, |item| {
            let name = value::owner_name(item)?;
            if let Some(place) = self.names.get(name) {
                let problem = format!("{} is also the name of the {place}; give each its own", quoted(name));
                return Err(problem.into());
            }
            let line = source.position(item.place.start).line;
            self.names.insert(name.to_owned(), format!("{what} at {} line {line}", source.path().display()));
            Ok(name.to_owned())
        })
    }

    fn instance(&mut self, section: &Section<'_, '_>, key: &str, place: &std::ops::Range<usize>, name: &str) {
        let problem = format!("no instance has the name {}; write the name of an [[instance]]", quoted(name));
        self.instances.push((name.to_owned(), section.source().error(place, key, problem)));
    }
}

pub(super) fn rule(section: &mut Section<'_, '_>, seen: &mut Seen, vault: &Vault<'_>) -> Option<Rule> {
    let name = seen.name(section, "rule");
    let on = section.require("on", r#"["job.failed"]"#, |item| {
        let on = value::event_globs(item)?;
        match EventKind::ALL.iter().any(|kind| kind.can_match(&on)) {
            true => Ok(on),
            false => Err(
                r#"matches no event, so the rule would never act; write types such as "job.failed""#.to_owned().into(),
            ),
        }
    });
    let instances = instances(section, seen);
    let terms = terms(section, on.as_ref());
    let when = section.take("when");
    let when = match (&on, when) {
        (Some(on), Some(item)) => section.parse(&item, |item| parse_when(item, on)).map(Some),
        _ => Some(None),
    };
    let max_age = section.get("max_age", |item| {
        let max_age = value::duration(item, &value::SPAN)?;
        match terms.batch {
            Some(batch) if signed(max_age) <= batch => {
                Err("is no more than batch, so what a batch collects would be too old when it ends; write more"
                    .to_owned()
                    .into())
            }
            _ => Ok(max_age),
        }
    });
    let enabled = section.get("enabled", |item| item.boolean()).unwrap_or(true);
    let of = For { on: on.as_ref(), is_batch: terms.batch.is_some() };
    let action = action(section, &of, vault);
    Some(Rule { name: name?, on: on?, when: when?, instances, terms, max_age, enabled, action: action? })
}

pub(super) fn schedule(section: &mut Section<'_, '_>, seen: &mut Seen, vault: &Vault<'_>) -> Option<Schedule> {
    let name = seen.name(section, "schedule");
    let zone = section.get("timezone", value::time_zone).unwrap_or(TimeZone::UTC);
    let cron = section.require("cron", r#""0 0 9 * * *""#, |item| {
        Cron::parse(item.string()?, zone).map_err(|error| error.to_string().into())
    });
    let jitter = section.get("jitter", |item| {
        let jitter = value::duration(item, &value::JITTER)?;
        match cron.as_ref().and_then(closest) {
            Some(closest) if signed(jitter) > closest => {
                Err(format!("is longer than the {closest:#} between two runs; write that or less").into())
            }
            _ => Ok(jitter),
        }
    });
    let jitter = jitter.unwrap_or(Duration::ZERO);
    let catch_up = section.get("catch_up", |item| item.boolean()).unwrap_or(false);
    let item = section.take("instance");
    let instance = item.and_then(|item| {
        let name = section.parse(&item, |item| value::instance_name(item).map(str::to_owned))?;
        seen.instance(section, &item.key, &item.place, &name);
        Some(name)
    });
    let enabled = section.get("enabled", |item| item.boolean()).unwrap_or(true);
    let fired = Globs::new(["schedule.fired"]);
    let action = action(section, &For { on: Some(&fired), is_batch: false }, vault);
    Some(Schedule { name: name?, cron: cron?, jitter, catch_up, instance, enabled, action: action? })
}

fn parse_when(item: &Item<'_>, on: &Globs) -> Result<When, Problem> {
    When::parse(item.string()?, &Trial::of(on)).map_err(|error| error.to_string().into())
}

fn instances(section: &mut Section<'_, '_>, seen: &mut Seen) -> Option<Vec<String>> {
    let item = section.take("instances")?;
    let names = section.parse(&item, |item| {
        let names = item.strings()?;
        if names.is_empty() {
            return Err("is empty, so the rule would never act; name instances, or leave the key out"
                .to_owned()
                .into());
        }
        Ok(names)
    })?;
    for (name, place) in &names {
        seen.instance(section, &item.key, place, name);
    }
    Some(names.into_iter().map(|(name, _)| name.to_owned()).collect())
}

/// The least time between the next runs.
fn closest(cron: &Cron) -> Option<SignedDuration> {
    let next = |at: &Timestamp| cron.next_after(*at);
    let runs: Vec<Timestamp> = std::iter::successors(next(&Timestamp::now()), next).take(20).collect();
    runs.windows(2).map(|two| two[1].duration_since(two[0])).min()
}

fn terms(section: &mut Section<'_, '_>, on: Option<&Globs>) -> Terms {
    let limit = section.get("limit", limit);
    let batch = section.get("batch", |item| value::duration(item, &value::BATCH)).map(signed);
    let by = section.get("dedupe", |item| {
        let ways = [
            ("video", DedupeBy::Video),
            ("job_type", DedupeBy::JobType),
            ("runner", DedupeBy::Runner),
            ("instance", DedupeBy::Instance),
            ("type", DedupeBy::Type),
        ];
        let by = value::one_of(item, &ways)?;
        match on.is_none_or(|on| is_told_by(on, by)) {
            true => Ok(by),
            false => Err("is told by none of the events that \"on\" matches, so nothing would be a repetition; \
                          write another one, or leave it out"
                .to_owned()
                .into()),
        }
    });
    let within = section.take("within");
    if let (None, Some(item)) = (by, &within) {
        section.report(&item.place, &item.key, r#"stands without dedupe; write dedupe = "video" beside it"#.to_owned());
    }
    let within = within.and_then(|item| section.parse(&item, |item| value::duration(item, &value::SPAN)));
    let dedupe = by.map(|by| Dedupe { by, within: within.map_or(SignedDuration::from_hours(1), signed) });
    let zone = section.take("timezone");
    let quiet = section.take("quiet");
    if let (Some(item), None) = (&zone, &quiet) {
        let problem = r#"stands without quiet; write quiet = "22:00-07:00" beside it"#;
        section.report(&item.place, &item.key, problem.to_owned());
    }
    let zone = zone.and_then(|item| section.parse(&item, value::time_zone)).unwrap_or(TimeZone::UTC);
    let quiet = quiet.and_then(|item| {
        section.parse(&item, |item| {
            let text = item.string()?;
            Quiet::parse(text, zone).map_err(|error| format!("{} is {error}", quoted(text)).into())
        })
    });
    Terms { limit, dedupe, batch, quiet }
}

/// Whether an event that a rule is on can have what makes two of them the same.
fn is_told_by(on: &Globs, by: DedupeBy) -> bool {
    let origin = Origin { name: "main".to_owned(), url: "https://peertube.example.com".to_owned() };
    let mut kinds = EventKind::ALL.into_iter().filter(|kind| kind.can_match(on));
    // What scripts tell is known by nobody.
    kinds.any(|kind| kind == EventKind::Custom || by.key(&sample(kind, &origin)).is_some())
}

/// `10/1h`: at most ten in any hour.
fn limit(item: &Item<'_>) -> Result<Limit, Problem> {
    let text = item.string()?;
    let how = format!(r#"{} is no limit; write it like "10/1h""#, quoted(text));
    let (most, within) = text.split_once('/').ok_or_else(|| how.clone())?;
    let is_number = most.trim().bytes().all(|digit| digit.is_ascii_digit());
    let most: u32 = most.trim().parse().ok().filter(|_| is_number).ok_or(how)?;
    if !(1..=MOST_OF_A_LIMIT).contains(&most) {
        return Err(format!("allows {most} deliveries; write 1 to {MOST_OF_A_LIMIT}").into());
    }
    let within = value::duration_text(within.trim(), &value::SPAN)?;
    Ok(Limit { most, within: signed(within) })
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
