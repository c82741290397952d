//! Reads the variables one after the other and collects every fault.
//!
//! Every variable is read whatever became of those before it, so that one start shows all that is wrong.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use adapters::logs::Format;

use super::kind::{self, Kind, Wrong};
use super::variables::{self as names, Default, VARIABLES, Variable};
use super::{Certificates, Config, Fault, Lease, Naming, Queue, Redis, Store, Webhook};

/// Holds the environment, and what was found while it was read.
pub(super) struct Reader {
    values: BTreeMap<String, OsString>,
    pub(super) faults: Vec<Fault>,
    effective: Vec<(&'static str, String)>,
}

/// Gives what was read: the outer `None` is a fault, the inner one an unset variable.
type Optional<T> = Option<Option<T>>;

#[derive(Clone, Copy)]
enum QueueType {
    Redis,
}

impl Reader {
    pub(super) fn new(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self {
            values: environment
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .filter_map(|(name, value)| name.into_string().ok().map(|name| (name, value)))
                .collect(),
            faults: Vec::new(),
            effective: Vec::new(),
        }
    }

    /// Gives the faults in the order of the table.
    pub(super) fn into_faults(mut self) -> Vec<Fault> {
        self.faults.sort_by_key(|fault| place(fault.variable));
        self.faults
    }

    /// Reads everything. `None` only after a fault.
    pub(super) fn config(&mut self) -> Option<Config> {
        let pod_name = self.required(&names::POD_NAME, kind::name);
        let pod_namespace = self.required(&names::POD_NAMESPACE, kind::label);
        let lease = self.lease();
        let polling_interval = self.seconds(&names::POLLING_INTERVAL);
        let http_port = self.number(&names::HTTP_SERVER_PORT);
        let http_timeout = self.seconds(&names::HTTP_SERVER_TIMEOUT_SECONDS);
        let queue = self.queue();
        let pool_size = self.number(&names::QUEUE_WORKER_POOL_SIZE);
        let store = self.store();
        let store_key_prefix = self.required(&names::CACHE_JOB_KEY_PREFIX, kind::key_prefix);
        let kubernetes_timeout = self.seconds(&names::KUBERNETES_CLIENT_TIMEOUT);
        let pod_start_timeout = self.seconds(&names::POD_START_TIMEOUT);
        let max_tasks_in_flight = self.number(&names::MAX_TASKS_IN_FLIGHT);
        let dedup_window = self.seconds(&names::DEDUP_WINDOW_SECONDS);
        let watch_namespaces = self.optional(&names::WATCH_NAMESPACES, kind::namespaces);
        let webhook = self.webhook();
        let log_levels = self.required(&names::LOG_LEVEL, kind::levels);
        let log_format = self.optional(&names::LOG_FORMAT, |text| {
            kind::word(text, &[("text", Format::Text), ("json", Format::Json)])
        });
        let ui_enabled = self.required(&names::UI_ENABLED, |text| {
            kind::word(text, &[("true", true), ("false", false)])
        });
        let mut config = Config {
            pod_name: pod_name?,
            pod_namespace: pod_namespace?,
            lease: lease?,
            polling_interval: polling_interval?,
            http_port: http_port?,
            http_timeout: http_timeout?,
            queue: queue?,
            pool_size: pool_size?,
            store: store?,
            store_key_prefix: store_key_prefix?,
            kubernetes_timeout: kubernetes_timeout?,
            pod_start_timeout: pod_start_timeout?,
            max_tasks_in_flight: max_tasks_in_flight?,
            dedup_window: dedup_window?,
            watch_namespaces: watch_namespaces?,
            webhook: webhook?,
            log_levels: log_levels?,
            log_format: log_format?,
            ui_enabled: ui_enabled?,
            warnings: Vec::new(),
            effective: std::mem::take(&mut self.effective),
        };
        config.effective.sort_by_key(|(name, _)| place(name));
        config.warnings = self.warnings(&config);
        Some(config)
    }

