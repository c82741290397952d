//! `job-worker check`.

use std::net::TcpListener;
use std::path::PathBuf;

use adapters::connection::Target;
use adapters::source::Source as _;
use adapters::source::list::List;
use adapters::store::{self, RedisStore, Store as _};
use fixtures::apiserver::{Answer, ApiServer};
use fixtures::redis::{Options, Server};
use serde_json::{Value, json};

use crate::{run, text};

const LEASE: &str = "get /apis/coordination.k8s.io/v1/namespaces/jobs/leases/job-worker-lock";
const REVIEW: &str = "create /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// A Redis, an API server, and a kubeconfig that leads to it.
struct World {
    redis: Server,
    cluster: ApiServer,
    directory: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let world = World {
            redis: Server::start(Options::default()).expect("redis-server is installed"),
            cluster: ApiServer::start(),
            directory: tempfile::tempdir().expect("there is room"),
        };
        let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": world.cluster.url()}}],
            "users": [{"name": "c", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}]});
        std::fs::write(world.kubeconfig(), kubeconfig.to_string()).expect("it can be written");
        let version = json!({"major": "1", "minor": "33", "gitVersion": "v1.33.0"});
        world.cluster.on("get /version", [Answer::Json(200, version)]);
        world
    }

    fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    fn redis(&self, db: i64, command: &[&str]) {
        let mut connection = self.redis.connection(db).expect("it runs");
        let mut asked = redis::cmd(command[0]);
        asked.arg(&command[1..]);
        asked.exec(&mut connection).expect("it is a command");
    }

    /// Everything that Redis holds, and when it was last written to by anybody.
    fn written(&self) -> (String, u64) {
        let mut connection = self.redis.connection(0).expect("it runs");
        let info: redis::InfoDict = redis::cmd("INFO").query(&mut connection).expect("it answers");
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("*")
            .query(&mut connection)
            .expect("it answers");
        (keys.join(" "), info.get("master_repl_offset").unwrap_or_default())
    }

    /// Runs `check` with these flags and with variables above those of a sound installation.
    fn check(&self, flags: &[&str], variables: &[(&str, &str)]) -> (Vec<Value>, i32) {
        let kubeconfig = self.kubeconfig().display().to_string();
        let url = self.redis.url();
        let mut environment = vec![
            ("KUBECONFIG", kubeconfig.as_str()),
            ("POD_NAME", "worker-1"),
            ("POD_NAMESPACE", "jobs"),
            ("REDIS_QUEUE_ENDPOINT", url.as_str()),
            ("CACHE_REDIS_ENDPOINT", url.as_str()),
            ("CACHE_REDIS_DB", "1"),
        ];
        environment.extend_from_slice(variables);
        let output = run(&[&["check", "--json"], flags].concat(), &environment, b"");
        assert_eq!(text(output.stderr), "");
        let answer: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
        let code = output.status.code().expect("it ends by itself");
        assert_eq!(answer["ok"], code == 0);
        let findings = answer["findings"].as_array().expect("it has findings").clone();
        (findings, code)
    }
}

/// The findings of a level, as `check: found`.
fn of(level: &str, findings: &[Value]) -> Vec<String> {
    findings
        .iter()
        .filter(|finding| finding["level"] == level)
        .map(|finding| {
            let word = |name: &str| finding[name].as_str().expect("it is text").to_owned();
            format!("{}: {}", word("check"), word("found"))
        })
        .collect()
}

#[test]
fn a_sound_installation_has_nothing_to_warn_of_and_nothing_is_written() {
    let world = World::new();
    let before = world.written();
    let lease = json!({"metadata": {"name": "job-worker-lock"}, "spec":
        {"holderIdentity": "worker-0_n", "leaseDurationSeconds": 15, "renewTime": "2999-01-01T00:00:00.000000Z"}});
    world.cluster.on(LEASE, [Answer::Json(200, lease)]);
    let (findings, code) = world.check(&["--namespace", "default"], &[]);
    let none = Vec::<String>::new();
    assert_eq!(
        (of("fail", &findings), of("warn", &findings), code),
        (none.clone(), none, 0)
    );
    let url = world.redis.url();
    assert_eq!(
        of("ok", &findings),
        [
            "configuration: every variable obeys its rule".to_owned(),
            format!("queue: Redis {} at {url}, database 0, master", version(&world)),
            "queue durability: appendonly, noeviction".to_owned(),
            "queue permissions: the login may run every command".to_owned(),
            "queue-:processing: no messages of a predecessor".to_owned(),
            format!("store: Redis {} at {url}, database 1, master", version(&world)),
            "store durability: appendonly, noeviction".to_owned(),
            "store permissions: the login may run every command".to_owned(),
            "store instance: not claimed yet".to_owned(),
            format!("API server: Kubernetes v1.33.0 at {}/", world.cluster.url()),
            "leases in jobs: get list watch create update".to_owned(),
            "jobs in default: get list watch create".to_owned(),
            "pods in default: get list watch".to_owned(),
            "jobs in jobs: get list watch create".to_owned(),
            "pods in jobs: get list watch".to_owned(),
            "lease job-worker-lock: worker-0_n leads, renewed 0 s ago".to_owned(),
        ]
    );
    assert_eq!(world.written(), before);
    let written: Vec<_> = world
        .cluster
        .requests()
        .into_iter()
        .filter(|request| request.verb != "get" && request.key() != REVIEW)
        .collect();
    assert_eq!(written, []);
}

