//! `tubewarden deliveries`: what rules and schedules still owe, and what was given up.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, anyhow};
use clap::Subcommand;
use jiff::Timestamp;
use serde_json::json;

use super::{Failure, load};
use crate::config::Secrets;
use crate::core::text::clean;
use crate::store::{Access, Listed, Store, Which};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists what is owed and what was given up, oldest first.
    List {
        /// As JSON lines.
        #[arg(long)]
        json: bool,
    },
    /// Owes what was given up once more, and tries what waits at once.
    Retry(Chosen),
    /// Forgets deliveries.
    Drop(Chosen),
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Chosen {
    /// Their numbers, as `list` shows them.
    #[arg(value_name = "ID")]
    ids: Vec<i64>,
    /// All that were given up.
    #[arg(long)]
    all: bool,
}

impl Chosen {
    fn which(self) -> Which {
        if self.all { Which::All } else { Which::These(self.ids) }
    }
}

pub(super) async fn deliveries(path: &Path, args: Args) -> Result<(), Failure> {
    let config = load(path, Secrets::Skip)?;
    let access = if matches!(args.what, What::List { .. }) { Access::Beside } else { Access::ByHand };
    let store = Store::open(&config.state.path, access).await.map_err(anyhow::Error::from)?;
    let done = match args.what {
        What::List { json } => list(&store, json).await,
        What::Retry(chosen) => retry(&store, &chosen.which()).await,
        What::Drop(chosen) => drop_them(&store, &chosen.which()).await,
    };
    store.close().await.map_err(anyhow::Error::from)?;
    done.map_err(Failure::from)
}

async fn list(store: &Store, as_json: bool) -> anyhow::Result<()> {
    let listed = store.deliveries().await?;
    let mut out = std::io::stdout().lock();
    let written = "write to standard output";
    if as_json {
        for one in &listed {
            writeln!(out, "{}", to_json(one)).context(written)?;
        }
        return Ok(());
    }
    if listed.is_empty() {
        return writeln!(out, "nothing is owed, and nothing was given up").context(written);
    }
    writeln!(out, "{:>7}  {:<7}  {:<28}  {:<24}  {:>5}  NEXT TRY, OR WHY", "ID", "STATE", "RULE", "EVENT", "TRIES")
        .context(written)?;
    for one in &listed {
        writeln!(out, "{}", line(one)).context(written)?;
    }
    Ok(())
}

fn line(one: &Listed) -> String {
    let cut = |text: &str, most: usize| clean(text, most);
    let more = if one.events > 1 { format!(" +{}", one.events - 1) } else { String::new() };
    let state = if one.is_dead { "dead" } else { "pending" };
    let error = one.error.as_deref().map(|error| cut(error, 200)).unwrap_or_default();
    let last = match (one.is_dead, one.tries) {
        (true, _) => error,
        (false, 0) => one.due_at.to_string(),
        (false, _) => format!("{}: {error}", one.due_at),
    };
    format!(
        "{:>7}  {state:<7}  {:<28}  {:<24}  {:>5}  {last}",
        one.seq,
        cut(&one.rule, 28),
        format!("{}{more}", cut(&one.first_type, 20)),
        one.tries
    )
}

fn to_json(one: &Listed) -> serde_json::Value {
    json!({
        "id": one.seq,
        "delivery_id": one.id,
        "rule": one.rule,
        "action": one.action,
        "state": if one.is_dead { "dead" } else { "pending" },
        "events": one.events,
        "event_type": one.first_type,
        "created_at": one.created_at,
        "due_at": (!one.is_dead).then_some(one.due_at),
        "tries": one.tries,
        "tried_at": one.tried_at,
        "error": one.error.as_deref().map(|error| clean(error, 500)),
    })
}

async fn retry(store: &Store, which: &Which) -> anyhow::Result<()> {
    let count = store.retry(which, Timestamp::now()).await?;
    answer(which, count, "owed once more")
}

async fn drop_them(store: &Store, which: &Which) -> anyhow::Result<()> {
    let count = store.drop_deliveries(which).await?;
    answer(which, count, "forgotten")
}

/// Who names what is not there has made a mistake.
fn answer(which: &Which, count: u64, what: &str) -> anyhow::Result<()> {
    if let Which::These(these) = which
        && (count as usize) < these.len()
    {
        let missing = these.len() - count as usize;
        return Err(anyhow!("{count} {what}; {missing} of the numbers are of no delivery: see `deliveries list`"));
    }
    let noun = if count == 1 { "delivery is" } else { "deliveries are" };
    writeln!(std::io::stdout(), "{count} {noun} {what}").context("write to standard output")
}