    fn lease(&mut self) -> Option<Lease> {
        let lock_name = self.required(&names::LEADER_ELECTION_LOCK_NAME, kind::subdomain);
        let duration = self.seconds(&names::LEADER_ELECTION_LEASE_SECONDS);
        let (lock_name, duration) = (lock_name?, duration?);
        let millis =
            |share: Duration| Duration::from_millis(u64::try_from(share.as_millis()).unwrap_or(u64::MAX));
        Some(Lease {
            lock_name,
            duration,
            renew_deadline: millis(duration * 2 / 3),
            retry: millis(duration * 2 / 15),
        })
    }

    pub(super) fn queue(&mut self) -> Option<Queue> {
        let kind = self.required(&names::QUEUE_TYPE, |text| {
            kind::word(text, &[("redis", QueueType::Redis)])
        });
        let endpoint = self.optional(&names::REDIS_QUEUE_ENDPOINT, kind::endpoint);
        let db = self.number(&names::REDIS_QUEUE_DB);
        let key_prefix = self.required(&names::REDIS_QUEUE_KEY_PREFIX, kind::key);
        let password = self.optional(&names::REDIS_QUEUE_PASSWORD_FILE, kind::password);
        let ca = self.optional(&names::REDIS_QUEUE_CA_FILE, kind::certificates);
        let QueueType::Redis = kind?;
        let endpoint = endpoint?;
        if endpoint.is_none() {
            self.fault(
                &names::REDIS_QUEUE_ENDPOINT,
                None,
                "must be set when QUEUE_TYPE=redis".to_owned(),
            );
        }
        Some(Queue::Redis {
            server: Redis {
                endpoint: endpoint?,
                db: db?,
                password: password?,
                ca: ca?,
            },
            key_prefix: key_prefix?,
        })
    }

    pub(super) fn naming(&mut self) -> Option<Naming> {
        let pod_namespace = self.required(&names::POD_NAMESPACE, kind::label);
        let lock_name = self.required(&names::LEADER_ELECTION_LOCK_NAME, kind::subdomain);
        let pod_start_timeout = self.seconds(&names::POD_START_TIMEOUT);
        let watch_namespaces = self.optional(&names::WATCH_NAMESPACES, kind::namespaces);
        Some(Naming {
            pod_namespace: pod_namespace?,
            lock_name: lock_name?,
            pod_start_timeout: pod_start_timeout?,
            watch_namespaces: watch_namespaces?,
        })
    }

    pub(super) fn place(&mut self) -> Option<Store> {
        let server = self.store();
        let key_prefix = self.required(&names::CACHE_JOB_KEY_PREFIX, kind::key_prefix);
        let lock_name = self.required(&names::LEADER_ELECTION_LOCK_NAME, kind::subdomain);
        Some(Store {
            server: server?,
            key_prefix: key_prefix?,
            lock_name: lock_name?,
        })
    }

    fn store(&mut self) -> Option<Redis> {
        let endpoint = self.required(&names::CACHE_REDIS_ENDPOINT, kind::endpoint);
        let db = self.number(&names::CACHE_REDIS_DB);
        let password = self.optional(&names::CACHE_REDIS_PASSWORD_FILE, kind::password);
        let ca = self.optional(&names::CACHE_REDIS_CA_FILE, kind::certificates);
        Some(Redis {
            endpoint: endpoint?,
            db: db?,
            password: password?,
            ca: ca?,
        })
    }

    fn webhook(&mut self) -> Option<Webhook> {
        let ca = self.optional(&names::WEBHOOK_CA_FILE, kind::certificates);
        let deny = self.required(&names::WEBHOOK_DENY_CIDRS, kind::networks);
        let allow = self.optional(&names::WEBHOOK_ALLOW_CIDRS, kind::networks);
        let signing = self.optional(&names::WEBHOOK_SIGNING_SECRET_FILE, kind::signing_secrets);
        Some(Webhook {
            deny: deny?,
            allow: allow?.unwrap_or_default(),
            ca: ca?,
            signing: signing?,
        })
    }

