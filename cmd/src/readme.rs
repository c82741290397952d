//! The generated tables of README.md: what comes from code is compared with the page, and written anew with `REWRITE=1`.
//!
//! Tests alone; no part of the binary.

use crate::config::{Default, VARIABLES};
use engine::Code;
use serde_json::Value;
use std::path::Path;

/// One line on each code, for the client.
const fn meaning(code: Code) -> (&'static str, &'static str) {
    match code {
        Code::JobExecutionFailed => (
            "3",
            "a container ended non-zero and the Job's retries are spent; the message names exit code, container and reason, and ends with the termination message",
        ),
        Code::JobOutOfMemory => ("3", "the same, and the container was OOM-killed"),
        Code::JobDeadlineExceeded => (
            "3",
            "`activeDeadlineSeconds` passed; says whether a pod had started, and if not, what it waited for",
        ),
        Code::JobDisrupted => ("3", "preempted, evicted, or the node was lost"),
        Code::JobFailed => ("3", "the Job failed for another reason, which the message gives"),
        Code::PodStartTimeout => (
            "99",
            "no container started within `POD_START_TIMEOUT`; says what it was waiting for",
        ),
        Code::PodStartFailed => (
            "99",
            "no container can ever start: image name; with `patch` also a missing ConfigMap or Secret, or a wrong container configuration",
        ),
        Code::JobCreateFailed => (
            "99",
            "the API server refuses the Job for good, a permission is missing for 60 s, or a quota is exceeded for 24 h",
        ),
        Code::JobAlreadyExists => ("99", "the name is taken by a Job that is not ours"),
        Code::JobDeleted => ("99", "the Job was deleted before its end was seen"),
        Code::JobResultUnknown => (
            "99",
            "the Job is gone, or could not be read for a day, and its end was not seen",
        ),
        Code::InvalidMessage => ("99", "the message breaks a rule; all faults are named"),
        Code::TaskCancelled => ("99", "an operator cancelled the task"),
        Code::InternalError => ("99", "set aside because it made the worker fail three times"),
    }
}

fn codes() -> String {
    let mut text = "| errorCode | status | when |\n|---|---|---|\n".to_owned();
    for code in Code::ALL {
        let (status, when) = meaning(code);
        text.push_str(&format!("| `{code}` | {status} | {when} |\n"));
    }
    text
}

/// What a real control plane said of each way to fail, as it is judged (`fixtures/failures`).
fn failures() -> String {
    let told = |suite: &str| -> Vec<Value> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../fixtures/failures/{suite}.json"));
        let text = std::fs::read_to_string(path).expect("the fixture is there");
        serde_json::from_str(&text).expect("the fixture is JSON")
    };
    let field = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let (needed, patch) = (told("needed"), told("patch"));
    assert_eq!(needed.len(), patch.len(), "both suites have the same rows");
    let mut text = "| failure | code | message |\n|---|---|---|\n".to_owned();
    for (needed, patch) in needed.iter().zip(&patch) {
        let name = field(needed, "failure");
        assert_eq!(name, field(patch, "failure"), "in the same order");
        let words = name.replace('-', " ");
        let message = field(needed, "message");
        let message = message
            .split(" The Job was left in place")
            .next()
            .unwrap_or_default();
        text.push_str(&format!(
            "| {words} | `{}` | {} |\n",
            field(needed, "code"),
            cell(message)
        ));
        if differs_in_kind(message, &field(patch, "message")) {
            text.push_str(&format!(
                "| with `patch` and events | `{}` | {} |\n",
                field(patch, "code"),
                cell(&field(patch, "message"))
            ));
        }
    }
    text
}

/// Two runs differ in the details of the cluster; what counts is another kind of answer.
fn differs_in_kind(one: &str, other: &str) -> bool {
    let kind = |text: &str| text.contains("can never start") || text.contains("FailedCreate");
    kind(one) != kind(other)
}

/// A message as a cell of a table, cut where it gets long.
fn cell(message: &str) -> String {
    const LONGEST: usize = 240;
    let line = message.replace(['\n', '\r'], " ").replace('|', "\\|");
    let line: String = line
        .chars()
        .filter(|c| !c.is_control() && *c != '\u{fffd}')
        .collect();
    match line.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

fn configuration() -> String {
    let mut text = "| variable | default | what it is | must be |\n|---|---|---|---|\n".to_owned();
    for variable in VARIABLES {
        let default = match variable.default {
            Default::Required => "required".to_owned(),
            Default::Value(value) => format!("`{}`", value.replace(',', ", ")),
            Default::Unset(then) => format!("– ({then})"),
        };
        let rule = variable.kind.rule();
        let rule = rule.strip_prefix("must be ").unwrap_or(&rule);
        text.push_str(&format!(
            "| `{}` | {default} | {} | {rule} |\n",
            variable.name, variable.doc
        ));
    }
    text
}

fn commands() -> String {
    let mut text = "| command | does |\n|---|---|\n".to_owned();
    for command in crate::command().get_subcommands() {
        let about = command.get_about().expect("each command says what it does");
        text.push_str(&format!("| `job-worker {}` | {about} |\n", command.get_name()));
    }
    text
}

fn metrics() -> String {
    let mut text = "| metric | type | labels | what it is |\n|---|---|---|---|\n".to_owned();
    for row in crate::run::metrics().rows() {
        let labels: Vec<String> = row.labels.iter().map(|label| format!("`{label}`")).collect();
        text.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            row.name,
            row.kind,
            labels.join(", "),
            row.help
        ));
    }
    text
}

