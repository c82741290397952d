//! What can happen next, and what comes of it.

use super::cluster::{End, Job, Pod, WaitsFor, moment, uid};
use super::node::{Answer, Ask, Life, Node, REQUEST_MS, Request, Setup, WINDOW_MS, Way};
use super::turn::Turn;
use engine::{
    Closing, CreateFailed, CreateFailure, Event, JobDeleted, LookFailed, Looked, SetAside, State,
    StopAnswered, TtlAnswered,
};

/// One thing that happens; numbers name the task, and the request of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Act {
    /// A message is taken, and one that is there already.
    Take(usize),
    TakeAgain(usize),
    /// A request is carried out; its answer comes.
    CarryOut(usize, usize),
    Answer(usize, usize),
    /// A request whose sender is gone is carried out after all.
    Late(usize, usize),
    /// The Job's life.
    PodMade(usize),
    PodStarts(usize),
    PodFails(usize),
    Completes(usize),
    Fails(usize),
    /// The TTL removes the Job; somebody removes one of an earlier task.
    Expires(usize),
    Cleans(usize),
    /// The watch tells.
    WatchJob(usize),
    WatchPod(usize),
    WatchGone(usize),
    Relist(usize),
    /// Time passes until the next moment at which something is due.
    Elapse(u64),
    TakeOver,
    /// A fault.
    Fault(Fault),
}

/// What takes one of the faults of a search.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// The request never arrives, and that is known to nobody.
    Lost(usize, usize),
    /// It is carried out, and its answer lost (a 5xx, a reset).
    Hidden(usize, usize),
    /// It has no answer, and is carried out later.
    Delayed(usize, usize),
    /// The create is refused for good, or put off.
    Refused(usize, usize),
    Deferred(usize, usize),
    /// Somebody deletes the Job.
    Deleted(usize),
    /// The watch loses its place, and what it had not told.
    Gap,
    /// The task is set aside.
    SetAside(usize),
    /// The leader stops without warning.
    Crash,
    /// The dedup window passes, and the message comes again.
    Window(usize),
}

/// Returns everything that can happen next.
pub(crate) fn acts(setup: &Setup, node: &Node) -> Vec<Act> {
    let mut acts = Vec::new();
    let faults = node.faults > 0 && !setup.window;
    for (i, life) in node.lives.iter().enumerate() {
        let may_return = setup.window && node.faults > 0;
        if !is_forgettable(life) || may_return {
            cluster(&mut acts, i, life, node.now);
        }
        requests(&mut acts, i, life, faults);
        if node.leads {
            worker(&mut acts, i, life, node, faults);
        }
        if may_return && node.leads && is_forgettable(life) {
            acts.push(Act::Fault(Fault::Window(i)));
        }
    }
    if !node.leads {
        acts.push(Act::TakeOver);
    } else if faults {
        acts.push(Act::Fault(Fault::Crash));
        let untold = |life: &Life| life.job_news || life.pod_news || life.gone.is_some();
        acts.extend(node.lives.iter().any(untold).then_some(Act::Fault(Fault::Gap)));
    }
    let next = next_moment(node).filter(|_| node.now < setup.horizon);
    acts.extend(next.map(Act::Elapse));
    acts
}

fn cluster(acts: &mut Vec<Act>, i: usize, life: &Life, now: u64) {
    let Some(job) = &life.job else { return };
    match (job.pod, job.end) {
        (Pod::None, None) => acts.push(Act::PodMade(i)),
        (Pod::Waiting(WaitsFor::Node), None) => acts.push(Act::PodStarts(i)),
        (Pod::Started, None) => acts.extend([Act::PodFails(i), Act::Completes(i)]),
        (Pod::Failed, None) => acts.push(Act::Fails(i)),
        (Pod::None | Pod::Waiting(_) | Pod::Started | Pod::Failed, _) => {}
    }
    if job.expires_at().is_some_and(|at| at <= now) {
        acts.push(Act::Expires(i));
    }
    if job.received_at != life.received_at && job.end.is_some() {
        acts.push(Act::Cleans(i));
    }
}

