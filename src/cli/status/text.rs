//! The status for people: no line is longer than 80 columns, none has colours.

mod lines;
mod runners;
mod stuck;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::status::{Account, Instance, Jobs, Moderation, Owed, Poll, Reach, Status, Videos, VideosIn, Waiting};
use lines::{COLUMNS, INDENT, age, cut, line, listed, wrap};

/// A longer error is cut.
const ERROR_LINES: usize = 3;

pub(super) fn show(status: &Status) -> String {
    let daemon = match (status.daemon.running, status.daemon.pid) {
        (true, Some(pid)) => format!("process {pid} watches"),
        (true, None) => "a process watches".to_owned(),
        (false, _) => "none watches: all of this is from when one did".to_owned(),
    };
    let mut lines = vec![format!("daemon: {daemon}")];
    for instance in &status.instances {
        lines.push(String::new());
        lines.push(format!("{}  {}", instance.name, instance.url));
        lines.extend(of_instance(instance, status.at));
    }
    lines.extend(owed(&status.owed, status.at));
    lines.iter().map(|line| cut(line, COLUMNS) + "\n").collect()
}

fn of_instance(instance: &Instance, now: Timestamp) -> Vec<String> {
    if instance.first_seen_at.is_none() {
        return vec![line("server", "not watched yet: the daemon has not been started with it")];
    }
    let version = instance.version.as_deref().unwrap_or("unknown version");
    let reach = match instance.reach {
        Reach::Up => "up",
        Reach::Down => "DOWN",
        Reach::Unknown => "not reached yet",
    };
    let since = instance.reach_since.map(|since| format!(" for {}", age(since, now))).unwrap_or_default();
    let mut lines = vec![line("server", &format!("{version}, {reach}{since}"))];
    lines.push(line("account", &account(instance.account.as_ref())));
    lines.extend(stuck::lines(&instance.stuck, now));
    for (i, poll) in instance.polls.iter().enumerate() {
        let label = if i == 0 { "polls" } else { "" };
        lines.push(line(label, &format!("{:<12} {}", poll.poll, course(poll, now))));
        if let Some(error) = &poll.error {
            let about = format!("ask {} for ", instance.name);
            let error = error.strip_prefix(&about).unwrap_or(error);
            let wrapped = wrap(error.split(' ').map(str::to_owned), COLUMNS - INDENT - 13);
            lines.extend(wrapped.iter().take(ERROR_LINES).map(|text| line("", &format!("{:<12} {text}", ""))));
        }
    }
    if let Some(jobs) = &instance.jobs {
        lines.extend(queues(jobs, now));
        lines.extend(counted("failed 24 h", &jobs.failed_24h));
        lines.extend(counted("unaccounted", &jobs.unaccounted));
    }
    lines.extend(instance.runners.iter().flat_map(|all| runners::lines(all, now)));
    lines.extend(instance.videos.as_ref().map(|all| line("videos", &videos(all, now))));
    lines.extend(instance.moderation.as_ref().map(|all| line("moderation", &moderation(all, now))));
    lines
}

fn owed(owed: &[Owed], now: Timestamp) -> Vec<String> {
    if owed.is_empty() {
        return Vec::new();
    }
    let row = |cells: [&str; 4]| {
        let [rule, pending, oldest, dead] = cells;
        format!("{:<32}{pending:>9}{oldest:>10}{dead:>9}", cut(rule, 32))
    };
    let mut lines = vec![String::new(), line("owed by", &row(["", "pending", "oldest", "dead"]))];
    for Owed { rule, pending, dead, oldest_pending_at } in owed {
        let oldest = oldest_pending_at.map(|at| age(at, now)).unwrap_or_default();
        lines.push(line("", &row([rule, &pending.to_string(), &oldest, &dead.to_string()])));
    }
    if owed.iter().any(|of| of.dead > 0) {
        lines.push(line("", "dead letters: look with `tubewarden deliveries list`"));
    }
    lines
}

