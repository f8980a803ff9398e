//! The unit, run by a real systemd: what rules' commands can do in it and can't, and how
//! it starts, reloads, comes back and ends.

mod system;

use serde_json::Value;
use tubewarden::core::poll::PollKind;

use super::harness::{Scraper, each_second, eventually};
use super::rules::{quiet_instance, work};

use self::system::System;

/// A command and what it says: as the unit is delivered, and with [`LET_OUT`].
const COMMANDS: [(&str, &str, &str, &str); 7] = [
    ("user", "test $(id -u) -gt 60000 && echo of nobody else", "of nobody else", "of nobody else"),
    (
        "files",
        "for d in /etc /usr /home /root /var/lib; do touch $d/x && exit 100; done; echo shut in",
        "shut in",
        "shut in",
    ),
    ("temporary files", "echo all its own > /tmp/one && cat /tmp/one", "all its own", "all its own"),
    ("the event", "wc -l && echo $TUBEWARDEN_EVENT_TYPE", "job.completed", "job.completed"),
    ("priority", "echo niceness $(nice -n 5 nice)", "niceness 0", "niceness 5"),
    ("a secret", "n=$(wc -c < $CREDENTIALS_DIRECTORY/smtp-password) && echo $n bytes", "cannot open", "4 bytes"),
    (
        "exports",
        "cd /var/lib/tubewarden/exports && cat > x && n=$(wc -l < x) && echo $n line",
        "can\u{27}t cd",
        "1 line",
    ),
];
const LET_OUT: [&str; 3] = [
    "LoadCredential=smtp-password:/etc/tubewarden/smtp-password",
    "StateDirectory=tubewarden/exports",
    "SystemCallFilter=@resources",
];

fn config(url: &str) -> String {
    let mut text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n{}\n[[instance]]\nname = \"main\"\n\
         url = \"{url}\"\nusername = \"root\"\npassword_file = \"password\"\n",
        each_second()
    );
    for (name, command, ..) in COMMANDS {
        text += &*format!(
            "[[rule]]\nname = \"{name}\"\non = [\"job.completed\"]\nexec.backoff = \"1s\"\n\
             exec.command = [\"sh\", \"-c\", '{command}']\n"
        );
    }
    text
}

/// Waits until each command has said what it should, after so many lines of the log.
async fn all_say(system: &System, after: usize, words: impl Iterator<Item = (&str, &str)>) {
    for (rule, words) in words {
        let says = |line: &Value| {
            line["target"] == "tubewarden::exec"
                && line["rule"] == rule
                && line["message"].as_str().is_some_and(|message| message.contains(words))
        };
        eventually(words, async || system.log().iter().skip(after).any(says).then_some(())).await;
    }
}

#[tokio::test]
async fn a_real_systemd_runs_the_unit_and_commands_in_it_as_documented() {
    let sim = quiet_instance().await;
    let right = config(&sim.url());
    let Some(system) = System::boot(&right).await else { return };

    // It has started when it says so.
    let started = system.systemctl(&["start", "tubewarden"]).await;
    assert!(started.status.success(), "{started:?} {:?}", system.log());
    assert_eq!(system.property("SubState").await, "running");
    let is_polled = |line: &Value| line["event_type"] == "instance.first_look";
    eventually("it polls", async || system.log().iter().any(is_polled).then_some(())).await;
    work(&sim, 1);
    all_say(&system, 0, COMMANDS.iter().map(|(rule, _, as_delivered, _)| (*rule, *as_delivered))).await;

    // What the example gives back, a command has.
    let before = system.log().len();
    system.let_out(&LET_OUT);
    assert!(system.systemctl(&["daemon-reload"]).await.status.success());
    assert!(system.systemctl(&["restart", "tubewarden"]).await.status.success());
    work(&sim, 1);
    all_say(&system, before, COMMANDS.iter().map(|(rule, _, _, let_out)| (*rule, *let_out))).await;

    // A reload that is wrong changes nothing.
    system.configure(&right.replace("job.completed", "job.compelted"));
    assert!(system.systemctl(&["reload", "tubewarden"]).await.status.success());
    let is_told = |line: &Value| line["message"].as_str().unwrap().starts_with("the new configuration is wrong");
    eventually("it is told", async || system.log().iter().any(is_told).then_some(())).await;
    assert_eq!(system.property("SubState").await, "running");

    // Killed, it is started again, unless its configuration is wrong.
    system.configure(&right);
    system.kill_daemon().await;
    system.until("NRestarts", "1").await;
    system.until("SubState", "running").await;
    system.configure(&right.replace("job.completed", "job.compelted"));
    system.kill_daemon().await;
    system.until("ActiveState", "failed").await;
    assert_eq!(
        (system.property("ExecMainStatus").await, system.property("NRestarts").await),
        ("78".into(), "2".into())
    );

    // And it ends in good order.
    system.configure(&right);
    assert!(system.systemctl(&["start", "tubewarden"]).await.status.success());
    assert!(system.systemctl(&["stop", "tubewarden"]).await.status.success());
    assert_eq!((system.property("Result").await, system.property("SubState").await), ("success".into(), "dead".into()));
    assert_eq!(system.log().last().unwrap()["message"], "stopped");
}

#[tokio::test]
async fn an_instance_whose_name_nobody_knows_is_told_and_found_when_somebody_does() {
    let sim = quiet_instance().await;
    let host = format!("tube.test:{}", sim.address().port());
    sim.with(|world| world.host = Some(host.clone()));
    let Some(system) = System::boot(&config(&format!("http://{host}"))).await else { return };
    // Nobody answers there.
    system.replace("etc/resolv.conf", "nameserver 127.0.0.1\n");
    assert!(system.systemctl(&["start", "tubewarden"]).await.status.success());
    let has = |words: &str| system.log().iter().any(|line| line.to_string().contains(words));
    eventually("it is told", async || has("failed to lookup address information").then_some(())).await;
    assert!(!has("instance.first_look"));

    system.replace("etc/hosts", "127.0.0.1 tube.test\n");
    eventually("it is found", async || has("instance.first_look").then_some(())).await;
    let log = system.log();
    let address = log.iter().find_map(|line| line["listen"].as_str()).unwrap();
    let scraper = Scraper::new(address.parse().unwrap());
    // What ends from now on is to be told.
    let polled = async || (scraper.scrape().await.polls_with("main", PollKind::Jobs, "ok") > 0.0).then_some(());
    eventually("its jobs are looked at", polled).await;
    work(&sim, 1);
    all_say(&system, 0, [("the event", "job.completed")].into_iter()).await;
    assert_eq!(system.property("NRestarts").await, "0");
}
