//! The page for operators in a real browser: what it shows, that it says nothing to the console, that it is read-only.

use crate::place::{LIMIT, Place, until};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// What a browser made of a page.
struct Shown {
    document: String,
    console: Vec<String>,
}

/// Opens an address in Chromium, and returns the document as its scripts have left it.
fn opened(url: &str) -> Shown {
    let profile = tempfile::tempdir().expect("a directory");
    let output = Command::new(chromium())
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--enable-logging=stderr",
            "--virtual-time-budget=5000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .env("HOME", profile.path())
        .stdin(Stdio::null())
        .output()
        .expect("chromium starts");
    let said = String::from_utf8_lossy(&output.stderr);
    Shown {
        document: String::from_utf8_lossy(&output.stdout).into_owned(),
        console: said
            .lines()
            .filter(|line| line.contains(":CONSOLE"))
            .map(str::to_owned)
            .collect(),
    }
}

/// The browser is in the package chromium, which `scripts/test` installs.
pub(crate) fn chromium() -> &'static str {
    let found = |name: &&str| Path::new("/usr/bin").join(name).exists();
    ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(found)
        .expect("there is no chromium: scripts/test installs it")
}

/// Opens a page until it shows all of this, while somebody else looks too, so that what it asks for was just read.
fn shows(place: &Place, path: &str, wanted: &[&str]) -> Shown {
    let url = format!("http://{}/ui/#/{path}", place.address());
    let asked = if path.is_empty() {
        "/ui/now.json".to_owned()
    } else {
        let id = path.strip_prefix("task/").expect("a task");
        let digits: String = id.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("/ui/tasks/{digits}.json")
    };
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                // A door that is busy answers the next time.
                drop(place.worker.get(&asked));
                thread::sleep(Duration::from_millis(100));
            }
        });
        let mut shown = None;
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(&format!("{url} shows {wanted:?}"), || {
                let page = opened(&url);
                let whole = wanted.iter().all(|text| page.document.contains(text));
                shown = Some(page);
                whole
            });
        }));
        done.store(true, Ordering::SeqCst);
        let shown = shown.expect("it was opened at least once");
        assert!(
            found.is_ok(),
            "{wanted:?}: {}\n{:?}",
            shown.document,
            shown.console
        );
        shown
    })
}

/// Asks for JSON until it was read.
fn json(place: &Place, path: &str) -> Value {
    let mut found = Value::Null;
    until(&format!("{path} is read"), || {
        let (status, body) = place.worker.get(path).expect("the door answers");
        found = serde_json::from_str(&body).expect("JSON");
        status == 200
    });
    found
}

#[test]
fn the_overview_shows_every_list_and_says_nothing_to_the_console() {
    let place = Place::busy();
    let shown = shows(
        &place,
        "",
        &[
            "class=\"id\"><a href=\"#/task/runs\">runs</a></td>",
            "data-title=\"State\">PodStarted</td>",
            "the end of its Job",
            "data-title=\"Code\">JOB_EXECUTION_FAILED</td>",
            "data-title=\"Reason\">INVALID_MESSAGE</td>",
            "Created to PodStarted on PodStarted: ",
            "In the last hour: 3 taken, 1 completed, 1 failed, 0 exception",
            "<span class=\"name\">worker-1</span><small>epoch 1</small>",
        ],
    );
    assert_eq!(shown.console, [] as [&str; 0], "{}", shown.document);
    let now = json(&place, "/ui/now.json");
    assert_eq!((&now["callbacks"], &now["queue"]["dead"]), (&0.into(), &1.into()));
    let took: Vec<u64> = now["hour"]["took"]
        .as_array()
        .expect("phases")
        .iter()
        .filter_map(|took| took["count"].as_u64())
        .collect();
    assert_eq!(took[..3], [3, 3, 3]);
    // A pod that is first seen ended has no time of its own.
    assert!(took[3] == 1 || took[3] == 2, "{took:?}");
}

#[test]
fn a_task_shows_its_life_and_an_unknown_one_says_so() {
    let place = Place::busy();
    let shown = shows(
        &place,
        "task/fails",
        &[
            "JOB_EXECUTION_FAILED: Job execution failed with exit code 1",
            "<li class=\"failed\">",
            "Tells the client: 3 (failed)",
            "<b>Received → Created</b>",
            "3 (failed): delivered",
        ],
    );
    assert_eq!(shown.console, [] as [&str; 0], "{}", shown.document);
    let shown = shows(&place, "task/nobody", &["Nothing is known of it"]);
    assert_eq!(shown.console, [] as [&str; 0], "{}", shown.document);
}

#[test]
fn a_page_at_fault_is_noticed() {
    let directory = tempfile::tempdir().expect("a directory");
    let page = directory.path().join("page.html");
    std::fs::write(&page, "<!doctype html><script>missing();</script>").expect("a file");
    let url = format!("file://{}", page.display());
    let mut console = Vec::new();
    until("the console says so", || {
        console = opened(&url).console;
        !console.is_empty()
    });
    assert!(console[0].contains("missing is not defined"), "{console:?}");
}

#[test]
fn the_page_is_read_only_and_lets_nothing_else_in() {
    let place = Place::quiet();
    let ask = |method: &str, path: &str| {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(LIMIT))
            .build()
            .new_agent();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", place.address()))
            .body(())
            .expect("a request");
        agent.run(request).expect("the door answers")
    };
    let page = ask("GET", "/ui/");
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"].to_str().expect("text");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"));
    assert!(!policy.contains("unsafe"), "{policy}");
    let moved = ask("GET", "/ui");
    assert_eq!(
        (moved.status().as_u16(), &moved.headers()["location"]),
        (308, &"ui/".parse().expect("a value"))
    );
    for path in ["/ui/missing.js", "/ui/tasks/zz.json", "/ui/../metrics", "/uix"] {
        assert_eq!(ask("GET", path).status(), 404, "{path}");
    }
    assert_eq!(ask("DELETE", "/ui/now.json").status(), 405);
}

#[test]
fn the_page_can_be_switched_off() {
    let place = Place::quiet_with(&[("UI_ENABLED", "false")]);
    for path in ["/ui", "/ui/", "/ui/now.json"] {
        assert_eq!(place.worker.get(path).expect("the door answers").0, 404, "{path}");
    }
}
