//! The driver: its turns on a store in memory and on real redis-servers in the three layouts, with a world that is
//! plain data (no cluster, no receiver, no thread).

#![expect(clippy::unwrap_used, reason = "a test fails where its scenery does")]

#[path = "driver/bounds.rs"]
mod bounds;
#[path = "driver/dead.rs"]
mod dead;
#[path = "driver/identity.rs"]
mod identity;
#[path = "driver/life.rs"]
mod life;
#[path = "driver/measure.rs"]
mod measure;
#[path = "driver/orders.rs"]
mod orders;
#[path = "driver/place.rs"]
mod place;
#[path = "driver/probe.rs"]
mod probe;
#[path = "driver/recovery.rs"]
mod recovery;
#[path = "driver/taker.rs"]
mod taker;
#[path = "driver/world.rs"]
mod world;

use place::{Layout, Place};

type Law = fn(&Place);

/// Every layout keeps every law; each has a place of its own.
fn keeps(layout: &Layout, laws: &[(&str, Law)]) {
    for (law, check) in laws {
        eprintln!("{law}");
        check(&layout.place());
    }
}

fn all() -> Vec<(&'static str, Law)> {
    [
        life::LAWS,
        bounds::LAWS,
        identity::LAWS,
        recovery::LAWS,
        orders::LAWS,
        dead::LAWS,
    ]
    .concat()
}

#[test]
fn a_driver_on_a_store_in_memory_keeps_every_law() {
    keeps(&Layout::in_memory(), &all());
}

#[test]
fn a_driver_on_one_database_keeps_every_law() {
    keeps(&Layout::one_database(), &all());
}

#[test]
fn a_driver_on_two_databases_keeps_every_law() {
    keeps(&Layout::two_databases(), &all());
}

#[test]
fn a_driver_on_two_servers_keeps_every_law() {
    keeps(&Layout::two_servers(), &all());
}
