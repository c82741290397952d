//! `job-worker dev`: the daemon and all that it needs on this machine, for trying and for tests.
//!
//! It starts a private redis-server, the embedded cluster, a receiver of callbacks and `job-worker run` as a child process, shows
//! what happens, and ends all of them. The daemon is the same program as in production; nothing here reaches into it.

mod daemon;
mod demo;
mod place;
mod screen;

use crate::exit::{EX_CONFIG, EX_SOFTWARE, EX_UNAVAILABLE, FAILURE};
use crate::print;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use daemon::Daemon;
use demo::Demo;
use fixtures::sink::Request;
use place::Place;
use screen::Screen;
use std::io::{self, IsTerminal as _};
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Longest wait for the daemon to serve after its start.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for the daemon to end after it was told to; then it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// The wait before what has died is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked whether the redis-server runs.
const LOOK_PERIOD: Duration = Duration::from_millis(500);
/// How long callbacks are waited for at a time, and how late the end of the wait is seen.
const SINK_WAIT: Duration = Duration::from_millis(200);

/// How to run it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Port of the daemon's probes and metrics [default: any free one].
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// Port of the private redis-server [default: any free one].
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    redis_port: u16,
    /// Shows the daemon's log too.
    #[arg(long)]
    verbose: bool,
    /// Submits the worked example and a task that fails, and compares their callbacks with what they have to be.
    ///
    /// Where standard output is no terminal it ends then: 0 where each callback came and was right, else 1.
    #[arg(long)]
    demo: bool,
    /// Image of the tasks of --demo, instead of busybox:latest.
    #[arg(long, requires = "demo")]
    image: Option<String>,
}

/// Why it ends before its user wants it to.
#[derive(Debug, thiserror::Error)]
enum Fatal {
    #[error("{what}: {error}")]
    Start { what: &'static str, error: io::Error },
    #[error("the cluster does not take an object: {0}")]
    Refused(#[from] fixtures::embedded::Refused),
    #[error("the daemon ended with {status}; the end of its log:\n{tail}")]
    Daemon { status: ExitStatus, tail: String },
    #[error("the daemon does not serve within {} s; its log: {log}", START_TIMEOUT.as_secs())]
    Silent { log: String },
    #[error("the demonstration was not submitted: {0}")]
    Submit(String),
}

impl Fatal {
    fn start(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Start { what, error }
    }
}

/// What the one loop waits for.
enum Event {
    /// Ctrl-C, SIGTERM or SIGHUP.
    Stop,
    /// A callback.
    Callback(Request),
    /// A line of the daemon's log.
    Line(String),
    /// The daemon's standard error is closed: it has ended.
    Closed,
}

/// Runs until it is told to stop, or until the demonstration is over.
pub(crate) fn dev(arguments: &Arguments) -> ExitCode {
    match live(arguments) {
        Ok(code) => code,
        Err(fatal) => {
            print::to_stderr(&format!("dev: {fatal}"));
            ExitCode::from(match fatal {
                Fatal::Start { .. } | Fatal::Refused(_) => EX_UNAVAILABLE,
                Fatal::Daemon { status, .. } if status.code() == Some(i32::from(EX_CONFIG)) => EX_CONFIG,
                Fatal::Daemon { .. } | Fatal::Silent { .. } | Fatal::Submit(_) => EX_SOFTWARE,
            })
        }
    }
}

fn live(arguments: &Arguments) -> Result<ExitCode, Fatal> {
    let (events, inbox) = unbounded();
    listen_to_signals(events.clone()).map_err(Fatal::start("no signal handler"))?;
    let mut place = Place::make(arguments.port, arguments.redis_port)?;
    let ears = Ears::open(&place, events.clone());
    let screen = Screen::new(arguments.verbose);
    let daemon = Daemon::start(&place, events.clone()).map_err(Fatal::start("the daemon"))?;
    let mut session = Session {
        place: &mut place,
        inbox,
        events,
        screen,
        daemon,
        demo: None,
        served: false,
        stopping: false,
    };
    let told = session.run(arguments);
    let ended = session.end();
    ears.close();
    session.drain();
    let outcome = told.and(ended);
    let faults = session.demo.take().map_or_else(Vec::new, Demo::into_faults);
    if !faults.is_empty() || matches!(outcome, Err(Fatal::Silent { .. })) {
        place.keep();
    }
    outcome?;
    for fault in &faults {
        print::to_stderr(&format!("dev: {fault}"));
    }
    if faults.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    print::to_stderr(&format!(
        "dev: what there is to look at stays in {}",
        place.directory().display()
    ));
    Ok(ExitCode::from(FAILURE))
}

/// One run, from the daemon's start to its end.
struct Session<'a> {
    place: &'a mut Place,
    inbox: Receiver<Event>,
    events: Sender<Event>,
    screen: Screen,
    daemon: Daemon,
    demo: Option<Demo>,
    /// A daemon has served, and its user knows where.
    served: bool,
    stopping: bool,
}

impl Session<'_> {
    fn run(&mut self, arguments: &Arguments) -> Result<(), Fatal> {
        self.wait_for_door()?;
        if self.stopping {
            return Ok(());
        }
        self.screen.banner(self.place, &self.daemon);
        self.served = true;
        if arguments.demo {
            let demo = Demo::submit(self.place, arguments.image.as_deref()).map_err(Fatal::Submit)?;
            self.screen.note(&demo.describe());
            self.demo = Some(demo);
        }
        let stays = !arguments.demo || io::stdout().is_terminal();
        while !self.stopping && !self.screen.is_closed() {
            self.revive_redis()?;
            let limit = self.demo.as_ref().and_then(Demo::deadline);
            let look = Instant::now() + LOOK_PERIOD;
            self.next(Some(limit.map_or(look, |limit| limit.min(look))))?;
            self.judge(limit.is_some_and(|limit| limit <= Instant::now()));
            if !stays && self.demo.as_ref().is_some_and(Demo::is_judged) {
                break;
            }
        }
        Ok(())
    }

