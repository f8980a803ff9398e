//! The status for people: no line is longer than 80 columns, none has colours.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::status::{Account, Instance, Jobs, Poll, Reach, Status, Videos, VideosIn};

const COLUMNS: usize = 80;
/// Where what is said begins.
const INDENT: usize = 14;
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
    lines.extend(instance.videos.as_ref().map(|all| line("videos", &videos(all, now))));
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

/// `label  type 3, type 1`, over as many lines as it takes.
fn counted(label: &str, jobs: &BTreeMap<String, u64>) -> Vec<String> {
    let all = jobs.iter().enumerate().map(|(i, (job_type, count))| {
        let comma = if i + 1 < jobs.len() { "," } else { "" };
        format!("{job_type} {count}{comma}")
    });
    let wrapped = wrap(all, COLUMNS - INDENT).into_iter().enumerate();
    wrapped.map(|(i, text)| line(if i == 0 { label } else { "" }, &text)).collect()
}

/// As many pieces on a line as there is room for.
fn wrap(pieces: impl Iterator<Item = String>, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces {
        match lines.last_mut() {
            Some(last) if last.chars().count() + 1 + piece.chars().count() <= columns => {
                last.push(' ');
                last.push_str(&piece);
            }
            _ => lines.push(piece),
        }
    }
    lines
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

fn line(label: &str, text: &str) -> String {
    let width = INDENT - 3;
    format!("  {label:<width$} {text}")
}

/// How long ago, by our clock. A server's may be ahead.
fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds as f64 / 3600.0, seconds as f64 / 86_400.0);
    match minutes {
        0 => format!("{seconds} s"),
        1..100 => format!("{minutes} min"),
        100..2_880 => format!("{hours:.1} h"),
        _ => format!("{days:.0} d"),
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.trim_end().to_owned();
    }
    text.chars().take(most - 1).collect::<String>() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Daemon, Queue};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn status(jobs: Option<Jobs>) -> Status {
        let poll = |poll, error: Option<&str>| Poll {
            poll,
            enabled: Some(true),
            needs: None,
            last_success_at: Some(at("2026-11-24T09:57:00Z")),
            last_end_at: Some(at("2026-11-24T09:59:48Z")),
            error: error.map(Into::into),
        };
        let instance = Instance {
            name: "main".into(),
            url: "https://peertube.example.com".into(),
            version: Some("8.2.1".into()),
            first_seen_at: Some(at("2026-11-20T10:00:00Z")),
            reach: Reach::Down,
            reach_since: Some(at("2026-11-24T06:48:00Z")),
            account: Some(Account { username: "monitor".into(), signed_in: true, refused: None }),
            polls: vec![
                poll(
                    "jobs",
                    Some(
                        "ask main for jobs: no connection (it was refused); look whether the instance runs and whether `url` names it",
                    ),
                ),
                poll("videos", None),
            ],
            jobs,
            videos: Some(Videos {
                passing: vec![VideosIn {
                    state: "to_transcode",
                    videos: 2,
                    oldest_since: Some(at("2026-11-22T09:00:00Z")),
                }],
                failed: vec![VideosIn { state: "transcoding_failed", videos: 1, oldest_since: None }],
                unknown: 0,
            }),
        };
        let daemon = Daemon { running: true, pid: Some(4711) };
        Status { at: at("2026-11-24T10:00:00Z"), daemon, instances: vec![instance] }
    }

    #[test]
    fn one_screen_says_what_matters() {
        let queue = |job_type: &str, active, waiting, delayed| Queue {
            job_type: job_type.into(),
            active,
            waiting,
            delayed,
            oldest_active_at: (active > 0).then(|| at("2026-11-24T07:55:00Z")),
            oldest_waiting_at: (waiting > 0).then(|| at("2026-11-24T09:59:30Z")),
        };
        let jobs = Jobs {
            queues: vec![
                queue("activitypub-cleaner", 0, 0, 1),
                queue("activitypub-http-broadcast-parallel", 0, 12, 0),
                queue("video-transcoding", 3, 40, 2),
            ],
            unaccounted: BTreeMap::new(),
            failed_24h: BTreeMap::from([("email".to_owned(), 1), ("video-transcoding".to_owned(), 3)]),
        };
        let shown = show(&status(Some(jobs)));
        let expected = "\
daemon: process 4711 watches

main  https://peertube.example.com
  server      8.2.1, DOWN for 3.2 h
  account     signed in as monitor
  polls       jobs         FAILED 12 s ago, last success 3 min ago
                           jobs: no connection (it was refused); look whether
                           the instance runs and whether `url` names it
              videos       3 min ago
  queues                              active  oldest  waiting  oldest  delayed
              activitypub-http-broa…       0               12    30 s        0
              video-transcoding            3   2.1 h       40    30 s        2
              all others                   0                0                1
  failed 24 h email 1, video-transcoding 3
  videos      1 transcoding failed, 2 to transcode (2 d)
";
        assert_eq!(shown, expected);
    }

    #[test]
    fn no_line_is_longer_than_a_terminal_whatever_is_in_it() {
        let many = || (0..40).map(|i| (format!("a-type-of-jobs-{i}"), u64::MAX)).collect();
        let jobs = Jobs { queues: Vec::new(), unaccounted: many(), failed_24h: many() };
        let mut status = status(Some(jobs));
        status.instances[0].url = "https://example.com/".repeat(9);
        status.instances[0].version = Some("v".repeat(90));
        status.instances[0].polls[0].error = Some("no connection ".repeat(40) + &"x".repeat(90));
        let shown = show(&status);
        assert!(shown.lines().all(|line| line.chars().count() <= COLUMNS), "{shown}");
        assert!(shown.contains("a-type-of-jobs-39"));
    }
}
