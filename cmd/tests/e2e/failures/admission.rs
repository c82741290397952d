//! Admission webhooks: one that refuses, and one that nobody serves.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use fixtures::sink::{Reply, Script, Sink};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use std::sync::Arc;

use super::place::{Place, plain_job};
use super::row::{Asks, NO_ADMISSION, REFUSED, Row, row};
use crate::task::Task;
use crate::world::{SOON, World, end, eventually};

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const PATH: &str = "/validate";

pub(super) fn rows() -> Vec<Row> {
    vec![
        row("webhook-denies-it", "true")
            .before(deny)
            .beyond_embedded(NO_ADMISSION)
            .after(|place| forget(place.world, &place.namespace))
            .asks(Asks::Create)
            .ends(
                REFUSED,
                "JOB_CREATE_FAILED",
                &[
                    "The API server refuses the Job: ",
                    "denied the request: images of example.com only",
                ],
            ),
    ]
}

fn deny(place: &Place<'_>, _: &mut Task) {
    // Of a review of v1beta1 the answer need not repeat the uid.
    let review = json!({
        "apiVersion": "admission.k8s.io/v1beta1",
        "kind": "AdmissionReview",
        "response": {
            "allowed": false,
            "status": {"code": 403, "message": "images of example.com only"},
        },
    });
    let reply = Reply::Status {
        status: 200,
        headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
        body: review.to_string().into_bytes(),
    };
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .and_then(|parameters| parameters.self_signed(&key))
        .expect("a certificate");
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .expect("the key fits");
    let sink = Sink::start_tls(Script::default().on(PATH, [reply]), config);
    configure(place.world, &place.namespace, &sink.url(PATH), &certificate.pem());
    place.keep(sink);
    place.until_refused("batch/v1/jobs", &plain_job("probe"));
}

/// Lets the API server ask a URL about every Job of a namespace, and refuse what it gets no answer for.
fn configure(world: &World, namespace: &str, url: &str, authority: &str) {
    let labels = json!({"metadata": {"labels": {"example.com/row": namespace}}});
    world
        .cluster
        .patch(&format!("/api/v1/namespaces/{namespace}"), &labels);
    let client = json!({"url": url, "caBundle": BASE64.encode(authority)});
    world.cluster.create(
        CONFIGURATIONS,
        &json!({
            "metadata": {"name": namespace},
            "webhooks": [{
                "name": "images.example.com",
                "clientConfig": client,
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "timeoutSeconds": 5,
                "admissionReviewVersions": ["v1beta1"],
                "namespaceSelector": {"matchLabels": {"example.com/row": namespace}},
                "rules": [{
                    "apiGroups": ["batch"],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["jobs"],
                }],
            }],
        }),
    );
}

fn forget(world: &World, namespace: &str) {
    world.cluster.delete(&format!("{CONFIGURATIONS}/{namespace}"));
}

/// It is an outage, not a refusal: the task waits, and its Job is made once.
#[test]
fn a_webhook_that_nobody_serves_delays_a_job() {
    let world = World::new("no-webhook");
    // A port that was free a moment ago; whoever takes it does not speak TLS with this certificate.
    let gone = Sink::start(Script::default());
    let url = gone.url(PATH).replace("http://", "https://");
    drop(gone);
    let key = KeyPair::generate().expect("a key");
    let authority = CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .and_then(|parameters| parameters.self_signed(&key))
        .expect("a certificate");
    configure(&world, &world.namespace, &url, &authority.pem());
    let jobs = format!("/apis/batch/v1/namespaces/{}/jobs", world.namespace);
    eventually(SOON, "the webhook is asked", || {
        (world.cluster.dry_run(&jobs, &plain_job("probe")).0 == 500).then_some(())
    });
    let worker = world.worker("no-webhook");
    let task = world.task("waits", "true");
    world.push(&task);
    eventually(SOON, "three tries", || {
        let entries = world.cluster.audit(&world.namespace);
        let tries = entries.iter().filter(|entry| {
            entry.resource == "jobs"
                && entry.verb == "create"
                && entry.code == 500
                && entry.user.starts_with("system:serviceaccount:job-worker:")
        });
        (tries.count() >= 3).then_some(())
    });
    assert_eq!(world.told(&task.id), [], "nothing is told of an outage");
    forget(&world, &world.namespace);
    world.verdict(&task.id, SOON);
    world.assert_completed(&task);
    world.assert_one_job_each([&task]);
    end(worker);
}
