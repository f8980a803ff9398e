//! What a list of videos shows to whom. What is hidden is not in the total either.

use super::{Privacy, Video, VideoState, Videos};

/// How lists can be sorted; what has no meaning here is a tie.
pub(crate) const SORTS: [&str; 12] = [
    "name",
    "duration",
    "createdAt",
    "publishedAt",
    "originallyPublishedAt",
    "views",
    "likes",
    "comments",
    "trending",
    "hot",
    "best",
    "localVideoFilesSize",
];

const NOT_PUBLISHED: u64 = 1;
const BLOCKED: u64 = 2;
const OF_BLOCKED_OWNERS: u64 = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sort {
    pub(crate) key: String,
    pub(crate) descending: bool,
}

/// A question that has passed all checks of form and of rights.
#[derive(Debug, Clone)]
pub(crate) struct VideoQuery {
    pub(crate) start: usize,
    pub(crate) count: usize,
    pub(crate) sort: Sort,
    pub(crate) is_local: Option<bool>,
    /// `None` for both.
    pub(crate) nsfw: Option<bool>,
    pub(crate) include: u64,
    pub(crate) privacy_one_of: Vec<u64>,
    /// Empty where the version knows no such parameter.
    pub(crate) state_one_of: Vec<u64>,
    pub(crate) search: Option<String>,
    pub(crate) signed_in: bool,
}

impl Videos {
    /// The page asked, and how many there are in all.
    pub(crate) fn list(&self, query: &VideoQuery) -> (u64, Vec<&Video>) {
        let mut shown: Vec<_> = self.iter().filter(|video| shows(query, video)).collect();
        shown.sort_by(|a, b| {
            let ascending = match query.sort.key.as_str() {
                "name" => a.name.cmp(&b.name),
                "duration" => a.duration.cmp(&b.duration),
                "createdAt" => a.created_at.cmp(&b.created_at),
                "publishedAt" => a.published_at.cmp(&b.published_at),
                "views" | "trending" | "hot" | "best" => a.views.cmp(&b.views),
                _ => std::cmp::Ordering::Equal,
            };
            let ordered = if query.sort.descending { ascending.reverse() } else { ascending };
            ordered.then_with(|| a.id.cmp(&b.id))
        });
        let total = shown.len() as u64;
        (total, shown.into_iter().skip(query.start).take(query.count).collect())
    }
}

fn shows(query: &VideoQuery, video: &Video) -> bool {
    let includes = |bit| query.include & bit != 0;
    let state = if query.state_one_of.is_empty() {
        includes(NOT_PUBLISHED)
            || video.state == VideoState::Published
            || (video.state == VideoState::ToTranscode && !video.wait_transcoding)
    } else {
        query.state_one_of.contains(&video.state.id())
    };
    let privacy = if query.privacy_one_of.is_empty() {
        video.privacy == Privacy::Public || (query.signed_in && video.privacy == Privacy::Internal)
    } else {
        query.privacy_one_of.contains(&video.privacy.id())
    };
    state
        && privacy
        && (includes(BLOCKED) || video.blocked.is_none())
        && (includes(OF_BLOCKED_OWNERS) || !video.owner_muted)
        && query.nsfw.is_none_or(|nsfw| video.nsfw == nsfw)
        && query.is_local.is_none_or(|local| video.is_local() == local)
        && query.search.as_ref().is_none_or(|text| video.name.to_lowercase().contains(&text.to_lowercase()))
}
