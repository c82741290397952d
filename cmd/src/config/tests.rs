//! CONTRACT 1, rule by rule: what is accepted, and the exact line for each broken rule.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use super::variables::{Default, VARIABLES};
use super::*;

const NAME: &str = "must be 1 to 253 letters, digits, '-', '_' or '.'";
const LABEL: &str = "must be a DNS label: 1 to 63 lower-case letters, digits or '-', \
                     with a letter or digit at both ends";
const SUBDOMAIN: &str = "must be a DNS subdomain: DNS labels joined by '.', at most 253 characters";
const SECONDS: &str = "must be a whole number of seconds, 1 to 315360000";
const PORT: &str = "must be a port, 1 to 65535, or 0 for any free one";
const POOL: &str = "must be a whole number, 1 to 10";
const DATABASE: &str = "must be a whole number, 0 to 2147483647";
const KEY: &str = "must be 1 to 512 bytes without spaces or control characters";
const KEY_PREFIX: &str = "must be 1 to 512 bytes without spaces, control characters, '{' or '}'";
const NAMESPACES: &str = "must be DNS labels, comma separated, each once";
const ENDPOINT: &str = "must be host:port, redis://…, rediss://… or unix:///path";
const TOPOLOGY: &str = "Sentinel and Cluster are not supported yet";
const NETWORKS: &str = "must be IP networks such as 10.0.0.0/8 or fd00::/8, comma separated";
const LEVELS: &str = "must be error, warn, info, debug or trace, or a list such as info,kube=debug";

/// The least that starts, with `changes` on top.
fn environment<'a>(changes: &[(&'a str, &'a str)]) -> BTreeMap<&'a str, &'a str> {
    let mut environment = BTreeMap::from([
        ("POD_NAME", "worker-1"),
        ("POD_NAMESPACE", "jobs"),
        ("REDIS_QUEUE_ENDPOINT", "queue:6379"),
        ("CACHE_REDIS_ENDPOINT", "store:6379"),
        ("CACHE_REDIS_DB", "1"),
    ]);
    environment.extend(changes.iter().copied());
    environment
}

fn load(changes: &[(&str, &str)]) -> Result<Config, Vec<Fault>> {
    Config::load(
        environment(changes)
            .into_iter()
            .map(|(name, value)| (name.into(), value.into())),
    )
}

fn lines(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(Fault::to_string).collect()
}

