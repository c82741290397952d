//! Webhooks over TLS: a private authority, an unknown one, a wrong name.

#![expect(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adapters::webhook::{Answer, Clock, Delivery, Error, Failure, Guard, Pool, Settings, reach};
use fixtures::sink::{Script, Sink};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const LONG: Duration = Duration::from_secs(60);

/// A certificate authority and its PEM file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Authority { issuer, directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    fn sink(&self, name: &str) -> Sink {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&key, &self.issuer)
            .unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Sink::start_tls(Script::default(), config)
    }
}

fn settings(ca_file: Option<PathBuf>) -> Settings {
    let guard = Guard::with_default_deny(vec!["127.0.0.0/8".parse().unwrap()]);
    Settings {
        ca_file,
        threads: 2,
        ..Settings::new(guard, Clock::new(|| 0))
    }
}

fn post(settings: &Settings, url: &str) -> Answer {
    let (answered, answers) = crossbeam_channel::unbounded();
    let pool = Pool::start(settings, move |_, answer| {
        // A test that has seen enough does not listen any more.
        drop(answered.send(answer));
    });
    let delivery = Delivery {
        key: String::new(),
        url: url.to_owned(),
        webhook_id: "msg_abc".to_owned(),
        body: b"{}".to_vec(),
        traceparent: None,
        begin_by: None,
    };
    pool.unwrap().send(delivery).unwrap();
    answers.recv_timeout(LONG).unwrap()
}

fn tls_failure(answer: Answer) -> String {
    let Answer::Failed {
        reason: Failure::Tls(text),
        status: None,
        retry_after: None,
    } = answer
    else {
        panic!("not a TLS failure: {answer:?}")
    };
    text
}

#[test]
fn a_receiver_of_the_private_authority_is_trusted_by_name_and_by_address() {
    let authority = Authority::new();
    let settings = settings(Some(authority.file()));
    let named = authority.sink("localhost");
    let delivered = Answer::Delivered { status: 200 };
    assert_eq!(post(&settings, &named.url_at("localhost", "/hook")), delivered);
    let addressed = authority.sink("127.0.0.1");
    assert_eq!(post(&settings, &addressed.url("/hook")), delivered);
}

#[test]
fn a_receiver_of_an_unknown_authority_is_a_failure() {
    let authority = Authority::new();
    let sink = authority.sink("127.0.0.1");
    for trusted in [None, Some(Authority::new())] {
        let settings = settings(trusted.as_ref().map(Authority::file));
        let text = tls_failure(post(&settings, &sink.url("/hook")));
        assert!(text.contains("invalid peer certificate"), "{text}");
    }
    assert_eq!(sink.requests(), Vec::new());
}

#[test]
fn a_certificate_of_another_name_is_a_failure() {
    let authority = Authority::new();
    let sink = authority.sink("other.example");
    let settings = settings(Some(authority.file()));
    let text = tls_failure(post(&settings, &sink.url("/hook")));
    assert!(text.contains("not valid for name"), "{text}");
    assert_eq!(sink.requests(), Vec::new());
}

#[test]
fn a_file_without_a_certificate_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    std::fs::write(&path, "nothing\n").unwrap();
    let error = Pool::start(&settings(Some(path.clone())), |_, _| {}).unwrap_err();
    assert!(matches!(error, Error::Certificates { .. }), "{error}");
    std::fs::remove_file(&path).unwrap();
    let error = Pool::start(&settings(Some(path)), |_, _| {}).unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{error}");
}

#[test]
fn a_look_reaches_as_far_as_a_callback_and_posts_nothing() {
    let authority = Authority::new();
    let guard = || settings(None).guard;
    let ca = std::fs::read_to_string(authority.file()).unwrap();
    let sink = authority.sink("127.0.0.1");
    let reached = reach(&sink.url("/hook"), guard(), Some(&ca)).unwrap();
    assert_eq!(reached.tls.as_deref(), Some("TLSv1_3"));
    assert!(sink.url("/").contains(&reached.address.to_string()));

    let unknown = reach(&sink.url("/hook"), guard(), None).unwrap_err();
    assert!(matches!(unknown, Failure::Tls(_)), "{unknown:?}");
    let named = authority.sink("other.example");
    let wrong = reach(&named.url("/hook"), guard(), Some(&ca)).unwrap_err();
    assert!(matches!(wrong, Failure::Tls(_)), "{wrong:?}");
    let denied = reach(
        &sink.url("/hook"),
        Guard::with_default_deny(Vec::new()),
        Some(&ca),
    )
    .unwrap_err();
    assert!(matches!(denied, Failure::Denied { .. }), "{denied:?}");
    assert_eq!(
        reach("https://user@127.0.0.1/", guard(), Some(&ca)),
        Err(Failure::Url)
    );
    assert_eq!((sink.requests(), named.requests()), (Vec::new(), Vec::new()));
}
