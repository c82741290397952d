//! The Jobs of one installation, page by page, for `job-worker audit`. It never writes.

use engine::{Digest, Timestamp};

use super::client::{Verb, objects, with_query};
use super::names::{Instance, label};
use super::observe::{Ours, terminal};
use super::review::{Error, Reviewer};
use super::wire::{Job, List};

/// Jobs that are asked for at a time.
const PAGE: &str = "500";

/// A Job with our label.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OurJob {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The task's id and the digest of its message; `None` where the annotations do not say.
    pub task: Option<(String, Digest)>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl Reviewer {
    /// Returns the next page of our Jobs in a namespace, or everywhere; `token` begins empty and is empty after the last.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn jobs(
        &self,
        instance: &Instance,
        namespace: Option<&str>,
        token: &mut String,
    ) -> Result<Vec<OurJob>, Error> {
        let ours = Ours::new(instance);
        let selector = format!("{}={}", label::INSTANCE, ours.label());
        let mut query = vec![("labelSelector", selector.as_str()), ("limit", PAGE)];
        if !token.is_empty() {
            query.push(("continue", token));
        }
        let path = with_query(&objects("/apis/batch/v1", namespace, "jobs"), &query);
        let list: List<Job> = self.ask(Verb::List, &path, Vec::new())?;
        *token = list.metadata.r#continue;
        let read = |job: &Job| OurJob {
            namespace: job.metadata.namespace.clone(),
            name: job.metadata.name.clone(),
            uid: job.metadata.uid.clone(),
            task: ours
                .owner_of(&job.metadata)
                .map(|owner| (owner.task.as_str().to_owned(), owner.digest)),
            ended_at: terminal(job).map(|condition| {
                let at = condition.last_transition_time.or(job.status.completion_time);
                at.or(job.metadata.creation_timestamp).unwrap_or_default()
            }),
        };
        Ok(list.items.iter().map(read).collect())
    }
}
