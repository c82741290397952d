//! Carries requests to their work, each kind with its own bound on what is in flight.
//!
//! It never reorders the answers of one request, and never starts what has no slot. It is the root of the adapter's runtime.

use super::{Report, Request, Shared, create, look, scopes, stop};
use engine::Event;
use engine::TaskId;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

/// Looks, stops and TTL requests in flight.
const OTHERS_MAX: usize = 16;

/// Runs the adapter until the requests' sender is dropped, or a part of it has panicked.
pub(super) async fn run(shared: &Arc<Shared>, mut requests: mpsc::UnboundedReceiver<Request>) {
    let (scopes, signals) = mpsc::unbounded_channel();
    shared.spawn(scopes::run(Arc::clone(shared), scopes.clone(), signals));
    let creates = queue(shared, shared.settings.creates_max.max(1));
    let others = queue(shared, OTHERS_MAX);
    loop {
        let request = tokio::select! {
            request = requests.recv() => request,
            () = shared.died.notified() => {
                log::error!("a part of the cluster adapter has panicked: it ends");
                return;
            }
        };
        let sent = match request {
            None => return,
            Some(Request::Prepare { namespace }) => scopes.send(scopes::Signal::Prepare(namespace)).is_ok(),
            Some(request @ Request::Create { .. }) => creates.send(request).is_ok(),
            Some(request @ (Request::Look { .. } | Request::Stop { .. } | Request::SetTtl { .. })) => {
                others.send(request).is_ok()
            }
        };
        if !sent {
            log::error!("a part of the cluster adapter has ended: it ends");
            return;
        }
    }
}

/// Starts a queue that works on at most `slots` requests at once.
fn queue(shared: &Arc<Shared>, slots: usize) -> mpsc::UnboundedSender<Request> {
    let (sender, mut waiting) = mpsc::unbounded_channel();
    let slots = Arc::new(Semaphore::new(slots));
    let worker = Arc::clone(shared);
    shared.spawn(async move {
        loop {
            let slot = Arc::clone(&slots)
                .acquire_owned()
                .await
                .expect("nobody closes the semaphore");
            let Some(request) = waiting.recv().await else {
                return;
            };
            let shared = Arc::clone(&worker);
            worker.spawn(async move {
                if let Some((task, facts)) = perform(&shared, request).await {
                    shared.reports.send(Report::Facts { task, facts });
                }
                drop(slot);
            });
        }
    });
    sender
}

async fn perform(shared: &Shared, request: Request) -> Option<(TaskId, Vec<Event>)> {
    Some(match request {
        Request::Create { task, spec, job } => {
            let facts = create::create(shared, &task, &spec, &job).await;
            (task, facts)
        }
        Request::Look {
            task,
            namespace,
            job_name,
            uid,
        } => {
            let facts = look::look(shared, &task, &namespace, &job_name, uid.as_ref()).await;
            (task, facts)
        }
        Request::Stop {
            task,
            namespace,
            job_name,
            uid,
            failure,
        } => {
            let facts = stop::stop(shared, &namespace, &job_name, &uid, &failure).await;
            (task, facts)
        }
        Request::SetTtl {
            task,
            namespace,
            job_name,
            uid,
            seconds,
        } => {
            let fact = stop::set_ttl(shared, &namespace, &job_name, &uid, seconds).await;
            (task, vec![fact])
        }
        Request::Prepare { .. } => return None,
    })
}
