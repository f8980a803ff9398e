//! Answers that would fill all memory, given again and again to the real program.

use std::time::Duration;

use peertube_sim::{Sim, When};

use super::super::harness::{Home, Scraper, each_second, eventually, instance};
use super::super::hostile::memory;
use super::front::{Face, Front};
use super::{gzip_bomb, quiet};

/// Each poll may hold an answer of 8 MiB, and what becomes of it.
const MOST_MIB: i64 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_fills_the_memory() {
    let sim = Sim::serve(quiet(7)).await.unwrap();
    let front = Front::start(sim.address(), Face::Plain).await;
    let more = format!("connect = \"http://127.0.0.1:{}\"\ntimeout = \"10s\"", front.port());
    let home = Home::new(&(each_second() + &*instance("main", "http://localhost", &more)));
    let mut program = home.program("run", &["run"]);
    let scraper = Scraper::new(program.address().await);
    scraper.ready().await;
    let at_first = memory(&program, "VmRSS");
    let refused = async || {
        let scrape = scraper.scrape().await;
        scrape.value("tubewarden_api_requests_total", &[("code", "decode")]).unwrap_or(0.0)
    };

    front.set(Face::Endless);
    eventually("an endless answer is refused time and again", async || (refused().await >= 8.0).then_some(())).await;
    front.set(Face::Plain);
    let before = refused().await;
    sim.faults().always(When::always(), gzip_bomb());
    let again = async || (refused().await >= before + 8.0).then_some(());
    eventually("a gzip bomb is refused time and again", again).await;
    sim.faults().clear();

    let grown = (memory(&program, "VmHWM") - at_first) / 1024;
    println!("grown by {grown} MiB at most, by {} MiB of endless answers", front.sent() >> 20);
    assert!(grown < MOST_MIB, "{grown} MiB");
    eventually("it is watched again", async || {
        let up = scraper.scrape().await.value("peertube_up", &[]);
        tokio::time::sleep(Duration::from_millis(50)).await;
        (up == Some(1.0)).then_some(())
    })
    .await;
    program.terminate();
    assert!(program.ends().await.success());
}
