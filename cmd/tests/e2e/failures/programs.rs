//! Programs that fail by themselves, in real containers.

use serde_json::json;

use super::row::{NEVER_RAN, RAN, Row, row};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = exit_codes();
    rows.extend(last_words());
    rows.extend(memory());
    rows.extend(starts());
    rows
}

fn exit_codes() -> Vec<Row> {
    const CODE: &str = "JOB_EXECUTION_FAILED";
    vec![
        row("exit-1", "exit 1").ends(
            RAN,
            CODE,
            &["Job execution failed with exit code 1 (container tests, reason Error)"],
        ),
        row("exit-42", "echo the disk is on fire; exit 42").ends(
            RAN,
            CODE,
            &["Job execution failed with exit code 42 (container tests, reason Error): the disk is on fire"],
        ),
        row("command-not-found", "no-such-program").ends(
            RAN,
            CODE,
            &["exit code 127", "command not found", "no-such-program: not found"],
        ),
        row("not-executable", "/etc/passwd").ends(
            RAN,
            CODE,
            &["exit code 126", "not executable", "Permission denied"],
        ),
        row("killed", "sleep 600 & kill -KILL $!; wait $!").ends(
            RAN,
            CODE,
            &["exit code 137", "SIGKILL", "reason Error"],
        ),
        row("terminated", "sleep 600 & kill -TERM $!; wait $!").ends(
            RAN,
            CODE,
            &["exit code 143", "SIGTERM"],
        ),
        row("segmentation-fault", "sleep 600 & kill -SEGV $!; wait $!").ends(
            RAN,
            CODE,
            &["exit code 139", "SIGSEGV"],
        ),
        row("retries-spent", "echo try on $HOSTNAME; exit 7")
            .with("backoffLimit", 1)
            .ends(RAN, CODE, &["exit code 7", "try on "]),
    ]
}

fn last_words() -> Vec<Row> {
    const CODE: &str = "JOB_EXECUTION_FAILED";
    vec![
        row(
            "termination-message",
            "echo noise; echo the reason > ${TERMINATION_MESSAGE_PATH:-/dev/termination-log}; exit 3",
        )
        .ends(
            RAN,
            CODE,
            &["exit code 3 (container tests, reason Error): the reason"],
        ),
        row(
            "long-log",
            "i=0; while [ $i -lt 400 ]; do echo line $i of a long log; i=$((i+1)); done; exit 4",
        )
        .ends(RAN, CODE, &["exit code 4", "line 399 of a long log"]),
        row("log-of-bytes", "printf '\\377\\376 not text \\001'; exit 5").ends(
            RAN,
            CODE,
            &["exit code 5", "not text"],
        ),
    ]
}

fn memory() -> Vec<Row> {
    let limit = || json!({"limits": {"memory": "32Mi"}});
    vec![
        row("out-of-memory", "")
            .with("command", json!(["tail", "/dev/zero"]))
            .with("resources", limit())
            .beyond_embedded("its processes have no memory limit")
            .ends(
                RAN,
                "JOB_OUT_OF_MEMORY",
                &["exit code 137", "OOMKilled", "job.resources.limits.memory"],
            ),
        row("child-out-of-memory", "tail /dev/zero; exit 9")
            .with("resources", limit())
            .beyond_embedded("its processes have no memory limit")
            .ends(RAN, "JOB_OUT_OF_MEMORY", &["exit code 9", "OOMKilled"]),
    ]
}

fn starts() -> Vec<Row> {
    vec![
        row("no-such-command", "")
            .with("command", json!(["/no/such/program"]))
            .ends(
                NEVER_RAN,
                "JOB_EXECUTION_FAILED",
                &["exit code 128", "StartError", "/no/such/program", "job.command"],
            ),
        row("command-is-no-program", "")
            .with("command", json!(["/etc/passwd"]))
            .ends(
                NEVER_RAN,
                "JOB_EXECUTION_FAILED",
                &["StartError", "/etc/passwd", "ermission denied"],
            ),
        row("deadline-while-running", "exec sleep 600")
            .with("activeDeadlineSeconds", 60)
            .ends(
                RAN,
                "JOB_DEADLINE_EXCEEDED",
                &["The Job's activeDeadlineSeconds of 60 s has passed; a pod had started"],
            ),
        // It outlives the first signal: the Job says FailureTarget long before it says Failed.
        row(
            "deadline-and-slow-to-end",
            "trap 'sleep 5; exit 0' TERM; sleep 600 & wait",
        )
        .with("activeDeadlineSeconds", 60)
        .ends(RAN, "JOB_DEADLINE_EXCEEDED", &["of 60 s has passed"]),
        row("deadline-without-image", "true")
            .with("activeDeadlineSeconds", 60)
            .with("image", "registry.invalid/nothing:1")
            .hasty()
            .ends(
                NEVER_RAN,
                "JOB_DEADLINE_EXCEEDED",
                &["60 s", "no container had started", "registry.invalid/nothing:1"],
            ),
        row("deadline-without-node", "true")
            .with("activeDeadlineSeconds", 60)
            .with(
                "nodeSelector",
                json!({"matchKey": "kubernetes.io/hostname", "matchValue": "nobody"}),
            )
            .hasty()
            .ends(
                NEVER_RAN,
                "JOB_DEADLINE_EXCEEDED",
                &["no container had started", "Unschedulable"],
            ),
    ]
}
