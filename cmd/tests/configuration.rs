//! The configuration as the operator of the binary meets it.

use std::process::{Command, Output};

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_job-worker"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .expect("cargo has built the binary")
}

#[test]
fn every_fault_is_a_line_on_stderr_and_the_exit_code_is_78() {
    let refused = run(
        &[],
        &[
            ("POD_NAME", "worker-1"),
            ("POD_NAMESPACE", "jobs"),
            ("POLLING_INTERVAL", "0"),
            ("QUEUE_TYPE", "x"),
            ("CACHE_REDIS_ENDPOINT", "redis://:hidden@store/1"),
            ("CACHE_REDIS_DB", "1"),
        ],
    );
    assert_eq!(
        String::from_utf8(refused.stderr).unwrap(),
        "POLLING_INTERVAL=\"0\": must be a whole number of seconds, 1 to 315360000\n\
         QUEUE_TYPE=\"x\": must be one of: redis\n\
         CACHE_REDIS_ENDPOINT=\"redis://***@store/1\": must not name a database: it has its own variable\n"
    );
    assert_eq!(refused.status.code(), Some(78));
    assert_eq!(refused.stdout, b"");
}

#[test]
fn help_explains_the_environment_without_one() {
    let help = run(&["--help"], &[]);
    let text = String::from_utf8(help.stdout).unwrap();
    assert_eq!(help.status.code(), Some(0));
    assert!(text.contains("Environment:\n  POD_NAME\n"), "{text}");
    assert!(text.contains("LOG_FORMAT"), "{text}");
}
