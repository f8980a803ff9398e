//! The errors of jobs as the lists show them: stack traces of many lines, with paths.

use std::sync::Arc;

use super::Version;

/// How an error of a parent names the child that failed.
pub(super) fn child(job_type: &str, id: &str) -> String {
    format!("child bull-peertube.example.com:{job_type}:{id} failed")
}

/// The error of a parent, by what [`child`] gave.
pub(super) fn cascade(version: Version, child: &str) -> Arc<str> {
    match version {
        Version::QuickStart | Version::V6_3 => child.into(),
        Version::V8_2 => trace(version, &format!("UnrecoverableError: {child}"), "bullmq/dist/cjs/classes/worker.js"),
    }
}

pub(super) fn cancelled(version: Version) -> Arc<str> {
    trace(version, "UnrecoverableError: Job has been canceled", "bullmq/dist/cjs/classes/lock-manager.js")
}

/// What a job of a type says when it fails.
pub(super) fn failure(version: Version, job_type: &str) -> Arc<str> {
    let (message, module) = match job_type {
        "video-transcoding" | "generate-video-storyboard" | "video-studio-edition" => {
            (FFPROBE, "fluent-ffmpeg/lib/ffprobe.js")
        }
        "email" => (
            "Error: Some errors when sent emails: connect ECONNREFUSED 127.0.0.1:2525",
            "nodemailer/lib/mailer/index.js",
        ),
        _ => ("Error: connect ETIMEDOUT 192.0.2.7:443", "got/dist/source/core/index.js"),
    };
    trace(version, message, module)
}

/// The first line tells little; the cause is the last line that is no stack frame.
const FFPROBE: &str = "Error: ffprobe exited with code 1
ffprobe version 5.1 Copyright (c) the FFmpeg developers
  built with gcc 12
  libavutil      57. 28.100 / 57. 28.100
[mov,mp4,m4a,3gp,3g2,mj2 @ 0x55f7bcf2a180] moov atom not found
/var/www/peertube/storage/web-videos/3adac9da-a153-4f72-bd86-9d37498e9920-360.mp4: Invalid data found when processing input
";

fn trace(version: Version, message: &str, module: &str) -> Arc<str> {
    let modules = "/var/www/peertube/peertube-latest/node_modules";
    let queue = match version {
        Version::QuickStart => "bull/lib/queue.js:1013:13",
        Version::V6_3 => "bullmq/dist/cjs/classes/worker.js:453:28",
        Version::V8_2 => "bullmq/dist/cjs/classes/worker.js:636:32",
    };
    [
        message,
        &format!("    at ChildProcess.<anonymous> ({modules}/{module}:233:22)"),
        "    at ChildProcess.emit (node:events:519:28)",
        "    at process.processTicksAndRejections (node:internal/process/task_queues:103:5)",
        &format!("    at async Worker.processJob ({modules}/{queue})"),
    ]
    .join("\n")
    .into()
}