fn written(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn certificate() -> String {
    rcgen::generate_simple_self_signed(["ca".to_owned()])
        .unwrap()
        .cert
        .pem()
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let contract = [
        ("POD_NAME", Default::Required),
        ("POD_NAMESPACE", Default::Required),
        ("LEADER_ELECTION_LOCK_NAME", Default::Value("job-worker-lock")),
        ("POLLING_INTERVAL", Default::Value("5")),
        ("HTTP_SERVER_PORT", Default::Value("8080")),
        ("HTTP_SERVER_TIMEOUT_SECONDS", Default::Value("30")),
        ("QUEUE_TYPE", Default::Value("redis")),
        ("QUEUE_WORKER_POOL_SIZE", Default::Value("10")),
        ("REDIS_QUEUE_DB", Default::Value("0")),
        ("REDIS_QUEUE_KEY_PREFIX", Default::Value("queue-")),
        ("CACHE_REDIS_ENDPOINT", Default::Required),
        ("CACHE_REDIS_DB", Default::Required),
        ("CACHE_JOB_KEY_PREFIX", Default::Value("job-worker-")),
        ("KUBERNETES_CLIENT_TIMEOUT", Default::Value("30")),
        ("POD_START_TIMEOUT", Default::Value("600")),
        ("MAX_TASKS_IN_FLIGHT", Default::Value("1000")),
        ("DEDUP_WINDOW_SECONDS", Default::Value("86400")),
        ("LEADER_ELECTION_LEASE_SECONDS", Default::Value("15")),
        (
            "WEBHOOK_DENY_CIDRS",
            Default::Value(
                "127.0.0.0/8,0.0.0.0/8,169.254.0.0/16,224.0.0.0/4,::1/128,::/128,fe80::/10,ff00::/8,fd00:ec2::254/128",
            ),
        ),
        ("LOG_LEVEL", Default::Value("info")),
        ("UI_ENABLED", Default::Value("true")),
    ];
    let set: Vec<_> = VARIABLES
        .iter()
        .filter(|variable| !matches!(variable.default, Default::Unset(_)))
        .map(|variable| (variable.name, variable.default))
        .collect();
    assert_eq!(set, contract);
    let unset: Vec<_> = VARIABLES
        .iter()
        .filter(|variable| matches!(variable.default, Default::Unset(_)))
        .map(|variable| variable.name)
        .collect();
    assert_eq!(
        unset,
        [
            "REDIS_QUEUE_ENDPOINT",
            "WATCH_NAMESPACES",
            "CACHE_REDIS_PASSWORD_FILE",
            "REDIS_QUEUE_PASSWORD_FILE",
            "CACHE_REDIS_CA_FILE",
            "REDIS_QUEUE_CA_FILE",
            "WEBHOOK_CA_FILE",
            "WEBHOOK_ALLOW_CIDRS",
            "WEBHOOK_SIGNING_SECRET_FILE",
            "LOG_FORMAT",
        ]
    );
}

#[test]
fn the_least_environment_starts_and_describes_itself() {
    let config = load(&[("WATCH_NAMESPACES", ""), ("POLLING_INTERVAL", "")]).unwrap();
    assert_eq!(
        config.describe(),
        "POD_NAME=worker-1 POD_NAMESPACE=jobs LEADER_ELECTION_LOCK_NAME=job-worker-lock POLLING_INTERVAL=5 \
         HTTP_SERVER_PORT=8080 HTTP_SERVER_TIMEOUT_SECONDS=30 QUEUE_TYPE=redis QUEUE_WORKER_POOL_SIZE=10 \
         REDIS_QUEUE_ENDPOINT=queue:6379 REDIS_QUEUE_DB=0 REDIS_QUEUE_KEY_PREFIX=queue- \
         CACHE_REDIS_ENDPOINT=store:6379 CACHE_REDIS_DB=1 CACHE_JOB_KEY_PREFIX=job-worker- \
         KUBERNETES_CLIENT_TIMEOUT=30 POD_START_TIMEOUT=600 MAX_TASKS_IN_FLIGHT=1000 DEDUP_WINDOW_SECONDS=86400 \
         LEADER_ELECTION_LEASE_SECONDS=15 \
         WEBHOOK_DENY_CIDRS=127.0.0.0/8,0.0.0.0/8,169.254.0.0/16,224.0.0.0/4,::1/128,::/128,fe80::/10,ff00::/8,fd00:ec2::254/128 \
         LOG_LEVEL=info UI_ENABLED=true"
    );
    assert_eq!(config.lease.duration, Duration::from_secs(15));
    assert_eq!(config.lease.renew_deadline, Duration::from_secs(10));
    assert_eq!(config.lease.retry, Duration::from_secs(2));
    assert_eq!((config.watch_namespaces, config.log_format), (None, None));
    assert_eq!(config.warnings, [] as [&str; 0]);
}

#[test]
fn the_values_reach_the_fields_of_their_names() {
    let config = load(&[
        ("LEADER_ELECTION_LOCK_NAME", "lock.a"),
        ("LEADER_ELECTION_LEASE_SECONDS", "1"),
        ("POLLING_INTERVAL", "2"),
        ("HTTP_SERVER_PORT", "0"),
        ("HTTP_SERVER_TIMEOUT_SECONDS", "3"),
        ("QUEUE_WORKER_POOL_SIZE", "4"),
        ("REDIS_QUEUE_DB", "5"),
        ("REDIS_QUEUE_KEY_PREFIX", "{q}"),
        ("CACHE_JOB_KEY_PREFIX", "c:"),
        ("KUBERNETES_CLIENT_TIMEOUT", "6"),
        ("POD_START_TIMEOUT", "7"),
        ("MAX_TASKS_IN_FLIGHT", "8"),
        ("DEDUP_WINDOW_SECONDS", "9"),
        ("WATCH_NAMESPACES", "a, b"),
        ("WEBHOOK_DENY_CIDRS", "10.1.2.3/8,::1"),
        ("WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8"),
        ("LOG_LEVEL", "debug"),
        ("LOG_FORMAT", "json"),
    ])
    .unwrap();
    let seconds = Duration::from_secs;
    assert_eq!(
        config.lease,
        Lease {
            lock_name: "lock.a".to_owned(),
            duration: seconds(1),
            renew_deadline: Duration::from_millis(666),
            retry: Duration::from_millis(133),
        }
    );
    assert_eq!(
        (config.polling_interval, config.http_timeout),
        (seconds(2), seconds(3))
    );
    assert_eq!(
        (config.kubernetes_timeout, config.pod_start_timeout),
        (seconds(6), seconds(7))
    );
    assert_eq!((config.max_tasks_in_flight, config.dedup_window), (8, seconds(9)));
    assert_eq!((config.http_port, config.pool_size), (0, 4));
    let Queue::Redis { server, key_prefix } = config.queue;
    assert_eq!(
        (server.endpoint.to_string(), server.db, key_prefix),
        ("redis://queue:6379".to_owned(), 5, "{q}".to_owned())
    );
    assert_eq!(
        (config.store.endpoint.to_string(), config.store.db),
        ("redis://store:6379".to_owned(), 1)
    );
    assert_eq!(config.store_key_prefix, "c:");
    assert_eq!(
        config.watch_namespaces,
        Some(vec!["a".to_owned(), "b".to_owned()])
    );
    let nets = |nets: &[IpNet]| nets.iter().map(IpNet::to_string).collect::<Vec<_>>();
    assert_eq!(nets(&config.webhook.deny), ["10.0.0.0/8", "::1/128"]);
    assert_eq!(nets(&config.webhook.allow), ["127.0.0.0/8"]);
    assert_eq!(config.log_levels, "debug".parse().unwrap());
    assert_eq!(config.log_format, Some(Format::Json));
}

/// Name, value and the rule that it breaks; each alone, on top of an environment that starts.
const BROKEN: &[(&str, &str, &str)] = &[
    ("POD_NAME", "a b", NAME),
    ("POD_NAME", "a/b", NAME),
    ("POD_NAMESPACE", "a.b", LABEL),
    ("POD_NAMESPACE", "-a", LABEL),
    ("POD_NAMESPACE", "a-", LABEL),
    ("POD_NAMESPACE", "A", LABEL),
    ("LEADER_ELECTION_LOCK_NAME", "a..b", SUBDOMAIN),
    ("LEADER_ELECTION_LOCK_NAME", "a_b", SUBDOMAIN),
    ("POLLING_INTERVAL", "0", SECONDS),
    ("POLLING_INTERVAL", "-1", SECONDS),
    ("POLLING_INTERVAL", "+5", SECONDS),
    ("POLLING_INTERVAL", "5s", SECONDS),
    ("POLLING_INTERVAL", "1.5", SECONDS),
    ("POLLING_INTERVAL", "5\n6", SECONDS),
    ("POLLING_INTERVAL", "315360001", SECONDS),
    ("POLLING_INTERVAL", "99999999999999999999", SECONDS),
    ("HTTP_SERVER_PORT", "65536", PORT),
    ("HTTP_SERVER_PORT", "http", PORT),
    ("HTTP_SERVER_TIMEOUT_SECONDS", "0", SECONDS),
    ("QUEUE_TYPE", "sqs", "must be one of: redis"),
    ("QUEUE_TYPE", "Redis", "must be one of: redis"),
    ("QUEUE_WORKER_POOL_SIZE", "0", POOL),
    ("QUEUE_WORKER_POOL_SIZE", "11", POOL),
    ("REDIS_QUEUE_ENDPOINT", "queue", "must name a port of 1 to 65535"),
    ("REDIS_QUEUE_ENDPOINT", "a:1,b:1", TOPOLOGY),
    ("CACHE_REDIS_ENDPOINT", "redis+sentinel://a:1", TOPOLOGY),
    ("CACHE_REDIS_ENDPOINT", "http://a:1", ENDPOINT),
    (
        "CACHE_REDIS_ENDPOINT",
        "redis://h/3",
        "must not name a database: it has its own variable",
    ),
    ("REDIS_QUEUE_DB", "-1", DATABASE),
    ("CACHE_REDIS_DB", "x", DATABASE),
    ("REDIS_QUEUE_KEY_PREFIX", "a b", KEY),
    ("CACHE_JOB_KEY_PREFIX", "{a}", KEY_PREFIX),
    ("KUBERNETES_CLIENT_TIMEOUT", "0", SECONDS),
    ("POD_START_TIMEOUT", "0", SECONDS),
    ("MAX_TASKS_IN_FLIGHT", "0", "must be a whole number, 1 to 1000000"),
    ("DEDUP_WINDOW_SECONDS", "0", SECONDS),
    ("WATCH_NAMESPACES", "a,,b", NAMESPACES),
    ("WATCH_NAMESPACES", "a,b,a", NAMESPACES),
    ("WATCH_NAMESPACES", "a.b", NAMESPACES),
    ("LEADER_ELECTION_LEASE_SECONDS", "0", SECONDS),
    ("WEBHOOK_DENY_CIDRS", "10.0.0.0/33", NETWORKS),
    ("WEBHOOK_ALLOW_CIDRS", "local", NETWORKS),
    ("LOG_LEVEL", "loud", LEVELS),
    ("LOG_LEVEL", "info,kube", LEVELS),
    ("LOG_FORMAT", "xml", "must be one of: text, json"),
];

#[test]
fn every_broken_rule_has_its_line() {
    for (name, value, rule) in BROKEN {
        let line = format!("{name}={value:?}: {rule}");
        assert_eq!(lines(&load(&[(name, value)]).expect_err(&line)), [line]);
    }
}

#[test]
fn lengths_have_their_bounds() {
    for (name, bound, rule) in [
        ("POD_NAME", 253, NAME),
        ("POD_NAMESPACE", 63, LABEL),
        ("REDIS_QUEUE_KEY_PREFIX", 512, KEY),
        ("CACHE_JOB_KEY_PREFIX", 512, KEY_PREFIX),
    ] {
        let shown = "a".repeat(SHOWN_MAX.min(bound + 1));
        let more = if bound < SHOWN_MAX { "" } else { "…" };
        assert!(load(&[(name, &"a".repeat(bound))]).is_ok());
        let faults = load(&[(name, &"a".repeat(bound + 1))]).expect_err(name);
        assert_eq!(lines(&faults), [format!("{name}=\"{shown}\"{more}: {rule}")]);
    }
}

#[test]
fn what_is_missing_is_named_with_its_purpose() {
    for line in [
        "POD_NAME: must be set: it names this replica in the Lease and in logs",
        "POD_NAMESPACE: must be set: it is the namespace of the Lease, and the default one to watch",
        "REDIS_QUEUE_ENDPOINT: must be set when QUEUE_TYPE=redis",
        "CACHE_REDIS_ENDPOINT: must be set: it is the Redis of the store of snapshots",
        "CACHE_REDIS_DB: must be set: it is the database of the store",
    ] {
        let (name, _) = line.split_once(':').unwrap();
        assert_eq!(lines(&load(&[(name, "")]).expect_err(line)), [line]);
    }
}

#[test]
fn the_login_of_an_endpoint_is_masked_in_its_fault() {
    for (value, line) in [
        (
            "redis://user:hidden@h/3",
            "CACHE_REDIS_ENDPOINT=\"redis://***@h/3\": must not name a database: it has its own variable",
        ),
        (
            "user:hidden@h:1",
            "CACHE_REDIS_ENDPOINT=\"***@h:1\": user and password need the form redis://user:password@host:port",
        ),
        (
            "redis://user:hidden",
            "CACHE_REDIS_ENDPOINT=\"redis://user:***\": must name a port of 1 to 65535",
        ),
    ] {
        assert_eq!(
            lines(&load(&[("CACHE_REDIS_ENDPOINT", value)]).expect_err(line)),
            [line]
        );
    }
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_the_table() {
    let faults = Config::load([
        ("LOG_FORMAT".into(), "xml".into()),
        ("LEADER_ELECTION_LEASE_SECONDS".into(), "0".into()),
        ("QUEUE_TYPE".into(), "kafka".into()),
        ("WATCH_NAMESPACES".into(), OsString::from_vec(vec![b'a', 0xff])),
        ("HTTP_SERVER_PORT".into(), "http".into()),
        ("WEBHOOK_CA_FILE".into(), "/nonexistent/ca.pem".into()),
    ])
    .unwrap_err();
    assert_eq!(
        lines(&faults),
        [
            "POD_NAME: must be set: it names this replica in the Lease and in logs",
            "POD_NAMESPACE: must be set: it is the namespace of the Lease, and the default one to watch",
            "HTTP_SERVER_PORT=\"http\": must be a port, 1 to 65535, or 0 for any free one",
            "QUEUE_TYPE=\"kafka\": must be one of: redis",
            "CACHE_REDIS_ENDPOINT: must be set: it is the Redis of the store of snapshots",
            "CACHE_REDIS_DB: must be set: it is the database of the store",
            "WATCH_NAMESPACES=\"a\u{fffd}\": must be UTF-8",
            "LEADER_ELECTION_LEASE_SECONDS=\"0\": must be a whole number of seconds, 1 to 315360000",
            "WEBHOOK_CA_FILE=\"/nonexistent/ca.pem\": cannot be read: No such file or directory (os error 2)",
            "LOG_FORMAT=\"xml\": must be one of: text, json",
        ]
    );
}

#[test]
fn files_are_read_and_their_secrets_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str, text: &str| written(directory.path(), name, text);
    let secret = "whsec_aGlkZGVuaGlkZGVuaGlkZGVuaGlkZGVuaGlkZGVu";
    let secrets = format!("{secret}\n\n{secret}\r\n");
    let pem = certificate();
    let password = at("password", "hid den\r\n");
    let signing = at("signing", &secrets);
    let ca = at("ca.pem", &pem);
    let config = load(&[
        ("CACHE_REDIS_ENDPOINT", "rediss://user:hidden@store"),
        ("CACHE_REDIS_PASSWORD_FILE", &password),
        ("CACHE_REDIS_CA_FILE", &ca),
        ("WEBHOOK_SIGNING_SECRET_FILE", &signing),
    ])
    .unwrap();
    assert_eq!(
        config.store.password.as_ref().map(Secret::reveal),
        Some("hid den")
    );
    assert_eq!(config.store.ca, Some(Certificates { path: ca.into(), pem }));
    let kept = config.webhook.signing.as_ref().unwrap();
    assert_eq!(kept.path.to_str(), Some(signing.as_str()));
    let shown = format!("{} {config:?}", config.describe());
    assert!(
        shown.contains("CACHE_REDIS_ENDPOINT=rediss://***@store "),
        "{shown}"
    );
    for part in ["hidden", "hid den", "aGlk", "user"] {
        assert!(!shown.contains(part), "{part} in {shown}");
    }
}

#[test]
fn a_file_that_does_not_hold_what_it_should_is_refused_without_its_contents() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str, text: &str| written(directory.path(), name, text);
    let password = "must be a readable file with a password on one line";
    let pem = "must be a readable PEM file with at least one certificate";
    let short = "whsec_c2hvcnQ=";
    let long = format!("whsec_{}", "YWFh".repeat(22));
    let sound = format!("whsec_{}", "YWFh".repeat(8));
    let broken = certificate().replacen("MII", "AAA", 1);
    let cases = [
        ("CACHE_REDIS_PASSWORD_FILE", at("empty", "\n"), password),
        (
            "REDIS_QUEUE_PASSWORD_FILE",
            at("two", "hidden\nhidden\n"),
            password,
        ),
        ("CACHE_REDIS_CA_FILE", at("none.pem", "hidden"), pem),
        (
            "CACHE_REDIS_CA_FILE",
            at("one_broken.pem", &format!("{}{broken}", certificate())),
            pem,
        ),
        ("REDIS_QUEUE_CA_FILE", at("broken.pem", &broken), pem),
        ("WEBHOOK_CA_FILE", at("empty.pem", ""), pem),
        (
            "WEBHOOK_SIGNING_SECRET_FILE",
            at("blank", "\n\n"),
            "no secret is in it; one `whsec_…` a line is expected",
        ),
        (
            "WEBHOOK_SIGNING_SECRET_FILE",
            at("bare", "aGlkZGVu"),
            "line 1 does not begin with `whsec_`",
        ),
        (
            "WEBHOOK_SIGNING_SECRET_FILE",
            at("short", &format!("{sound}\n{short}")),
            "line 2 holds a key of 5 bytes; 24 to 64 are allowed",
        ),
        (
            "WEBHOOK_SIGNING_SECRET_FILE",
            at("long", &long),
            "line 1 holds a key of 66 bytes; 24 to 64 are allowed",
        ),
        (
            "WEBHOOK_SIGNING_SECRET_FILE",
            at("base64", &format!("{sound}!")),
            "line 1 is not base64 after `whsec_`",
        ),
        (
            "WEBHOOK_CA_FILE",
            directory.path().to_str().unwrap().to_owned(),
            "cannot be read: not a regular file",
        ),
        (
            "CACHE_REDIS_PASSWORD_FILE",
            at("large", &"x".repeat(1024 * 1024 + 1)),
            "cannot be read: larger than 1048576 bytes",
        ),
    ];
    for (name, path, rule) in cases {
        let faults = load(&[(name, &path)]).expect_err(&path);
        assert_eq!(lines(&faults), [format!("{name}={path:?}: {rule}")]);
    }
    assert!(load(&[("WEBHOOK_SIGNING_SECRET_FILE", &at("sound", &sound))]).is_ok());
}

#[test]
fn what_has_no_effect_is_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let ca = written(directory.path(), "ca.pem", &certificate());
    let config = load(&[("QUEUE_WORKER_POOLSIZE", "3"), ("REDIS_QUEUE_CA_FILE", &ca)]).unwrap();
    assert_eq!(
        config.warnings,
        [
            "REDIS_QUEUE_CA_FILE has no effect: the endpoint does not speak TLS (rediss://)",
            "QUEUE_WORKER_POOLSIZE is unknown and has no effect: is QUEUE_WORKER_POOL_SIZE meant?",
        ]
    );
}
