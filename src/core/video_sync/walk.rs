//! Reads a list of videos page by page. What was in the list from the first page's
//! reply to the last one's is met, whatever comes, goes or moves between two pages:
//! each page must share a video with those before it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Ask, Limits, Look, Seen, Source};
use crate::core::video::{VideoSort, VideosQuery};

/// What a walk met.
#[derive(Debug)]
pub(super) struct Walk {
    /// Each video as it was seen last.
    pub seen: BTreeMap<String, Seen>,
    /// The server's clock at the first and at the last page.
    pub begun: Timestamp,
    pub ended: Timestamp,
    /// Whether it reached its end: if not, it proves nothing about what is not in it.
    pub complete: bool,
}

/// How far to go.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// The whole list.
    TheEnd,
    /// A video that is older by the order asked; a bounded number of pages at most.
    OlderThan(Timestamp),
}

pub(super) async fn walk<A: Ask>(
    ask: &mut A,
    look: Look,
    sort: VideoSort,
    until: Until,
    limits: &Limits,
) -> Result<Walk, A::Error> {
    let all = matches!(until, Until::TheEnd);
    let mut count = if all { limits.page } else { limits.first };
    let first = ask.videos(&query(look, sort, 0, count, !all)).await?;
    let mut most = match until {
        // Twice what an unchanging list takes: beyond, something ignores `start` or
        // the list runs away from us.
        Until::TheEnd => 10 + 2 * first.total.unwrap_or(0) / limits.step(),
        Until::OlderThan(_) => limits.pages,
    };
    let mut walk = Walk { seen: BTreeMap::new(), begun: first.date, ended: first.date, complete: false };
    let mut start = 0;
    let mut page = first;
    loop {
        walk.ended = page.date;
        let length = page.rows.len() as u64 + page.unread;
        let joined = start == 0 || page.rows.iter().any(|row| walk.seen.contains_key(&row.uuid));
        let past = page.rows.last().is_some_and(|row| match (until, sort) {
            (Until::TheEnd, _) => false,
            (Until::OlderThan(mark), VideoSort::NewestCreated) => row.created_at < mark,
            (Until::OlderThan(mark), VideoSort::NewestPublished) => row.published_at.is_some_and(|at| at < mark),
        });
        if joined {
            walk.complete = length < count || past;
            for row in page.rows {
                let seen = Seen { row, date: page.date, source: Source::List };
                walk.seen.insert(seen.row.uuid.clone(), seen);
            }
            start += length.saturating_sub(limits.overlap).max(1);
        } else {
            // So many vanished from before this page that some may have slipped past.
            start = start.saturating_sub(limits.step());
        }
        most = most.saturating_sub(1);
        if walk.complete || most == 0 {
            return Ok(walk);
        }
        count = limits.page;
        page = ask.videos(&query(look, sort, start, count, true)).await?;
    }
}

fn query(look: Look, sort: VideoSort, start: u64, count: u64, skip_count: bool) -> VideosQuery {
    VideosQuery {
        start,
        count,
        sort,
        scope: look.scope,
        skip_count,
        everything: look.sight == super::Sight::Everything,
    }
}
