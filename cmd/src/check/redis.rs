//! The two Redis servers: what the queue and the store need of them, and what they may lose.

use adapters::connection::{Class, Error};
use adapters::source::Source as _;
use adapters::source::list::List;
use adapters::store;
use adapters::survey::Survey;

use super::finding::{Finding, Level};
use crate::config::{Config, Queue, Redis};
use crate::run::target;

/// Largest difference of two clocks that is no remark, in ms.
const CLOCK_MS: u64 = 2000;

/// Looks at the queue.
pub(super) fn queue(config: &Config) -> Vec<Finding> {
    let Queue::Redis { server, key_prefix } = &config.queue;
    let survey = match adapters::source::survey::survey(&target(server), key_prefix) {
        Ok(survey) => survey,
        Err(error) => return vec![unreachable("queue", server, &error)],
    };
    let mut findings = self::server("queue", server, &survey.survey);
    findings.extend(depth(server, key_prefix));
    let check = format!("{key_prefix}:processing");
    findings.push(match survey.processing {
        Some(0) => Finding::new(check, Level::Ok, "no messages of a predecessor"),
        Some(count) => Finding::new(check, Level::Warn, format!("{count} messages of a predecessor")).advise(
            "this worker never touches that list: drain it with the predecessor before you move, or push its messages anew",
        ),
        None => Finding::new(check, Level::Info, "not a list, or the login may not count it"),
    });
    findings
}

/// Looks at the store.
pub(super) fn store(config: &Config) -> Vec<Finding> {
    let instance = format!("{}/{}", config.pod_namespace, config.lease.lock_name);
    let settings = match settings(config) {
        Ok(settings) => settings,
        Err(error) => return vec![unreachable("store", &config.store, &error)],
    };
    let found = match store::survey::survey(&settings) {
        Ok(found) => found,
        Err(error) => return vec![unreachable("store", &config.store, &error)],
    };
    let mut findings = server("store", &config.store, &found.survey);
    let readable = found.survey.denied.is_empty() && found.survey.wrong_types.is_empty();
    findings.extend(match found.owner {
        None if readable => Some(Finding::new("store instance", Level::Ok, "not claimed yet")),
        None => None,
        Some(owner) if owner == instance => Some(Finding::new("store instance", Level::Ok, owner)),
        Some(owner) => Some(Finding::fail(
            "store instance",
            format!("the keys belong to {owner}, this is {instance}"),
            "give each installation its own CACHE_JOB_KEY_PREFIX, CACHE_REDIS_DB or LEADER_ELECTION_LOCK_NAME",
        )),
    });
    let layout = if found.joint {
        "queue and store are one server: a message is settled with its task"
    } else {
        "queue and store are two servers: a message is settled once its Job exists"
    };
    findings.push(Finding::new("layout", Level::Info, layout));
    findings
}

fn settings(config: &Config) -> Result<store::Settings, Error> {
    let Queue::Redis { server, key_prefix } = &config.queue;
    let queue = List::new(&target(server), key_prefix, "check")
        .map_err(|adapters::source::Error::Redis(error)| error)?;
    Ok(store::Settings {
        target: target(&config.store),
        prefix: config.store_key_prefix.clone(),
        lock: config.lease.lock_name.clone(),
        namespace: config.pod_namespace.clone(),
        pod: "check".to_owned(),
        queue: queue.joint().cloned(),
    })
}

fn depth(server: &Redis, key_prefix: &str) -> Option<Finding> {
    let list = List::new(&target(server), key_prefix, "check").ok()?;
    // Where it may not be counted, the permissions say so.
    let depth = list.depth().ok()?;
    let found = format!(
        "{} waiting, {} taken, {} dead letters in {key_prefix}",
        depth.waiting, depth.taken, depth.dead
    );
    Some(Finding::new("queue depth", Level::Info, found))
}