fn requests(acts: &mut Vec<Act>, i: usize, life: &Life, faults: bool) {
    for (n, request) in life.requests.iter().enumerate() {
        match &request.way {
            Way::Answered(_) => acts.push(Act::Answer(i, n)),
            Way::Alone => acts.push(Act::Late(i, n)),
            Way::Sent => {
                acts.push(Act::CarryOut(i, n));
                if !faults {
                    continue;
                }
                acts.push(Act::Fault(Fault::Lost(i, n)));
                if request.ask != Ask::Look {
                    acts.push(Act::Fault(Fault::Hidden(i, n)));
                    acts.push(Act::Fault(Fault::Delayed(i, n)));
                }
                if matches!(request.ask, Ask::Create { .. }) && life.job.is_none() {
                    acts.push(Act::Fault(Fault::Refused(i, n)));
                    acts.push(Act::Fault(Fault::Deferred(i, n)));
                }
            }
        }
    }
}

fn worker(acts: &mut Vec<Act>, i: usize, life: &Life, node: &Node, faults: bool) {
    match &life.task {
        None if i == 0 || node.lives[i - 1].task.is_some() => acts.push(Act::Take(i)),
        None => return,
        Some(_) => acts.extend(faults.then_some(Act::TakeAgain(i))),
    }
    if life.lost {
        acts.push(Act::Relist(i));
    } else {
        acts.extend(life.job_news.then_some(Act::WatchJob(i)));
        acts.extend(life.pod_news.then_some(Act::WatchPod(i)));
        acts.extend(life.gone.is_some().then_some(Act::WatchGone(i)));
    }
    if !faults {
        return;
    }
    if life.job.is_some() {
        acts.push(Act::Fault(Fault::Deleted(i)));
    }
    // Set aside again, it is given up whatever may come of its create.
    if life.task.is_some() && !life.truth.set_aside {
        acts.push(Act::Fault(Fault::SetAside(i)));
    }
}

/// Tells whether the driver would forget the task: nothing is left to be done for it.
fn is_forgettable(life: &Life) -> bool {
    let ended = life.task.as_ref().is_some_and(|held| match &held.task().state {
        State::Completed(end) => end.closing == Closing::Done,
        State::Failed(end) => end.closing == Closing::Done,
        State::Exception(end) => end.closing == Closing::Done,
        State::Received(_) | State::Created(_) | State::PodStarted(_) => false,
    });
    ended && life.requests.is_empty() && life.job.as_ref().is_none_or(|job| job.end.is_some())
}

/// Returns when something is due next; `None` where an answer has to come first.
fn next_moment(node: &Node) -> Option<u64> {
    let mut due = Vec::new();
    let mut answers_by = u64::MAX;
    for life in &node.lives {
        let deadline = life.task.as_ref().and_then(|held| held.task().state.deadline());
        due.extend(deadline.map(|at| at.since_ms(moment(0))));
        due.extend(
            life.job
                .as_ref()
                .and_then(Job::expires_at)
                .filter(|at| *at > node.now),
        );
        for request in &life.requests {
            let ends_at = request.asked_at + REQUEST_MS;
            match request.way {
                Way::Alone => due.push(ends_at),
                Way::Sent | Way::Answered(_) => answers_by = answers_by.min(ends_at),
            }
        }
    }
    due.retain(|at| node.leads || *at > node.now);
    let next = due.into_iter().min()?.max(node.now);
    (next <= answers_by).then_some(next)
}

