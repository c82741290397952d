//! The table of environment variables: the one source of parsing, `--help` and the documentation.
//!
//! It owns names, defaults and rules (CONTRACT 1). It never reads the environment.

use super::kind::Kind;

/// Describes one environment variable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What counts where it is unset or empty.
    pub default: Default,
    /// What its value has to be.
    pub kind: Kind,
    /// What it is for: a phrase that fits after the name.
    pub doc: &'static str,
}

/// Says what counts for a variable that is unset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Default {
    /// The process does not start.
    Required,
    /// This value, which is parsed like any other.
    Value(&'static str),
    /// Nothing; the text says what happens then.
    Unset(&'static str),
}

/// A number of seconds that may be large, but not so large that adding it to a clock overflows: ten years.
const SECONDS: Kind = Kind::Seconds { max: 315_360_000 };

/// Databases are numbered by a C int in Redis.
const DATABASE: Kind = Kind::Number {
    min: 0,
    max: 2_147_483_647,
};

const fn variable(name: &'static str, default: Default, kind: Kind, doc: &'static str) -> Variable {
    Variable {
        name,
        default,
        kind,
        doc,
    }
}

const NO_PASSWORD: Default = Default::Unset("the endpoint's own, if it has one");
const PUBLIC_CA: Default = Default::Unset("the public certificate authorities");

macro_rules! variables {
    ($($constant:ident: $default:expr, $kind:expr, $doc:literal;)*) => {
        $(pub(super) const $constant: Variable = variable(stringify!($constant), $default, $kind, $doc);)*

        /// Lists every variable, in the order of the documentation.
        pub(crate) const VARIABLES: &[Variable] = &[$($constant),*];
    };
}

variables! {
    POD_NAME: Default::Required, Kind::Name, "names this replica in the Lease and in logs";
    POD_NAMESPACE: Default::Required, Kind::Label, "namespace of the Lease, and the default one to watch";
    LEADER_ELECTION_LOCK_NAME: Default::Value("job-worker-lock"), Kind::Subdomain,
        "name of the coordination.k8s.io/v1 Lease";
    POLLING_INTERVAL: Default::Value("5"), SECONDS,
        "longest wait of one blocking take, and the period of the drain of leftovers";
    HTTP_SERVER_PORT: Default::Value("8080"), Kind::Port, "port of probes and metrics";
    HTTP_SERVER_TIMEOUT_SECONDS: Default::Value("30"), SECONDS, "longest time that a client can hold a connection";
    QUEUE_TYPE: Default::Value("redis"), Kind::OneOf(&["redis"]), "kind of the queue";
    QUEUE_WORKER_POOL_SIZE: Default::Value("10"), Kind::Number { min: 1, max: 10 },
        "messages being turned into Jobs at once; a running Job holds none of them";
    REDIS_QUEUE_ENDPOINT: Default::Unset("required when QUEUE_TYPE=redis"), Kind::Endpoint, "Redis of the queue";
    REDIS_QUEUE_DB: Default::Value("0"), DATABASE, "database of the queue";
    REDIS_QUEUE_KEY_PREFIX: Default::Value("queue-"), Kind::Key,
        "key of the list that producers push to, and prefix of the keys beside it";
    CACHE_REDIS_ENDPOINT: Default::Required, Kind::Endpoint, "Redis of the store of snapshots";
    CACHE_REDIS_DB: Default::Required, DATABASE, "database of the store";
    CACHE_JOB_KEY_PREFIX: Default::Value("job-worker-"), Kind::KeyPrefix, "every key of the store starts with it";
    KUBERNETES_CLIENT_TIMEOUT: Default::Value("30"), SECONDS, "longest time of one API request";
    POD_START_TIMEOUT: Default::Value("600"), SECONDS, "from Job creation to the first started container";
    MAX_TASKS_IN_FLIGHT: Default::Value("1000"), Kind::Number { min: 1, max: 1_000_000 },
        "tasks without a durable verdict; at the bound nothing more is taken";
    DEDUP_WINDOW_SECONDS: Default::Value("86400"), SECONDS, "how long the id of a finished task is remembered";
    WATCH_NAMESPACES: Default::Unset("the whole cluster, or POD_NAMESPACE and the namespaces of the tasks"),
        Kind::Namespaces, "namespaces to watch, and the only ones that messages may name";
    LEADER_ELECTION_LEASE_SECONDS: Default::Value("15"), SECONDS,
        "lease duration; the renew deadline is 2/3 of it, the retry period 2/15";
    CACHE_REDIS_PASSWORD_FILE: NO_PASSWORD, Kind::PasswordFile, "password of the store";
    REDIS_QUEUE_PASSWORD_FILE: NO_PASSWORD, Kind::PasswordFile, "password of the queue";
    CACHE_REDIS_CA_FILE: PUBLIC_CA, Kind::CertificateFile, "private CA of the store";
    REDIS_QUEUE_CA_FILE: PUBLIC_CA, Kind::CertificateFile, "private CA of the queue";
    WEBHOOK_CA_FILE: PUBLIC_CA, Kind::CertificateFile, "private CA of webhook receivers";
    WEBHOOK_DENY_CIDRS:
        Default::Value(adapters::webhook::DEFAULT_DENY),
        Kind::Networks, "addresses that no webhook may reach";
    WEBHOOK_ALLOW_CIDRS: Default::Unset("no exceptions"), Kind::Networks, "exceptions from WEBHOOK_DENY_CIDRS";
    WEBHOOK_SIGNING_SECRET_FILE: Default::Unset("callbacks are not signed"), Kind::SigningSecretFile,
        "secrets that sign callbacks, read again when the file changes";
    LOG_LEVEL: Default::Value("info"), Kind::Levels, "least severe level that is logged";
    LOG_FORMAT: Default::Unset("text on a terminal, else json"), Kind::OneOf(&["text", "json"]),
        "form of a log line";
    UI_ENABLED: Default::Value("true"), Kind::OneOf(&["true", "false"]),
        "whether the page for operators is served under /ui";
}

/// Tells whether a variable of this name is ours.
#[cfg(feature = "dev")]
pub(crate) fn is_known(name: &str) -> bool {
    VARIABLES.iter().any(|variable| variable.name == name)
}

/// Finds the variables that look like misspelt ones of ours, each with the name that was probably meant.
///
/// A name counts only if it is within two edits of ours: Kubernetes itself sets names such as
/// `REDIS_QUEUE_SERVICE_HOST`.
pub(crate) fn misspelt<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<(&'a str, &'static str)> {
    names
        .into_iter()
        .filter(|name| VARIABLES.iter().all(|variable| variable.name != *name))
        .filter_map(|name| {
            let close = |variable: &&Variable| strsim::levenshtein(name, variable.name) <= 2;
            VARIABLES.iter().find(close).map(|variable| (name, variable.name))
        })
        .collect()
}

/// Writes the section on the environment for `--help`.
pub(crate) fn help() -> String {
    let mut text = String::from("Environment:\n");
    for variable in VARIABLES {
        let default = match variable.default {
            Default::Required => "required".to_owned(),
            Default::Value(value) => format!("default: {value}"),
            Default::Unset(then) => format!("unset: {then}"),
        };
        text.push_str(&format!(
            "  {}\n          {}; {} [{default}]\n",
            variable.name,
            variable.doc,
            variable.kind.rule()
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_close_to_ours_is_misspelt_and_those_of_kubernetes_are_not() {
        let names = [
            "QUEUE_WORKER_POOLSIZE",
            "REDIS_QUEUE_ENDPIONT",
            "POD_NAME",
            "POD_IP",
            "REDIS_QUEUE_PORT",
            "REDIS_QUEUE_SERVICE_HOST",
            "CACHE_REDIS_PORT",
            "HOME",
        ];
        assert_eq!(
            misspelt(names),
            [
                ("QUEUE_WORKER_POOLSIZE", "QUEUE_WORKER_POOL_SIZE"),
                ("REDIS_QUEUE_ENDPIONT", "REDIS_QUEUE_ENDPOINT"),
            ]
        );
    }

    #[test]
    fn help_names_every_variable_with_its_default_and_its_rule() {
        let help = help();
        for variable in VARIABLES {
            assert!(
                help.contains(&format!("\n  {}\n", variable.name)),
                "{}",
                variable.name
            );
        }
        assert!(help.contains(
            "  POLLING_INTERVAL\n          longest wait of one blocking take, and the period of the drain of leftovers; \
             must be a whole number of seconds, 1 to 315360000 [default: 5]\n"
        ));
        assert!(help.contains("must be one of: redis [default: redis]"));
    }
}
