//! Lists of globs as the configuration has them: `*` and `?`, and a leading `!`
//! takes away. The last pattern that matches decides.

use wildmatch::WildMatch;

/// An ordered list of patterns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Globs(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq)]
struct Pattern {
    adds: bool,
    matcher: WildMatch,
}

impl Globs {
    pub fn new<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Self {
        let mut patterns = patterns.into_iter().peekable();
        // What begins by taking away takes away from everything.
        let everything = patterns.peek().is_some_and(|first| first.as_ref().starts_with('!'));
        let all = everything.then(|| Pattern { adds: true, matcher: WildMatch::new("*") });
        Self(
            patterns
                .map(|pattern| {
                    let pattern = pattern.as_ref();
                    let (adds, glob) = match pattern.strip_prefix('!') {
                        Some(rest) => (false, rest),
                        None => (true, pattern),
                    };
                    Pattern { adds, matcher: WildMatch::new(glob) }
                })
                .fold(all.into_iter().collect(), |mut all: Vec<_>, pattern| {
                    all.push(pattern);
                    all
                }),
        )
    }

    pub fn matches(&self, text: &str) -> bool {
        self.0.iter().rev().find(|p| p.matcher.matches(text)).is_some_and(|p| p.adds)
    }

    /// Whether a pattern that adds can match some text that begins so.
    pub fn can_match_prefix(&self, prefix: &str) -> bool {
        self.0.iter().filter(|pattern| pattern.adds).any(|pattern| {
            let pattern = pattern.matcher.pattern();
            let literal = pattern.split(['*', '?']).next().unwrap_or_default();
            let is_whole = literal.len() == pattern.len();
            literal.starts_with(prefix) || (!is_whole && prefix.starts_with(literal))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Globs;

    #[test]
    fn the_last_matching_pattern_decides() {
        let globs = Globs::new(["*", "!job.completed"]);
        assert!(globs.matches("job.failed"));
        assert!(!globs.matches("job.completed"));
        assert!(Globs::new(["*", "!job.*", "job.failed"]).matches("job.failed"));
        assert!(Globs::new(["!job.*"]).matches("video.created"));
        assert!(!Globs::new(["!job.*"]).matches("job.failed"));
        assert!(!Globs::new(["video-*"]).matches("email"));
        assert!(!Globs::default().matches("anything"));
    }

    #[test]
    fn whether_a_pattern_can_match_what_begins_so() {
        for pattern in ["*", "custom.*", "custom.report", "cust*", "c?stom.x"] {
            assert!(Globs::new([pattern]).can_match_prefix("custom."), "{pattern}");
        }
        for pattern in ["job.*", "custom", "customs.*", "!custom.x"] {
            let only = Globs::new(["job.failed", pattern]);
            assert!(!only.can_match_prefix("custom."), "{pattern}");
        }
    }
}
