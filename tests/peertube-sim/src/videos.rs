//! The videos of an instance. Every change goes through `Videos::change`, which
//! writes down what it means, so that the truth misses no transition.

mod flows;
mod kinds;
mod life;
mod list;
mod new;
mod truth;
mod wire;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use crate::jobs::{JobRef, Version};
pub use kinds::{Privacy, VideoState};
pub(crate) use list::{SORTS, Sort, VideoQuery};
pub use new::{NewImport, NewLive, NewVideo, RemoteVideo, Trouble};
pub use truth::{Happening, What};
use wire::short_uuid;

/// A video as the database has it.
#[derive(Debug, Clone)]
pub struct Video {
    pub id: u64,
    pub uuid: String,
    pub name: String,
    pub owner: String,
    pub owner_id: u64,
    /// The instance it comes from, for a remote one.
    pub origin: Option<String>,
    pub privacy: Privacy,
    pub state: VideoState,
    pub wait_transcoding: bool,
    pub nsfw: bool,
    pub duration: u64,
    pub views: u64,
    pub live: Option<Live>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub published_at: Timestamp,
    pub scheduled: Option<(Timestamp, Privacy)>,
    /// Why it was blocked.
    pub blocked: Option<String>,
    pub owner_muted: bool,
    new: NewVideo,
    told: BTreeSet<What>,
}

/// What a live is, until a replay has replaced it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    pub permanent: bool,
    pub save_replay: bool,
}

impl Video {
    pub fn is_local(&self) -> bool {
        self.origin.is_none()
    }

    /// Whether anyone finds it in the list of videos (with `nsfw=both`).
    pub fn is_listed(&self) -> bool {
        self.privacy == Privacy::Public && self.is_available() && self.blocked.is_none() && !self.owner_muted
    }

    /// Published, or good enough to be shown before.
    fn is_available(&self) -> bool {
        match self.state {
            VideoState::Published => true,
            VideoState::ToTranscode => !self.wait_transcoding,
            _ => false,
        }
    }
}

#[derive(Debug)]
pub struct Videos {
    version: Version,
    rng: fastrand::Rng,
    last_id: u64,
    by_uuid: BTreeMap<String, Video>,
    owners: BTreeMap<String, u64>,
    muted: BTreeSet<String>,
    /// What happens without any job.
    agenda: BTreeMap<(Timestamp, u64), Later>,
    planned: u64,
    /// The jobs whose data do not name their video.
    by_job: HashMap<JobRef, String>,
    truth: Vec<Happening>,
}

#[derive(Debug)]
enum Later {
    Publish(String),
    EndLives,
}

impl Videos {
    pub(crate) fn new(seed: u64, version: Version) -> Self {
        Self {
            version,
            rng: fastrand::Rng::with_seed(seed),
            last_id: 0,
            by_uuid: BTreeMap::new(),
            owners: BTreeMap::new(),
            muted: BTreeSet::new(),
            agenda: BTreeMap::new(),
            planned: 0,
            by_job: HashMap::new(),
            truth: Vec::new(),
        }
    }

    pub(crate) fn upgrade(&mut self, version: Version) {
        self.version = version;
    }

    pub fn get(&self, uuid: &str) -> Option<&Video> {
        self.by_uuid.get(uuid)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Video> {
        self.by_uuid.values()
    }

    pub fn len(&self) -> usize {
        self.by_uuid.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_uuid.is_empty()
    }

    /// Every transition in order, with its time. Nothing is ever taken away from it.
    pub fn truth(&self) -> &[Happening] {
        &self.truth
    }

    /// A video by its number, UUID or short UUID, as an address may have any of them.
    pub(crate) fn find(&self, id: &str) -> Option<&Video> {
        self.get(id).or_else(|| {
            let number = id.parse::<u64>().ok();
            self.iter().find(|video| Some(video.id) == number || short_uuid(&video.uuid) == id)
        })
    }

    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.agenda.first_key_value().map(|((at, _), _)| *at)
    }

    fn plan(&mut self, at: Timestamp, later: Later) {
        self.planned += 1;
        self.agenda.insert((at, self.planned), later);
    }

    fn owner_id(&mut self, owner: &str) -> u64 {
        // The first two accounts are the instance's own and its administrator's.
        let next = self.owners.len() as u64 + 2;
        *self.owners.entry(owner.to_owned()).or_insert(next)
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Puts a new video into the world.
    fn insert(&mut self, mut video: Video) -> String {
        let uuid = video.uuid.clone();
        video.owner_muted = self.muted.contains(&video.owner);
        let before = truth::Standing::default();
        self.tell(&video.clone(), video.created_at, What::Created);
        self.by_uuid.insert(uuid.clone(), video);
        self.compare(&uuid, before);
        uuid
    }

    /// Changes a video, if it is still there.
    fn change(&mut self, at: Timestamp, uuid: &str, change: impl FnOnce(&mut Video)) {
        let Some(video) = self.by_uuid.get_mut(uuid) else { return };
        let before = truth::Standing::of(video);
        change(video);
        video.updated_at = at;
        self.compare(uuid, before);
    }

    fn compare(&mut self, uuid: &str, before: truth::Standing) {
        let Some(video) = self.by_uuid.get(uuid).cloned() else { return };
        for what in truth::Standing::of(&video).since(before) {
            self.tell(&video, video.updated_at, what);
        }
    }

    fn tell(&mut self, video: &Video, at: Timestamp, what: What) {
        let first = match self.by_uuid.get_mut(&video.uuid) {
            Some(known) => known.told.insert(what),
            None => true,
        };
        self.truth.push(Happening { at, uuid: video.uuid.clone(), local: video.is_local(), what, first });
    }
}