/// Lets `act` happen at `node`.
pub(crate) fn happens<'a>(setup: &'a Setup, node: &Node, act: Act, told: bool) -> Turn<'a> {
    let mut turn = Turn::new(setup, node, told);
    match act {
        Act::Take(i) => turn.takes(i),
        Act::TakeAgain(i) => turn.takes_again(i),
        Act::CarryOut(i, n) => carry_out(&mut turn, i, n),
        Act::Answer(i, n) => answer(&mut turn, i, n),
        Act::Late(i, n) => {
            let request = turn.node.lives[i].requests.remove(n);
            done(&mut turn, i, &request.ask);
        }
        Act::PodMade(i) => pod(&mut turn, i, Pod::Waiting(setup.waits_for)),
        Act::PodStarts(i) => pod(&mut turn, i, Pod::Started),
        Act::PodFails(i) => pod(&mut turn, i, Pod::Failed),
        Act::Completes(i) => ends(&mut turn, i, End::Complete),
        Act::Fails(i) => ends(&mut turn, i, End::BackoffLimitExceeded),
        Act::Expires(i) | Act::Cleans(i) => deleted(&mut turn, i, act),
        Act::WatchJob(i) => {
            turn.node.lives[i].job_news = false;
            let facts = turn.node.lives[i].job.as_ref().map(Job::facts);
            turn.hears_all(i, facts.unwrap_or_default());
        }
        Act::WatchPod(i) => {
            turn.node.lives[i].pod_news = false;
            let facts = turn.node.lives[i].job.as_ref().map(Job::pod_facts);
            turn.hears_all(i, facts.unwrap_or_default());
        }
        Act::WatchGone(i) => {
            let job = turn.node.lives[i].gone.take().expect("a Job is gone");
            turn.hears_all(i, job.facts());
            turn.hears(i, Event::JobDeleted(JobDeleted { uid: job.uid() }));
        }
        Act::Relist(i) => {
            turn.lists(i, false);
            turn.lists(i, true);
        }
        Act::Elapse(target) => turn.elapses(target),
        Act::TakeOver => turn.takes_over(),
        Act::Fault(fault) => goes_wrong(&mut turn, fault),
    }
    turn.settled();
    turn
}

fn goes_wrong(turn: &mut Turn<'_>, fault: Fault) {
    turn.node.faults -= 1;
    match fault {
        Fault::Lost(i, n) => {
            let request = turn.node.lives[i].requests.remove(n);
            unanswered(turn, i, &request);
        }
        Fault::Hidden(i, n) => {
            let request = turn.node.lives[i].requests.remove(n);
            done(turn, i, &request.ask);
            unanswered(turn, i, &request);
        }
        Fault::Delayed(i, n) => {
            let request = turn.node.lives[i].requests[n].clone();
            turn.node.lives[i].requests[n].way = Way::Alone;
            unanswered(turn, i, &request);
        }
        Fault::Refused(i, n) | Fault::Deferred(i, n) => {
            turn.node.lives[i].requests.remove(n);
            let why = if fault == Fault::Refused(i, n) {
                CreateFailure::Refused
            } else {
                CreateFailure::Deferred
            };
            turn.hears(i, create_failed(why));
        }
        Fault::Deleted(i) => deleted(turn, i, Act::Fault(fault)),
        Fault::Gap => {
            for life in &mut turn.node.lives {
                (life.job_news, life.pod_news, life.gone) = (false, false, None);
                life.lost = true;
            }
        }
        Fault::SetAside(i) => {
            turn.node.lives[i].truth.set_aside = true;
            let message = "A step panicked three times.".to_owned();
            turn.hears(i, Event::SetAside(SetAside { message }));
        }
        Fault::Crash => {
            turn.node.leads = false;
            turn.node.stopped_at = turn.node.now;
            for life in &mut turn.node.lives {
                life.requests
                    .retain(|request| request.ask != Ask::Look && !matches!(request.way, Way::Answered(_)));
                life.requests
                    .iter_mut()
                    .for_each(|request| request.way = Way::Alone);
                (life.job_news, life.pod_news, life.gone) = (false, false, None);
                life.lost = false;
            }
        }
        Fault::Window(i) => {
            let over = turn.node.now + WINDOW_MS;
            turn.elapses(over);
            turn.forgets(i);
            let life = &mut turn.node.lives[i];
            life.told.clear();
            life.truth = super::node::Truth::default();
            turn.takes(i);
        }
    }
}

fn carry_out(turn: &mut Turn<'_>, i: usize, n: usize) {
    let ask = turn.node.lives[i].requests[n].ask.clone();
    let answer = done(turn, i, &ask);
    turn.node.lives[i].requests[n].way = Way::Answered(answer);
}

