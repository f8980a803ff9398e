//! Label values that a remote server chooses. Never more of them than [`MOST`],
//! and what was once shown under its own name is never folded away later.

use std::collections::BTreeSet;

use crate::core::text::clean;

/// What stands for all that got no name of its own.
pub(super) const OTHER: &str = "other";

/// Names beyond this many are [`OTHER`].
const MOST: usize = 64;

/// A label value has at most this many characters.
const LONGEST: usize = 128;

/// The names that are shown as they are: the first [`MOST`] that came.
#[derive(Debug, Default)]
pub(super) struct Labels {
    shown: BTreeSet<String>,
}

impl Labels {
    /// The label for a name, which is kept from now on if there is room.
    pub(super) fn admit(&mut self, name: &str) -> String {
        let label = label(name);
        if label != OTHER && !self.shown.contains(&label) && self.shown.len() < MOST {
            self.shown.insert(label.clone());
        }
        self.of(name)
    }

    /// The label for a name, as the ones admitted so far decide.
    pub(super) fn of(&self, name: &str) -> String {
        let label = label(name);
        if self.shown.contains(&label) { label } else { OTHER.to_owned() }
    }
}

/// A text as a label value: one safe line of bounded length. An empty value would
/// be no label at all.
pub(super) fn label(text: &str) -> String {
    let label = clean(text, LONGEST);
    if label.is_empty() { OTHER.to_owned() } else { label }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_names_stay_and_the_rest_is_other() {
        let mut labels = Labels::default();
        for i in 0..MOST {
            assert_eq!(labels.admit(&format!("z{i}")), format!("z{i}"));
        }
        assert_eq!(labels.admit("a"), OTHER);
        assert_eq!(labels.of("z63"), "z63");
        assert_eq!(labels.admit("z0"), "z0");
    }

    #[test]
    fn a_name_that_says_other_or_nothing_takes_no_place() {
        let mut labels = Labels::default();
        for name in ["other", "", "\u{1b}\n"] {
            assert_eq!(labels.admit(name), OTHER);
        }
        assert!(labels.shown.is_empty());
    }

    #[test]
    fn control_characters_and_length_are_taken_away() {
        let mut labels = Labels::default();
        assert_eq!(labels.admit("a\u{1b}[31m\nb"), "a [31m b");
        assert_eq!(labels.admit(&"x".repeat(1000)).len(), LONGEST);
    }
}
