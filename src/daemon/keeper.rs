//! Who looks after the state: tells when it can't be written and when it can again, and
//! ends the daemon when only a start anew can help.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;

use crate::core::fault::Fault;
use crate::metrics::StateMetrics;
use crate::store::Store;

/// A file that was deleted, or trouble that has passed, is noticed after so long.
const LOOK_EVERY: Duration = Duration::from_secs(10);

pub(super) async fn keep(
    store: Arc<Store>,
    metrics: StateMetrics,
    mut stopping: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut told = None;
    loop {
        let looked = store.look_after().await;
        if let Err(error) = looked
            && error.fault().is_final()
        {
            return Err(error).context("the state is lost to this process");
        }
        let trouble = store.trouble();
        metrics.writable(trouble.is_none());
        Fault::ALL.into_iter().for_each(|fault| metrics.failures(fault, store.failures(fault)));
        match trouble {
            Some(fault) if fault.is_final() => anyhow::bail!("{}: see the error before this", fault.words()),
            Some(fault) if told.is_none() => {
                tracing::error!(
                    error = fault.as_str(),
                    "{}: nothing is stored or told until it is mended",
                    fault.words()
                );
            }
            None if told.is_some() => tracing::info!("the state can be written again"),
            _ => {}
        }
        told = trouble;
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
            () = store.trouble_changed() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