fn version(world: &World) -> String {
    let mut connection = world.redis.connection(0).expect("it runs");
    let info: redis::InfoDict = redis::cmd("INFO").query(&mut connection).expect("it answers");
    info.get("redis_version").expect("every server has a version")
}

#[test]
fn what_a_server_may_lose_and_what_a_predecessor_left_are_warnings() {
    let world = World::new();
    world.redis(0, &["CONFIG", "SET", "appendonly", "no"]);
    world.redis(0, &["RPUSH", "queue-:processing", "a", "b"]);
    let (findings, code) = world.check(&[], &[("POLLING_INTERVALL", "5")]);
    assert_eq!(
        of("warn", &findings),
        [
            "configuration: POLLING_INTERVALL is unknown and has no effect: is POLLING_INTERVAL meant?",
            "queue durability: appendonly is off: a restart of the server may lose accepted tasks",
            "queue-:processing: 2 messages of a predecessor",
            "store durability: appendonly is off: a restart of the server may lose accepted tasks",
        ]
    );
    assert_eq!(code, 0);
    world.redis(0, &["CONFIG", "SET", "appendonly", "yes"]);
    world.redis(0, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let (findings, _) = world.check(&[], &[]);
    assert!(of("warn", &findings).contains(
        &"store durability: maxmemory-policy is allkeys-lru: the server may drop live tasks, no bound is set yet".to_owned()
    ));
}

#[test]
fn each_denied_command_is_named_with_its_key() {
    let world = World::new();
    world.redis(
        0,
        &[
            "ACL", "SETUSER", "limited", "on", ">hidden", "~queue-*", "+@all", "-blmove", "-hincrby",
        ],
    );
    let endpoint = format!("redis://limited:hidden@127.0.0.1:{}", world.redis.port());
    let (findings, code) = world.check(
        &[],
        &[
            ("REDIS_QUEUE_ENDPOINT", &endpoint),
            ("CACHE_REDIS_ENDPOINT", &endpoint),
        ],
    );
    let failed = of("fail", &findings);
    assert_eq!(
        failed[0],
        "queue permissions: the login may not run BLMOVE on queue-, HINCRBY on queue-:attempts"
    );
    assert!(failed[1].starts_with(
        "store permissions: the login may not run HLEN HSCAN HKEYS TYPE HMGET HSET HDEL on job-worker-{job-worker-lock}:tasks, "
    ));
    assert!(!failed[1].contains("queue-"), "{}", failed[1]);
    assert_eq!((failed.len(), code), (2, 1));
    let shown = format!("{findings:?}");
    assert!(!shown.contains("hidden"), "{shown}");
}

/// The users of `scripts/deploy/README.md`: one that may only push, one that may do all that the daemon does. What the third,
/// who may only look, suffices for is tried beside the commands that look.
#[test]
fn the_documented_users_suffice() {
    let world = World::new();
    let documented = std::fs::read_to_string(crate::tree("scripts/deploy/README.md")).expect("it is there");
    let mut users = 0;
    for line in documented
        .lines()
        .filter(|line| line.starts_with("    ACL SETUSER"))
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        world.redis(0, &words);
        users += 1;
    }
    assert_eq!(users, 3);
    let port = world.redis.port();
    let worker = format!("redis://worker:PASSWORD@127.0.0.1:{port}");
    let variables = [
        ("REDIS_QUEUE_ENDPOINT", worker.as_str()),
        ("CACHE_REDIS_ENDPOINT", &worker),
    ];
    let (findings, _) = world.check(&[], &variables);
    assert_eq!(of("fail", &findings), Vec::<String>::new());

    let queue = Target {
        endpoint: worker.parse().expect("an endpoint"),
        db: 0,
        password: None,
        ca: None,
    };
    let list = List::new(&queue, "queue-", "test").expect("it can be used");
    let mut store = RedisStore::open(store::Settings {
        target: Target { db: 1, ..queue },
        prefix: "job-worker-".to_owned(),
        lock: "job-worker-lock".to_owned(),
        namespace: "jobs".to_owned(),
        pod: "test".to_owned(),
        queue: list.joint().cloned(),
    })
    .expect("it is new enough");
    assert_eq!(store.claim("test").expect("nothing is denied").number, 1);

    let producer = format!("redis://producer:PASSWORD@127.0.0.1:{port}");
    let example = crate::message("valid/worked-example.json").display().to_string();
    let submitted = run(&["submit", &example], &[("REDIS_QUEUE_ENDPOINT", &producer)], b"");
    assert_eq!(
        (text(submitted.stderr), submitted.status.code()),
        (String::new(), Some(0))
    );
}

