//! `job-worker schema`, `completion` and `man`.

use serde_json::Value;

use crate::{run, text};

fn printed(arguments: &[&str]) -> String {
    let output = run(arguments, &[], b"");
    assert_eq!(
        (text(output.stderr), output.status.code()),
        (String::new(), Some(0))
    );
    text(output.stdout)
}

#[test]
fn the_schema_is_printed_without_any_configuration() {
    let schema: Value = serde_json::from_str(&printed(&["schema"])).expect("it is JSON");
    assert_eq!(
        schema,
        serde_json::from_str::<Value>(adapters::message::SCHEMA).expect("it is JSON")
    );
}

#[test]
fn each_shell_has_completions_that_know_the_subcommands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completion", shell]);
        for subcommand in ["run", "submit", "render", "schema", "completion", "man"] {
            assert!(script.contains(subcommand), "{shell}: {subcommand}");
        }
    }
    assert_eq!(run(&["completion", "cmd"], &[], b"").status.code(), Some(64));
}

#[test]
fn the_manual_page_has_every_subcommand_and_every_variable() {
    let page = printed(&["man"]);
    for subcommand in ["run", "submit", "render", "schema", "completion", "man"] {
        let title = format!(".TH job-worker-{subcommand} 1");
        assert!(page.contains(&title), "{title}");
    }
    for code in ["0 EX_OK", "64 EX_USAGE", "78 EX_CONFIG"] {
        assert!(page.contains(&format!("\\fB{code}\\fR")), "{code}");
    }
    let help = printed(&["--help"]);
    let (_, environment) = help
        .split_once("Environment:\n")
        .expect("help has a section on it");
    let names: Vec<&str> = environment
        .lines()
        .filter_map(|line| line.strip_prefix("  ").filter(|name| !name.starts_with(' ')))
        .collect();
    assert!(names.contains(&"LOG_FORMAT"), "{names:?}");
    for name in names {
        assert!(page.contains(&format!("\\fB{name}\\fR")), "{name}");
    }
}

#[test]
fn a_wrong_command_line_is_64_and_help_is_not() {
    for wrong in [&["--no-such-flag"][..], &["submit"], &["no-such-command"]] {
        let output = run(wrong, &[], b"");
        assert_eq!(
            (text(output.stdout), output.status.code()),
            (String::new(), Some(64))
        );
        assert!(text(output.stderr).contains("For more information, try '--help'."));
    }
    for right in [&["--help"][..], &["submit", "--help"], &["--version"]] {
        assert!(!printed(right).is_empty());
    }
}

#[test]
fn output_that_cannot_be_written_is_74() {
    for arguments in [&["schema"][..], &["man"], &["--version"]] {
        let full = std::fs::File::create("/dev/full").expect("Linux has it");
        let status = std::process::Command::new(env!("CARGO_BIN_EXE_job-worker"))
            .args(arguments)
            .env_clear()
            .stdout(full)
            .status()
            .expect("cargo has built the binary");
        assert_eq!(status.code(), Some(74), "{arguments:?}");
    }
}
