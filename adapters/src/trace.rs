//! The trace id that every log line of a task carries.

use sha2::{Digest as _, Sha256};

/// Returns the trace id of a message's trace context, else one that is derived from the task's id.
pub(crate) fn trace_id(traceparent: Option<&str>, task: &str) -> String {
    traceparent
        .and_then(|context| context.split('-').nth(1))
        .map_or_else(|| derived(task), str::to_owned)
}

fn derived(task: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(task.as_bytes()).into();
    data_encoding::HEXLOWER.encode(&digest[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_is_that_of_the_message_else_one_of_its_own() {
        let context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace_id(Some(context), "a"), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace_id(None, "a"), "ca978112ca1bbdcafac231b39a23dc4d");
    }
}
