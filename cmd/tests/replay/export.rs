//! `job-worker log export` from a real Redis, and what it wrote run again.

use std::fs;
use std::time::{Duration, Instant};

use adapters::connection::Target;
use adapters::store::{Batch, OPS_MAX, RedisStore, Settings, Store as _};
use engine::{Event, Policy, Record, Spec, Task, TaskId, Transition};
use event_log::{Item, Reader, order_of};
use fixtures::redis::{Options, Server};

use crate::again::one_life;
use crate::lives::{of_walks, with_orders};
use crate::story::{BEGIN, recorded};
use crate::{run, text};

/// More than two pages of the store's log.
const EVENTS: usize = 1_200;

/// A Redis whose log holds these records.
struct World {
    redis: Server,
    directory: tempfile::TempDir,
}

impl World {
    fn with(records: &[Vec<u8>]) -> World {
        let redis = Server::start(Options::default()).expect("redis-server is installed");
        let mut store = RedisStore::open(Settings {
            target: Target {
                endpoint: redis.url().parse().expect("an endpoint"),
                db: 1,
                password: None,
                ca: None,
            },
            prefix: "job-worker-".to_owned(),
            lock: "job-worker-lock".to_owned(),
            namespace: "jobs".to_owned(),
            pod: "worker-0".to_owned(),
            queue: None,
        })
        .expect("it runs");
        store.claim("worker-0").expect("nobody else is there");
        for some in records.chunks(OPS_MAX) {
            let batch = Batch {
                ops: Vec::new(),
                log: some.to_vec(),
            };
            let until = Instant::now() + Duration::from_secs(60);
            store.commit(&batch, until).expect("it is written");
        }
        World {
            redis,
            directory: tempfile::tempdir().expect("there is room"),
        }
    }

    /// Exports, and returns the file, what was said, and the exit code.
    fn export(&self, options: &[&str]) -> (Vec<u8>, String, Option<i32>) {
        self.export_with(options, &[])
    }

    fn export_with(&self, options: &[&str], settings: &[(&str, &str)]) -> (Vec<u8>, String, Option<i32>) {
        let path = self.directory.path().join("events.jwlog");
        let path = path.to_str().expect("UTF-8");
        let url = self.redis.url();
        let mut environment = vec![
            ("POD_NAME", "worker-1"),
            ("POD_NAMESPACE", "jobs"),
            ("REDIS_QUEUE_ENDPOINT", url.as_str()),
            ("CACHE_REDIS_ENDPOINT", url.as_str()),
            ("CACHE_REDIS_DB", "1"),
        ];
        environment.extend(settings);
        let arguments = [&["log", "export", "-o", path], options].concat();
        let output = run(&arguments, &environment);
        let file = fs::read(path).expect("it was written");
        let said = text(&output.stderr).replace(path, "FILE");
        (file, said, output.status.code())
    }
}

fn is_order(record: &[u8]) -> bool {
    order_of(record).expect("a record").is_some()
}

fn records(file: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = Reader::new(file).expect("a log");
    let mut records = Vec::new();
    while let Some(item) = reader.next().expect("nothing is damaged") {
        if let Item::Record { bytes, .. } = item {
            records.push(bytes.to_vec());
        }
    }
    records
}

