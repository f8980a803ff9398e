//! A field of the wrong kind in one row of a list: that row is told in the log and
//! counted, the rest counts, and when it can be read again it is told after all.

use peertube_sim::moderation::NewAbuse;
use peertube_sim::{Fault, When};

use tubewarden::core::event::EventKind;
use tubewarden::core::poll::PollKind;

use super::Stage;
use crate::daemon::harness::Watch;

async fn unreadable(watch: &Watch) -> f64 {
    let scrape = watch.scrape().await;
    scrape.value("tubewarden_unreadable_rows_total", &[("peertube_instance", "main")]).unwrap()
}

#[tokio::test]
async fn an_odd_row_of_moderation_hides_no_other() {
    let stage = Stage::open().await;
    let report = |count: usize| {
        for _ in 0..count {
            let [reporter, video, reason] = ["zebediah", "quagmire", "he sings badly"].map(str::to_owned);
            stage.sim.with(|world| world.report_abuse(NewAbuse { reporter, video, reason }));
        }
    };
    report(12);
    stage.watch.poll("main", PollKind::Moderation).await;
    for field in ["id", "state", "createdAt"] {
        stage.sim.faults().always(When::path("/api/v1/abuses"), Fault::OddRow(field));
        report(4);
        stage.watch.poll("main", PollKind::Moderation).await;
        stage.heal().await;
        report(1);
        stage.watch.poll("main", PollKind::Moderation).await;
    }
    let scrape = stage.watch.scrape().await;
    assert_eq!(scrape.polls_with("main", PollKind::Moderation, "error"), 0.0);
    assert!(unreadable(&stage.watch).await >= 3.0);
    assert_eq!(stage.told(EventKind::AbuseCreated).await.len(), 27);
    stage.watch.stop().await;
}
