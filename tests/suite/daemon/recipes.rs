//! Each recipe of `examples/rules` at work, as it stands there: included with its
//! scripts, on an instance where that happens which it waits for. Only how long it waits,
//! and where a table or a mail goes, is another for a test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::accounts::Role;
use peertube_sim::jobs::{NewJob, Version};
use peertube_sim::limits::Limits;
use peertube_sim::moderation::{NewAbuse, NewRegistration, Standing};
use peertube_sim::videos::{NewVideo, Trouble, VideoState};
use peertube_sim::{Fault, Sim, When, World};
use serde_json::{Value, json};

use tubewarden::core::poll::PollKind;

use super::harness::{Home, ROOT, Watch, by_hand, eventually, instance};
use super::rules::receiver::{Receiver, Taken};

const EACH_SECOND: &str = "cron = \"* * * * * *\"";
const TITLE: &str = "\"Ferries\" & <b>\\o/</b>\u{2028}";

/// Whatever a recipe calls an address of its own.
const ADDRESSES: [&str; 7] =
    ["ALERTMANAGER_URL", "DISCORD_URL", "HEALTHCHECKS_URL", "MASTODON_URL", "MATRIX_URL", "NTFY_URL", "SLACK_URL"];

fn recipes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/rules")
}

/// An instance with one recipe, watched from now on.
struct Kitchen {
    sim: Sim,
    receiver: Receiver,
    home: Home,
    watch: Watch,
}

impl Kitchen {
    /// `but` replaces whole pieces of the recipe, each of which must be there.
    async fn cook(recipe: &str, but: &[(&str, &str)], more: &str, before: impl FnOnce(&mut World)) -> Self {
        Self::cook_in(Home::new(""), recipe, but, more, before).await
    }

    async fn cook_in(
        home: Home,
        recipe: &str,
        but: &[(&str, &str)],
        more: &str,
        before: impl FnOnce(&mut World),
    ) -> Self {
        let mut world = World::new(3, Timestamp::now(), Version::V8_2);
        world.limits = Limits::none();
        before(&mut world);
        let sim = Sim::serve(world).await.unwrap();
        let receiver = Receiver::refusing(|_| false).await;
        fs::create_dir(home.file("rules")).unwrap();
        for file in fs::read_dir(recipes()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), home.file("rules").join(file.file_name())).unwrap();
        }
        let path = home.file("rules").join(recipe);
        let mut text = fs::read_to_string(&path).unwrap();
        for (from, to) in but {
            assert!(text.contains(from), "{recipe} has no {from}");
            text = text.replace(from, to);
        }
        fs::write(&path, text).unwrap();
        let common = "[server]\nlisten = \"127.0.0.1:0\"\n[state]\nurl = \"sqlite://state.db\"\n";
        let watched = instance("main", &sim.url(), &format!("{ROOT}{more}"));
        let config = format!("include = [\"rules/{recipe}\"]\n{common}{}{watched}", by_hand());
        fs::write(home.file("config.toml"), config).unwrap();
        let home = ADDRESSES.iter().fold(home, |home, name| home.with(name, &receiver.url()));
        let home = home.with("MASTODON_TOKEN", "Bearer toot").with("MATRIX_TOKEN", "Bearer matrix");
        let watch = Watch::ready(&home).await;
        Self { sim, receiver, home, watch }
    }

    /// Time passes on the instance, and all that may change is looked at.
    async fn pass(&self, seconds: u64) {
        self.sim.advance(Duration::from_secs(seconds));
        self.watch.poll_each(&["main"], &[PollKind::Jobs, PollKind::Runners]).await;
        self.watch.poll("main", PollKind::Videos).await;
    }

    /// What arrives first.
    async fn serve(&self) -> Taken {
        self.arrive(1).await.remove(0)
    }

    async fn arrive(&self, count: usize) -> Vec<Taken> {
        eventually("it arrives", async || {
            let accepted = self.receiver.accepted();
            (accepted.len() >= count).then_some(accepted)
        })
        .await
    }

    /// How many deliveries of a rule ended so.
    async fn delivered(&self, rule: &str, result: &str) -> f64 {
        let labels = [("rule", rule), ("result", result)];
        self.watch.scrape().await.value("tubewarden_deliveries_total", &labels).unwrap_or_default()
    }

    async fn value(&self, name: &str) -> Option<f64> {
        self.watch.scrape().await.value("tubewarden_script_value", &[("name", name)])
    }
}

