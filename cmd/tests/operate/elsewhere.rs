//! A Redis that is not an open one on this machine: a replica, TLS, a login, a user that may only read.

use crate::shelf::{Shelf, words};
use fixtures::redis::{Options, Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// The longest wait for anything.
const LIMIT: Duration = Duration::from_secs(120);
/// Every command that looks once, and ends.
const LOOKS: [&[&str]; 9] = [
    &["list"],
    &["list", "--all", "-o", "wide"],
    &["get", "late"],
    &["why", "late"],
    &["events"],
    &["dead", "list"],
    &["callbacks", "list"],
    &["top"],
    &["top", "-o", "json"],
];
/// Orders for the leader.
const ORDERS: [&[&str]; 3] = [
    &["cancel", "late", "--wait", "1s"],
    &["pause", "--wait", "1s"],
    &["resume", "--wait", "1s"],
];

fn one() -> Shelf {
    shelf_with(Options::default())
}

fn shelf_with(options: Options) -> Shelf {
    let mut shelf = Shelf::with(options);
    shelf.take("late", "mail", "default", Duration::from_secs(10));
    shelf.write();
    shelf
}

/// Writes a file that lives as long as its directory.
fn file(directory: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, text).expect("a file");
    path
}

/// Names the same server as that of the store and that of the queue.
fn at(mut command: Command, endpoint: &str) -> Command {
    command
        .env("CACHE_REDIS_ENDPOINT", endpoint)
        .env("REDIS_QUEUE_ENDPOINT", endpoint);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asks until a command does what it should, for a replica follows late.
fn until_done(mut command: impl FnMut() -> Command, done: impl Fn(&Output) -> bool) {
    let end = Instant::now() + LIMIT;
    loop {
        let output = command().output().expect("the binary runs");
        if done(&output) {
            return;
        }
        assert!(Instant::now() < end, "{output:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_replica_with_a_login_will_do_for_looking_and_an_order_says_where_to_go() {
    let shelf = one();
    let replica = Server::start(Options {
        password: Some("hunter2".to_owned()),
        settings: vec![(
            "replicaof".to_owned(),
            format!("127.0.0.1 {}", shelf.redis.port()),
        )],
        ..Options::default()
    })
    .expect("redis-server starts");
    let directory = tempfile::tempdir().expect("a directory");
    let password = file(&directory, "password", "hunter2\n");
    let command = |words: &[&str]| {
        let mut command = at(shelf.command(words), &format!("127.0.0.1:{}", replica.port()));
        command
            .env("CACHE_REDIS_PASSWORD_FILE", &password)
            .env("REDIS_QUEUE_PASSWORD_FILE", &password);
        command
    };
    until_done(
        || command(&["list", "--no-headers"]),
        |output| {
            words(&String::from_utf8_lossy(&output.stdout))
                .first()
                .map(|row| row[0])
                == Some("late")
        },
    );
    for words in LOOKS {
        let output = command(words).output().expect("the binary runs");
        assert!(output.status.success(), "{words:?}: {}", said(&output));
    }
    for words in ORDERS {
        let output = command(words).output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(69), "{words:?}: {}", said(&output));
        let last = said(&output);
        assert!(
            last.contains("read-only replica")
                && last.ends_with("an order has to go to the master: name it in CACHE_REDIS_ENDPOINT\n"),
            "{last}"
        );
    }
}

#[test]
fn the_documented_user_that_may_only_read_will_do_for_looking() {
    let shelf = one();
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/deploy/README.md");
    let documented = std::fs::read_to_string(deploy).expect("it is there");
    let line = documented
        .lines()
        .find(|line| line.contains("ACL SETUSER looker "))
        .expect("it is documented");
    let mut words = line.split_whitespace();
    let mut user = ::redis::cmd(words.next().expect("a command"));
    user.arg(words.collect::<Vec<_>>());
    let mut admin = shelf.redis.connection(0).expect("Redis is there");
    user.exec(&mut admin).expect("Redis takes a user");
    let url = format!("redis://looker:PASSWORD@127.0.0.1:{}", shelf.redis.port());
    for words in LOOKS {
        let output = at(shelf.command(words), &url).output().expect("the binary runs");
        assert!(output.status.success(), "{words:?}: {}", said(&output));
    }
    for words in ORDERS {
        let output = at(shelf.command(words), &url).output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(69), "{words:?}: {}", said(&output));
        assert!(
            said(&output).contains("login or permission missing"),
            "{}",
            said(&output)
        );
        assert!(!said(&output).contains("PASSWORD"), "{}", said(&output));
    }
}

/// Makes a server answer TLS too, and returns that port. Its authority is in `ca.pem` of the directory.
fn tls(server: &Server, directory: &tempfile::TempDir) -> u16 {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA");
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .expect("an address")
        .signed_by(&key, &authority)
        .expect("a certificate");
    let mut admin = server.connection(0).expect("Redis is there");
    let mut set = |name: &str, value: &str| {
        let mut set = ::redis::cmd("CONFIG");
        set.arg("SET").arg(name).arg(value).exec(&mut admin)
    };
    let mut files = ::redis::cmd("CONFIG");
    files.arg("SET").arg("tls-auth-clients").arg("no");
    for (name, text) in [
        ("tls-cert-file", certificate.pem()),
        ("tls-key-file", key.serialize_pem()),
        ("tls-ca-cert-file", authority.pem()),
    ] {
        let path = file(directory, &format!("{name}.pem"), &text);
        files.arg(name).arg(path.to_string_lossy().as_ref());
    }
    file(directory, "ca.pem", &authority.pem());
    files
        .exec(&mut server.connection(0).expect("Redis is there"))
        .expect("Redis takes the files");
    let end = Instant::now() + LIMIT;
    loop {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        // Somebody else may have taken it meanwhile.
        match set("tls-port", &port.to_string()) {
            Ok(()) => return port,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
    }
}

#[test]
fn tls_with_a_private_authority_and_a_login_will_do_and_an_unknown_authority_is_named() {
    let shelf = shelf_with(Options {
        password: Some("hunter2".to_owned()),
        ..Options::default()
    });
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("rediss://127.0.0.1:{}", tls(&shelf.redis, &directory));
    let (ca, password) = (
        directory.path().join("ca.pem"),
        file(&directory, "password", "hunter2\n"),
    );
    let command = |words: &[&str]| {
        let mut command = at(shelf.command(words), &url);
        for (name, value) in [
            ("CACHE_REDIS_CA_FILE", &ca),
            ("REDIS_QUEUE_CA_FILE", &ca),
            ("CACHE_REDIS_PASSWORD_FILE", &password),
            ("REDIS_QUEUE_PASSWORD_FILE", &password),
        ] {
            command.env(name, value);
        }
        command
    };
    for words in LOOKS {
        let output = command(words).output().expect("the binary runs");
        assert!(output.status.success(), "{words:?}: {}", said(&output));
    }
    // Nobody leads: the order came through, and was taken back.
    let order = command(ORDERS[0]).output().expect("the binary runs");
    assert_eq!(order.status.code(), Some(75), "{}", said(&order));
    let mut without = command(&["list"]);
    without.env_remove("CACHE_REDIS_CA_FILE");
    let refused = without.output().expect("the binary runs");
    assert_eq!(refused.status.code(), Some(69));
    assert!(
        said(&refused).to_lowercase().contains("certificate"),
        "{}",
        said(&refused)
    );
    let mut nameless = command(&["list"]);
    nameless.env_remove("CACHE_REDIS_PASSWORD_FILE");
    let refused = nameless.output().expect("the binary runs");
    assert_eq!(refused.status.code(), Some(69));
    assert!(
        said(&refused).contains("login or permission missing"),
        "{}",
        said(&refused)
    );
}
