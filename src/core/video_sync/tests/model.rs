//! A model of an instance's videos: what happens to them, what its lists and their
//! own addresses show of it, and what was true of each at any time.

use std::collections::VecDeque;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use jiff::{SignedDuration, Timestamp};

use super::super::{Ask, Sight};
use crate::core::video::{Privacy, Scope, Sought, VideoRow, VideoSort, VideoState, VideosPage, VideosQuery};

/// Something that happens. Videos are numbered as they were made, round and round;
/// what can't happen to one in its state doesn't.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Upload {
        privacy: Privacy,
        wait: bool,
        /// Nothing to transcode.
        instant: bool,
    },
    NewLive {
        privacy: Privacy,
        permanent: bool,
    },
    Remote {
        /// How long ago its own instance published it.
        age: SignedDuration,
    },
    Transcoded(usize),
    Failed(usize),
    TranscodeAgain(usize),
    Move(usize),
    Moved(usize),
    SetPrivacy(usize, Privacy),
    Block(usize),
    Unblock(usize),
    Start(usize),
    End {
        live: usize,
        replay: bool,
    },
    Delete(usize),
}

/// What is true of a video.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Truth {
    pub(super) privacy: Privacy,
    pub(super) state: VideoState,
    pub(super) blocked: bool,
    pub(super) is_live: bool,
    pub(super) wait: bool,
    /// `publishedAt` has moved since the upload.
    pub(super) moved: bool,
    pub(super) deleted: bool,
}

impl Truth {
    pub(super) fn is_listed(&self) -> bool {
        let state = self.state == VideoState::Published || self.state == VideoState::ToTranscode && !self.wait;
        self.privacy == Privacy::Public && !self.blocked && state && !self.deleted
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state == VideoState::Published && !self.deleted
    }

    pub(super) fn is_published(&self) -> bool {
        self.is_listed() && self.is_ready()
    }

    pub(super) fn is_failed(&self) -> bool {
        self.state.is_failed() && !self.deleted
    }

    pub(super) fn is_on_air(&self) -> bool {
        self.is_live && self.is_ready()
    }
}

#[derive(Debug, Clone)]
pub(super) struct Video {
    pub(super) uuid: String,
    pub(super) created_at: Timestamp,
    pub(super) published_at: Timestamp,
    pub(super) is_local: bool,
    first_transcoding: bool,
    permanent: bool,
    /// From each tick on, what was true.
    pub(super) history: Vec<(u64, Truth)>,
}

impl Video {
    pub(super) fn truth(&self) -> &Truth {
        &self.history.last().unwrap().1
    }

    /// What was true at the end of a tick.
    pub(super) fn at(&self, tick: u64) -> Option<&Truth> {
        self.history.iter().rev().find(|(since, _)| *since <= tick).map(|(_, truth)| truth)
    }

    /// What was true at each time between two ticks.
    pub(super) fn during(&self, from: u64, to: u64) -> impl Iterator<Item = &Truth> {
        let within = self.history.iter().filter(move |(tick, _)| from < *tick && *tick <= to);
        self.at(from).into_iter().chain(within.map(|(_, truth)| truth))
    }

    pub(super) fn row(&self, with_state: bool) -> VideoRow {
        let truth = self.truth();
        VideoRow {
            uuid: self.uuid.clone(),
            name: format!("video {}", self.uuid),
            url: Some(format!("https://peertube.example.com/w/{}", self.uuid)),
            channel: Some("channel".into()),
            account: Some("account".into()),
            privacy: Some(truth.privacy),
            state: with_state.then_some(truth.state),
            wait_transcoding: with_state.then_some(truth.wait),
            blacklisted: with_state.then_some(truth.blocked),
            created_at: self.created_at,
            published_at: Some(self.published_at),
            duration: Some(8),
            is_live: Some(truth.is_live),
            is_local: Some(self.is_local),
            nsfw: Some(false),
        }
    }
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Timestamp,
    /// Counts what happened.
    pub(super) tick: u64,
    pub(super) videos: Vec<Video>,
    /// What happens between the next questions, one each.
    pub(super) meanwhile: VecDeque<Op>,
    /// The question, from now on, that is not answered.
    pub(super) fail_at: Option<usize>,
    pub(super) lists_asked: usize,
    pub(super) addresses_asked: Vec<String>,
}