    /// Compares, once every verdict is there or the time is over.
    fn judge(&mut self, overdue: bool) {
        if let Some(demo) = &mut self.demo
            && let Some(text) = demo.judge(self.place, overdue)
        {
            self.screen.note(&text);
        }
    }

    fn wait_for_door(&mut self) -> Result<(), Fatal> {
        let deadline = Instant::now() + START_TIMEOUT;
        while self.daemon.door().is_none() && !self.stopping {
            if !self.next(Some(deadline))? {
                return Err(Fatal::Silent {
                    log: self.place.log().display().to_string(),
                });
            }
        }
        Ok(())
    }

    /// Takes one event; false where none came before the deadline.
    fn next(&mut self, deadline: Option<Instant>) -> Result<bool, Fatal> {
        let event = match deadline {
            Some(deadline) => self.inbox.recv_deadline(deadline),
            None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let Ok(event) = event else {
            // This side holds a sender: only the time can be over.
            return Ok(false);
        };
        match event {
            Event::Stop => self.stopping = true,
            Event::Callback(request) => self.note_callback(&request)?,
            Event::Line(line) => self.note_line(&line),
            Event::Closed => self.revive()?,
        }
        Ok(true)
    }

    fn note_callback(&mut self, request: &Request) -> Result<(), Fatal> {
        self.place
            .record(request)
            .map_err(Fatal::start("the record of callbacks"))?;
        self.screen.callback(request);
        if let Some(demo) = &mut self.demo {
            demo.note(request);
        }
        Ok(())
    }

    fn note_line(&mut self, line: &str) {
        let known = self.daemon.door().is_some();
        self.daemon.note(line);
        if self.served
            && !known
            && let Some(door) = self.daemon.door()
        {
            let process = self.daemon.process();
            self.screen.note(&format!(
                "job-worker is process {process} now, http://{door}/metrics"
            ));
        }
        self.screen.line(line);
    }

    /// Starts the daemon again, as a Deployment does; not where none ever served.
    fn revive(&mut self) -> Result<(), Fatal> {
        let status = self.daemon.wait().map_err(Fatal::start("the daemon"))?;
        if !self.served {
            return Err(Fatal::Daemon {
                status,
                tail: self.daemon.tail(),
            });
        }
        self.screen
            .warn(&format!("the daemon ended with {status}; it is started again"));
        thread::sleep(RESTART_PAUSE);
        self.daemon = Daemon::start(self.place, self.events.clone()).map_err(Fatal::start("the daemon"))?;
        Ok(())
    }

    /// Starts the redis-server again where it has ended.
    fn revive_redis(&mut self) -> Result<(), Fatal> {
        let ended = self.place.redis_ended().map_err(Fatal::start("redis-server"))?;
        let Some(status) = ended else {
            return Ok(());
        };
        self.screen.warn(&format!(
            "redis-server ended with {status}; it is started again, with its data"
        ));
        thread::sleep(RESTART_PAUSE);
        self.place.restart_redis().map_err(Fatal::start("redis-server"))?;
        self.screen.note("redis-server is there again");
        Ok(())
    }

    /// Ends the daemon, with SIGKILL where it takes too long or a second signal comes.
    fn end(&mut self) -> Result<(), Fatal> {
        self.screen.note("ending the daemon, then all the rest");
        if !self.daemon.terminate() {
            return Ok(());
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        loop {
            match self.inbox.recv_deadline(deadline) {
                Ok(Event::Closed) => break,
                Ok(Event::Line(line)) => self.note_line(&line),
                Ok(Event::Callback(request)) => self.note_callback(&request)?,
                Ok(Event::Stop) | Err(_) => {
                    self.screen.warn("the daemon is killed");
                    self.daemon.kill();
                    break;
                }
            }
        }
        self.daemon.wait().map_err(Fatal::start("the daemon")).map(drop)
    }

    /// Takes what came while all ended.
    fn drain(&mut self) {
        while let Ok(event) = self.inbox.try_recv() {
            if let Event::Callback(request) = event
                && let Some(demo) = &mut self.demo
            {
                demo.note(&request);
            }
        }
    }
}

/// The thread that brings callbacks.
struct Ears {
    closed: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Ears {
    fn open(place: &Place, events: Sender<Event>) -> Self {
        let closed = Arc::new(AtomicBool::new(false));
        let (sink, ends) = (place.sink(), Arc::clone(&closed));
        let thread = thread::spawn(move || {
            loop {
                let last = ends.load(Ordering::SeqCst);
                for request in sink.take(SINK_WAIT) {
                    if events.send(Event::Callback(request)).is_err() {
                        return;
                    }
                }
                if last {
                    return;
                }
            }
        });
        Self { closed, thread }
    }

    fn close(self) {
        self.closed.store(true, Ordering::SeqCst);
        if self.thread.join().is_err() {
            print::to_stderr("dev: the thread that brings callbacks has panicked");
        }
    }
}

fn listen_to_signals(events: Sender<Event>) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for _ in signals.forever() {
            if events.send(Event::Stop).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}