#[test]
fn the_whole_log_is_exported_and_decided_again_as_recorded() {
    let lives = of_walks(EVENTS);
    let kept: Vec<Vec<u8>> = lives.iter().map(recorded).collect();
    let world = World::with(&kept);
    let (file, said, code) = world.export(&[]);
    assert_eq!(
        said,
        format!("{0} of {0} events (all) are in FILE\n", lives.len())
    );
    assert_eq!(code, Some(0));
    assert_eq!(records(&file), kept);
    let header = Reader::new(&*file).expect("a log").header().clone();
    assert_eq!(header.instance, "jobs/job-worker-lock");
    assert_eq!(header.policy.lease_ms, 15_000);
    let path = world.directory.path().join("events.jwlog");
    let output = run(&["replay", path.to_str().expect("UTF-8")], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}

#[test]
fn a_task_or_a_stretch_of_time_is_exported_alone() {
    let mut lives = of_walks(EVENTS);
    let life = one_life();
    lives.splice(100..100, life.iter().cloned());
    let kept: Vec<Vec<u8>> = lives.iter().map(recorded).collect();
    let world = World::with(&kept);

    let (file, _, code) = world.export(&["--task", "happy-life/a"]);
    assert_eq!(code, Some(0));
    assert_eq!(records(&file), life.iter().map(recorded).collect::<Vec<_>>());

    // 1,700,000,000 s and one to two minutes.
    let (from, to) = ("2023-11-14T22:14:20Z", "2023-11-14T22:15:20Z");
    let (file, _, code) = world.export(&["--since", from, "--until", to]);
    let within = |transition: &&Transition| (60_000..=120_000).contains(&transition.at.since_ms(BEGIN));
    let wanted: Vec<Vec<u8>> = lives.iter().filter(within).map(recorded).collect();
    assert_eq!((records(&file) == wanted, code), (true, Some(0)));

    let with_orders = with_orders(life);
    let mut kept = kept;
    kept.extend(with_orders.iter().cloned());
    let world = World::with(&kept);
    let (file, _, code) = world.export(&["--task", "happy-life/a", "--since", "2023-11-14T22:13:20Z"]);
    let found = records(&file);
    let orders = |records: &[Vec<u8>]| records.iter().filter(|record| is_order(record)).count();
    assert_eq!(
        (orders(&found), code),
        (orders(&with_orders) - 1, Some(0)),
        "one concerns no task"
    );

    let (_, said, code) = world.export(&["--task", "nobody"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        said,
        format!("0 of {} events (task nobody) are in FILE\n", kept.len())
    );
}

#[test]
fn the_query_of_a_webhook_is_not_exported_and_the_rest_keeps_its_bytes() {
    let life = one_life();
    let id = TaskId::new("with a query");
    let spec = |webhook: &str| {
        let mut spec = Spec::clone(&life[0].after.spec);
        spec.service = "webhook".to_owned();
        spec.webhook = Some(webhook.to_owned());
        spec
    };
    let record = |webhook: &str| {
        let event = Event::Taken(spec(webhook).into());
        let taken = Task::begin(BEGIN, &id, event, &Policy::default()).expect("it begins");
        rmp_serde::to_vec_named(&Record::from(taken)).expect("plain data")
    };
    let long = format!("https://receiver.example/{}", "p".repeat(300));
    for plain in ["https://receiver.example/callback", &long] {
        let world = World::with(&[record(&format!("{plain}?token=hidden#part"))]);
        let (file, _, code) = world.export(&[]);
        assert_eq!(code, Some(0));
        assert_eq!(records(&file), [record(plain)]);
    }
}

#[test]
fn the_settings_of_the_time_are_in_the_log_and_those_of_today_do_not_matter() {
    let lives = of_walks(EVENTS);
    let silent: Vec<Vec<u8>> = lives.iter().map(recorded).collect();
    let mut kept = silent.clone();
    let first = Record::V1 {
        transition: lives[0].clone(),
        policy: Some(Policy::default()),
    };
    kept[0] = rmp_serde::to_vec_named(&first).expect("plain data");
    // Without the first event, and so without the record that says the policy.
    let later = ["--since", "2023-11-14T22:13:21Z"];
    for (records, options, code) in [(&silent, &[][..], 1), (&kept, &[], 0), (&kept, &later, 0)] {
        let world = World::with(records);
        let (file, _, exported) = world.export_with(options, &[("LEADER_ELECTION_LEASE_SECONDS", "60")]);
        let header = Reader::new(&*file).expect("a log").header().clone();
        assert_eq!((exported, header.policy.lease_ms), (Some(0), 60_000));
        let path = world.directory.path().join("events.jwlog");
        let output = run(&["replay", path.to_str().expect("UTF-8")], &[]);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stdout));
    }
}

#[test]
fn what_is_no_record_is_left_out_and_said() {
    let life: Vec<Vec<u8>> = one_life().iter().map(recorded).collect();
    let later =
        rmp_serde::to_vec_named(&serde_json::json!({"v": "2", "transition": {}})).expect("plain data");
    let kept = [&life[..], &[b"not a record".to_vec(), later]].concat();
    let world = World::with(&kept);
    let (file, said, code) = world.export(&[]);
    assert_eq!(records(&file), life);
    assert_eq!(code, Some(65));
    assert!(
        said.contains("2 records cannot be read and are not in it"),
        "{said}"
    );
}

#[test]
fn a_store_that_is_not_there_and_a_wrong_configuration_have_their_exit_codes() {
    let absent = [
        ("POD_NAME", "worker-1"),
        ("POD_NAMESPACE", "jobs"),
        ("REDIS_QUEUE_ENDPOINT", "unix:///nowhere/redis.sock"),
        ("CACHE_REDIS_ENDPOINT", "unix:///nowhere/redis.sock"),
        ("CACHE_REDIS_DB", "1"),
    ];
    let output = run(&["log", "export"], &absent);
    assert_eq!(output.status.code(), Some(69));
    assert!(
        text(&output.stderr).starts_with("the store: redis at "),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(run(&["log", "export"], &[]).status.code(), Some(78));
    assert_eq!(
        run(&["log", "export", "--since", "soon"], &absent).status.code(),
        Some(64)
    );
}