#[test]
fn a_key_of_another_program_and_a_store_of_another_instance_fail() {
    let world = World::new();
    world.redis(1, &["SET", "job-worker-{job-worker-lock}:tasks", "mine"]);
    world.redis(
        2,
        &[
            "SET",
            "job-worker-{job-worker-lock}:instance",
            "other/job-worker-lock",
        ],
    );
    let (findings, code) = world.check(&[], &[]);
    assert_eq!(
        of("fail", &findings),
        ["store keys: job-worker-{job-worker-lock}:tasks holds a string, not a hash"]
    );
    assert_eq!(code, 1);
    let (findings, code) = world.check(&[], &[("CACHE_REDIS_DB", "2")]);
    assert_eq!(
        of("fail", &findings),
        [
            "store instance: the keys belong to other/job-worker-lock, this is jobs/job-worker-lock",
            "API server: 404: not found",
        ]
    );
    assert_eq!(code, 1);
}

#[test]
fn each_missing_permission_is_named_with_the_command_that_grants_it() {
    let world = World::new();
    let denied = |_| Answer::Json(201, json!({"status": {"allowed": false}}));
    world.cluster.on(REVIEW, (0..100).map(denied));
    let (findings, code) = world.check(&[], &[("WATCH_NAMESPACES", "tasks")]);
    assert_eq!(
        of("fail", &findings),
        [
            "leases in jobs: missing: get list watch create update",
            "jobs in tasks: missing: get list watch create",
            "pods in tasks: missing: get list watch",
        ]
    );
    let jobs = findings
        .iter()
        .find(|finding| finding["check"] == "jobs in tasks");
    assert_eq!(
        jobs.expect("it was found")["advice"],
        "kubectl create rolebinding job-worker --namespace tasks --clusterrole job-worker --serviceaccount jobs:job-worker-sa"
    );
    assert_eq!(code, 1);
}

#[test]
fn nothing_that_can_be_reached_is_three_failures_and_no_hang() {
    let world = World::new();
    let free = TcpListener::bind("127.0.0.1:0")
        .expect("loopback")
        .local_addr()
        .expect("bound");
    let nobody = free.to_string();
    let kubeconfig = world.directory.path().join("none").display().to_string();
    let (findings, code) = world.check(
        &[],
        &[
            ("REDIS_QUEUE_ENDPOINT", &nobody),
            ("CACHE_REDIS_ENDPOINT", &nobody),
            ("KUBECONFIG", &kubeconfig),
        ],
    );
    let checks: Vec<String> = of("fail", &findings)
        .iter()
        .filter_map(|finding| finding.split_once(':').map(|(check, _)| check.to_owned()))
        .collect();
    assert_eq!(
        (checks.as_slice(), code),
        (&["queue", "store", "API server"].map(str::to_owned)[..], 1)
    );
}

#[test]
fn a_webhook_is_judged_by_the_guard_and_connected_without_a_request() {
    let world = World::new();
    let receiver = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = receiver.local_addr().expect("bound");
    let url = format!("http://{address}/hook?token=hidden");
    let judged = |variables: &[(&str, &str)]| {
        let (findings, _) = world.check(&["--webhook", &url], variables);
        let found = findings.last().expect("there are findings").clone();
        (
            found["check"].clone(),
            found["level"].clone(),
            found["found"].clone(),
        )
    };
    let check = json!(format!("webhook http://{address}/hook"));
    let denied = "the address 127.0.0.1 is in 127.0.0.0/8, which WEBHOOK_DENY_CIDRS denies";
    assert_eq!(judged(&[]), (check.clone(), json!("fail"), json!(denied)));
    let allow = [("WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8")];
    let taken = format!("{address} takes connections, without TLS");
    assert_eq!(judged(&allow), (check.clone(), json!("ok"), json!(taken)));
    let (mut connection, _) = receiver.accept().expect("it was connected");
    assert_eq!(
        std::io::Read::read(&mut connection, &mut [0; 1]).expect("it was closed"),
        0
    );
    drop(receiver);
    assert_eq!(judged(&allow).1, json!("fail"));
}

#[test]
fn a_refused_configuration_is_every_fault_and_78() {
    let output = run(
        &["check"],
        &[
            ("POD_NAME", "a"),
            ("CACHE_REDIS_ENDPOINT", "a:1"),
            ("REDIS_QUEUE_ENDPOINT", "a:1"),
        ],
        b"",
    );
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(
        text(output.stdout),
        "fail  configuration  POD_NAMESPACE: must be set: it is the namespace of the Lease, and the default one to watch\n\
         \x20                    → job-worker --help lists every variable\n\
         fail  configuration  CACHE_REDIS_DB: must be set: it is the database of the store\n\
         \x20                    → job-worker --help lists every variable\n\
         \n\
         2 fail, 0 warn, 2 looked at\n"
    );
}
