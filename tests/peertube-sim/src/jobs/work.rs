//! Jobs as PeerTube makes them, with data of the shape it gives them. The data of
//! `email` holds what must never leak: a working password-reset link.

use std::time::Duration;

use serde_json::{Value, json};

use super::{NewFlow, NewJob, Version};

/// Part of every password-reset link.
pub const RESET_LINK: &str = "reset-password?userId=";

/// A mail with a password-reset link.
pub fn reset_mail(version: Version, user: u64, secret: &str) -> NewJob {
    let address = format!("user{user}@example.com");
    let to = match version {
        Version::QuickStart | Version::V6_3 => json!([address]),
        Version::V8_2 => json!({ "email": address, "language": "en" }),
    };
    NewJob::new("email").run(Duration::from_millis(110)).data(json!({
        "to": to,
        "template": "password-reset",
        "subject": "Reset your account password",
        "locals": {
            "username": format!("user{user}"),
            "resetPasswordUrl": format!("https://peertube.example.com/{RESET_LINK}{user}&verificationString={secret}"),
        },
    }))
}

/// A transcode to one resolution, as HLS or web video.
pub fn transcode(version: Version, video: &str, resolution: u32, hls: bool) -> NewJob {
    let kind = if hls { "new-resolution-to-hls" } else { "new-resolution-to-web-video" };
    let job = NewJob::new("video-transcoding").data(transcode_data(version, video, kind, Some(resolution)));
    // HLS is copied from the web video, which reports nothing.
    NewJob { reports_progress: !hls, ..job }
}

/// The first transcode of an upload.
pub fn optimize(version: Version, video: &str) -> NewJob {
    NewJob::new("video-transcoding")
        .data(transcode_data(version, video, "optimize-to-web-video", None))
        .reports_progress()
}

/// What an upload sets off: storyboard, notification and federation, then the first
/// transcode, then the others. `transcode` gives each transcode its run and priority.
pub fn upload(version: Version, video: &str, mut transcode: impl FnMut(NewJob) -> NewJob) -> NewFlow {
    let quick = |job_type: &'static str, data: Value| NewJob::new(job_type).run(Duration::from_millis(15)).data(data);
    let builder = |data: Value| quick("transcoding-job-builder", data);

    let mut others = builder(json!({ "videoUUID": video, "sequentialJobs": [] }));
    others.then.push(transcode(self::transcode(version, video, 720, true)).into());
    for resolution in [480, 240] {
        let web = transcode(self::transcode(version, video, resolution, false));
        let hls = transcode(self::transcode(version, video, resolution, true));
        others.then.push(NewFlow::new(hls).child(web));
    }
    let transcodes = NewFlow::new(others).child(transcode(optimize(version, video)));

    let first = builder(json!({ "videoUUID": video, "optimizeJob": { "isNewVideo": true } })).then(transcodes);
    let federate = quick("federate-video", json!({ "videoUUID": video, "isNewVideoForFederation": true }));
    let notify = quick("notify", json!({ "action": "new-video", "videoUUID": video }));
    let storyboard = quick("generate-video-storyboard", json!({ "videoUUID": video, "federate": false }))
        .run(Duration::from_millis(400));
    let torrent = quick("manage-video-torrent", json!({ "videoId": 17, "videoFileId": 78, "action": "create" }));
    NewFlow::new(first)
        .child(NewFlow::new(federate).child(NewFlow::new(notify).child(NewFlow::new(storyboard).child(torrent))))
}

fn transcode_data(version: Version, video: &str, kind: &str, resolution: Option<u32>) -> Value {
    let mut data = json!({ "type": kind, "videoUUID": video, "isNewVideo": true });
    if let Some(resolution) = resolution {
        data["resolution"] = json!(resolution);
        data["fps"] = json!(25);
    }
    match version {
        Version::QuickStart => {}
        Version::V6_3 => data["hasChildren"] = json!(false),
        Version::V8_2 => {
            data["transcodingPriority"] = json!("required");
            data["canMoveVideoState"] = json!(true);
        }
    }
    data
}
