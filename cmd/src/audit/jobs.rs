//! The Jobs of this installation: what each says of its task, and which ones there are.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use adapters::cluster::inventory::OurJob;
use adapters::driver::read_task;
use adapters::store::survey::{Pages, Remembered, Stored};
use engine::Timestamp;

use super::Error;
use super::finding::{Findings, Kind};

/// Which Jobs there are: a number for each uid and each task, so that 100,000 of them take a few megabytes.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    state: RandomState,
    uids: HashSet<u64>,
    tasks: HashSet<u64>,
    /// Namespaces whose Jobs could not be listed.
    pub(super) unread: HashSet<String>,
}

impl Jobs {
    pub(super) fn count(&self) -> usize {
        self.uids.len()
    }

    pub(super) fn has_uid(&self, uid: &str) -> bool {
        self.uids.contains(&self.state.hash_one(uid))
    }

    pub(super) fn has_task(&self, id: &str) -> bool {
        self.tasks.contains(&self.state.hash_one(id))
    }

    fn note(&mut self, job: &OurJob) {
        self.uids.insert(self.state.hash_one(job.uid.as_str()));
        if let Some((id, _)) = &job.task {
            self.tasks.insert(self.state.hash_one(id.as_str()));
        }
    }

    /// Compares a page of Jobs with their tasks. A Job that ended before `adopted_from` needs none.
    pub(super) fn page(
        &mut self,
        page: &[OurJob],
        store: &mut Pages,
        adopted_from: Timestamp,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        let ids: Vec<&str> = page
            .iter()
            .map(|job| job.task.as_ref().map_or("", |(id, _)| id.as_str()))
            .collect();
        let tasks = store.tasks_of(&ids)?;
        // Only afterwards: a task is forgotten after its tombstone is written.
        let tombstones = store.tombstones_of(&ids)?;
        for ((job, task), tombstone) in page.iter().zip(tasks).zip(tombstones) {
            self.note(job);
            let fault = fault(job, task.as_ref(), tombstone.as_ref(), adopted_from);
            if let Some((kind, found)) = fault {
                findings.add(kind, format!("{}/{}", job.namespace, job.name), found);
            }
        }
        Ok(())
    }
}

/// Says what does not fit about one Job.
fn fault(
    job: &OurJob,
    task: Option<&Stored>,
    tombstone: Option<&Remembered>,
    adopted_from: Timestamp,
) -> Option<(Kind, String)> {
    let Some((id, digest)) = &job.task else {
        let found = "it has our label, and no readable id and digest".to_owned();
        return Some((Kind::JobUnreadable, found));
    };
    let Some(task) = task else {
        return match (tombstone, job.ended_at) {
            (Some(_), None) => Some((
                Kind::JobOutlivesTask,
                format!("it runs, and the task {id} has ended and is forgotten"),
            )),
            (Some(_), Some(_)) => None,
            (None, Some(ended)) if ended < adopted_from => None,
            (None, _) => Some((
                Kind::JobWithoutTask,
                format!("the store knows nothing of the task {id}"),
            )),
        };
    };
    let (version, snapshot) = task.snapshot.as_ref()?;
    let task = read_task(snapshot, *version).ok()?;
    if (&task.spec.namespace, &task.spec.job_name) != (&job.namespace, &job.name) {
        let found = format!(
            "the task {id} has the Job {}/{}",
            task.spec.namespace, task.spec.job_name
        );
        return Some((Kind::SecondJob, found));
    }
    (task.spec.digest != *digest).then(|| {
        (
            Kind::JobDiffers,
            format!("the task {id} was made of another message"),
        )
    })
}
