//! How videos come, change and go. A video moves on when a job of its own ends, at
//! the very moment of that end.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::{Later, Live, NewImport, NewLive, NewVideo, Privacy, RemoteVideo, Video, VideoState, Videos, What, flows};
use crate::jobs::{Ended, JobRef, Jobs, NewJob, Outcome, Version};

impl Videos {
    pub(crate) fn upload(&mut self, jobs: &mut Jobs, new: NewVideo) -> String {
        let state = if new.transcode { VideoState::ToTranscode } else { VideoState::Published };
        let video = self.draw(jobs.now(), new, state);
        let uuid = self.add_local(video);
        self.add_work(jobs, &uuid);
        uuid
    }

    pub(crate) fn import(&mut self, jobs: &mut Jobs, import: NewImport) -> String {
        let video = self.draw(jobs.now(), import.video, VideoState::ToImport);
        let job = NewJob::new("video-import").run(import.run).data(json!({
            "type": "youtube-dl", "videoImportId": video.id, "fileExt": ".mp4",
        }));
        let job = jobs.add(if import.fails { job.failing() } else { job });
        self.by_job.insert(job, video.uuid.clone());
        self.add_local(video)
    }

    pub(crate) fn receive(&mut self, now: Timestamp, remote: RemoteVideo) -> String {
        let mut new = NewVideo::named(&remote.name).owner(&remote.owner);
        new.nsfw = remote.nsfw;
        let mut video = self.draw(now, new, VideoState::Published);
        video.published_at = remote.published_at;
        video.origin = Some(remote.host);
        self.insert(video)
    }

    pub(crate) fn create_live(&mut self, now: Timestamp, live: NewLive) -> String {
        let new = NewVideo::named(&live.name).privacy(live.privacy);
        let mut video = self.draw(now, new, VideoState::WaitingForLive);
        video.duration = 0;
        video.live = Some(Live { permanent: live.permanent, save_replay: live.save_replay });
        self.insert(video)
    }

    pub(crate) fn start_live(&mut self, now: Timestamp, uuid: &str) {
        self.change(now, uuid, |video| {
            if video.live.is_some() && video.state == VideoState::WaitingForLive {
                video.state = VideoState::Published;
                video.published_at = now;
            }
        });
    }

    /// A permanent live waits for its next stream; another is over, and may become a
    /// video.
    pub(crate) fn end_live(&mut self, jobs: &mut Jobs, uuid: &str) {
        let Some(video) = self.get(uuid) else { return };
        let Some(live) = video.live.filter(|_| video.state == VideoState::Published) else { return };
        let ending = NewJob::new("video-live-ending")
            .delay(Duration::from_secs(5))
            .run(Duration::from_secs(2))
            .data(json!({ "videoId": video.id, "liveSessionId": video.id, "streamingPlaylistId": video.id }));
        self.by_job.insert(jobs.add(ending), uuid.to_owned());
        self.change(jobs.now(), uuid, |video| {
            video.state = if live.permanent { VideoState::WaitingForLive } else { VideoState::LiveEnded };
        });
    }

    pub(crate) fn end_lives_at(&mut self, at: Timestamp) {
        self.plan(at, Later::EndLives);
    }

    pub(crate) fn transcode_again(&mut self, jobs: &mut Jobs, uuid: &str) {
        let priority = self.rng.u64(100..150);
        let may = [VideoState::Published, VideoState::TranscodingFailed, VideoState::ToTranscode];
        let Some(video) = self.get(uuid).filter(|video| may.contains(&video.state)) else { return };
        match self.version {
            Version::QuickStart => flows::plain_transcodes(video).into_iter().for_each(|job| drop(jobs.add(job))),
            version => flows::streams(video, version, priority, false).into_iter().for_each(|flow| {
                jobs.add_flow(flow);
            }),
        }
        self.change(jobs.now(), uuid, |video| video.state = VideoState::ToTranscode);
    }

    pub(crate) fn set_privacy(&mut self, now: Timestamp, uuid: &str, privacy: Privacy) {
        self.change(now, uuid, |video| {
            if video.privacy == Privacy::Private && privacy != Privacy::Private {
                video.published_at = now;
            }
            video.privacy = privacy;
        });
    }

    pub(crate) fn rename(&mut self, now: Timestamp, uuid: &str, name: &str) {
        self.change(now, uuid, |video| name.clone_into(&mut video.name));
    }

    pub(crate) fn block(&mut self, now: Timestamp, uuid: &str, reason: &str) {
        self.change(now, uuid, |video| video.blocked = Some(reason.to_owned()));
    }

    pub(crate) fn unblock(&mut self, now: Timestamp, uuid: &str) {
        self.change(now, uuid, |video| video.blocked = None);
    }

    pub(crate) fn delete(&mut self, now: Timestamp, uuid: &str) {
        if let Some(video) = self.by_uuid.remove(uuid) {
            self.tell(&video, now, What::Deleted);
        }
    }

    pub(crate) fn mute_owner(&mut self, now: Timestamp, owner: &str, muted: bool) {
        if muted {
            self.muted.insert(owner.to_owned());
        } else {
            self.muted.remove(owner);
        }
        let theirs: Vec<_> = self.iter().filter(|video| video.owner == owner).map(|video| video.uuid.clone()).collect();
        for uuid in theirs {
            self.change(now, &uuid, |video| video.owner_muted = muted);
        }
    }

    /// Does what is due without any job. A server that is down does nothing.
    pub(crate) fn settle(&mut self, jobs: &mut Jobs) {
        while let Some(due) = self.agenda.first_entry().filter(|due| due.key().0 <= jobs.now()) {
            let later = due.remove();
            if let Some(up_at) = jobs.down_until() {
                self.plan(up_at, later);
                continue;
            }
            match later {
                Later::Publish(uuid) => self.publish_scheduled(jobs.now(), &uuid),
                Later::EndLives => self.end_running_lives(jobs),
            }
        }
    }

