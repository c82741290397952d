//! The worker as a process against a real cluster, a real Redis and a real receiver: what CONTRACT promises, end to end.
//!
//!     scripts/cluster up /tmp/cluster
//!     JOB_WORKER_E2E=/tmp/cluster cargo test -p job-worker --test e2e -- --test-threads 8 --skip trouble::
//!
//! Every test has a Redis, a receiver, a lock and a namespace of its own, so that all of them can run at once: most of
//! their time is waiting.

mod callbacks;
mod deploy;
mod ends;
mod failures;
mod faults;
mod http;
mod identity;
mod inputs;
mod layouts;
mod namespaces;
mod replicas;
mod requests;
mod starts;
mod story;
mod submit;
mod task;
mod trouble;
mod worked_example;
mod world;
