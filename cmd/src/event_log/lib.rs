//! Event logs in files: their format, and how they run again through the engine.
//!
//! A file is what the store's event log held: the inputs that moved tasks, each with its outcome. [`Writer`] makes one,
//! [`Reader`] reads one, whatever became of its bytes, and [`Rerun`] feeds the inputs to the engine of this program and compares.
//! The format is described in `fixtures/README.md`. Nothing here knows of Redis, of arguments or of a terminal.

mod fields;
mod frame;
mod orders;
mod pack;
mod queries;
mod reader;
mod rerun;
mod usual;
mod writer;

pub use fields::{Fields, NotARecord};
pub use frame::{FORMAT, FRAME_MAX, Header, MAGIC};
pub use orders::order_of;
pub use queries::without_queries;
pub use reader::{Damage, Fault, Item, Reader};
pub use rerun::{Counts, Difference, Part, Rerun};
pub use writer::Writer;
