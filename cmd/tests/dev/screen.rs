//! What it shows of tasks, on a standard output that is no terminal.

use crate::stage::{Dev, until};

#[test]
fn a_copy_and_a_message_that_is_refused_are_shown() {
    let mut dev = Dev::up(&[]);
    dev.submit("twice", "exit 0");
    dev.submit("twice", "exit 0");
    until("the copy is shown", || {
        dev.read("stdout").contains("copy          dropped: ")
    });
    dev.submit("twice", "exit 1");
    until("the refusal is shown", || {
        dev.read("stdout").contains("WARN          ")
    });
    let stdout = dev.read("stdout");
    assert!(!stdout.contains('\x1b'), "a file is no terminal: {stdout}");
    dev.signal("TERM");
    assert_eq!(dev.ended().code(), Some(0));
}
