//! The jobs that a video makes. Which of them moves the video on is told by
//! [`publishes`]: the first that gives a file of the full resolution to stream.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Trouble, Video};
use crate::jobs::{NewFlow, NewJob, Version};

const FULL: u64 = 720;
const LESSER: [u64; 2] = [480, 240];

/// All that follows an upload: the file is looked at, then told of, then transcoded.
/// A failure of one takes down those that should come after.
pub(super) fn after_upload(video: &Video, version: Version, priority: u64) -> NewFlow {
    let uuid = &video.uuid;
    let torrent = NewJob::new("manage-video-torrent").run(Duration::from_millis(100)).data(json!({
        "videoId": video.id, "videoFileId": video.id * 4, "action": "create",
    }));
    let storyboard = spoilt_if(
        video.new.trouble == Some(Trouble::Storyboard),
        NewJob::new("generate-video-storyboard")
            .run(Duration::from_millis(400))
            .data(json!({ "videoUUID": uuid, "federate": false })),
    );
    let notify =
        NewJob::new("notify").run(Duration::from_millis(10)).data(json!({ "action": "new-video", "videoUUID": uuid }));
    let federate = NewJob::new("federate-video")
        .run(Duration::from_millis(10))
        .data(json!({ "videoUUID": uuid, "isNewVideoForFederation": true }));
    let told = NewFlow::new(federate).child(NewFlow::new(notify).child(NewFlow::new(storyboard).child(torrent)));
    if !video.new.transcode {
        return told;
    }
    let builder = NewJob::new("transcoding-job-builder")
        .run(Duration::from_millis(120))
        .data(json!({ "videoUUID": uuid, "optimizeJob": { "isNewVideo": true } }))
        .then(first_transcode(video, version, priority));
    NewFlow::new(builder).child(told)
}

/// The upload made fit for the web, then a job that adds the streams.
fn first_transcode(video: &Video, version: Version, priority: u64) -> NewFlow {
    let optimize = spoilt_if(
        matches!(video.new.trouble, Some(Trouble::FirstTranscode | Trouble::EveryTranscode)),
        transcode(video, priority, data(video, version, "optimize-to-web-video", None, true)),
    );
    let mut builder = NewJob::new("transcoding-job-builder")
        .run(Duration::from_millis(50))
        .data(json!({ "videoUUID": video.uuid, "sequentialJobs": [] }));
    for flow in streams(video, version, priority, true) {
        builder = builder.then(flow);
    }
    NewFlow::new(builder).child(optimize)
}

/// The full resolution first, then the lesser ones: a file, and a stream copied of it.
pub(super) fn streams(video: &Video, version: Version, priority: u64, is_new: bool) -> Vec<NewFlow> {
    let data = |kind, resolution| data(video, version, kind, Some(resolution), is_new);
    let full = spoilt_if(
        video.new.trouble == Some(Trouble::EveryTranscode),
        transcode(video, priority, data("new-resolution-to-hls", FULL)),
    );
    let lesser = LESSER.into_iter().map(|resolution| {
        let fails = video.new.trouble == Some(Trouble::LesserTranscode) && resolution == LESSER[1];
        let file = transcode(video, priority, data("new-resolution-to-web-video", resolution));
        let copy = NewJob::new("video-transcoding")
            .run(Duration::from_millis(1_500))
            .priority(priority)
            .data(data("new-resolution-to-hls", resolution));
        NewFlow::new(copy).child(spoilt_if(fails, file))
    });
    std::iter::once(full.into()).chain(lesser).collect()
}

/// What an instance of the first years does: one job a resolution.
pub(super) fn plain_transcodes(video: &Video) -> Vec<NewJob> {
    let spoilt = |trouble| video.new.trouble == Some(trouble);
    let data = json!({ "videoUUID": video.uuid, "isNewVideo": true });
    let first = NewJob::new("video-transcoding").run(video.new.run).data(data);
    let lesser = NewJob::new("video-transcoding")
        .run(video.new.run / 2)
        .data(json!({ "videoUUID": video.uuid, "isNewVideo": false, "resolution": LESSER[1] }));
    vec![spoilt_if(spoilt(Trouble::FirstTranscode), first), spoilt_if(spoilt(Trouble::LesserTranscode), lesser)]
}

/// Whether the end of a transcode lets its video be published.
pub(super) fn publishes(version: Version, data: &Value) -> bool {
    match version {
        Version::QuickStart => data["isNewVideo"] == true,
        Version::V6_3 | Version::V8_2 => data["type"] == "new-resolution-to-hls" && data["resolution"] == FULL,
    }
}

fn transcode(video: &Video, priority: u64, data: Value) -> NewJob {
    NewJob::new("video-transcoding").run(video.new.run).priority(priority).data(data).reports_progress()
}

fn data(video: &Video, version: Version, kind: &str, resolution: Option<u64>, is_new: bool) -> Value {
    let mut data = json!({ "type": kind, "videoUUID": video.uuid, "isNewVideo": is_new });
    match resolution {
        Some(resolution) => {
            data["resolution"] = json!(resolution);
            data["fps"] = json!(25);
        }
        None => {
            data["hasChildren"] = json!(true);
            data["quickTranscode"] = json!(true);
        }
    }
    if kind == "new-resolution-to-hls" {
        data["copyCodecs"] = json!(resolution != Some(FULL));
    }
    if version == Version::V8_2 {
        let required = resolution.is_none_or(|resolution| resolution == FULL);
        data["transcodingPriority"] = json!(if required { "required" } else { "optional" });
        data["canMoveVideoState"] = json!(required);
    }
    data
}

fn spoilt_if(spoilt: bool, job: NewJob) -> NewJob {
    if spoilt { job.failing() } else { job }
}