/// The API server does what is asked.
fn done(turn: &mut Turn<'_>, i: usize, ask: &Ask) -> Answer {
    let now = turn.node.now;
    match ask {
        Ask::Create {
            with_ttl,
            received_at,
        } => {
            if turn.node.lives[i].job.is_none() {
                turn.makes(i, *with_ttl, *received_at);
            }
            Answer::Seen(turn.node.lives[i].job.clone())
        }
        Ask::Look => Answer::Seen(turn.node.lives[i].job.clone()),
        Ask::Stop { uid, code, message } => {
            let life = &mut turn.node.lives[i];
            let Some(job) = life.job.as_mut().filter(|job| job.uid == *uid) else {
                return Answer::Gone;
            };
            let verdict = (*code, message.clone());
            if job.end.is_some() && job.judged.as_ref() != Some(&verdict) {
                return Answer::Ended(job.clone());
            }
            job.judged = Some(verdict);
            job.end.get_or_insert((now, End::DeadlineExceeded));
            life.job_news = true;
            life.truth.judged = Some(code);
            Answer::Stopped
        }
        Ask::Ttl { uid, seconds } => {
            if let Some(job) = turn.node.lives[i].job.as_mut().filter(|job| job.uid == *uid) {
                job.ttl_secs = Some(*seconds);
            }
            Answer::TtlSet
        }
    }
}

fn answer(turn: &mut Turn<'_>, i: usize, n: usize) {
    let request = turn.node.lives[i].requests.remove(n);
    let Way::Answered(answer) = request.way else {
        unreachable!("only an answered request has an answer");
    };
    let looks = request.ask == Ask::Look;
    let facts = match answer {
        Answer::Seen(job) if looks => {
            let mut facts = job.as_ref().map(Job::facts).unwrap_or_default();
            facts.extend(job.as_ref().map(Job::pod_facts).unwrap_or_default());
            facts.push(Event::Looked(Looked {
                job: job.as_ref().map(|job| uid(job.uid)),
                waiting: job.as_ref().and_then(Job::waiting),
                has_pods: job.as_ref().is_some_and(|job| job.pod != Pod::None),
            }));
            facts
        }
        Answer::Seen(job) => job.as_ref().map(Job::facts).unwrap_or_default(),
        Answer::Stopped => vec![Event::StopAnswered(StopAnswered::Done)],
        Answer::Ended(job) => {
            let mut facts = job.facts();
            facts.push(Event::StopAnswered(StopAnswered::Conflict));
            facts
        }
        Answer::Gone => vec![Event::StopAnswered(StopAnswered::Gone)],
        Answer::TtlSet => vec![Event::TtlAnswered(TtlAnswered::Settled)],
    };
    turn.hears_all(i, facts);
}

fn unanswered(turn: &mut Turn<'_>, i: usize, request: &Request) {
    let event = match request.ask {
        Ask::Create { .. } => create_failed(CreateFailure::Unknown),
        Ask::Look => Event::LookFailed(LookFailed),
        Ask::Stop { .. } => Event::StopAnswered(StopAnswered::Unknown),
        Ask::Ttl { .. } => Event::TtlAnswered(TtlAnswered::Unknown),
    };
    turn.hears(i, event);
}

fn create_failed(why: CreateFailure) -> Event {
    Event::CreateFailed(CreateFailed {
        why,
        message: "the API server's words".to_owned(),
        retry_after_ms: None,
    })
}

fn pod(turn: &mut Turn<'_>, i: usize, pod: Pod) {
    let life = &mut turn.node.lives[i];
    let job = life.job.as_mut().expect("the pod's Job is there");
    job.pod = pod;
    if job.received_at == life.received_at {
        life.truth.started |= pod == Pod::Started;
    }
    life.pod_news = true;
}

fn ends(turn: &mut Turn<'_>, i: usize, end: End) {
    let now = turn.node.now;
    let life = &mut turn.node.lives[i];
    let job = life.job.as_mut().expect("the Job is there");
    job.end = Some((now, end));
    if job.received_at == life.received_at {
        life.truth.completed |= end == End::Complete;
        life.truth.failed |= end == End::BackoffLimitExceeded;
    }
    life.job_news = true;
}

fn deleted(turn: &mut Turn<'_>, i: usize, act: Act) {
    let leads = turn.node.leads;
    let life = &mut turn.node.lives[i];
    let job = life.job.take().expect("the Job is there");
    if job.received_at == life.received_at {
        life.truth.expired |= act == Act::Expires(i);
        life.truth.deleted |= act == Act::Fault(Fault::Deleted(i));
    }
    (life.job_news, life.pod_news) = (false, false);
    life.gone = Some(job).filter(|_| leads && !life.lost);
}
