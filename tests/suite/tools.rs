//! Outside tools that some tests need. A test without its tool says so and is
//! skipped, unless `TUBEWARDEN_TEST_TOOLS=required`: then it fails.

use std::env;
use std::path::PathBuf;

/// Where a tool is on the search path, or `None` when the test is to be skipped.
#[expect(clippy::print_stderr, reason = "who runs the tests must see what was skipped")]
pub(crate) fn require(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        assert!(
            env::var_os("TUBEWARDEN_TEST_TOOLS").is_none_or(|value| value != "required"),
            "{name} is not installed, and TUBEWARDEN_TEST_TOOLS=required"
        );
        eprintln!("SKIPPED: {name} is not installed; .ci/run installs it");
    }
    found
}
