//! Each ended job is told once: histories of a simulated instance, polled by the exact
//! accounting of jobs and held against what really happened; and instances that answer
//! whatever they like.
#![no_main]

mod job_sync {
    pub(crate) mod history;
    pub(crate) mod liar;
    #[path = "../../../tests/suite/accounting/watcher.rs"]
    #[expect(clippy::unwrap_used, reason = "shared with the tests, which may")]
    pub(crate) mod watcher;
}

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum World {
    True(job_sync::history::History),
    Lying(job_sync::liar::Liar),
}

fuzz_target!(|world: World| {
    match world {
        World::True(history) => job_sync::history::run(&history),
        World::Lying(liar) => job_sync::liar::run(&liar),
    }
});
