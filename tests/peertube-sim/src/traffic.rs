//! Work for the queues of an instance.
