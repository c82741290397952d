//! Records of orders: they move no task, so nothing is decided again by them.

use crate::fields::NotARecord;
use engine::{Ordered, Record};

/// How a record of an order begins; its format is the first that the store writes.
const BEGIN: &[u8] = b"\x82\xa1v\xa71-order";

/// Reads a record of an order; `None` for every other record.
///
/// # Errors
/// It is one, and cannot be read.
pub fn order_of(record: &[u8]) -> Result<Option<Ordered>, NotARecord> {
    if !record.starts_with(BEGIN) {
        return Ok(None);
    }
    match rmp_serde::from_slice(record) {
        Ok(Record::Order { order }) => Ok(Some(order)),
        Ok(Record::V1 { .. }) => Ok(None),
        Err(error) => Err(NotARecord::Content(error.to_string())),
    }
}
