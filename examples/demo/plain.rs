//! The obvious way, for comparison: the first hundred completed jobs and the first
//! hundred failed ones, asked for as often as the daemon polls.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tubewarden::core::job::{JobKey, JobType};

use crate::instance::PLAIN;

/// Whoever polls plainly does so from elsewhere, as PeerTube's proxy would say: the
/// limits count by address, and the daemon's first round must not use up their share.
const FROM: (&str, &str) = ("X-Forwarded-For", "192.0.2.2");

#[derive(Debug)]
pub(crate) struct Plain {
    stop: oneshot::Sender<()>,
    polling: JoinHandle<anyhow::Result<BTreeSet<JobKey>>>,
}

impl Plain {
    /// Polls from now on.
    pub(crate) fn start(url: String, client: Client, every: Duration) -> Self {
        let (stop, stopped) = oneshot::channel();
        let poller = Poller { url, client, token: None, seen: BTreeSet::new() };
        Self { stop, polling: tokio::spawn(poller.poll_until(stopped, every)) }
    }

    /// All that was ever seen.
    pub(crate) async fn stop(self) -> anyhow::Result<BTreeSet<JobKey>> {
        // Whoever has ended before has failed, and tells so below.
        let _ = self.stop.send(());
        self.polling.await?.context("poll plainly")
    }
}

struct Poller {
    url: String,
    client: Client,
    token: Option<String>,
    seen: BTreeSet<JobKey>,
}

impl Poller {
    async fn poll_until(
        mut self,
        mut stopped: oneshot::Receiver<()>,
        every: Duration,
    ) -> anyhow::Result<BTreeSet<JobKey>> {
        let mut ticks = tokio::time::interval(every);
        loop {
            tokio::select! {
                _ = &mut stopped => return Ok(self.seen),
                _ = ticks.tick() => {}
            }
            for state in ["failed", "completed"] {
                self.poll(state).await?;
            }
        }
    }

    async fn poll(&mut self, state: &str) -> anyhow::Result<()> {
        let url = format!("{}/api/v1/jobs/{state}?count=100", self.url);
        let page = match self.ask(&url).await? {
            Some(page) => page,
            None => {
                self.token = Some(self.sign_in().await.context("sign in")?);
                self.ask(&url).await?.context("the new token is refused")?
            }
        };
        let rows = page["data"].as_array().context("a reply without rows")?;
        for row in rows {
            self.seen.insert(key(row).context("a row without a type, an id or a date")?);
        }
        Ok(())
    }

    /// `None` if the token is missing or no longer good.
    async fn ask(&self, url: &str) -> anyhow::Result<Option<Value>> {
        let Some(token) = &self.token else { return Ok(None) };
        let reply = self.client.get(url).header(FROM.0, FROM.1).bearer_auth(token).send().await?;
        if reply.status() == StatusCode::UNAUTHORIZED {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&reply.error_for_status()?.bytes().await?)?))
    }

    async fn sign_in(&self) -> anyhow::Result<String> {
        let url = format!("{}/api/v1/oauth-clients/local", self.url);
        let reply = self.client.get(url).header(FROM.0, FROM.1).send().await?.error_for_status()?.bytes().await?;
        let client: Value = serde_json::from_slice(&reply)?;
        let form = [
            ("client_id", client["client_id"].as_str().unwrap_or_default()),
            ("client_secret", client["client_secret"].as_str().unwrap_or_default()),
            ("grant_type", "password"),
            ("username", PLAIN.0),
            ("password", PLAIN.1),
        ];
        let url = format!("{}/api/v1/users/token", self.url);
        let reply =
            self.client.post(url).header(FROM.0, FROM.1).form(&form).send().await?.error_for_status()?.bytes().await?;
        let pair: Value = serde_json::from_slice(&reply)?;
        Ok(pair["access_token"].as_str().context("a reply without a token")?.to_owned())
    }
}

fn key(row: &Value) -> Option<JobKey> {
    Some(JobKey {
        job_type: JobType::from(row["type"].as_str()?),
        id: row["id"].as_str()?.to_owned(),
        created_at: row["createdAt"].as_str()?.parse().ok()?,
    })
}
