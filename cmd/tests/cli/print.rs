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
    assert_eq!(run(&["completion", "cmd"], &[], b"").status.code(), Some(2));
}

#[test]
fn the_manual_page_has_every_subcommand_and_every_variable() {
    let page = printed(&["man"]);
    for subcommand in ["run", "submit", "render", "schema", "completion", "man"] {
        let title = format!(".TH job-worker-{subcommand} 1");
        assert!(page.contains(&title), "{title}");
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
