//! Videos to add: what is told of them, and the work they will make.

use std::time::Duration;

use jiff::Timestamp;

use super::Privacy;

/// A local video to upload. [`NewVideo::named`] gives a public one of ten seconds that
/// waits for its transcoding.
#[derive(Debug, Clone)]
pub struct NewVideo {
    pub name: String,
    pub owner: String,
    pub privacy: Privacy,
    pub nsfw: bool,
    pub duration: u64,
    pub wait_transcoding: bool,
    /// Without, it is published at once.
    pub transcode: bool,
    /// When it gets another privacy, which should be private before.
    pub scheduled: Option<(Timestamp, Privacy)>,
    /// How long each transcode takes.
    pub run: Duration,
    pub trouble: Option<Trouble>,
}

/// What goes wrong with the work of a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The storyboard fails, and what should come after it with it: the video stays to
    /// be transcoded for ever, with no job.
    Storyboard,
    /// The first transcode fails, before anything can be shown.
    FirstTranscode,
    /// Nor can it be transcoded afterwards.
    EveryTranscode,
    /// One of the lesser resolutions fails, when the video is published already.
    LesserTranscode,
}

impl NewVideo {
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            owner: "root".to_owned(),
            privacy: Privacy::Public,
            nsfw: false,
            duration: 10,
            wait_transcoding: true,
            transcode: true,
            scheduled: None,
            run: Duration::from_secs(5),
            trouble: None,
        }
    }

    pub fn owner(self, owner: &str) -> Self {
        Self { owner: owner.to_owned(), ..self }
    }

    pub fn privacy(self, privacy: Privacy) -> Self {
        Self { privacy, ..self }
    }

    pub fn nsfw(self) -> Self {
        Self { nsfw: true, ..self }
    }

    /// Listed while it is still being transcoded.
    pub fn without_waiting(self) -> Self {
        Self { wait_transcoding: false, ..self }
    }

    pub fn without_transcoding(self) -> Self {
        Self { transcode: false, ..self }
    }

    /// Private until then.
    pub fn scheduled(self, at: Timestamp, privacy: Privacy) -> Self {
        Self { scheduled: Some((at, privacy)), privacy: Privacy::Private, ..self }
    }

    pub fn run(self, run: Duration) -> Self {
        Self { run, ..self }
    }

    pub fn trouble(self, trouble: Trouble) -> Self {
        Self { trouble: Some(trouble), ..self }
    }
}

/// A video to fetch from elsewhere.
#[derive(Debug, Clone)]
pub struct NewImport {
    pub video: NewVideo,
    /// How long fetching takes.
    pub run: Duration,
    pub fails: bool,
}

impl NewImport {
    pub fn of(video: NewVideo) -> Self {
        Self { video, run: Duration::from_secs(20), fails: false }
    }

    pub fn failing(self) -> Self {
        Self { fails: true, ..self }
    }
}

#[derive(Debug, Clone)]
pub struct NewLive {
    pub name: String,
    pub privacy: Privacy,
    /// Streams again and again under the same address.
    pub permanent: bool,
    /// A one-shot live becomes a video of what was streamed.
    pub save_replay: bool,
}

impl NewLive {
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), privacy: Privacy::Public, permanent: false, save_replay: false }
    }

    pub fn permanent(self) -> Self {
        Self { permanent: true, ..self }
    }

    pub fn with_replay(self) -> Self {
        Self { save_replay: true, ..self }
    }
}

/// A video of another instance.
#[derive(Debug, Clone)]
pub struct RemoteVideo {
    pub name: String,
    pub host: String,
    pub owner: String,
    /// At its origin: older than its arrival here.
    pub published_at: Timestamp,
    pub nsfw: bool,
}

impl RemoteVideo {
    pub fn named(name: &str, published_at: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            host: "elsewhere.example.org".to_owned(),
            owner: "stranger".to_owned(),
            published_at,
            nsfw: false,
        }
    }
}