    pub(crate) fn job_ended(&mut self, jobs: &mut Jobs, ended: &Ended) {
        let completed = ended.outcome == Outcome::Completed;
        let at = ended.finished_on;
        match ended.job_type {
            "video-transcoding" => {
                let Some(uuid) = ended.data["videoUUID"].as_str() else { return };
                if !completed {
                    self.transcode_failed(at, uuid);
                } else if flows::publishes(self.version, &ended.data) {
                    self.transcoded(at, uuid, ended.data["isNewVideo"] == true);
                }
            }
            "video-import" => {
                let Some(uuid) = self.take_job(ended) else { return };
                self.imported(jobs, at, &uuid, completed);
            }
            "video-live-ending" if completed => {
                let Some(uuid) = self.take_job(ended) else { return };
                self.replace_by_replay(jobs, at, &uuid);
            }
            _ => {}
        }
    }

    fn take_job(&mut self, ended: &Ended) -> Option<String> {
        let job = JobRef { job_type: ended.job_type, id: ended.id.clone(), created_at: ended.created_at };
        self.by_job.remove(&job)
    }

    fn transcoded(&mut self, at: Timestamp, uuid: &str, is_new: bool) {
        self.change_if(at, uuid, VideoState::ToTranscode, |video| {
            video.state = VideoState::Published;
            if is_new {
                video.published_at = at;
            }
        });
    }

    fn transcode_failed(&mut self, at: Timestamp, uuid: &str) {
        self.change_if(at, uuid, VideoState::ToTranscode, |video| video.state = VideoState::TranscodingFailed);
    }

    fn imported(&mut self, jobs: &mut Jobs, at: Timestamp, uuid: &str, completed: bool) {
        if completed {
            self.change_if(at, uuid, VideoState::ToImport, |video| {
                video.state = if video.new.transcode { VideoState::ToTranscode } else { VideoState::Published };
            });
            self.add_work(jobs, uuid);
        } else if self.version == Version::V8_2 {
            self.change_if(at, uuid, VideoState::ToImport, |video| video.state = VideoState::ToImportFailed);
        }
    }

    fn replace_by_replay(&mut self, jobs: &mut Jobs, at: Timestamp, uuid: &str) {
        let replay = self.get(uuid).and_then(|video| video.live).is_some_and(|live| live.save_replay);
        if !replay {
            return;
        }
        self.change_if(at, uuid, VideoState::LiveEnded, |video| {
            video.live = None;
            video.duration = 60;
            video.state = VideoState::ToTranscode;
        });
        let priority = self.rng.u64(100..150);
        let Some(video) = self.get(uuid).filter(|video| video.live.is_none()) else { return };
        for flow in flows::streams(video, self.version, priority, false) {
            jobs.add_flow(flow);
        }
    }

    fn publish_scheduled(&mut self, now: Timestamp, uuid: &str) {
        if let Some((_, privacy)) = self.get(uuid).and_then(|video| video.scheduled) {
            self.set_privacy(now, uuid, privacy);
            self.change(now, uuid, |video| video.scheduled = None);
        }
    }

    fn end_running_lives(&mut self, jobs: &mut Jobs) {
        let running: Vec<_> = self
            .iter()
            .filter(|video| video.live.is_some() && video.state == VideoState::Published)
            .map(|video| video.uuid.clone())
            .collect();
        running.iter().for_each(|uuid| self.end_live(jobs, uuid));
    }

    /// A change that comes too late when the video has moved on meanwhile.
    fn change_if(&mut self, at: Timestamp, uuid: &str, state: VideoState, change: impl FnOnce(&mut Video)) {
        if self.get(uuid).is_some_and(|video| video.state == state) {
            self.change(at, uuid, change);
        }
    }

    fn add_local(&mut self, video: Video) -> String {
        let scheduled = video.scheduled;
        let uuid = self.insert(video);
        if let Some((at, _)) = scheduled {
            self.plan(at, Later::Publish(uuid.clone()));
        }
        uuid
    }

    fn add_work(&mut self, jobs: &mut Jobs, uuid: &str) {
        let priority = self.rng.u64(100..150);
        let Some(video) = self.get(uuid) else { return };
        match self.version {
            Version::QuickStart if video.new.transcode => {
                flows::plain_transcodes(video).into_iter().for_each(|job| drop(jobs.add(job)));
            }
            Version::QuickStart => {}
            version => drop(jobs.add_flow(flows::after_upload(video, version, priority))),
        }
    }

    /// A video that is not in the world yet.
    fn draw(&mut self, now: Timestamp, new: NewVideo, state: VideoState) -> Video {
        // The date is taken before the row is written.
        let lead = Duration::from_millis(self.rng.u64(100..800));
        Video {
            id: self.next_id(),
            uuid: uuid(&mut self.rng),
            name: new.name.clone(),
            owner_id: self.owner_id(&new.owner),
            owner: new.owner.clone(),
            origin: None,
            privacy: new.privacy,
            state,
            wait_transcoding: new.wait_transcoding,
            nsfw: new.nsfw,
            duration: new.duration,
            views: 0,
            live: None,
            created_at: now,
            updated_at: now,
            published_at: now - lead,
            scheduled: new.scheduled,
            blocked: None,
            owner_muted: false,
            new,
            told: BTreeSet::new(),
        }
    }
}

/// A UUID of version 4.
fn uuid(rng: &mut fastrand::Rng) -> String {
    let bits = rng.u128(..) & !(0xf << 76) & !(0b11 << 62) | (0x4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
