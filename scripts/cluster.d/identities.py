"""Who the worker is in a cluster: its ServiceAccounts, their bindings and kubeconfigs. None of them is an administrator.

    worker.kubeconfig               job-worker-sa        ClusterRole job-worker, by RoleBindings
    worker-patch.kubeconfig         job-worker-patch-sa  the same, and job-worker-patch, by RoleBindings
    worker-clusterwide.kubeconfig   job-worker-wide-sa   ClusterRole job-worker, by a ClusterRoleBinding
"""

import pathlib

import kubeconfigs

NAMESPACE = "job-worker"
# The worker's own namespace and the one that the documentation's example names.
BOUND_NAMESPACES = (NAMESPACE, "default")
MANIFESTS = pathlib.Path(__file__).parents[1] / "deploy" / "manifests"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"
TOKEN_SECONDS = 24 * 3600
KUBECONFIGS = {
    "worker_kubeconfig": ("worker.kubeconfig", "job-worker-sa"),
    "worker_patch_kubeconfig": ("worker-patch.kubeconfig", "job-worker-patch-sa"),
    "worker_clusterwide_kubeconfig": ("worker-clusterwide.kubeconfig", "job-worker-wide-sa"),
}


def create(environment, api, pki):
    """Creates namespace, roles, accounts and bindings, and writes a kubeconfig for each account."""
    for file in ("rbac.yaml", "options/patch.yaml"):
        for document in (MANIFESTS / file).read_text(encoding="utf-8").split("\n---\n"):
            if "\nkind: ClusterRole\n" in document:
                api.create_yaml(f"{RBAC}/clusterroles", document)
    api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    for _, account in KUBECONFIGS.values():
        api.create(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": account}})
    for namespace in BOUND_NAMESPACES:
        bindings = f"{RBAC}/namespaces/{namespace}/rolebindings"
        api.create(bindings, binding("job-worker", "job-worker", "job-worker-sa"))
        api.create(bindings, binding("job-worker-patch-base", "job-worker", "job-worker-patch-sa"))
        api.create(bindings, binding("job-worker-patch", "job-worker-patch", "job-worker-patch-sa"))
    api.create(f"{RBAC}/clusterrolebindings", binding("job-worker-wide", "job-worker", "job-worker-wide-sa"))
    server = environment.facts["server"]
    for fact, (file, account) in KUBECONFIGS.items():
        path = environment.path(file)
        kubeconfigs.with_token(path, server, pki, token(api, NAMESPACE, account), NAMESPACE)
        environment.facts[fact] = path
    environment.save()


def token(api, namespace, account):
    """A token of a ServiceAccount, valid for a day."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    return api.create(path, {"spec": {"expirationSeconds": TOKEN_SECONDS}})["status"]["token"]


def binding(name, role, account):
    """A RoleBinding or ClusterRoleBinding of a ClusterRole to one of our ServiceAccounts."""
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}],
    }
