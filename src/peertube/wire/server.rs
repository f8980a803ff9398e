//! What an instance tells of its plugins, its news and its numbers.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::scalar::Scalar;
use super::{Listed, Page, decode, missing};
use crate::core::stats::{Redundancy, Stats};
use crate::core::text::clean;
use crate::core::updates::Plugin;
use crate::peertube::error::Cause;

/// PeerTube's number of a theme, where a plugin is 1.
const THEME: i64 = 2;
/// A package may be so long; npm allows 214.
const LONGEST_NAME: usize = 220;
const LONGEST_VERSION: usize = 64;

/// Those that are installed.
pub fn plugins(body: &[u8]) -> Result<Listed<Vec<Plugin>>, Cause> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Row {
        name: String,
        #[serde(rename = "type")]
        kind: i64,
        version: String,
        latest_version: Option<String>,
        #[serde(default)]
        uninstalled: bool,
    }

    let page: Page<Row> = Page::read(body)?;
    let passed_over = page.passed_over();
    let installed = page.rows.into_iter().filter(|row| !row.uninstalled);
    let plugins = installed
        .map(|row| {
            let kind = if row.kind == THEME { "theme" } else { "plugin" };
            Plugin {
                package: clean(&format!("peertube-{kind}-{}", row.name), LONGEST_NAME),
                version: clean(&row.version, LONGEST_VERSION),
                latest: row.latest_version.map(|latest| clean(&latest, LONGEST_VERSION)),
            }
        })
        .collect();
    Ok(Listed { page: plugins, passed_over })
}

/// The versions of PeerTube that the account was told of. Of all else that it was told
/// nothing is decoded.
pub fn new_versions(body: &[u8]) -> Result<Listed<Vec<String>>, Cause> {
    #[derive(Deserialize)]
    struct Row {
        peertube: Option<News>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct News {
        #[serde(default)]
        latest_version: Scalar,
    }

    let page: Page<Row> = Page::read(body)?;
    let passed_over = page.passed_over();
    Ok(Listed {
        page: page.rows.into_iter().filter_map(|row| row.peertube?.latest_version.into_text()).collect(),
        passed_over,
    })
}

pub fn stats(body: &[u8]) -> Result<Stats, Cause> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kept {
        videos_redundancy: Option<Vec<Strategy>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Strategy {
        #[serde(default)]
        strategy: String,
        #[serde(default)]
        total_used: Scalar,
        #[serde(default)]
        total_size: Scalar,
        #[serde(default)]
        total_videos: Scalar,
        #[serde(default)]
        total_video_files: Scalar,
    }

    let all: BTreeMap<String, Scalar> = decode(body)?;
    // Every version counts its users.
    if !all.contains_key("totalUsers") {
        return Err(missing("totalUsers"));
    }
    let kept: Kept = decode(body)?;
    let numbers = all.into_iter().filter_map(|(name, value)| Some((name, value.as_real()?))).collect();
    let redundancy = kept.videos_redundancy.iter().flatten().map(|kept| {
        let numbers = Redundancy {
            used_bytes: kept.total_used.as_real(),
            size_bytes: kept.total_size.as_real(),
            videos: kept.total_videos.as_real(),
            files: kept.total_video_files.as_real(),
        };
        (kept.strategy.as_str(), numbers)
    });
    Ok(Stats::of(&numbers, redundancy))
}