/// A question that was not answered.
#[derive(Debug, PartialEq)]
pub(super) struct Down;

impl World {
    pub(super) fn new() -> Self {
        Self {
            now: "2026-11-24T02:00:00.4Z".parse().unwrap(),
            tick: 0,
            videos: Vec::new(),
            meanwhile: VecDeque::new(),
            fail_at: None,
            lists_asked: 0,
            addresses_asked: Vec::new(),
        }
    }

    /// Without rights, or with.
    pub(super) fn as_seen(&mut self, sight: Sight) -> Server<'_> {
        Server { world: self, sight }
    }

    pub(super) fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// The server's clock as HTTP tells it.
    pub(super) fn date(&self) -> Timestamp {
        Timestamp::from_second(self.now.as_second()).unwrap()
    }

    pub(super) fn upload(&mut self, privacy: Privacy, wait: bool) -> String {
        self.happen(&Op::Upload { privacy, wait, instant: false });
        self.videos.last().unwrap().uuid.clone()
    }

    pub(super) fn happen(&mut self, op: &Op) {
        self.tick += 1;
        // Coarse enough that nothing straddles the beginning of a look.
        self.wait(7);
        let now = self.now;
        match *op {
            Op::Upload { privacy, wait, instant } => {
                let state = if instant { VideoState::Published } else { VideoState::ToTranscode };
                self.add(privacy, state, wait, false);
            }
            Op::NewLive { privacy, permanent } => {
                self.add(privacy, VideoState::WaitingForLive, false, true);
                self.videos.last_mut().unwrap().permanent = permanent;
            }
            Op::Remote { age } => {
                self.add(Privacy::Public, VideoState::Published, false, false);
                let video = self.videos.last_mut().unwrap();
                (video.created_at, video.published_at, video.is_local) = (now - age, now - age, false);
            }
            Op::Transcoded(i) => self.change(i, |video, truth| {
                if truth.state != VideoState::ToTranscode {
                    return;
                }
                truth.state = VideoState::Published;
                if std::mem::take(&mut video.first_transcoding) {
                    video.published_at = now;
                }
            }),
            Op::Failed(i) => self.change(i, |_, truth| {
                if truth.state == VideoState::ToTranscode {
                    truth.state = VideoState::TranscodingFailed;
                }
            }),
            Op::TranscodeAgain(i) => self.change(i, |video, truth| {
                if !truth.is_live && matches!(truth.state, VideoState::Published | VideoState::TranscodingFailed) {
                    truth.state = VideoState::ToTranscode;
                    video.first_transcoding = false;
                }
            }),
            Op::Move(i) => self.change(i, |_, truth| {
                if !truth.is_live && truth.state == VideoState::Published {
                    truth.state = VideoState::ToMoveToExternalStorage;
                }
            }),
            Op::Moved(i) => self.change(i, |_, truth| {
                if truth.state == VideoState::ToMoveToExternalStorage {
                    truth.state = VideoState::Published;
                }
            }),
            Op::SetPrivacy(i, privacy) => self.change(i, |video, truth| {
                if truth.privacy == Privacy::Private && privacy != Privacy::Private {
                    video.published_at = now;
                }
                truth.privacy = privacy;
            }),
            Op::Block(i) => self.change(i, |_, truth| truth.blocked = true),
            Op::Unblock(i) => self.change(i, |_, truth| truth.blocked = false),
            Op::Start(i) => self.change(i, |video, truth| {
                if truth.state == VideoState::WaitingForLive {
                    truth.state = VideoState::Published;
                    video.published_at = now;
                }
            }),
            Op::End { live, replay } => self.change(live, |video, truth| {
                if !truth.is_on_air() {
                    return;
                }
                (truth.state, truth.is_live, truth.wait) = match (video.permanent, replay) {
                    (true, _) => (VideoState::WaitingForLive, true, truth.wait),
                    (false, false) => (VideoState::LiveEnded, true, truth.wait),
                    (false, true) => (VideoState::ToTranscode, false, true),
                };
                video.first_transcoding = false;
            }),
            Op::Delete(i) => self.change(i, |_, truth| truth.deleted = true),
        }
    }

    fn add(&mut self, privacy: Privacy, state: VideoState, wait: bool, is_live: bool) {
        let number = self.videos.len();
        // In no order that tells when they were made.
        let uuid = format!("{:02x}-{number}", number * 97 % 251);
        let truth = Truth { privacy, state, blocked: false, is_live, wait, moved: false, deleted: false };
        self.videos.push(Video {
            uuid,
            created_at: self.now,
            published_at: self.now - SignedDuration::from_millis(500),
            is_local: true,
            first_transcoding: state == VideoState::ToTranscode,
            permanent: false,
            history: vec![(self.tick, truth)],
        });
    }

    fn change(&mut self, i: usize, change: impl FnOnce(&mut Video, &mut Truth)) {
        if self.videos.is_empty() {
            return;
        }
        let i = i % self.videos.len();
        let video = &mut self.videos[i];
        let mut truth = video.truth().clone();
        if truth.deleted {
            return;
        }
        change(video, &mut truth);
        truth.moved = video.published_at > video.created_at;
        if truth != *video.truth() {
            video.history.push((self.tick, truth));
        }
    }

    fn question(&mut self) -> Result<(), Down> {
        self.now += SignedDuration::from_millis(130);
        if let Some(op) = self.meanwhile.pop_front() {
            self.happen(&op);
        }
        if let Some(left) = &mut self.fail_at {
            *left = left.checked_sub(1).ok_or(Down)?;
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Server<'a> {
    world: &'a mut World,
    sight: Sight,
}

impl Server<'_> {
    pub(super) fn happen(&mut self, op: &Op) {
        self.world.happen(op);
    }
}

