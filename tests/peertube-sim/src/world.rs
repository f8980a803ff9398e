//! A world: one instance with its queues, videos and accounts. All of it is at the
//! same moment, and moves only when it is told to.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::accounts::{Accounts, Role};
use crate::jobs::{Jobs, Restart, Version};
use crate::limits::Limits;
use crate::moderation::{Moderation, NewAbuse, NewRegistration, Standing};
use crate::news::News;
use crate::runners::Runners;
use crate::videos::{NewImport, NewLive, NewVideo, Privacy, RemoteVideo, Videos};

/// Its parts are for tests to change and to ask; time passes by [`World::advance_to`]
/// alone, which takes the ended jobs to move the videos on.
#[derive(Debug)]
pub struct World {
    pub jobs: Jobs,
    pub videos: Videos,
    pub runners: Runners,
    pub accounts: Accounts,
    pub moderation: Moderation,
    pub news: News,
    pub limits: Limits,
    /// As `Host` must say it to be given the client; by default where the face listens.
    pub host: Option<String>,
    /// As `/config` tells it.
    pub server_version: String,
    pub(crate) stats_cache: HashMap<String, (Timestamp, Vec<u8>)>,
}

impl World {
    pub fn new(seed: u64, start: Timestamp, version: Version) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        Self {
            jobs: Jobs::new(rng.u64(..), start, version),
            videos: Videos::new(rng.u64(..), version),
            accounts: Accounts::new(rng.u64(..), version),
            moderation: Moderation::default(),
            news: News::default(),
            runners: Runners::new(rng.u64(..), start),
            limits: Limits::peertube(),
            host: None,
            server_version: version.number().to_owned(),
            stats_cache: HashMap::new(),
        }
    }

    pub fn version(&self) -> Version {
        self.jobs.version()
    }

    pub fn now(&self) -> Timestamp {
        self.jobs.now()
    }

    /// Lets everything up to and including `at` happen. Time never goes back.
    pub fn advance_to(&mut self, at: Timestamp) {
        while let Some(next) = self.next_step().filter(|next| *next <= at) {
            self.jobs.advance_to(next);
            self.settle();
        }
        self.jobs.advance_to(at);
        self.settle();
        self.runners.advance_to(at);
    }

    pub fn advance(&mut self, by: Duration) {
        self.advance_to(self.now() + by);
    }

    /// Without videos nothing but the queues moves, and they need no help.
    fn next_step(&self) -> Option<Timestamp> {
        if self.videos.is_empty() {
            return None;
        }
        [self.jobs.next_at(), self.videos.next_at()].into_iter().flatten().min()
    }

    fn settle(&mut self) {
        for ended in self.jobs.take_ended() {
            self.videos.job_ended(&mut self.jobs, &ended);
        }
        self.videos.settle(&mut self.jobs);
    }

    /// Adds a local video with all its jobs. Gives its UUID.
    pub fn upload(&mut self, video: NewVideo) -> String {
        self.videos.upload(&mut self.jobs, video)
    }

    /// A local video that the server fetches from elsewhere first.
    pub fn import(&mut self, import: NewImport) -> String {
        self.videos.import(&mut self.jobs, import)
    }

    /// A video of another instance arrives.
    pub fn receive(&mut self, video: RemoteVideo) -> String {
        self.videos.receive(self.jobs.now(), video)
    }

    /// A live that waits for its stream.
    pub fn create_live(&mut self, live: NewLive) -> String {
        self.videos.create_live(self.jobs.now(), live)
    }

    pub fn start_live(&mut self, uuid: &str) {
        self.videos.start_live(self.jobs.now(), uuid);
    }

    pub fn end_live(&mut self, uuid: &str) {
        self.videos.end_live(&mut self.jobs, uuid);
    }

    /// Transcodes a video that is published or has failed already, which takes it off the public
    /// list for a while unless it does not wait for its transcoding.
    pub fn transcode_again(&mut self, uuid: &str) {
        self.videos.transcode_again(&mut self.jobs, uuid);
    }

    pub fn set_privacy(&mut self, uuid: &str, privacy: Privacy) {
        self.videos.set_privacy(self.jobs.now(), uuid, privacy);
    }

    pub fn rename(&mut self, uuid: &str, name: &str) {
        self.videos.rename(self.jobs.now(), uuid, name);
    }

    pub fn block(&mut self, uuid: &str, reason: &str) {
        self.videos.block(self.jobs.now(), uuid, reason);
    }

    pub fn unblock(&mut self, uuid: &str) {
        self.videos.unblock(self.jobs.now(), uuid);
    }

    pub fn delete(&mut self, uuid: &str) {
        self.videos.delete(self.jobs.now(), uuid);
    }

    /// Somebody reports a video, and the moderators are told. Gives the report's id.
    pub fn report_abuse(&mut self, abuse: NewAbuse) -> u64 {
        let (now, reporter) = (self.now(), abuse.reporter.clone());
        let id = self.moderation.abuses.add(now, abuse);
        self.news.abuse_reported(now, id, &reporter);
        id
    }

    pub fn settle_abuse(&mut self, id: u64, standing: Standing) {
        self.moderation.abuses.settle(self.now(), id, standing);
    }

    /// Somebody asks for an account, and the moderators are told. Gives the request's id.
    pub fn request_registration(&mut self, registration: NewRegistration) -> u64 {
        let (now, username) = (self.now(), registration.username.clone());
        let id = self.moderation.registrations.add(now, registration);
        self.news.registration_requested(now, id, &username);
        id
    }

    /// Who is accepted has an account from now on.
    pub fn settle_registration(&mut self, id: u64, standing: Standing) {
        let case = self.moderation.registrations.settle(self.jobs.now(), id, standing);
        if let Some(case) = case.filter(|_| standing == Standing::Accepted) {
            let username = &case.about.username;
            self.accounts.add(username, &format!("{username}-password"), Role::User);
        }
    }

    pub fn install_plugin(&mut self, name: &str, version: &str) {
        self.news.install(self.jobs.now(), name, version);
    }

    /// The instance hears of a new version of a plugin, and tells its administrators.
    pub fn release_plugin(&mut self, name: &str, latest: &str) {
        self.news.plugin_released(self.jobs.now(), name, latest);
    }

    /// The instance hears of a new version of PeerTube, and tells its administrators.
    pub fn release_peertube(&mut self, latest: &str) {
        self.news.peertube_released(self.jobs.now(), latest);
    }

    /// The instance mutes an account, or no longer: lists hide its videos.
    pub fn mute_owner(&mut self, owner: &str, muted: bool) {
        self.videos.mute_owner(self.jobs.now(), owner, muted);
    }

    /// The server goes down now. Until it is up again the face answers 503 as a reverse
    /// proxy would; what happens to connections is for [`crate::Proxy`] to show. Running
    /// lives have ended when it comes back.
    pub fn restart_server(&mut self, how: Restart, down_for: Duration) {
        self.jobs.restart(how, down_for);
        self.videos.end_lives_at(self.now() + down_for);
    }

    /// Another version runs after the restart.
    pub fn upgrade(&mut self, server_version: &str, down_for: Duration) {
        self.restart_server(Restart::Graceful, down_for);
        server_version.clone_into(&mut self.server_version);
    }

    /// Another generation runs after the restart, on what is kept: its names for jobs, its
    /// replies, its rules for tokens that are given from now on.
    pub fn upgrade_to(&mut self, version: Version, down_for: Duration) {
        self.upgrade(version.number(), down_for);
        self.jobs.upgrade(version);
        self.videos.upgrade(version);
        self.accounts.upgrade(version);
    }

    /// Redis is emptied: jobs are gone, and what was cached there.
    pub fn flush_redis(&mut self) {
        self.jobs.flush();
        self.stats_cache.clear();
    }
}