    fn warnings(&self, config: &Config) -> Vec<String> {
        let unused = |name: &str, server: &Redis, ca: &Option<Certificates>| {
            (ca.is_some() && !server.endpoint.tls())
                .then(|| format!("{name} has no effect: the endpoint does not speak TLS (rediss://)"))
        };
        let Queue::Redis { server, .. } = &config.queue;
        let misspelt = names::misspelt(self.values.keys().map(String::as_str))
            .into_iter()
            .map(|(name, meant)| {
                format!(
                    "{} is unknown and has no effect: is {meant} meant?",
                    name.escape_debug()
                )
            });
        unused(names::CACHE_REDIS_CA_FILE.name, &config.store, &config.store.ca)
            .into_iter()
            .chain(unused(names::REDIS_QUEUE_CA_FILE.name, server, &server.ca))
            .chain(misspelt)
            .collect()
    }

    fn seconds(&mut self, variable: &Variable) -> Option<Duration> {
        self.number(variable).map(Duration::from_secs)
    }

    /// Reads a number of the bounds that the variable's kind names.
    fn number<T: TryFrom<u64>>(&mut self, variable: &Variable) -> Option<T> {
        let (min, max) = match variable.kind {
            Kind::Number { min, max } => (min, max),
            Kind::Seconds { max } => (1, max),
            Kind::Port => (0, u64::from(u16::MAX)),
            Kind::OneOf(_)
            | Kind::Name
            | Kind::Label
            | Kind::Subdomain
            | Kind::Namespaces
            | Kind::Key
            | Kind::KeyPrefix
            | Kind::Endpoint
            | Kind::Networks
            | Kind::PasswordFile
            | Kind::CertificateFile
            | Kind::SigningSecretFile
            | Kind::Levels => unreachable!("{} is read as a number", variable.name),
        };
        self.required(variable, |text| {
            let number = kind::number(text, min, max)?;
            T::try_from(number).map_err(|_| Wrong::Rule)
        })
    }

    /// Reads a variable that has a value or a default.
    fn required<T>(
        &mut self,
        variable: &Variable,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let value = self.optional(variable, parse)?;
        if value.is_none() {
            self.fault(variable, None, format!("must be set: it {}", purpose(variable)));
        }
        value
    }

    fn optional<T>(
        &mut self,
        variable: &Variable,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Optional<T> {
        let text = match (self.values.get(variable.name), variable.default) {
            (Some(value), _) => match value.to_str() {
                Some(text) => text.to_owned(),
                None => {
                    let shown = variable.kind.shown(&value.to_string_lossy());
                    self.fault(variable, Some(shown), "must be UTF-8".to_owned());
                    return None;
                }
            },
            (None, Default::Value(value)) => value.to_owned(),
            (None, Default::Required | Default::Unset(_)) => return Some(None),
        };
        let shown = variable.kind.shown(&text);
        match parse(&text) {
            Ok(value) => {
                self.effective.push((variable.name, shown));
                Some(Some(value))
            }
            Err(wrong) => {
                let rule = match wrong {
                    Wrong::Rule => variable.kind.rule(),
                    Wrong::Because(rule) => rule,
                };
                self.fault(variable, Some(shown), rule);
                None
            }
        }
    }

    fn fault(&mut self, variable: &Variable, value: Option<String>, rule: String) {
        self.faults.push(Fault {
            variable: variable.name,
            value,
            rule,
        });
    }
}

/// Gives the row of a variable in the table.
fn place(name: &str) -> Option<usize> {
    VARIABLES.iter().position(|variable| variable.name == name)
}

fn purpose(variable: &Variable) -> String {
    match variable.doc.starts_with("names ") {
        true => variable.doc.to_owned(),
        false => format!("is the {}", variable.doc),
    }
}
