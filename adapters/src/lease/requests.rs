//! The requests of the lease thread: its client, one attempt each with a bound on its time, and what an answer means to the
//! machine. It keeps the object behind the record that the machine saw last. Called by the lease thread only.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use engine::lease::{Draft, Fault, Input, Record};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, PostParams};
use kube::{Client, Config};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::{Error, Known, Settings, wire};
use crate::cluster::chain;

/// A request to the Lease, named as RBAC names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verb {
    /// `get`
    Get,
    /// `create`
    Create,
    /// `update`
    Update,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "get",
            Self::Create => "create",
            Self::Update => "update",
        })
    }
}

/// A request in flight.
pub(super) type Call = Pin<Box<dyn Future<Output = Answer>>>;

/// What became of one request.
pub(super) struct Answer {
    pub(super) verb: Verb,
    pub(super) input: Input,
    /// The fault in [`Self::input`] with its text for the log; `None` where the request was answered.
    pub(super) fault: Option<(Fault, String)>,
    /// The object that was read or stored; `None` leaves what is known, `Some(None)` says there is none.
    found: Option<Option<Lease>>,
    /// The credentials were refused.
    unauthorized: bool,
}

pub(super) struct Requests {
    config: Config,
    api: Api<Lease>,
    settings: Settings,
    known: Known,
    call: Duration,
    seen: Option<Lease>,
}

impl Requests {
    /// Builds a client that nothing else uses: no retries inside it, and no call or connection that outlives `call`.
    pub(super) fn new(
        runtime: &Runtime,
        settings: Settings,
        known: Known,
        mut config: Config,
    ) -> Result<Self, Error> {
        let call = Duration::from_millis(settings.timing().call_ms());
        config.default_retry = false;
        config.connect_timeout = Some(call);
        config.read_timeout = Some(call);
        config.write_timeout = Some(call);
        config.reset_reader_on_write = true;
        let _guard = runtime.enter();
        let client = Client::try_from(config.clone()).map_err(Error::Client)?;
        let api = Api::namespaced(client, &settings.namespace);
        Ok(Self {
            config,
            api,
            settings,
            known,
            call,
            seen: None,
        })
    }

    pub(super) fn get(&self) -> Call {
        let (api, name) = (self.api.clone(), self.settings.name.clone());
        let read = timeout(self.call, async move { api.get_opt(&name).await });
        Box::pin(async move {
            match read.await {
                Ok(Ok(found)) => Answer {
                    verb: Verb::Get,
                    input: Input::Looked(found.as_ref().map(wire::record)),
                    fault: None,
                    found: Some(found),
                    unauthorized: false,
                },
                Ok(Err(error)) => Answer {
                    unauthorized: unauthorized(&error),
                    ..Answer::unread(fault(&error), text(error))
                },
                Err(elapsed) => Answer::unread(Fault::Unknown, elapsed.to_string()),
            }
        })
    }

    pub(super) fn create(&self, draft: &Draft) -> Call {
        let mut object = wire::created(
            &self.settings.namespace,
            &self.settings.name,
            draft,
            Timestamp::now(),
        );
        self.known.write(&mut object.metadata);
        let api = self.api.clone();
        let sent = timeout(self.call, async move {
            api.create(&PostParams::default(), &object).await
        });
        Box::pin(async move { Answer::written(Verb::Create, sent.await) })
    }

    pub(super) fn update(&self, draft: &Draft, version: String) -> Call {
        let seen = self
            .seen
            .as_ref()
            .expect("the machine updates only what it has seen");
        let mut object = wire::replaced(seen, draft, version, Timestamp::now());
        self.known.write(&mut object.metadata);
        let (api, name) = (self.api.clone(), self.settings.name.clone());
        let sent = timeout(self.call, async move {
            api.replace(&name, &PostParams::default(), &object).await
        });
        Box::pin(async move { Answer::written(Verb::Update, sent.await) })
    }

    /// Takes note of the object in the answer and returns what the machine is to be told.
    ///
    /// Where the credentials were refused, the next request is sent with what their files say then: a token may have been
    /// replaced before the old one had run out, and a lease is shorter than the time between two looks at its file.
    pub(super) fn receive(&mut self, answer: Answer) -> Input {
        if answer.unauthorized {
            match Client::try_from(self.config.clone()) {
                Ok(client) => self.api = Api::namespaced(client, &self.settings.namespace),
                Err(error) => log::warn!(
                    "the credentials of the lease cannot be read again: {}",
                    chain(&error)
                ),
            }
        }
        if let Some(found) = answer.found {
            // The answer to a write holds what was sent, and with it names that were dropped meanwhile.
            if let (Verb::Get, Some(lease)) = (answer.verb, &found) {
                self.known.read(&lease.metadata);
            }
            self.seen = found;
        }
        answer.input
    }

    /// Reads the Lease once.
    pub(super) async fn read(&self) -> Result<Option<Record>, Error> {
        match timeout(self.call, self.api.get_opt(&self.settings.name)).await {
            Ok(Ok(found)) => Ok(found.as_ref().map(wire::record)),
            Ok(Err(error)) => Err(Error::Read(error)),
            Err(_) => Err(Error::TimedOut(self.call)),
        }
    }
}

impl Answer {
    fn unread(fault: Fault, text: String) -> Self {
        Self {
            verb: Verb::Get,
            input: Input::Unread(fault),
            fault: Some((fault, text)),
            found: None,
            unauthorized: false,
        }
    }

    fn written(verb: Verb, answer: Result<kube::Result<Lease>, tokio::time::error::Elapsed>) -> Self {
        let unauthorized = matches!(&answer, Ok(Err(error)) if unauthorized(error));
        let (fault, text) = match answer {
            Ok(Ok(lease)) => {
                let input = Input::Wrote(wire::record(&lease));
                return Self {
                    verb,
                    input,
                    fault: None,
                    found: Some(Some(lease)),
                    unauthorized,
                };
            }
            Ok(Err(error)) if lost_race(verb, &error) => {
                return Self {
                    verb,
                    input: Input::Conflict,
                    fault: None,
                    found: None,
                    unauthorized,
                };
            }
            Ok(Err(error)) => (fault(&error), text(error)),
            Err(elapsed) => (Fault::Unknown, elapsed.to_string()),
        };
        Self {
            verb,
            input: Input::Unwritten(fault),
            fault: Some((fault, text)),
            found: None,
            unauthorized,
        }
    }
}

fn code(error: &kube::Error) -> Option<u16> {
    if let kube::Error::Api(status) = error {
        Some(status.code)
    } else {
        None
    }
}

fn unauthorized(error: &kube::Error) -> bool {
    code(error) == Some(401)
}

fn lost_race(verb: Verb, error: &kube::Error) -> bool {
    match verb {
        Verb::Get => false,
        Verb::Create => code(error) == Some(409),
        Verb::Update => matches!(code(error), Some(404 | 409)),
    }
}

fn fault(error: &kube::Error) -> Fault {
    if code(error) == Some(403) {
        Fault::Forbidden
    } else {
        Fault::Unknown
    }
}

fn text(error: kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        format!("{}: {}", status.code, status.message)
    } else {
        chain(&error)
    }
}
