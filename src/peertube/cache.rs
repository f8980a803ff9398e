//! The last small bodies with their tags, so that what did not change need not be
//! sent again. Never holds more than [`MOST_ALL`] bytes of bodies.

use std::collections::VecDeque;
use std::sync::Arc;

const MOST_ONE: usize = 32 << 10;
const MOST_ALL: usize = 128 << 10;
const LONGEST_TAG: usize = 200;

/// What a server sent, and the tag that it knows it by.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) tag: String,
    pub(super) body: Arc<[u8]>,
}

/// By address; the one used last stands at the end.
#[derive(Default)]
pub(super) struct Cache {
    kept: VecDeque<(String, Kept)>,
    size: usize,
}

impl Cache {
    pub(super) fn get(&mut self, address: &str) -> Option<Kept> {
        let entry = self.take(address)?;
        let kept = entry.1.clone();
        self.push(entry);
        Some(kept)
    }

    pub(super) fn put(&mut self, address: &str, tag: &str, body: &Arc<[u8]>) {
        self.take(address);
        if body.len() <= MOST_ONE && tag.len() <= LONGEST_TAG {
            self.push((address.to_owned(), Kept { tag: tag.to_owned(), body: Arc::clone(body) }));
        }
        while self.size > MOST_ALL
            && let Some((_, oldest)) = self.kept.pop_front()
        {
            self.size -= oldest.body.len();
        }
    }

    fn take(&mut self, address: &str) -> Option<(String, Kept)> {
        let at = self.kept.iter().position(|(known, _)| known == address)?;
        let entry = self.kept.remove(at)?;
        self.size -= entry.1.body.len();
        Some(entry)
    }

    fn push(&mut self, entry: (String, Kept)) {
        self.size += entry.1.body.len();
        self.kept.push_back(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_bodies_go_first_and_a_big_one_is_never_kept() {
        let mut cache = Cache::default();
        let body: Arc<[u8]> = vec![0; MOST_ONE].into();
        for address in ["a", "b", "c", "d"] {
            cache.put(address, "tag", &body);
        }
        assert!(cache.get("a").is_some(), "all four fit, and a is now the newest");
        cache.put("e", "tag", &body);
        assert!(cache.get("b").is_none());
        assert!(cache.get("a").is_some());

        cache.put("a", "tag", &vec![0; MOST_ONE + 1].into());
        assert!(cache.get("a").is_none(), "what was kept is outdated too");
        assert!(cache.size <= MOST_ALL);
    }
}
