//! What the ends of all polls say together: whether the instance can be reached and
//! lets us in, how each poll goes, and, once, what was so at the first look.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Instance, Ran};
use crate::core::memory::Documents;
use crate::core::moderation::Kind;
use crate::core::poll::PollKind;
use crate::core::server_told::{FirstLook, Told};
use crate::core::text::clean;
use crate::peertube::{Error, SignIn};

/// Besides the videos, the polls whose first run the first look sums up.
const FIRST_LOOKERS: [PollKind; 3] = [PollKind::Jobs, PollKind::Runners, PollKind::Moderation];
/// The first look is told without what other polls have not seen by then.
const FIRST_LOOK_WAITS: Duration = Duration::from_secs(600);

const SERVER: &str = "server";
const COURSE: &str = "poll/";

/// What is remembered of the instance as a whole, and of each poll's course.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReachMemory {
    server: Server,
    courses: BTreeMap<String, Course>,
    /// Polls in a row that did not reach it: not worth remembering.
    missed: u32,
    first_missed: Option<Timestamp>,
    last_missed: Option<Instant>,
    /// When all was there that the first look needs, but for what other polls see.
    waits_since: Option<Instant>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Server {
    /// Set while it is told as down.
    down_since: Option<Timestamp>,
    /// Since it was first reached, or was back; unset while it is told as down.
    up_since: Option<Timestamp>,
    /// The code of the refusal that was told.
    refused: Option<String>,
    first_look_told: bool,
}

/// How a kind of poll went lately.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Course {
    pub ended_at: Option<Timestamp>,
    pub succeeded_at: Option<Timestamp>,
    /// Of the last run, if it failed.
    pub error: Option<String>,
    /// The account's rights don't allow it.
    pub is_off: bool,
}

impl ReachMemory {
    pub fn from_documents(documents: &Documents) -> Self {
        let server = documents.get(SERVER).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let course = |(key, text): (&String, &String)| {
            Some((key.strip_prefix(COURSE)?.to_owned(), serde_json::from_str(text).ok()?))
        };
        Self { server, courses: documents.iter().filter_map(course).collect(), ..Self::default() }
    }

    /// Set while the instance is told as down.
    pub fn down_since(&self) -> Option<Timestamp> {
        self.server.down_since
    }

    /// Since when it was reached again and again; `None` before the first time.
    pub fn up_since(&self) -> Option<Timestamp> {
        self.server.up_since
    }

    /// The code of the refusal to let us in that stands.
    pub fn refused(&self) -> Option<&str> {
        self.server.refused.as_deref()
    }

    pub fn course(&self, kind: PollKind) -> Option<&Course> {
        self.courses.get(kind.as_str())
    }

    fn to_documents(&self) -> Documents {
        let server = (SERVER.to_owned(), serde_json::to_string(&self.server).unwrap_or_default());
        let course = |(kind, course): (&String, &Course)| {
            (format!("{COURSE}{kind}"), serde_json::to_string(course).unwrap_or_default())
        };
        std::iter::once(server).chain(self.courses.iter().map(course)).collect()
    }

    /// One poll's end.
    fn note(&mut self, kind: PollKind, result: &anyhow::Result<Ran>, now: Timestamp) {
        let course = self.courses.entry(kind.as_str().to_owned()).or_default();
        course.ended_at = Some(now);
        course.is_off = matches!(result, Ok(Ran::NotAllowed));
        course.error = result.as_ref().err().map(|error| clean(&super::reason(error), 500));
        if matches!(result, Ok(Ran::Done)) {
            course.succeeded_at = Some(now);
        }
    }
}

