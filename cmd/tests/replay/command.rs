//! `job-worker replay`, `replay show` and `replay table`, as their user meets them.

use std::fs;
use std::path::PathBuf;

use engine::{Notice, Transition};
use serde_json::Value;
use tempfile::TempDir;

use crate::again::one_life;
use crate::lives::file;
use crate::{run, text};

/// A directory with one log in it.
fn log(bytes: &[u8]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("there is room");
    let path = directory.path().join("life.jwlog");
    fs::write(&path, bytes).expect("it can be written");
    (directory, path)
}

/// What the binary printed on both streams, and its exit code; the path is taken out.
fn replay(arguments: &[&str], path: &std::path::Path) -> (String, String, Option<i32>) {
    let path = path.display().to_string();
    let mut all = vec!["replay"];
    all.extend(arguments);
    all.push(&path);
    let output = run(&all, &[]);
    let plain = |bytes: &[u8]| text(bytes).replace(&path, "FILE");
    (plain(&output.stdout), plain(&output.stderr), output.status.code())
}

fn changed() -> Vec<Transition> {
    let mut life = one_life();
    let last = life.iter_mut().rfind(|transition| transition.gave_verdict());
    last.expect("it ends").notices = vec![Notice::Completed { duration_secs: 7 }];
    life
}

#[test]
fn a_log_that_is_decided_as_recorded_says_so() {
    let life = one_life();
    let (_directory, path) = log(&file(&life));
    let said = format!("FILE: {} events of 1 task: all decided as recorded\n", life.len());
    assert_eq!(replay(&[], &path), (said, String::new(), Some(0)));
}

#[test]
fn a_log_runs_from_standard_input_as_well() {
    let (_directory, path) = log(&file(&one_life()));
    let input = fs::File::open(path).expect("it was written");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_job-worker"))
        .args(["replay", "-"])
        .env_clear()
        .stdin(input)
        .output()
        .expect("cargo has built the binary");
    let said = text(&output.stdout);
    assert!(
        said.starts_with("-: ") && said.contains("all decided as recorded"),
        "{said}"
    );
    assert_eq!(
        (text(&output.stderr), output.status.code()),
        (String::new(), Some(0))
    );
}

#[test]
fn a_difference_is_shown_with_its_step_and_both_sides() {
    let (_directory, path) = log(&file(&changed()));
    let (stdout, stderr, code) = replay(&[], &path);
    assert_eq!((stderr, code), (String::new(), Some(1)));
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(lines[0].starts_with("FILE: event "), "{stdout}");
    assert!(
        lines[0].contains(" is decided differently: task happy-life/a, version "),
        "{stdout}"
    );
    assert_eq!(
        lines[1..4],
        [
            "  notices[0].Completed.duration_secs",
            "    recorded  7",
            "    replayed  11"
        ],
        "{stdout}"
    );
    assert!(
        lines[4].ends_with(" events of 1 task: 1 decided differently"),
        "{stdout}"
    );
}

#[test]
fn programs_get_a_line_of_json_for_each_file() {
    let (_directory, path) = log(&file(&changed()));
    let (stdout, _, code) = replay(&["--json"], &path);
    let line: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(code, Some(1));
    assert_eq!(line["as_recorded"], false);
    assert_eq!(line["counts"]["different"], 1);
    let part = &line["first_difference"]["parts"][0];
    assert_eq!(part["recorded"][0]["Completed"]["duration_secs"], 7);
    assert_eq!(part["replayed"][0]["Completed"]["duration_secs"], 11);
}

#[test]
fn a_damaged_log_names_the_offset_and_its_good_part_is_replayed() {
    let bytes = file(&one_life());
    let (_directory, path) = log(&bytes[..bytes.len() - 1]);
    let (stdout, stderr, code) = replay(&[], &path);
    assert_eq!((stderr, code), (String::new(), Some(65)));
    assert!(
        stdout.contains(": the file ends here, in the middle of a frame\n"),
        "{stdout}"
    );
    let whole = format!("{} events of 1 task: all decided as recorded\n", one_life().len());
    assert!(stdout.ends_with(&whole), "{stdout}");
    let (stdout, _, code) = replay(&["--json"], &path);
    let line: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(code, Some(65));
    assert_eq!(line["damages"][0]["offset"], bytes.len() - 21);
}

#[test]
fn of_a_file_that_is_no_log_nothing_else_is_said() {
    let (_directory, path) = log(b"{}");
    let said = "FILE: offset 0: not an event log of job-worker\n".to_owned();
    assert_eq!(replay(&[], &path), (said, String::new(), Some(65)));
}

#[test]
fn a_file_that_cannot_be_read_does_not_keep_the_others_from_being_replayed() {
    let (directory, path) = log(&file(&one_life()));
    let absent = directory.path().join("absent").display().to_string();
    let output = run(&["replay", &absent, &path.display().to_string()], &[]);
    assert_eq!(output.status.code(), Some(66));
    assert!(text(&output.stdout).contains("all decided as recorded"));
    assert!(text(&output.stderr).contains("absent: No such file"));
    assert_eq!(run(&["replay"], &[]).status.code(), Some(64));
}

#[test]
fn a_life_is_shown_as_people_read_it() {
    let (_directory, path) = log(&file(&one_life()));
    let (stdout, stderr, code) = replay(&["show", "--task", "happy-life/a"], &path);
    assert_eq!((stderr, code), (String::new(), Some(0)));
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(
        lines[0].starts_with("task happy-life/a: example in namespace default, Job "),
        "{stdout}"
    );
    for wanted in [
        "   +0.000s Taken        Received (queued)",
        "JobSeen      Received -> Created (",
        "      asks to create the Job",
        "      tells 0 Job ",
        "      tells 2 completed after 11 s",
    ] {
        assert!(stdout.contains(wanted), "{wanted}\n{stdout}");
    }
    let (stdout, stderr, code) = replay(&["show", "--task", "b"], &path);
    assert_eq!((stdout, code), (String::new(), Some(1)));
    assert_eq!(stderr, "FILE: no such events\n");
}

#[test]
fn the_table_is_that_of_the_engine() {
    let printed = |format: &[&str]| {
        let output = run(&[&["replay", "table"], format].concat(), &[]);
        assert_eq!(output.status.code(), Some(0));
        text(&output.stdout)
    };
    assert_eq!(printed(&[]), engine::describe::document());
    assert_eq!(printed(&["--format", "mermaid"]), engine::describe::mermaid());
    let dot = printed(&["--format", "dot"]);
    assert!(
        dot.starts_with("digraph transitions {\n") && dot.ends_with("}\n"),
        "{dot}"
    );
    for row in engine::MOVES.iter().filter(|row| row.from != row.to) {
        let edge = format!("    {} -> {} [label=", row.from.name(), row.to.name());
        assert_eq!(dot.matches(&edge).count(), 1, "{edge}");
    }
}
