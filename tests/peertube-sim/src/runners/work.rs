//! What becomes of runner jobs: taken, reported, given back, failed, tried again. A
//! runner's last contact moves only when it speaks of a job.

use std::time::Duration;

use super::{MOST_FAILURES, Plan, RunnerJob, Runners, State};

/// How often a runner tells how far it is.
const REPORTS_EVERY: Duration = Duration::from_secs(20);

impl Runners {
    /// Runners that are there take what waits.
    pub(super) fn hand_out(&mut self) {
        while let Some((_, _, uuid)) = self.waiting.first().cloned() {
            let is_held = |job: &&RunnerJob| job.state == State::Processing;
            let held = |name: &str| {
                self.jobs.values().filter(is_held).filter(|job| job.runner.as_deref() == Some(name)).count()
            };
            let free = self.runners.iter().position(|runner| !runner.silent && held(&runner.name) < runner.concurrency);
            let Some(place) = free else { return };
            self.waiting.pop_first();
            self.runners[place].last_contact = self.now;
            let name = self.runners[place].name.clone();
            let now = self.now;
            let Some(job) = self.touch(&uuid) else { continue };
            job.state = State::Processing;
            job.runner = Some(name);
            job.started_at = Some(now);
            job.overdue = false;
            let (ticket, run) = (job.ticket, job.run);
            self.plan(run, &uuid, Plan::RunOver(ticket));
            self.plan(REPORTS_EVERY, &uuid, Plan::Report(ticket));
        }
    }

    pub(super) fn happen(&mut self, uuid: &str, plan: Plan) {
        let (Plan::Report(ticket) | Plan::RunOver(ticket) | Plan::Completed(ticket)) = plan;
        let Some(job) = self.jobs.get(uuid).filter(|job| job.ticket == ticket && !job.state.has_ended()) else {
            return;
        };
        let name = job.runner.clone();
        let is_silent = self.runners.iter().any(|runner| Some(&runner.name) == name.as_ref() && runner.silent);
        match plan {
            Plan::Completed(_) => self.completed(uuid),
            Plan::RunOver(_) if is_silent => {
                if let Some(job) = self.jobs.get_mut(uuid) {
                    job.overdue = true;
                }
            }
            Plan::RunOver(_) => self.run_over(uuid),
            Plan::Report(_) if job.state == State::Processing => {
                if !is_silent {
                    self.contact(name.as_deref());
                    if let Some(job) = self.touch(uuid) {
                        job.progress = Some((job.progress.unwrap_or(0) + 7).min(99));
                    }
                }
                self.plan(REPORTS_EVERY, uuid, plan);
            }
            Plan::Report(_) => {}
        }
        self.hand_out();
    }

    /// The runner gives its attempt back, well or badly.
    pub(super) fn run_over(&mut self, uuid: &str) {
        let Some(job) = self.touch(uuid) else { return };
        let name = job.runner.clone();
        job.overdue = false;
        if job.fails_left > 0 {
            job.fails_left -= 1;
            job.failures += 1;
            job.error = Some(format!("ffmpeg exited with code 1\nattempt {}: invalid data", job.failures));
            if job.failures >= MOST_FAILURES {
                self.end(uuid, State::Errored);
            } else {
                self.line_up(uuid);
            }
        } else if job.completing.is_zero() {
            self.completed(uuid);
        } else {
            job.state = State::Completing;
            job.ticket += 1;
            let (completing, ticket) = (job.completing, job.ticket);
            self.plan(completing, uuid, Plan::Completed(ticket));
        }
        self.contact(name.as_deref());
    }

    fn completed(&mut self, uuid: &str) {
        self.end(uuid, State::Completed);
        for child in self.children_of(uuid) {
            if self.jobs.get(&child).is_some_and(|job| job.state == State::WaitingForParent) {
                self.line_up(&child);
            }
        }
    }

    /// A job waits for a runner, for the first time or again.
    fn line_up(&mut self, uuid: &str) {
        let Some(job) = self.touch(uuid) else { return };
        job.state = State::Pending;
        job.started_at = None;
        job.progress = None;
        job.runner = None;
        job.ticket += 1;
        let place = (job.priority, job.created_seq, uuid.to_owned());
        self.waiting.insert(place);
    }

    /// A job ends, and with a bad end those that wait for it.
    pub(super) fn end(&mut self, uuid: &str, state: State) {
        let now = self.now;
        let Some(job) = self.touch(uuid) else { return };
        job.state = state;
        job.finished_at = Some(now);
        job.ticket += 1;
        let ended = job.clone();
        self.waiting.retain(|(_, _, waiting)| waiting != uuid);
        self.ended.push(ended);
        let of_children = match state {
            State::Errored | State::ParentErrored => State::ParentErrored,
            State::Cancelled | State::ParentCancelled => State::ParentCancelled,
            _ => return,
        };
        for child in self.children_of(uuid) {
            if self.jobs.get(&child).is_some_and(|job| job.state == State::WaitingForParent) {
                self.end(&child, of_children);
            }
        }
    }

    fn contact(&mut self, name: Option<&str>) {
        for runner in self.runners.iter_mut().filter(|runner| Some(runner.name.as_str()) == name) {
            runner.last_contact = self.now;
        }
    }

    /// A job that changes now.
    fn touch(&mut self, uuid: &str) -> Option<&mut RunnerJob> {
        let (now, sequence) = (self.now, self.next_sequence());
        let job = self.jobs.get_mut(uuid)?;
        job.updated_at = now;
        job.updated_seq = sequence;
        Some(job)
    }

    fn plan(&mut self, after: Duration, uuid: &str, plan: Plan) {
        let sequence = self.next_sequence();
        self.agenda.insert((self.now + after, sequence, uuid.to_owned(), plan));
    }
}