/// What queue and store need alike.
fn server(name: &str, redis: &Redis, survey: &Survey) -> Vec<Finding> {
    let report = &survey.report;
    let found = format!(
        "Redis {} at {}, database {}, {}",
        report.version, redis.endpoint, redis.db, report.role
    );
    let mut findings = vec![if !report.supported() {
        Finding::fail(name, found, "Redis 7.0 or newer is needed")
    } else if report.role != "master" {
        Finding::fail(
            name,
            found,
            "nothing can be written to a replica: name the master",
        )
    } else {
        Finding::new(name, Level::Ok, found)
    }];
    findings.push(durability(name, survey));
    findings.push(permissions(name, survey));
    findings.extend(survey.wrong_types.iter().map(|wrong| {
        let found = format!("{} holds a {}, not a {}", wrong.key, wrong.found, wrong.expected);
        Finding::fail(
            format!("{name} keys"),
            found,
            "another program uses this key: choose another prefix or database",
        )
    }));
    let ahead = survey.clock_ahead_ms;
    if ahead.unsigned_abs() > CLOCK_MS {
        let found = format!("the server's clock is {ahead} ms ahead of this machine's");
        findings.push(
            Finding::new(format!("{name} clock"), Level::Warn, found).advise("synchronise both with NTP"),
        );
    }
    findings
}

fn durability(name: &str, survey: &Survey) -> Finding {
    let check = format!("{name} durability");
    let report = &survey.report;
    let evicts = report.maxmemory_policy != "noeviction";
    if !report.appendonly {
        let found = "appendonly is off: a restart of the server may lose accepted tasks";
        return Finding::new(check, Level::Warn, found).advise("redis.conf: appendonly yes");
    }
    if evicts {
        let limit = if report.maxmemory == 0 {
            ", no bound is set yet"
        } else {
            ""
        };
        let found = format!(
            "maxmemory-policy is {}: the server may drop live tasks{limit}",
            report.maxmemory_policy
        );
        return Finding::new(check, Level::Warn, found).advise("redis.conf: maxmemory-policy noeviction");
    }
    Finding::new(check, Level::Ok, "appendonly, noeviction")
}

fn permissions(name: &str, survey: &Survey) -> Finding {
    let check = format!("{name} permissions");
    if survey.denied.is_empty() {
        let found = if survey.report.supported() {
            "the login may run every command"
        } else {
            "not asked: the server is too old"
        };
        return Finding::new(check, Level::Ok, found);
    }
    let mut by_key: Vec<(&str, Vec<&str>)> = Vec::new();
    for denied in &survey.denied {
        match by_key.iter_mut().find(|(key, _)| *key == denied.key) {
            Some((_, commands)) => commands.push(&denied.command),
            None => by_key.push((&denied.key, vec![&denied.command])),
        }
    }
    let denied: Vec<String> = by_key
        .into_iter()
        .map(|(key, commands)| format!("{} on {key}", commands.join(" ")))
        .collect();
    let found = format!("the login may not run {}", denied.join(", "));
    Finding::fail(check, found, "ACL SETUSER: allow these commands and keys")
}

fn unreachable(name: &str, redis: &Redis, error: &Error) -> Finding {
    let variable = if name == "queue" {
        "REDIS_QUEUE"
    } else {
        "CACHE_REDIS"
    };
    let advice = match error.class {
        Class::Auth => format!(
            "user and password: {variable}_ENDPOINT, {variable}_PASSWORD_FILE; and the ACL of the user"
        ),
        Class::Configuration => {
            format!("the database number ({variable}_DB), the certificates ({variable}_CA_FILE)")
        }
        Class::Unavailable | Class::Unanswered => format!(
            "is {} right ({variable}_ENDPOINT), and may this machine connect?",
            redis.endpoint
        ),
        Class::ReadOnly
        | Class::OutOfMemory
        | Class::WrongType
        | Class::Disk
        | Class::Refused
        | Class::Protocol => "the server's log may say more".to_owned(),
    };
    Finding::fail(name, error, advice)
}
