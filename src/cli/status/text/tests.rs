use super::*;
use crate::status::{Daemon, Queue, Runner, RunnerQueue, Runners, Stuck, StuckJob, StuckJobs, StuckType, StuckVideo};

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
        runners: None,
        moderation: None,
        stuck: Stuck::default(),
    };
    let daemon = Daemon { running: true, pid: Some(4711) };
    Status { at: at("2026-11-24T10:00:00Z"), daemon, instances: vec![instance], owed: Vec::new() }
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

fn stuck(types: u64, jobs: u64) -> Option<StuckJobs> {
    let job_type = || "vod-web-video-transcoding".to_owned();
    let since = at("2026-11-24T07:55:00Z");
    let of_type = |waiting| StuckType { job_type: job_type(), waiting, since };
    let job = |number| StuckJob { job_type: job_type(), id: format!("5b0c4d1e-6f0a-4f5b-9a3e-{number:012}"), since };
    Some(StuckJobs { types: (1..=types).map(of_type).collect(), active: (1..=jobs).map(job).collect() })
}

fn video(name: Option<&str>) -> StuckVideo {
    let since = at("2026-11-22T09:00:00Z");
    StuckVideo { uuid: "9c9de5e8-0a1e-484a-b099-e80766180a6d".into(), name: name.map(Into::into), since }
}

fn runner(name: &str, last_contact: &str, offline: bool) -> Runner {
    Runner { name: name.into(), last_contact_at: at(last_contact), offline }
}

#[test]
fn what_is_stuck_comes_first() {
    let mut status = status(None);
    let instance = &mut status.instances[0];
    instance.polls.truncate(0);
    instance.stuck =
        Stuck { jobs: stuck(1, 0), runner_jobs: stuck(2, 1), videos: Some(vec![video(Some("holidays")), video(None)]) };
    let job_type = "vod-web-video-transcoding".to_owned();
    let queue = RunnerQueue { job_type, pending: 2, processing: 1, completing: 0, waiting_for_parent_job: 12 };
    let runners = vec![runner("a", "2026-11-24T09:59:30Z", false), runner("b", "2026-11-24T09:30:00Z", true)];
    instance.runners = Some(Runners { queues: vec![queue], runners });
    let waiting = |waiting, oldest_at| Some(Waiting { waiting, oldest_at });
    let (abuses, registrations) = (waiting(1, Some(at("2026-11-24T07:55:00Z"))), waiting(0, None));
    instance.moderation = Some(Moderation { abuses, registrations });
    let expected = "\
daemon: process 4711 watches

main  https://peertube.example.com
  server      8.2.1, DOWN for 3.2 h
  account     signed in as monitor
  stuck       jobs that wait, and none of their type begins:
                2.1 h   1 vod-web-video-transcoding
              jobs that no runner takes:
                2.1 h   1 vod-web-video-transcoding
                2.1 h   2 vod-web-video-transcoding
              jobs that a runner works on for too long:
                2.1 h   5b0c4d1e-6f0a-4f5b-9a3e-000000000001 vod-web-video-tran…
              videos that should change, and no job is for them:
                2 d     9c9de5e8-0a1e-484a-b099-e80766180a6d holidays
                2 d     9c9de5e8-0a1e-484a-b099-e80766180a6d
  runners     b OFFLINE (30 min), a (30 s)
  runner jobs                         pending  processing  completing for parent
              vod-web-video-transco…        2           1           0         12
  videos      1 transcoding failed, 2 to transcode (2 d)
  moderation  waiting: 1 abuse (2.1 h), 0 registrations
";
    assert_eq!(show(&status), expected);

    let instance = &mut status.instances[0];
    instance.runners = Some(Runners { queues: Vec::new(), runners: Vec::new() });
    instance.moderation = Some(Moderation { abuses: None, registrations: waiting(2, None) });
    let shown = show(&status);
    assert!(shown.contains("\n  runners     none\n  videos"), "{shown}");
    assert!(shown.ends_with("\n  moderation  waiting: 2 registrations\n"), "{shown}");
}

#[test]
fn long_lists_are_cut_and_the_rest_is_counted() {
    let mut status = status(None);
    let instance = &mut status.instances[0];
    let name = "n".repeat(300);
    let videos = Some(vec![video(Some(&name)); 20]);
    instance.stuck = Stuck { jobs: stuck(21, 300), runner_jobs: stuck(0, 20), videos };
    let runners = (0..45).map(|_| runner(&name, "2026-11-24T09:59:30Z", true)).collect();
    instance.runners = Some(Runners { queues: Vec::new(), runners });
    let shown = show(&status);
    assert!(shown.lines().all(|line| line.chars().count() <= COLUMNS), "{shown}");
    let more: Vec<_> = shown.lines().filter(|line| line.contains("more")).map(str::trim).collect();
    assert_eq!(more, ["and 1 more", "and 280 more", "and 25 more"]);
    assert_eq!(shown.matches("OFFLINE (30 s)").count(), 20);
}

#[test]
fn no_line_is_longer_than_a_terminal_whatever_is_in_it() {
    let many = || (0..40).map(|i| (format!("a-type-of-jobs-{i}"), u64::MAX)).collect();
    let jobs = Jobs { queues: Vec::new(), unaccounted: many(), failed_24h: many() };
    let mut status = status(Some(jobs));
    status.instances[0].url = "https://example.com/".repeat(9);
    status.instances[0].version = Some("v".repeat(90));
    status.instances[0].polls[0].error = Some("no connection ".repeat(40) + &*"x".repeat(90));
    let shown = show(&status);
    assert!(shown.lines().all(|line| line.chars().count() <= COLUMNS), "{shown}");
    assert!(shown.contains("a-type-of-jobs-39"));
}

#[test]
fn what_is_owed_is_shown_at_the_end_and_what_to_do_about_dead_letters() {
    let owes = |rule: &str, pending, dead, oldest: Option<&str>| Owed {
        rule: rule.into(),
        pending,
        dead,
        oldest_pending_at: oldest.map(at),
    };
    let mut status = status(None);
    status.owed = vec![owes("announce", 3, 0, Some("2026-11-24T09:43:00Z"))];
    let shown = show(&status);
    let expected = "\n
  owed by                                       pending    oldest     dead
              announce                                3    17 min        0
";
    assert!(shown.ends_with(expected), "{shown}");

    status.owed.push(owes("failed transcodes to the team chat of all", 0, 12, None));
    let shown = show(&status);
    let expected = "\n
  owed by                                       pending    oldest     dead
              announce                                3    17 min        0
              failed transcodes to the team c…        0                 12
              dead letters: look with `tubewarden deliveries list`
";
    assert!(shown.ends_with(expected), "{shown}");
}
