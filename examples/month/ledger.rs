//! What was told, day by day, held against what happened.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;
use tubewarden::config::JobsPolicy;
use tubewarden::core::event::{Event, EventKind};
use tubewarden::core::job::JobType;
use tubewarden::store::{Access, EventFilter, Store};

/// Type, id, creation.
pub(crate) type Key = (String, String, Timestamp);

/// The most wrongs that are named one by one.
const MOST_NAMED: usize = 20;

/// Everything that was told, also what the state has forgotten since.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    jobs: HashMap<Key, u64>,
    unaccounted: u64,
    first_looks: u64,
    last_seq: i64,
}

impl Ledger {
    /// Reads on where it ended.
    pub(crate) async fn read(&mut self, state: &Path) -> anyhow::Result<()> {
        let store = Store::open(state, Access::Beside).await?;
        let mut filter = EventFilter { after_seq: self.last_seq, limit: 1_000, ..EventFilter::default() };
        loop {
            let page = store.events(&filter).await?;
            let Some(last) = page.last() else { return Ok(()) };
            filter.after_seq = last.seq;
            self.last_seq = last.seq;
            for stored in &page {
                self.note(&stored.event).with_context(|| format!("an event that is unclear: {}", stored.event.id))?;
            }
        }
    }

    /// How many jobs were told so far.
    pub(crate) fn told(&self) -> usize {
        self.jobs.len()
    }

    fn note(&mut self, event: &Event) -> anyhow::Result<()> {
        let text =
            |field: &str| event.data.get(field).and_then(serde_json::Value::as_str).context("a field is missing");
        match event.kind {
            EventKind::JobCompleted | EventKind::JobFailed | EventKind::JobCascaded | EventKind::JobCancelled => {
                let key = (text("job_type")?.to_owned(), text("job_id")?.to_owned(), text("created_at")?.parse()?);
                *self.jobs.entry(key).or_default() += 1;
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
    /// All, by type.
    pub(crate) counted: BTreeMap<String, u64>,
    /// Jobs that went with Redis before they ended.
    pub(crate) lost: u64,
}

impl Truth {
    /// One that ended.
    pub(crate) fn note(&mut self, key: Key, completed: bool, policy: &JobsPolicy) {
        let job_type = JobType::from(key.0.as_str());
        if if completed { policy.follows(&job_type) } else { policy.tells_failures(&job_type) } {
            self.jobs.insert(key);
        }
    }

    pub(crate) fn judge(&self, ledger: &Ledger) -> Verdict {
        let missed: Vec<&Key> = self.jobs.iter().filter(|key| !ledger.jobs.contains_key(*key)).collect();
        let twice: Vec<&Key> = ledger.jobs.iter().filter(|(_, times)| **times > 1).map(|(key, _)| key).collect();
        let invented: Vec<&Key> = ledger.jobs.keys().filter(|key| !self.jobs.contains(*key)).collect();
        let name = |what: &str, keys: &[&Key]| -> Vec<String> {
            keys.iter().take(MOST_NAMED).map(|(job_type, id, at)| format!("{what}: {job_type}/{id} of {at}")).collect()
        };
        Verdict {
            ended: self.counted.values().sum(),
            to_tell: self.jobs.len(),
            told: self.jobs.len() - missed.len(),
            twice: twice.len(),
            lost: self.lost,
            unaccounted: ledger.unaccounted,
            first_looks: ledger.first_looks,
            wrong: [name("missed", &missed), name("twice", &twice), name("never happened", &invented)].concat(),
        }
    }
}

/// The end of the story.
#[derive(Debug)]
pub(crate) struct Verdict {
    ended: u64,
    to_tell: usize,
    told: usize,
    twice: usize,
    lost: u64,
    unaccounted: u64,
    first_looks: u64,
    wrong: Vec<String>,
}

impl Verdict {
    pub(crate) fn is_right(&self) -> bool {
        self.wrong.is_empty() && self.first_looks == 1
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ended, to_tell, told, twice, lost, unaccounted, first_looks, wrong } = self;
        wrong.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        writeln!(f, "{ended} jobs ended; told {told} of {to_tell} that are to be told one by one, {twice} twice")?;
        write!(f, "{lost} jobs went with Redis, {unaccounted} were told as unaccounted; {first_looks} first look")
    }
}
