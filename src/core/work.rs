//! Which videos have unfinished jobs, wherever these are: what the polls of jobs know
//! and the polls of videos judge by. Only made of lists that were seen whole.

use std::collections::BTreeSet;

use jiff::Timestamp;

/// What the unfinished jobs of one source are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The uuids of videos that have an unfinished job.
    pub videos: BTreeSet<String>,
    /// An import is unfinished: which video it is for is not told.
    pub imports: bool,
    /// The server's clock at the beginning of the poll that saw this.
    pub at: Timestamp,
}

impl Work {
    /// The work of two sources: as old as the older.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        self.videos.extend(other.videos);
        Self { imports: self.imports || other.imports, at: self.at.min(other.at), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sources_are_as_old_as_the_older_and_have_the_work_of_both() {
        let work = |video: &str, imports, second| Work {
            videos: [video.to_owned()].into(),
            imports,
            at: Timestamp::from_second(second).unwrap(),
        };
        let both = work("a", false, 60).join(work("b", true, 30));
        assert_eq!(both, Work { videos: ["a".to_owned(), "b".to_owned()].into(), ..work("b", true, 30) });
    }
}
