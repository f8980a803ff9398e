//! What was told, read as it grows, held against what happened.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;
use tubewarden::config::JobsPolicy;
use tubewarden::core::event::{Event, EventKind};
use tubewarden::core::job::JobType;
use tubewarden::store::{Access, EventFilter, Store};

/// Instance, type, id, creation.
pub(crate) type Key = (String, String, String, Timestamp);
/// Instance, UUID.
pub(crate) type Video = (String, String);

/// The most wrongs of a kind that are named one by one.
const MOST_NAMED: usize = 20;

/// Everything that was told, also what the state has forgotten since.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    jobs: HashMap<Key, u64>,
    videos: HashMap<Video, u64>,
    unaccounted: u64,
    first_looks: usize,
    last_seq: i64,
}

impl Ledger {
    /// Reads on where it ended, and gives what is new.
    pub(crate) async fn read(&mut self, state: &Path) -> anyhow::Result<Vec<Event>> {
        let store = Store::open(state, Access::Beside).await?;
        let mut filter = EventFilter { after_seq: self.last_seq, limit: 1_000, ..EventFilter::default() };
        let mut new = Vec::new();
        loop {
            let page = store.events(&filter).await?;
            let Some(last) = page.last() else { break };
            filter.after_seq = last.seq;
            self.last_seq = last.seq;
            for stored in page {
                let event = stored.event;
                self.note(&event).with_context(|| format!("an event that is unclear: {}", event.id))?;
                new.push(event);
            }
        }
        store.close().await?;
        Ok(new)
    }

    /// How many jobs were told so far.
    pub(crate) fn told(&self) -> usize {
        self.jobs.len()
    }

    fn note(&mut self, event: &Event) -> anyhow::Result<()> {
        let text = |field: &str| {
            let text = event.data.get(field).and_then(serde_json::Value::as_str).context("a field is missing")?;
            anyhow::Ok(text.to_owned())
        };
        let instance = event.instance().to_owned();
        match event.kind {
            EventKind::JobCompleted | EventKind::JobFailed | EventKind::JobCascaded | EventKind::JobCancelled => {
                let key = (instance, text("job_type")?, text("job_id")?, text("created_at")?.parse()?);
                *self.jobs.entry(key).or_default() += 1;
            }
            EventKind::VideoPublished => {
                let uuid = event.subject.clone().context("a video without its UUID")?;
                *self.videos.entry((instance, uuid)).or_default() += 1;
            }
            EventKind::JobUnaccounted => {
                self.unaccounted += event.data.get("count").and_then(serde_json::Value::as_u64).unwrap_or(0);
            }
            EventKind::InstanceFirstLook => self.first_looks += 1,
            _ => {}
        }
        Ok(())
    }
}

/// What happened since the first look.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// Those to be told one by one.
    pub(crate) jobs: HashSet<Key>,
    /// Those that ended within the second of the first look, by the whole seconds of the
    /// server's clock: they may be told.
    pub(crate) doubtful: HashSet<Key>,
    /// Where videos are looked at, too.
    pub(crate) videos: Option<HashSet<Video>>,
    /// All jobs, by type.
    pub(crate) counted: BTreeMap<String, u64>,
    /// Jobs that went with Redis before they ended.
    pub(crate) lost: u64,
    pub(crate) instances: usize,
}

impl Truth {
    /// A job that ended.
    pub(crate) fn note(&mut self, key: Key, completed: bool, policy: &JobsPolicy) {
        let job_type = JobType::from(key.1.as_str());
        *self.counted.entry(key.1.clone()).or_default() += 1;
        if if completed { policy.follows(&job_type) } else { policy.tells_failures(&job_type) } {
            self.jobs.insert(key);
        }
    }

    pub(crate) fn judge(&self, ledger: &Ledger) -> Verdict {
        Verdict {
            ended: self.counted.values().sum(),
            jobs: Judged::of(&ledger.jobs, &self.jobs, &self.doubtful),
            videos: self.videos.as_ref().map(|truth| Judged::of(&ledger.videos, truth, &HashSet::new())),
            lost: self.lost,
            unaccounted: ledger.unaccounted,
            first_looks: (ledger.first_looks, self.instances),
        }
    }
}

/// Things of one kind.
#[derive(Debug)]
struct Judged {
    to_tell: usize,
    told: usize,
    twice: usize,
    wrong: Vec<String>,
}

impl Judged {
    fn of<K: std::hash::Hash + Eq + fmt::Debug>(
        told: &HashMap<K, u64>,
        truth: &HashSet<K>,
        doubtful: &HashSet<K>,
    ) -> Self {
        let missed: Vec<&K> = truth.iter().filter(|key| !told.contains_key(*key)).collect();
        let twice: Vec<&K> = told.iter().filter(|(_, times)| **times > 1).map(|(key, _)| key).collect();
        let invented: Vec<&K> = told.keys().filter(|key| !truth.contains(*key) && !doubtful.contains(*key)).collect();
        let name = |what: &str, keys: &[&K]| -> Vec<String> {
            keys.iter().take(MOST_NAMED).map(|key| format!("{what}: {key:?}")).collect()
        };
        Self {
            to_tell: truth.len(),
            told: truth.len() - missed.len(),
            twice: twice.len(),
            wrong: [name("missed", &missed), name("twice", &twice), name("never happened", &invented)].concat(),
        }
    }
}

/// The end of the story.
#[derive(Debug)]
pub(crate) struct Verdict {
    ended: u64,
    jobs: Judged,
    videos: Option<Judged>,
    lost: u64,
    unaccounted: u64,
    /// Told, and how many there should be.
    first_looks: (usize, usize),
}

impl Verdict {
    pub(crate) fn is_right(&self) -> bool {
        self.wrong().next().is_none() && self.first_looks.0 == self.first_looks.1
    }

    fn wrong(&self) -> impl Iterator<Item = &String> {
        self.jobs.wrong.iter().chain(self.videos.iter().flat_map(|videos| &videos.wrong))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ended, jobs, videos, lost, unaccounted, first_looks: (looks, _) } = self;
        self.wrong().try_for_each(|line| writeln!(f, "{line}"))?;
        let Judged { to_tell, told, twice, .. } = jobs;
        writeln!(f, "{ended} jobs ended; told {told} of {to_tell} that are to be told one by one, {twice} twice")?;
        if let Some(Judged { to_tell, told, twice, .. }) = videos {
            writeln!(f, "told {told} of {to_tell} videos, {twice} twice")?;
        }
        write!(f, "{lost} jobs went with Redis, {unaccounted} were told as unaccounted; {looks} first look(s)")
    }
}