impl Instance {
    /// Takes in what the end of a poll says.
    pub(super) async fn note_reach(
        &self,
        kind: PollKind,
        result: &anyhow::Result<Ran>,
        began: Instant,
    ) -> anyhow::Result<()> {
        let error = result.as_ref().err().and_then(|error| error.downcast_ref::<Error>());
        let reached = match (result, error) {
            (Ok(Ran::Done), _) => Some(true),
            (Ok(Ran::NotAllowed), _) => None,
            (Err(_), Some(error)) => error.reached(),
            (Err(_), None) => None,
        };
        if let Some(reached) = reached {
            self.metrics.up(reached);
        }
        let now = Timestamp::now();
        let mut memory = self.reach.lock().await;
        let mut after = memory.clone();
        let mut events = Vec::new();
        after.note(kind, result, now);
        match reached {
            Some(true) => {
                after.missed = 0;
                after.first_missed = None;
                if let Some(since) = after.server.down_since.take() {
                    events.push(Told::Up { down_since: since }.to_event(&self.origin, now));
                }
                after.server.up_since.get_or_insert(now);
            }
            // Polls that ran into the same trouble at the same time missed once.
            Some(false) if after.last_missed.is_some_and(|last| began < last) => {}
            Some(false) => {
                after.last_missed = Some(Instant::now());
                after.missed = after.missed.saturating_add(1);
                let since = *after.first_missed.get_or_insert(now);
                if after.missed >= self.down_after && after.server.down_since.is_none() {
                    after.server.down_since = Some(since);
                    after.server.up_since = None;
                    let error = error.map(ToString::to_string).unwrap_or_default();
                    events.push(Told::Down { error, since }.to_event(&self.origin, now));
                }
            }
            None => {}
        }
        let refusal = self.host.refusal();
        let code = refusal.as_ref().map(|refusal| refusal.code.clone());
        let is_let_in = matches!(self.client.state(), SignIn::SignedIn { .. });
        if after.server.refused != code && (code.is_some() || is_let_in) {
            if let Some(refusal) = refusal {
                let told = Told::AuthFailed { code: refusal.code, error: refusal.message };
                events.push(told.to_event(&self.origin, now));
            }
            after.server.refused = code;
        }
        if !after.server.first_look_told
            && let Some(look) = self.first_look(&mut after)
        {
            after.server.first_look_told = true;
            events.push(Told::FirstLook(look).to_event(&self.origin, now));
        }
        self.commit(PollKind::Config, &memory.to_documents(), &after.to_documents(), Vec::new(), events).await?;
        self.vitals.set_down(after.down_since().is_some());
        *memory = after;
        Ok(())
    }

    /// What was so before, once every poll that may look has looked, or has had time to.
    fn first_look(&self, memory: &mut ReachMemory) -> Option<FirstLook> {
        let memory_of_videos = self.videos.try_lock().ok()?;
        let videos = memory_of_videos.first_look()?;
        let moderation = self.moderation.try_lock().ok()?;
        let since = *memory.waits_since.get_or_insert_with(Instant::now);
        // One that is being made will be back here at its end.
        let has_looked =
            |kind: PollKind| !self.may(kind) || memory.course(kind).is_some_and(|course| course.succeeded_at.is_some());
        if !FIRST_LOOKERS.into_iter().all(has_looked) && since.elapsed() < FIRST_LOOK_WAITS {
            return None;
        }
        let jobs = &self.jobs.try_lock().ok()?.memory;
        let runners = self.runners.try_lock().ok()?;
        let has_no_runners = self.works().has_no_runners;
        let at_runners = if has_no_runners { Some(0) } else { runners.memory.stuck_at_first() };
        let jobs_stuck = jobs.stuck_at_first().zip(at_runners).map(|(own, at_runners)| own + at_runners);
        Some(FirstLook {
            videos: videos.videos,
            videos_failed: videos.failed,
            videos_not_ready: videos.passing,
            videos_stuck: self.work().map(|work| memory_of_videos.stuck(&work)),
            jobs_stuck,
            abuses_pending: moderation.memory.pending(Kind::Abuse),
            registrations_pending: moderation.memory.pending(Kind::Registration),
        })
    }
}
