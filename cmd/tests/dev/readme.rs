//! That what README.md and the banner say works.

use crate::stage::{Dev, until};
use std::fs;
use std::path::Path;

#[test]
fn what_it_says_to_try_works() {
    let mut dev = Dev::up(&[]);
    let stdout = dev.read("stdout");
    let lines: Vec<&str> = stdout
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .collect();
    assert_eq!(lines.len(), 5, "{stdout}");
    for line in lines.iter().filter(|line| !line.starts_with("kubectl")) {
        let output = dev.shell(line);
        assert!(output.status.success(), "{line}: {output:?}");
    }
    until("the message became a task and ended", || {
        dev.told().values().any(|told| told == &[0, 1, 2])
    });
    dev.signal("INT");
    assert_eq!(dev.ended().code(), Some(0));
}

#[test]
fn what_the_readme_says_to_run_runs() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(tree.join("README.md")).expect("README.md is there");
    let mut blocks = Vec::new();
    let mut parts = page.split("```");
    while let (Some(before), Some(block)) = (parts.next(), parts.next()) {
        let commands = block.strip_prefix("sh\n").expect("each block is for the shell");
        let last = before.trim_end().lines().last().unwrap_or_default();
        if !last.starts_with("<!-- not run by the README's test: ") {
            blocks.push(commands);
        }
    }
    assert!(blocks.len() >= 2, "{blocks:?}");
    let mut dev = Dev::up(&[]);
    for block in blocks {
        let output = dev.shell(&format!(
            "set -e; cd '{}'; {block}",
            dev.directory.path().display()
        ));
        assert!(output.status.success(), "{block}: {output:?}");
    }
    until("the message became a task and ended", || {
        dev.told().values().any(|told| told == &[0, 1, 2])
    });
    dev.signal("TERM");
    assert_eq!(dev.ended().code(), Some(0));
}

#[test]
fn each_file_that_the_readme_names_is_there() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(tree.join("README.md")).expect("README.md is there");
    let links: Vec<&str> = page
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|link| !link.starts_with("https://") && !link.starts_with('#'))
        .filter_map(|link| link.split('#').next())
        .collect();
    assert!(links.len() > 10, "{links:?}");
    for link in links {
        assert!(tree.join(link).exists(), "{link}");
    }
}
