//! The table of faults: each is covered by a test that exists, or cannot occur for a reason, or is open.
//!
//! `REWRITE=1 cargo test -p engine --test faults` writes `FAULTS.md` from `fixtures/faults.txt`.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

const FAULTS: usize = 127;

/// One fault, and the lines that say how it is covered: a kind and its words.
struct Fault {
    name: String,
    text: String,
    covered: Vec<(String, String)>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn faults() -> Vec<Fault> {
    let text = std::fs::read_to_string(root().join("fixtures/faults.txt")).expect("the list of faults");
    let mut faults: Vec<Fault> = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (first, rest) = line.trim_start().split_once(' ').expect("two words a line");
        if line.starts_with(' ') {
            let fault = faults.last_mut().expect("a fault stands above");
            fault.covered.push((first.to_owned(), rest.to_owned()));
        } else {
            faults.push(Fault {
                name: first.to_owned(),
                text: rest.to_owned(),
                covered: Vec::new(),
            });
        }
    }
    faults
}

/// Every Rust source under `folders` of the repository, as one text.
fn sources(folders: &[&str]) -> String {
    let mut text = String::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(&path).expect("a source in UTF-8"));
            }
        }
    }
    text
}

/// The names of functions that stand under an attribute `test`, and of the laws of a property test.
fn tests() -> BTreeSet<String> {
    let text = sources(&[
        "engine/src",
        "engine/tests",
        "adapters/src",
        "adapters/tests",
        "cmd/src",
        "cmd/tests",
    ]);
    let mut names = BTreeSet::new();
    let mut marked = false;
    for line in text.lines().map(str::trim) {
        if line == "#[test]" {
            marked = true;
        } else if let Some((name, _)) = line.strip_prefix("fn ").and_then(|rest| rest.split_once('('))
            && std::mem::take(&mut marked)
        {
            names.insert(name.to_owned());
        }
    }
    names
}

#[test]
fn every_fault_is_covered_by_what_exists_or_says_why_not() {
    let tests = tests();
    let laws = sources(&["adapters/tests/driver"]);
    let simulation = sources(&["adapters/tests/sim"]);
    let faults = faults();
    let mut wrong = Vec::new();
    for (number, fault) in faults.iter().enumerate() {
        assert_eq!(fault.name, format!("F{}", number + 1), "in order, none twice");
        if fault.covered.is_empty() {
            wrong.push(format!("{}: nothing is said", fault.name));
        }
        for (kind, words) in &fault.covered {
            let exists = match kind.as_str() {
                "test" => tests.contains(words),
                "law" => laws.contains(&format!("\"{words}\"")),
                "sim" => simulation.contains(&format!("\"{words}\"")),
                "story" => root().join(format!("fixtures/stories/{words}.txt")).exists(),
                "never" | "open" => true,
                _ => false,
            };
            if !exists {
                wrong.push(format!("{}: there is no {kind} {words:?}", fault.name));
            }
        }
        let never = fault.covered.iter().any(|(kind, _)| kind == "never");
        if never && fault.covered.len() > 1 {
            wrong.push(format!("{}: what never occurs needs no test", fault.name));
        }
    }
    assert_eq!(faults.len(), FAULTS);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_of_faults_is_that_of_the_list() {
    let faults = faults();
    let with = |kind: &str| {
        faults
            .iter()
            .filter(|fault| fault.covered.iter().any(|(k, _)| k == kind))
            .count()
    };
    let (never, open) = (with("never"), with("open"));
    let mut text = format!(
        "# Faults\n\nGenerated from `fixtures/faults.txt` by `REWRITE=1 cargo test -p engine --test faults`; every name is checked to \
         exist. Of {} faults {never} cannot occur here, {open} are open, wholly or in part, and the others are covered.\n\n\
         `test`: a test. `law`: a line of `adapters/tests/driver`, held in every layout. `sim`: reached by `adapters/tests/sim`, which \
         then checks everything. `story`: a file of `fixtures/stories`.\n\n| fault | | covered by |\n|---|---|---|\n",
        faults.len(),
    );
    for fault in &faults {
        let covered: Vec<String> = fault
            .covered
            .iter()
            .map(|(kind, words)| match kind.as_str() {
                "never" => format!("cannot occur: {words}"),
                "open" => format!("**open**: {words}"),
                _ => format!("{kind} `{words}`"),
            })
            .collect();
        writeln!(
            text,
            "| {} | {} | {} |",
            fault.name,
            fault.text,
            covered.join("<br>")
        )
        .expect("a String takes all");
    }
    let path = root().join("fixtures/FAULTS.md");
    let rewrite = std::env::var_os("REWRITE").is_some_and(|value| value == "1");
    if rewrite {
        std::fs::write(&path, &text).expect("the table can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "fixtures/FAULTS.md is not that of fixtures/faults.txt: REWRITE=1 writes it"
    );
}
