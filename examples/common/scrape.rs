//! What the daemon's listener says, read as a scraper would.

use std::net::SocketAddr;

use anyhow::Context;

/// One reply of `/metrics`.
#[derive(Debug)]
pub(crate) struct Scrape(pub(crate) String);

impl Scrape {
    pub(crate) async fn of(client: &reqwest::Client, daemon: SocketAddr) -> anyhow::Result<Self> {
        let url = format!("http://{daemon}/metrics");
        let reply = client.get(&url).send().await.and_then(reqwest::Response::error_for_status);
        let text = reply.with_context(|| format!("scrape {url}"))?.text().await;
        Ok(Self(text.with_context(|| format!("scrape {url}"))?))
    }

    /// What `/-/ready` says.
    pub(crate) async fn is_ready(client: &reqwest::Client, daemon: SocketAddr) -> anyhow::Result<bool> {
        let url = format!("http://{daemon}/-/ready");
        Ok(client.get(&url).send().await.with_context(|| format!("ask {url}"))?.status().is_success())
    }

    /// The sum of a metric's series that have these labels, none of which holds a `"`.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let series = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let (has, value) = match rest.strip_prefix('{') {
                Some(labelled) => labelled.rsplit_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            let is_asked_for = labels.iter().all(|(label, value)| has.contains(&format!("{label}=\"{value}\"")));
            value.parse::<f64>().ok().filter(|_| is_asked_for)
        };
        self.0.lines().filter_map(series).fold(0.0, |sum, value| sum + value)
    }
}