fn failing(job_type: &'static str) -> NewJob {
    NewJob::new(job_type).failing().run(Duration::from_secs(1))
}

fn text(taken: &Taken) -> &str {
    taken.body["text"].as_str().unwrap()
}

#[test]
fn each_recipe_is_tested_and_told_of() {
    let (tests, docs) = (include_str!("recipes.rs"), include_str!("../../../docs/rules.md"));
    let names = |ending: &str| -> Vec<String> {
        let names = fs::read_dir(recipes()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(ending)).collect()
    };
    let all: String = names(".toml").iter().map(|name| fs::read_to_string(recipes().join(name)).unwrap()).collect();
    let untested: Vec<_> = names(".toml")
        .into_iter()
        .filter(|name| {
            !tests.contains(&format!("cook(\"{name}\"")) && !tests.contains(&format!("cook_in(home, \"{name}\""))
        })
        .collect();
    assert_eq!(untested, [""; 0], "no test runs these");
    let untold: Vec<_> = names(".toml").into_iter().filter(|name| !docs.contains(&format!("`{name}`"))).collect();
    assert_eq!(untold, [""; 0], "docs/rules.md is silent about these");
    let unused: Vec<_> =
        [names(".rhai"), names(".sh")].concat().into_iter().filter(|name| !all.contains(name.as_str())).collect();
    assert_eq!(unused, [""; 0], "no recipe uses these");
}

#[tokio::test]
async fn slack_gets_one_message_for_what_fails_together() {
    let kitchen = Kitchen::cook("slack.toml", &[("batch = \"30s\"", "batch = \"2s\"")], "", |_| {}).await;
    kitchen.sim.with(|world| (0..3).for_each(|_| drop(world.jobs.add(failing("video-import")))));
    kitchen.pass(60).await;
    let message = kitchen.serve().await;
    assert_eq!(message.headers["content-type"], "application/json");
    assert!(text(&message).starts_with("*3 failed* on main\n"), "{message:?}");
    assert!(text(&message).lines().count() >= 2, "with why: {message:?}");
    assert_eq!(kitchen.receiver.accepted().len(), 1);
}

#[tokio::test]
async fn discord_gets_new_videos_and_nobody_is_mentioned() {
    let kitchen = Kitchen::cook("discord.toml", &[], "", |_| {}).await;
    let uuid = kitchen.sim.with(|world| world.upload(NewVideo::named("@everyone: \"Ferries\"")));
    kitchen.pass(120).await;
    let message = kitchen.serve().await;
    let content = message.body["content"].as_str().unwrap();
    assert!(content.starts_with("@everyone: \"Ferries\"\nhttp"), "{content}");
    assert_eq!(message.body["allowed_mentions"], json!({ "parse": [] }));
    assert!(kitchen.sim.with(|world| world.videos.get(&uuid).unwrap().state == VideoState::Published));
}

#[tokio::test]
async fn mastodon_gets_new_public_videos_that_anybody_may_see() {
    let kitchen = Kitchen::cook("mastodon.toml", &[], "", |_| {}).await;
    kitchen.sim.with(|world| {
        world.upload(NewVideo::named("not for children").nsfw());
        world.upload(NewVideo::named(TITLE));
    });
    kitchen.pass(180).await;
    let post = kitchen.serve().await;
    let status = post.body["status"].as_str().unwrap();
    assert!(
        status.starts_with("\"Ferries\" & <b>\\o/</b>") && status.contains(" by ") && status.contains("\nhttp"),
        "{status}"
    );
    assert_eq!(
        (&post.headers["authorization"], &post.body["visibility"]),
        (&"Bearer toot".parse().unwrap(), &json!("public"))
    );
    assert_eq!(kitchen.receiver.accepted().len(), 1);
}

