//! What can go wrong with the state, told so that a person knows what to do next.
//! No error holds a stored value.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::health::is_short_of_files;
use crate::core::fault::Fault;

#[derive(Debug, Error)]
pub enum StoreError {
    #[error("open the state at {}: its directory does not exist; create it, writable for the user tubewarden runs as", path.display())]
    NoDirectory { path: PathBuf },
    #[error("read the state at {}: there is none yet; start the daemon first", path.display())]
    NoState { path: PathBuf },
    #[error("open the state at {}: {holder} holds it; stop that daemon first, or give this one another state url", path.display())]
    Held { path: PathBuf, holder: String },
    #[error("open the state at {}: its schema {found} is newer than this program, which knows {known}; update tubewarden", path.display())]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("read the state at {}: its schema {found} is older than this program, which needs {known}; start this version's daemon first", path.display())]
    Older { path: PathBuf, found: i64, known: i64 },
    #[error("open the state at {}: this is the database of another program; give tubewarden a file of its own", path.display())]
    Foreign { path: PathBuf },
    #[error("{doing}: the file {} was deleted or replaced while in use, so nothing was stored; restart to go on with what is there now", path.display())]
    Replaced { doing: &'static str, path: PathBuf },
    #[error("{doing}: no space left for {}; free some, the next poll tries again", path.display())]
    Full {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: sqlx::Error,
    },
    #[error("{doing}: {} can only be read; make it and its directory writable for the user tubewarden runs as", path.display())]
    ReadOnly {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: sqlx::Error,
    },
    #[error("{doing}: {} is damaged or no database; restore it from a backup, or move it away to begin anew", path.display())]
    Corrupt {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: sqlx::Error,
    },
    #[error("{doing}: another program keeps {} locked; end it, the next poll tries again", path.display())]
    Busy {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: sqlx::Error,
    },
    #[error("{doing}: {} can't be opened; run this as the user tubewarden runs as", path.display())]
    Denied {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: sqlx::Error,
    },
    #[error("{doing}: the disk that holds {} fails; look into the system's log (dmesg) and at quotas, the next poll tries again", path.display())]
    Disk {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: sqlx::Error,
    },
    #[error("{doing}: too many files are open to open {}; raise the limit (LimitNOFILE= of the service, ulimit -n), the next poll tries again", path.display())]
    Files {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: sqlx::Error,
    },
    #[error("open the state at {}: it is damaged ({what}); restore it from a backup, or move it away to begin anew", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("{doing} at {}; it and its directory must be writable for the user tubewarden runs as", path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{doing}: {} was opened to be read beside a daemon, not to be written", path.display())]
    Beside { doing: &'static str, path: PathBuf },
    #[error("the instance {name} is not in the state yet; it must be enrolled before its polls")]
    UnknownInstance { name: String },
    #[error("the stored {what} can't be read; a newer or damaged program may have written it")]
    Unreadable { what: String },
    #[error("{doing} in {}", path.display())]
    Sql {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: sqlx::Error,
    },
}

impl StoreError {
    /// Whether the same may succeed later without anybody touching the daemon.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Full { .. } | Self::Busy { .. } | Self::ReadOnly { .. } | Self::Disk { .. } | Self::Files { .. }
        )
    }

    /// What it says of the state as a whole.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Busy { .. } => Fault::Busy,
            Self::Full { .. } => Fault::Full,
            Self::ReadOnly { .. } => Fault::ReadOnly,
            Self::Disk { .. } => Fault::Disk,
            Self::Files { .. } => Fault::Files,
            Self::Denied { .. } => Fault::Denied,
            Self::Corrupt { .. } | Self::Damaged { .. } => Fault::Corrupt,
            Self::Replaced { .. } => Fault::Replaced,
            _ => Fault::Other,
        }
    }

    pub(super) fn sql(doing: &'static str, path: &Path, source: sqlx::Error) -> Self {
        let path = path.to_owned();
        // The low byte is the result code proper, what is above it details.
        match result_code(&source).map(|code| code & 0xff) {
            Some(13) => Self::Full { doing, path, source },
            Some(3 | 8) => Self::ReadOnly { doing, path, source },
            Some(11 | 26) => Self::Corrupt { doing, path, source },
            Some(10) => Self::Disk { doing, path, source },
            Some(14) if is_short_of_files() => Self::Files { doing, path, source },
            Some(14 | 23) => Self::Denied { doing, path, source },
            Some(5 | 6) => Self::Busy { doing, path, source },
            _ if matches!(source, sqlx::Error::PoolTimedOut) => Self::Busy { doing, path, source },
            _ => Self::Sql { doing, path, source },
        }
    }

    pub(super) fn file(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { doing, path: path.to_owned(), source }
    }
}

fn result_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}