impl Ask for Server<'_> {
    type Error = Down;

    async fn videos(&mut self, query: &VideosQuery) -> Result<VideosPage, Down> {
        self.world.question()?;
        self.world.lists_asked += 1;
        assert!(query.count <= 100, "the server refuses larger pages");
        assert_eq!(query.everything, self.sight == Sight::Everything, "what is asked for needs the right");
        let mut videos: Vec<&Video> = self
            .world
            .videos
            .iter()
            .filter(|video| !video.truth().deleted && (query.scope == Scope::All || video.is_local))
            .filter(|video| query.everything || video.truth().is_listed())
            .collect();
        videos.sort_by_key(|video| match query.sort {
            VideoSort::NewestCreated => video.created_at,
            VideoSort::NewestPublished => video.published_at,
        });
        let rows = videos.iter().rev().skip(query.start as usize).take(query.count as usize);
        Ok(VideosPage {
            unread: 0,
            total: (!query.skip_count).then_some(videos.len() as u64),
            rows: rows.map(|video| video.row(query.everything)).collect(),
            date: self.world.date(),
        })
    }

    async fn video(&mut self, uuid: &str) -> Result<Sought, Down> {
        self.world.question()?;
        self.world.addresses_asked.push(uuid.to_owned());
        let Some(video) = self.world.videos.iter().find(|video| video.uuid == uuid && !video.truth().deleted) else {
            return Ok(Sought::Gone);
        };
        let truth = video.truth();
        let is_open = !truth.blocked && matches!(truth.privacy, Privacy::Public | Privacy::Unlisted);
        Ok(if self.sight == Sight::Everything || is_open {
            Sought::Here(Box::new(video.row(true)))
        } else {
            Sought::Withheld
        })
    }
}

/// The result of a future that never waits.
pub(super) fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the model never waits"),
    }
}
