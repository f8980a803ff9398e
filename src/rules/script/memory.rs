//! What a run takes. The engine bounds each value, but not all copies of it together;
//! so a run ends when the process has grown too much since it began.

use std::fs::File;
use std::io::{Read, Seek};
use std::sync::Mutex;

const MOST_PAGES: u64 = (256 << 20) / 4096;

/// Where the system doesn't tell, nothing is bounded by this.
pub(super) struct Growth(Option<(Mutex<File>, u64)>);

impl Growth {
    pub(super) fn begin() -> Self {
        let statm = File::open("/proc/self/statm").ok().map(Mutex::new);
        Self(statm.and_then(|statm| resident(&statm).map(|pages| (statm, pages))))
    }

    pub(super) fn is_too_much(&self) -> bool {
        let Some((statm, before)) = &self.0 else { return false };
        resident(statm).is_some_and(|now| now.saturating_sub(*before) > MOST_PAGES)
    }
}

/// In pages, which have 4 KiB where it matters.
fn resident(statm: &Mutex<File>) -> Option<u64> {
    let mut statm = statm.lock().ok()?;
    let mut text = [0; 128];
    statm.rewind().ok()?;
    let length = statm.read(&mut text).ok()?;
    std::str::from_utf8(text.get(..length)?).ok()?.split(' ').nth(1)?.parse().ok()
}
