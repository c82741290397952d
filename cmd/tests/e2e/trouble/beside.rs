//! Permissions and credentials that are taken away and given again.

use std::time::Duration;

use fixtures::kubernetes::{Access, WORKER_NAMESPACE};

use super::account::service_account;
use super::stage::{PATIENCE, Stage};
use crate::world::eventually;

/// A lease that is renewed for so long that no slow machine loses it, and that a token of a minute ago does lose.
const LONG_LEASE: u64 = 45;

#[test]
fn a_namespace_without_permissions_for_half_a_minute_loses_no_task() {
    let mut stage = Stage::new("unbound", Access::Needed, 1, 15);
    stage.before(Duration::from_secs(30));
    stage.begins();
    let namespace = stage.world.namespace.clone();
    stage.world.cluster.delete(&format!(
        "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings/job-worker"
    ));
    stage.during();
    stage.await_metric("job_worker_gated_namespaces");
    let refused = std::time::Instant::now();
    eventually(PATIENCE, "half a minute of refusals", || {
        (refused.elapsed() >= Duration::from_secs(30)).then_some(())
    });
    stage.world.cluster.bind(&namespace, Access::Needed);
    stage.ends();
    stage.after();
    stage.judge();
}

#[test]
fn a_token_that_is_revoked_once_it_was_replaced_costs_no_leadership() {
    let mut stage = Stage::new("token", Access::Needed, 1, LONG_LEASE);
    stage.before(Duration::from_secs(30));
    stage.begins();
    let cluster = &stage.world.cluster;
    let next = cluster.token(service_account(Access::Needed), &stage.secret(1));
    stage.replicas[0].account.set_token(&next);
    let secrets = format!("/api/v1/namespaces/{WORKER_NAMESPACE}/secrets");
    cluster.delete(&format!("{secrets}/{}", stage.secret(0)));
    stage.await_line("Unauthorized");
    stage.during();
    stage.ends();
    stage.after();
    assert_eq!(
        stage.metric("job_worker_lease_losses_total"),
        0.0,
        "the new token is used at once"
    );
    stage.judge();
}

#[test]
fn another_authority_of_the_api_server_is_named_and_then_trusted_without_a_restart() {
    let mut stage = Stage::prepared("authority", Access::Needed, 1, 15, &[], |account, relay| {
        let facts = &super::cluster().facts;
        account.set_authority(&facts.rotated_ca);
        account.set_server(&relay.url(), Some(&facts.rotated_name));
    });
    stage.before(Duration::from_secs(60));
    stage.begins();
    let cluster = stage.world.cluster.clone();
    cluster.run("rotate", &[]).expect("the cluster can be harmed");
    // The API server shows the new certificate on new connections, once it has read it.
    eventually(PATIENCE, "a certificate that is not trusted", || {
        stage.replicas[0].relay.cut();
        stage.has_line("invalid peer certificate").then_some(())
    });
    stage.during();
    stage.assert_not_ready();
    stage.replicas[0].account.set_authority(&cluster.facts.rotated_ca);
    stage.ends();
    stage.after();
    stage.judge();
}