#[tokio::test]
async fn matrix_gets_what_is_stuck() {
    let by_day = ("quiet = \"22:00-07:00\"\ntimezone = \"Europe/Paris\"\n", "");
    let kitchen = Kitchen::cook("matrix.toml", &[by_day], "", |_| {}).await;
    let stuck = NewVideo::named("stuck").trouble(Trouble::Storyboard);
    let uuid = kitchen.sim.with(|world| world.upload(stuck));
    for _ in 0..9 {
        kitchen.pass(60).await;
    }
    let message = kitchen.serve().await;
    assert_eq!(message.body, json!({ "msgtype": "m.text", "body": format!("video.stuck on main: {uuid}") }));
    assert_eq!(message.headers["authorization"], "Bearer matrix");
}

#[tokio::test]
async fn a_phone_rings_when_the_instance_is_down_and_when_it_is_back() {
    let kitchen = Kitchen::cook("ntfy.toml", &[], "down_after = 1\n", |_| {}).await;
    kitchen.sim.faults().always(When::always(), Fault::Status(502));
    kitchen.watch.poll("main", PollKind::Jobs).await;
    let down = kitchen.serve().await;
    assert_eq!(
        (down.body.as_str(), &down.headers["content-type"]),
        (Some("main: instance.down"), &"text/plain".parse().unwrap())
    );
    assert_eq!(
        (&down.headers["title"], &down.headers["priority"]),
        (&"PeerTube".parse().unwrap(), &"high".parse().unwrap())
    );
    kitchen.sim.faults().clear();
    let up = eventually("it is told", async || {
        kitchen.watch.poll("main", PollKind::Jobs).await;
        kitchen.receiver.accepted().get(1).cloned()
    })
    .await;
    assert_eq!(up.body, "main: instance.up");
}

#[tokio::test]
async fn moderators_get_mail_of_what_waits() {
    let home = Home::new("");
    let (mailer, mails) = (home.file("a mailer"), home.file("mails"));
    fs::write(&mailer, format!("#!/bin/sh\n{{ echo \"$@\"; cat; }} >>'{}'\n", mails.display())).unwrap();
    fs::set_permissions(&mailer, fs::Permissions::from_mode(0o755)).unwrap();
    let but = [("batch = \"10m\"", "batch = \"2s\""), ("\"msmtp\"", &*format!("{:?}", mailer.display().to_string()))];
    let kitchen = Kitchen::cook_in(home, "mail.toml", &but, "", |_| {}).await;
    kitchen.sim.advance(Duration::from_secs(5));
    kitchen.sim.with(|world| {
        let abuse = NewAbuse { reporter: "bob".into(), video: "ferries".into(), reason: "loud".into() };
        world.report_abuse(abuse.clone());
        world.report_abuse(abuse);
    });
    kitchen.watch.poll("main", PollKind::Moderation).await;
    eventually("it is sent", async || (kitchen.delivered("mail to the moderators", "ok").await == 1.0).then_some(()))
        .await;
    let mail = fs::read_to_string(mails).unwrap();
    let (head, body) = mail.split_once("\n\n").unwrap();
    let expected = [
        "-- moderators@example.com",
        "To: moderators@example.com",
        "Subject: [main] abuse.created (2)",
        "Content-Type: text/plain; charset=utf-8",
    ];
    assert_eq!(head.lines().collect::<Vec<_>>(), expected);
    let events: Vec<Value> = serde_json::from_str(body).unwrap();
    assert_eq!(events.len(), 2);
    assert!(!body.contains("loud"), "reasons stay where they are");
}

