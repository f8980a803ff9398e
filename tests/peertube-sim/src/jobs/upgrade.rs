//! Another version of the server on the same Redis.

use super::list::Naming;
use super::{Jobs, Version, kinds};

impl Jobs {
    /// From now on the server knows the types of `version`. All that is kept stays as it
    /// is; what is kept of a type that is known no more, no worker takes and no list shows.
    pub(crate) fn upgrade(&mut self, version: Version) {
        let before = std::mem::replace(&mut self.version, version);
        if self.naming == Naming::of(before) {
            self.naming = Naming::of(version);
        }
        let known = kinds::types(version);
        let gone: Vec<_> = kinds::types(before).into_iter().filter(|name| !known.contains(name)).collect();
        for name in known {
            let queue = self.queue_of(name);
            self.queues[queue].served = true;
        }
        for queue in self.queues.iter_mut().filter(|queue| gone.contains(&queue.name)) {
            queue.served = false;
        }
        self.types = self.queues.iter().filter(|queue| queue.served).map(|queue| queue.name).collect();
        // What the new server sets up when it starts has its own names.
        for (_, job) in &mut self.declared {
            if job.job_type == before.stats_type() {
                job.job_type = version.stats_type();
            }
        }
        self.declared.retain(|(_, job)| !gone.contains(&job.job_type));
    }
}
