//! The state as files: private to their owner, held by one daemon at a time, and
//! still the same ones that were opened.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tracing::warn;

use super::StoreError;

const PRIVATE: u32 = 0o600;
/// As large as the commit of a busy poll.
const ROOM: usize = 1 << 20;

pub(super) fn expect_directory(path: &Path) -> Result<(), StoreError> {
    if path.parent().is_some_and(Path::is_dir) {
        return Ok(());
    }
    Err(StoreError::NoDirectory { path: path.to_owned() })
}

/// Creates the database's file where there is none. SQLite gives its `-wal` and
/// `-shm` the same rights.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    private().create(true).append(true).open(path).map_err(|e| StoreError::file("create the state", path, e))?;
    Ok(())
}

/// Takes from the files what others were allowed: tokens are in them.
pub(super) fn make_private(path: &Path) {
    for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        let Ok(metadata) = fs::metadata(&file) else { continue };
        if metadata.mode() & 0o077 == 0 {
            continue;
        }
        match fs::set_permissions(&file, Permissions::from_mode(PRIVATE)) {
            Ok(()) => warn!(file = %file.display(), "others could read the state, which holds tokens; no more"),
            Err(error) => {
                warn!(file = %file.display(), %error, "others can read the state, which holds tokens; set its mode to 0600");
            }
        }
    }
}

/// Whether the disk takes more than a few pages. What is written for that goes at once.
pub(super) fn try_room(path: &Path) -> io::Result<()> {
    let at = beside(path, ".room");
    let file = private().create(true).truncate(true).write(true).open(&at);
    let written = file.and_then(|mut file| {
        file.write_all(&vec![0; ROOM])?;
        file.sync_all()
    });
    let removed = fs::remove_file(&at);
    written.and(removed)
}

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// The right of one daemon to the state, given back when it is dropped or the
/// process ends, however it ends. The file stays: removing it would let two
/// daemons hold two files of the same name.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let at = beside(path, ".lock");
        let file = private().create(true).read(true).write(true).open(&at);
        Self::take_file(path, file.map_err(|e| StoreError::file("lock the state", &at, e))?)
    }

    /// `None` if no daemon ever ran: nothing is created.
    pub(super) fn take_existing(path: &Path) -> Result<Option<Self>, StoreError> {
        let at = beside(path, ".lock");
        match private().read(true).write(true).open(&at) {
            Ok(file) => Self::take_file(path, file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::file("lock the state", &at, error)),
        }
    }

    fn take_file(path: &Path, mut file: File) -> Result<Self, StoreError> {
        let failed = |e| StoreError::file("lock the state", path, e);
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder =
                    pid(&mut file).map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
                return Err(StoreError::Held { path: path.to_owned(), holder });
            }
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// Who holds a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Unknown for a moment while it begins.
    pub pid: Option<u32>,
}

/// The process that holds the state now, if any. Whoever begins just while this looks
/// tries again.
pub fn holder(path: &Path) -> Result<Option<Holder>, StoreError> {
    let at = beside(path, ".lock");
    let failed = |e| StoreError::file("look for a daemon", &at, e);
    let mut file = match File::open(&at) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(Holder { pid: pid(&mut file) })),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(PRIVATE);
    options
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
