//! A trace context on its way: from the message to the container, the callbacks and every log line of the task.

use crate::place::{Place, until};
use serde_json::Value;

const CONTEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[test]
fn a_trace_context_goes_to_the_container_the_callbacks_and_every_line_of_the_log() {
    let place = Place::quiet_with(&[("LOG_LEVEL", "debug")]);
    let mut message = place.message("traced", "play");
    message["traceparent"] = CONTEXT.into();
    message["commnad"] = "a field that nobody knows".into();
    place.push(message.to_string().as_bytes());
    until("it has a Job", || {
        place.api.life(|life| life.job("traced").is_some())
    });
    // A copy, other content, a refusal, and a receiver that fails once: each has its line.
    place.push(message.to_string().as_bytes());
    message["service"] = "other".into();
    place.push(message.to_string().as_bytes());
    place.push(br#"{"id": "refused"}"#);
    place.submit("untraced", "calm");
    place.api.life(|life| life.run("traced"));
    place.told("traced", 1);
    place.api.life(|life| life.fail("traced", 3));
    place.told("traced", 3);
    place.told("untraced", 2);
    for said in [
        "a copy of its message is dropped",
        "it is in the dead letters",
        "a message is refused",
    ] {
        until(said, || {
            place
                .worker
                .log()
                .iter()
                .any(|line| line["msg"].as_str().is_some_and(|msg| msg.contains(said)))
        });
    }

    let job = place.api.life(|life| life.job("traced")).expect("its Job");
    let variables = job["spec"]["template"]["spec"]["containers"][0]["env"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    assert!(
        variables.contains(&serde_json::json!({"name": "TRACEPARENT", "value": CONTEXT})),
        "{variables:?}"
    );
    for request in place.sink.requests() {
        let wanted = (request.path() == "/traced").then_some(CONTEXT);
        assert_eq!(request.header("traceparent"), wanted, "{}", request.path());
    }
    let lines: Vec<Value> = place
        .worker
        .log()
        .into_iter()
        .filter(|line| line["task"].is_string())
        .collect();
    assert!(lines.len() > 15, "{lines:?}");
    for line in &lines {
        let trace = line["trace"]
            .as_str()
            .unwrap_or_else(|| panic!("no trace: {line}"));
        assert_eq!(trace.len(), 32, "{line}");
        // The message with other content came with the same context.
        assert_eq!(trace == TRACE, line["task"] == "traced", "{line}");
    }
}
