"""kube-apiserver, kube-controller-manager and kube-scheduler, behind etcd, on the loopback address."""

import pathlib
import signal

import etcd
import identities
import kubeconfigs
import processes
from api import Api
from pki import ROTATED, Pki

STOP_ORDER = ("kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd")
CLIENT_QPS = 500

# Blocking mode below: a request is in the log before its answer is sent, so that tests can count.
AUDIT_POLICY = """apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  resources:
  - {group: batch, resources: [jobs]}
  - {group: "", resources: [pods]}
  - {group: coordination.k8s.io, resources: [leases]}
  - {group: authorization.k8s.io, resources: [selfsubjectaccessreviews]}
- level: None
"""

CONTROLLERS = (
    "job-controller",
    "ttl-after-finished-controller",
    "garbage-collector-controller",
    "pod-garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "resourcequota-controller",
    "node-lifecycle-controller",
    "taint-eviction-controller",
    "disruption-controller",
    # Without it no pod that mounts a token starts.
    "root-ca-certificate-publisher-controller",
    "persistentvolume-binder-controller",
    "persistentvolumeclaim-protection-controller",
)


def up(environment, binaries, apiserver_flags):
    """Starts the control plane and waits until it is ready and the worker's accounts exist."""
    facts = environment.facts
    names = ("etcd", "etcd-peer", "apiserver", "controller-manager", "scheduler")
    facts["ports"] = dict(zip(names, processes.free_ports(len(names))))
    pki = Pki(environment.directory / "pki")
    pki.create()
    facts["server"] = f"https://127.0.0.1:{facts['ports']['apiserver']}"
    facts["ca"] = pki.certificate("ca")
    facts["admin_cert"] = pki.certificate("admin")
    facts["admin_key"] = pki.key("admin")
    facts["admin_kubeconfig"] = environment.path("admin.kubeconfig")
    facts["audit_log"] = environment.path("audit.log")
    facts["rotated_name"] = ROTATED
    facts["rotated_ca"] = pki.certificate("rotated-ca")
    environment.save()
    kubeconfigs.with_certificate(facts["admin_kubeconfig"], facts["server"], pki, "admin")

    etcd.start(environment, binaries["etcd"])
    pathlib.Path(environment.path("audit-policy.yaml")).write_text(AUDIT_POLICY, encoding="utf-8")
    facts["apiserver_argv"] = [binaries["kube-apiserver"], *apiserver_arguments(environment, pki), *apiserver_flags]
    start_apiserver(environment)
    start_controller_manager(environment, binaries["kube-controller-manager"], pki)
    start_scheduler(environment, binaries["kube-scheduler"], pki)

    api = Api(facts)
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    controller = "kube-controller-manager"
    processes.wait_until(environment, controller, f"{account} exists", lambda: api.exists(account), 60)
    identities.create(environment, api, pki)


def stop(environment):
    """Ends the control plane; its data is thrown away, so nothing is given time to save it."""
    for name in STOP_ORDER:
        processes.stop(environment, name, first=signal.SIGKILL)


def stop_apiserver(environment, number):
    """Ends the API server alone; everything else keeps running and waits for it."""
    processes.stop(environment, "kube-apiserver", first=number, grace_seconds=30)


def start_apiserver(environment, flags=()):
    """Starts the API server with the ports, certificates and flags that `up` gave it, and waits until it is ready.

    Further flags hold until it is started again.
    """
    processes.start(environment, "kube-apiserver", [*environment.facts["apiserver_argv"], *flags])
    api = Api(environment.facts)
    processes.wait_until(environment, "kube-apiserver", "the API server is ready", api.ready, 120)


def apiserver_arguments(environment, pki):
    """The flags of kube-apiserver."""
    ports = environment.facts["ports"]
    return [
        f"--etcd-servers=http://127.0.0.1:{ports['etcd']}",
        "--bind-address=127.0.0.1",
        f"--secure-port={ports['apiserver']}",
        "--endpoint-reconciler-type=none",
        f"--tls-cert-file={pki.certificate('apiserver')}",
        f"--tls-private-key-file={pki.key('apiserver')}",
        f"--tls-sni-cert-key={pki.certificate('rotated')},{pki.key('rotated')}:{ROTATED}",
        f"--client-ca-file={pki.certificate('ca')}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki.key('service-accounts')}",
        f"--service-account-signing-key-file={pki.key('service-accounts')}",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--authorization-mode=Node,RBAC",
        "--anonymous-auth=false",
        "--profiling=false",
        "--shutdown-delay-duration=0s",
        f"--audit-policy-file={environment.path('audit-policy.yaml')}",
        f"--audit-log-path={environment.facts['audit_log']}",
        "--audit-log-mode=blocking",
        # Megabytes; past it the log would go on in another file, and counts would be wrong.
        "--audit-log-maxsize=4096",
        "--v=1",
    ]


def start_controller_manager(environment, binary, pki):
    """Starts the controllers that Jobs and their pods need."""
    argv = [
        binary,
        *client_arguments(environment, pki, "controller-manager"),
        # It acts under a certificate of its own, whose role cannot update Jobs: each controller takes its account.
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={pki.key('service-accounts')}",
        f"--root-ca-file={pki.certificate('ca')}",
        "--node-monitor-period=1s",
        "--node-monitor-grace-period=60s",
        f"--controllers={','.join(CONTROLLERS)}",
        "--concurrent-job-syncs=20",
    ]
    processes.start(environment, "kube-controller-manager", argv)


def start_scheduler(environment, binary, pki):
    """Starts the scheduler."""
    argv = [binary, *client_arguments(environment, pki, "scheduler")]
    processes.start(environment, "kube-scheduler", argv)


def client_arguments(environment, pki, name):
    """The flags that controller manager and scheduler have in common."""
    path = environment.path(f"{name}.kubeconfig")
    kubeconfig = kubeconfigs.with_certificate(path, environment.facts["server"], pki, name)
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--secure-port={environment.facts['ports'][name]}",
        "--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics",
        "--leader-elect=false",
        f"--kube-api-qps={CLIENT_QPS}",
        f"--kube-api-burst={2 * CLIENT_QPS}",
    ]