fn account(account: Option<&Account>) -> String {
    match account {
        None => "none: what anyone may see".to_owned(),
        Some(Account { username, refused: Some(code), .. }) => format!("sign-in as {username} is REFUSED: {code}"),
        Some(Account { username, signed_in: true, .. }) => format!("signed in as {username}"),
        Some(Account { username, .. }) => format!("{username}, not signed in"),
    }
}

fn course(poll: &Poll, now: Timestamp) -> String {
    let last = poll.last_success_at.map(|at| format!("{} ago", age(at, now)));
    match (poll.enabled, &poll.error, last) {
        (None, ..) => "not made yet".to_owned(),
        (Some(false), ..) => format!("off: needs the role {}", poll.needs.unwrap_or("of an account")),
        (_, None, Some(last)) => last,
        (_, None, None) => "under way for the first time".to_owned(),
        (_, Some(_), last) => {
            let at = poll.last_end_at.map(|at| format!(" {} ago", age(at, now))).unwrap_or_default();
            format!("FAILED{at}, last success {}", last.as_deref().unwrap_or("never"))
        }
    }
}

/// Types whose jobs only wait for their time are always there, so they are summed up.
fn queues(jobs: &Jobs, now: Timestamp) -> Vec<String> {
    let (busy, idle): (Vec<_>, Vec<_>) = jobs.queues.iter().partition(|queue| queue.active + queue.waiting > 0);
    let delayed: u64 = idle.iter().map(|queue| queue.delayed).sum();
    if busy.is_empty() {
        return vec![line("queues", &format!("none is active or waits; delayed: {delayed}"))];
    }
    let row = |cells: [&str; 6]| {
        let [job_type, active, since, waiting, due, delayed] = cells;
        format!("{:<22}{active:>8}{since:>8}{waiting:>9}{due:>8}{delayed:>9}", cut(job_type, 22))
    };
    let mut lines = vec![line("queues", &row(["", "active", "oldest", "waiting", "oldest", "delayed"]))];
    for queue in busy {
        let oldest = |at: Option<Timestamp>| at.map(|at| age(at, now)).unwrap_or_default();
        let counts = [queue.active, queue.waiting, queue.delayed].map(|count| count.to_string());
        let (since, due) = (oldest(queue.oldest_active_at), oldest(queue.oldest_waiting_at));
        lines.push(line("", &row([&queue.job_type, &counts[0], &since, &counts[1], &due, &counts[2]])));
    }
    if delayed > 0 {
        lines.push(line("", &row(["all others", "0", "", "0", "", &delayed.to_string()])));
    }
    lines
}

fn counted(label: &str, jobs: &BTreeMap<String, u64>) -> Vec<String> {
    let all: Vec<String> = jobs.iter().map(|(job_type, count)| format!("{job_type} {count}")).collect();
    listed(label, &all)
}

fn videos(videos: &Videos, now: Timestamp) -> String {
    let said = |videos_in: &VideosIn| {
        let oldest = videos_in.oldest_since.map(|at| format!(" ({})", age(at, now))).unwrap_or_default();
        format!("{} {}{oldest}", videos_in.videos, videos_in.state.replace('_', " "))
    };
    let all: Vec<String> = videos.failed.iter().chain(&videos.passing).map(said).collect();
    match (all.is_empty(), videos.unknown) {
        (true, 0) => "none under way or failed".to_owned(),
        (true, _) => "their states are not told to this account".to_owned(),
        _ => all.join(", "),
    }
}

fn moderation(moderation: &Moderation, now: Timestamp) -> String {
    let said = |name: &str, waiting: &Option<Waiting>| {
        let Waiting { waiting, oldest_at } = waiting.as_ref()?;
        let plural = if *waiting == 1 { "" } else { "s" };
        let oldest = oldest_at.map(|at| format!(" ({})", age(at, now))).unwrap_or_default();
        Some(format!("{waiting} {name}{plural}{oldest}"))
    };
    let kinds = [said("abuse", &moderation.abuses), said("registration", &moderation.registrations)];
    let all: Vec<String> = kinds.into_iter().flatten().collect();
    if all.is_empty() { "the server has no such lists".to_owned() } else { format!("waiting: {}", all.join(", ")) }
}