fn exits() -> String {
    let mut text = "| code | name | when |\n|---|---|---|\n".to_owned();
    for (code, name, meaning) in crate::exit::CODES {
        text.push_str(&format!("| {code} | {name} | {meaning} |\n"));
    }
    text
}

/// One row a field, the fields of small objects in the row of the object.
fn message() -> String {
    let schema: Value = serde_json::from_str(adapters::message::SCHEMA).expect("the schema is JSON");
    let definitions = &schema["$defs"];
    let mut text = "| field | required | what it is |\n|---|---|---|\n".to_owned();
    for (path, definition) in [("", &definitions["message"]), ("job.", &definitions["job"])] {
        let required = |name: &str| {
            definition["required"]
                .as_array()
                .is_some_and(|all| all.contains(&name.into()))
        };
        let mut fields: Vec<(&String, &Value)> = definition["properties"]
            .as_object()
            .expect("an object")
            .iter()
            .collect();
        // Whether a JSON object keeps its order depends on what else is built.
        fields.sort_by_key(|(name, _)| (!required(name), *name));
        for (name, field) in fields {
            if name == "job" {
                continue;
            }
            let (inner, list) = inside(field);
            let braces = match inner.and_then(|inner| inner["properties"].as_object()) {
                Some(inner) => format!(" {{{}}}", names(inner)),
                None => String::new(),
            };
            let about = field["description"].as_str().unwrap_or_default();
            let inner_about = inner.filter(|_| name == "webhook").map_or("", |inner| {
                inner["properties"]["url"]["description"]
                    .as_str()
                    .unwrap_or_default()
            });
            text.push_str(&format!(
                "| `{path}{name}{}{braces}` | {} | {} |\n",
                if list { "[]" } else { "" },
                if required(name) { "yes" } else { "" },
                format!("{about} {inner_about} {}", bounds(field))
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ")
            ));
        }
    }
    text
}

fn names(fields: &serde_json::Map<String, Value>) -> String {
    let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
    names.sort_unstable();
    names.join(", ")
}

/// The object that a field holds, and whether it is a list of them.
fn inside(field: &Value) -> (Option<&Value>, bool) {
    for form in field["anyOf"].as_array().into_iter().flatten() {
        if form["type"] == "array" {
            return (
                Some(&form["items"]).filter(|items| items["properties"].is_object()),
                true,
            );
        }
        if form["properties"].is_object() {
            return (Some(form), false);
        }
    }
    (None, false)
}

/// The range of a number, as the schema has it.
fn bounds(field: &Value) -> String {
    for form in field["anyOf"].as_array().into_iter().flatten() {
        if let Some(least) = form["minimum"].as_u64() {
            return match form["maximum"].as_u64() {
                Some(most) if most < 2_147_483_647 => format!("{least} to {most}."),
                Some(_) | None => format!("At least {least}."),
            };
        }
    }
    String::new()
}

#[test]
fn the_tables_of_the_readme_are_those_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let page = std::fs::read_to_string(&path).expect("README.md is there");
    let mut wanted = page.clone();
    for (name, table) in [
        ("configuration", configuration()),
        ("message", message()),
        ("codes", codes()),
        ("commands", commands()),
        ("failures", failures()),
        ("metrics", metrics()),
        ("exit codes", exits()),
    ] {
        let (start, end) = (
            format!("<!-- {name}: generated -->\n"),
            format!("<!-- {name}: end -->"),
        );
        let from = wanted
            .find(&start)
            .unwrap_or_else(|| panic!("README.md has no {start}"))
            + start.len();
        let to = wanted
            .find(&end)
            .unwrap_or_else(|| panic!("README.md has no {end}"));
        wanted.replace_range(from..to, &format!("\n{table}\n"));
    }
    if page == wanted {
        return;
    }
    assert!(
        std::env::var_os("REWRITE").is_some(),
        "README.md is out of date: REWRITE=1 cargo test -p job-worker readme"
    );
    std::fs::write(&path, wanted).expect("README.md can be written");
}
