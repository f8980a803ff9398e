//! The certificates that are shown now. The files are looked at every few seconds; what
//! they hold is shown from then on if it is right, and else what was shown before.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::certificates::{self, CertificatesError, Files};

const EVERY: Duration = Duration::from_secs(5);

/// What connections ask for what to show.
pub(super) type Shown = watch::Receiver<Arc<ServerConfig>>;

/// The files, and what was found in them.
#[derive(Debug)]
pub(super) struct Certificates {
    files: Files,
    shown: watch::Sender<Arc<ServerConfig>>,
    /// How the files were when what is shown was read.
    read: Stamps,
    /// How they were when they were last found wrong.
    wrong: Option<Wrong>,
}

#[derive(Debug)]
struct Wrong {
    at: Stamps,
    told: bool,
}

/// By which a file is known to be another; `None` where there is none.
type Stamps = Vec<Option<[i64; 6]>>;

impl Certificates {
    pub(super) fn open(files: &Files) -> Result<Self, CertificatesError> {
        // First how the files are: what is written while they are read is seen later.
        let read = stamps(files);
        let shown = watch::Sender::new(certificates::load(files)?);
        Ok(Self { files: files.clone(), shown, read, wrong: None })
    }

    pub(super) fn shown(&self) -> Shown {
        self.shown.subscribe()
    }

    /// Never ends.
    pub(super) async fn keep_reading(mut self) -> Infallible {
        loop {
            sleep(EVERY).await;
            let looking = spawn_blocking(move || {
                self.look();
                self
            });
            match looking.await {
                Ok(looked) => self = looked,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "certificates are not read again");
                    return std::future::pending().await;
                }
            }
        }
    }

    fn look(&mut self) {
        let stamps = stamps(&self.files);
        if stamps == self.read && self.wrong.is_none() {
            return;
        }
        if self.wrong.as_ref().is_some_and(|wrong| wrong.told && wrong.at == stamps) {
            return;
        }
        match certificates::load(&self.files) {
            Ok(config) => {
                self.shown.send_replace(config);
                self.read = stamps;
                self.wrong = None;
                tracing::info!("the certificates have changed, and are shown from now on");
            }
            // Certificate and key are two files: one may be there a little before the other.
            Err(error) => {
                let told = self.wrong.as_ref().is_some_and(|wrong| wrong.at == stamps);
                if told {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the certificates have changed and are wrong; those before are still shown");
                }
                self.wrong = Some(Wrong { at: stamps, told });
            }
        }
    }
}

fn stamps(files: &Files) -> Stamps {
    let paths = [Some(&files.cert), Some(&files.key), files.client_ca.as_ref()];
    paths.into_iter().flatten().map(|path| stamp(path)).collect()
}

fn stamp(path: &Path) -> Option<[i64; 6]> {
    let of = fs::metadata(path).ok()?;
    let identity = [of.ino(), of.len()].map(u64::cast_signed);
    Some([of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec(), identity[0], identity[1]])
}