#[tokio::test]
async fn alertmanager_gets_an_alert_for_a_failed_transcode() {
    let kitchen = Kitchen::cook("alertmanager.toml", &[], "", |_| {}).await;
    kitchen.sim.with(|world| {
        world.jobs.add(failing("video-import"));
        world.jobs.add(failing("video-transcoding"));
    });
    kitchen.pass(60).await;
    let alerts = kitchen.serve().await.body;
    let [alert] = &alerts.as_array().unwrap()[..] else { panic!("{alerts}") };
    assert_eq!(alert["labels"]["alertname"], "PeerTubeTranscodeFailed");
    assert_eq!(alert["labels"]["peertube_instance"], "main");
    assert!(alert["labels"].as_object().unwrap().values().all(Value::is_string), "{alert}");
    assert!(alert["annotations"]["summary"].is_string());
    assert!(alert["startsAt"].as_str().unwrap().parse::<Timestamp>().is_ok());
    assert_eq!(alert["generatorURL"], *kitchen.sim.url());
    assert_eq!(kitchen.receiver.accepted().len(), 1, "an import is no transcode");
}

#[tokio::test]
async fn healthchecks_hears_that_all_is_well() {
    let but = [("cron = \"0 */5 * * * *\"", EACH_SECOND), ("jitter = \"20s\"\n", "")];
    let kitchen = Kitchen::cook("healthchecks.toml", &but, "", |_| {}).await;
    let heard = kitchen.arrive(2).await;
    assert!(heard.iter().all(|one| one.body == "tubewarden watches main"), "{heard:?}");
}

#[tokio::test]
async fn what_failed_is_transcoded_again_twice_and_then_left() {
    const RULE: &str = "try a failed transcode again";
    let kitchen = Kitchen::cook("retranscode.toml", &[], "read_only = false\n", |_| {}).await;
    let hopeless = NewVideo::named("hopeless").trouble(Trouble::EveryTranscode);
    let uuid = kitchen.sim.with(|world| world.upload(hopeless));
    let state = || kitchen.sim.with(|world| world.videos.get(&uuid).unwrap().state);
    for time in 1..=3 {
        // It is seen to be under way before it fails again.
        kitchen.watch.poll("main", PollKind::Videos).await;
        kitchen.pass(120).await;
        eventually("the rule has acted", async || {
            (kitchen.delivered(RULE, "ok").await == f64::from(time)).then_some(())
        })
        .await;
        assert_eq!(state() == VideoState::ToTranscode, time <= 2, "{time}");
    }
    assert_eq!(kitchen.sim.requests().of("video_transcoding"), 2);
    assert_eq!(kitchen.delivered(RULE, "dead").await, 0.0);
}

#[tokio::test]
async fn what_is_stuck_is_transcoded_again_though_it_counts_as_under_way() {
    let kitchen = Kitchen::cook("retranscode.toml", &[], "read_only = false\n", |_| {}).await;
    let stuck = NewVideo::named("stuck").trouble(Trouble::Storyboard);
    let uuid = kitchen.sim.with(|world| world.upload(stuck));
    for _ in 0..9 {
        kitchen.pass(60).await;
    }
    eventually("it is published", async || {
        kitchen.sim.advance(Duration::from_secs(60));
        kitchen.sim.with(|world| world.videos.get(&uuid).unwrap().state == VideoState::Published).then_some(())
    })
    .await;
    assert_eq!(kitchen.sim.requests().of("video_transcoding"), 1);
}

#[tokio::test]
async fn the_team_hears_each_morning_how_many_registrations_wait() {
    let but = [("cron = \"0 0 9 * * *\"", EACH_SECOND)];
    let kitchen = Kitchen::cook("waiting.toml", &but, "", |_| {}).await;
    eventually("nobody waits", async || (kitchen.value("registrations_waiting").await == Some(0.0)).then_some(()))
        .await;
    kitchen.sim.with(|world| {
        for name in ["ann", "ben", "cid"] {
            let username = name.to_owned();
            world.request_registration(NewRegistration {
                username,
                email: "a@example.com".into(),
                reason: "please".into(),
            });
        }
        world.settle_registration(1, Standing::Accepted);
    });
    let message = kitchen.serve().await;
    assert_eq!(text(&message), "2 registrations wait, the oldest for 0 days on main");
    assert_eq!(kitchen.value("registrations_waiting").await, Some(2.0));
}

