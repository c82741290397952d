//! The namespaces that may hold Jobs of ours, as the Lease names them: where a new leader looks when Redis has lost its tasks.
//!
//! Where the cluster is watched namespace by namespace, only the tasks tell a leader where else Jobs run; the Lease is the
//! witness that Redis cannot lose. The lease adapter reads the names at each look and writes them with each renewal. The
//! cluster adapter adds a namespace before its first Job and follows all of them from the start; it drops one that was refused
//! for long, or that has no Job and whose place another one needs. The set never sends a request itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::message::rules::is_dns_label;

/// The annotation of the Lease: names in their order, separated by commas.
pub const ANNOTATION: &str = "job-worker/namespaces";

/// Namespaces that are named, and watched one by one, at most.
pub const NAMESPACES_MAX: usize = 256;

/// The set of names; clones see the same one.
#[derive(Clone, Debug, Default)]
pub struct Known(Arc<Mutex<Names>>);

#[derive(Debug, Default)]
struct Names {
    names: BTreeSet<String>,
    fullness_logged: bool,
    fault_logged: bool,
}

impl Known {
    /// Adds a namespace; the next renewal writes it. Where [`NAMESPACES_MAX`] are known it is left out, which is logged once.
    pub fn add(&self, namespace: &str) {
        let mut held = self.held();
        if held.names.contains(namespace) {
            return;
        }
        if held.names.len() < NAMESPACES_MAX {
            held.names.insert(namespace.to_owned());
        } else if !held.fullness_logged {
            held.fullness_logged = true;
            log::warn!(
                namespace;
                "the Lease names {NAMESPACES_MAX} namespaces and takes no more: Jobs in others are found again only while Redis keeps their tasks"
            );
        }
    }

    /// Drops a namespace. A look that is under way may bring it back; the next term drops it again.
    pub fn remove(&self, namespace: &str) {
        self.held().names.remove(namespace);
    }

    /// Returns the names, in their order.
    pub fn snapshot(&self) -> BTreeSet<String> {
        self.held().names.clone()
    }

    /// Adds what the Lease names. What is no name of a namespace is left out, which is logged once.
    pub(super) fn read(&self, lease: &ObjectMeta) {
        let Some(text) = lease.annotations.as_ref().and_then(|all| all.get(ANNOTATION)) else {
            return;
        };
        let (names, others): (Vec<&str>, Vec<&str>) = text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .partition(|name| is_dns_label(name));
        names.into_iter().for_each(|name| self.add(name));
        let faulty = !others.is_empty();
        if faulty && !std::mem::replace(&mut self.held().fault_logged, true) {
            log::warn!(
                count = others.len();
                "the annotation {ANNOTATION} of the Lease holds what is no name of a namespace: left out"
            );
        }
    }

    /// Makes the Lease name what is known.
    pub(super) fn write(&self, lease: &mut ObjectMeta) {
        let names = Vec::from_iter(self.snapshot()).join(",");
        if !names.is_empty() {
            lease
                .annotations
                .get_or_insert_with(BTreeMap::new)
                .insert(ANNOTATION.to_owned(), names);
        } else if let Some(annotations) = &mut lease.annotations {
            annotations.remove(ANNOTATION);
        }
    }

    fn held(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(annotations: &[(&str, &str)]) -> ObjectMeta {
        let pairs = annotations.iter();
        ObjectMeta {
            annotations: Some(pairs.map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn what_was_read_and_what_was_added_are_written_in_order_beside_what_others_wrote() {
        let known = Known::default();
        known.add("b");
        known.read(&lease(&[(ANNOTATION, "c,a")]));
        known.read(&ObjectMeta::default());
        let mut sent = lease(&[("team", "x"), (ANNOTATION, "z")]);
        known.write(&mut sent);
        assert_eq!(sent, lease(&[("team", "x"), (ANNOTATION, "a,b,c")]));
        for name in ["a", "b", "c"] {
            known.remove(name);
        }
        known.write(&mut sent);
        assert_eq!(sent, lease(&[("team", "x")]));
        let mut bare = ObjectMeta::default();
        known.write(&mut bare);
        assert_eq!(bare, ObjectMeta::default());
    }

    #[test]
    fn what_is_no_name_is_left_out() {
        let known = Known::default();
        let text = format!(" a ,, B,a/b,../x,-c,{},d", "e".repeat(64));
        known.read(&lease(&[(ANNOTATION, &text)]));
        assert_eq!(known.snapshot(), BTreeSet::from(["a", "d"].map(str::to_owned)));
    }

    #[test]
    fn there_is_a_bound_on_the_names() {
        let known = Known::default();
        let many: Vec<String> = (0..NAMESPACES_MAX + 9).map(|n| format!("ns-{n:03}")).collect();
        known.read(&lease(&[(ANNOTATION, &many.join(","))]));
        known.add("another");
        assert_eq!(Vec::from_iter(known.snapshot()), many[..NAMESPACES_MAX]);
        known.remove("ns-000");
        known.add("another");
        assert_eq!(known.snapshot().len(), NAMESPACES_MAX);
        assert!(known.snapshot().contains("another"));
    }
}