#[tokio::test]
async fn the_team_hears_who_is_near_the_quota() {
    let but = [("cron = \"0 30 8 * * MON\"", EACH_SECOND)];
    let kitchen = Kitchen::cook("quota.toml", &but, "", |world| {
        // More than a page of them.
        for number in 0..120 {
            let user = world.accounts.add(&format!("user{number:03}"), "secret", Role::User);
            user.video_quota = 1000;
            user.video_quota_used = if number % 50 == 7 { 901 } else { 900 };
        }
    })
    .await;
    let message = kitchen.serve().await;
    let (before, mut names) = message.body["text"]
        .as_str()
        .unwrap()
        .split_once(": ")
        .map(|(a, b)| (a, b.split(", ").collect::<Vec<_>>()))
        .unwrap();
    names.sort_unstable();
    assert_eq!((before, &names[..]), ("near their quota", &["user007", "user057", "user107"][..]));
    assert_eq!(kitchen.value("users_near_quota").await, Some(3.0));
}

#[tokio::test]
async fn updates_are_told_with_what_they_are_of() {
    let by_day = ("quiet = \"20:00-08:00\"\ntimezone = \"Europe/Paris\"\n", "");
    let kitchen = Kitchen::cook("updates.toml", &[by_day], "", |world| world.install_plugin("chat", "2.0.0")).await;
    kitchen.sim.advance(Duration::from_secs(5));
    kitchen.sim.with(|world| {
        world.release_peertube("8.3.0");
        world.release_plugin("chat", "2.0.1");
    });
    kitchen.watch.poll("main", PollKind::Config).await;
    let messages = kitchen.arrive(2).await;
    let mut texts: Vec<_> = messages.iter().map(text).collect();
    texts.sort_unstable();
    let expected = [
        "main: PeerTube 8.3.0 is there, instead of 8.2.1",
        "main: peertube-plugin-chat 2.0.1 is there, instead of 2.0.0",
    ];
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn the_week_is_summed_up() {
    let but = [("cron = \"0 0 18 * * SUN\"", EACH_SECOND)];
    let kitchen = Kitchen::cook("digest.toml", &but, "", |world| {
        (0..3).for_each(|_| drop(world.upload(NewVideo::named("holidays").without_transcoding())));
        world.upload(
            NewVideo::named("not for all").privacy(peertube_sim::videos::Privacy::Private).without_transcoding(),
        );
    })
    .await;
    let message = kitchen.serve().await;
    assert_eq!(text(&message), "main: 3 new videos with 0 views this week, 4 in all");
}

#[tokio::test]
async fn finished_jobs_are_lines_of_a_table() {
    let home = Home::new("");
    let table = home.file("jobs.csv");
    let place = table.display().to_string();
    let kitchen = Kitchen::cook_in(home, "csv.toml", &[("/var/lib/tubewarden/jobs.csv", &place)], "", |_| {}).await;
    kitchen.sim.with(|world| {
        world.jobs.add(NewJob::new("video-import").run(Duration::from_millis(1500)));
        world.jobs.add(failing("video-transcoding"));
    });
    kitchen.pass(60).await;
    let lines = eventually("both are there", async || {
        let text = fs::read_to_string(kitchen.home.file("jobs.csv")).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        (lines.len() >= 2).then_some(lines)
    })
    .await;
    let rows: Vec<Vec<&str>> = lines.iter().map(|line| line.split(',').collect()).collect();
    for row in &rows {
        assert_eq!((row.len(), row[1]), (7, "main"), "{row:?}");
        assert!(row[0].parse::<Timestamp>().is_ok() && row[5].parse::<f64>().is_ok(), "{row:?}");
    }
    let mut ends: Vec<_> = rows.iter().map(|row| (row[2], row[4], row[6])).collect();
    ends.sort_unstable();
    assert_eq!(ends, [("video-import", "job.completed", "1.5"), ("video-transcoding", "job.failed", "1.0")]);
}
