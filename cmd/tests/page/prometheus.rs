//! A real Prometheus that scrapes a worker, and what it says of the files for operators.

use crate::metrics::promtool;
use crate::place::{LIMIT, Place, until};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// A file beside the manifests.
fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../scripts/deploy")
        .join(name)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a file of the tree")
}

/// One Prometheus; it is killed when it is dropped.
struct Prometheus {
    child: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    /// Scrapes `target` each second.
    fn start(target: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("prometheus.yml");
        let (log, data) = (directory.path().join("log"), directory.path().join("data"));
        fs::write(
            &config,
            format!(
                "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n  - job_name: worker\n    static_configs:\n      - {{targets: [\"{target}\"], labels: {{namespace: jobs}}}}\n"
            ),
        )
        .expect("a file");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("a file"))
            .spawn()
            .expect("prometheus is in the package prometheus, which scripts/test installs");
        let mut prometheus = Self {
            child,
            address: String::new(),
            _directory: directory,
        };
        until("Prometheus says where it listens", || {
            let said = fs::read_to_string(&log).expect("a file of ours");
            let line = said
                .lines()
                .find(|line| line.contains("Listening on"))
                .and_then(|line| line.split("address=").nth(1));
            prometheus.address = line.unwrap_or_default().trim().to_owned();
            !prometheus.address.is_empty()
        });
        prometheus
    }

    /// Returns the samples of a query, or what is wrong with it; asks again while it starts.
    fn query(&self, query: &str) -> Result<Vec<Value>, String> {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(LIMIT))
            .build()
            .new_agent();
        let url = format!("http://{}/api/v1/query", self.address);
        let mut response = agent
            .get(&url)
            .query("query", query)
            .call()
            .map_err(|error| error.to_string())?;
        let body = response
            .body_mut()
            .read_to_string()
            .map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&body).map_err(|_| body.clone())?;
        if answer["status"] != "success" {
            return Err(body);
        }
        Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The queries of all panels, as Grafana sends them.
fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read(&deploy("dashboard.json"))).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    targets
        .map(|target| {
            target["expr"]
                .as_str()
                .expect("a query")
                .replace("$namespace", ".*")
                .replace("$job", ".*")
                .replace("$__rate_interval", "1m")
        })
        .collect()
}

/// The names of our families in a text of queries.
fn names(text: &str) -> BTreeSet<String> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| {
            word.starts_with("job_worker_") || word.starts_with("messages_") || *word == "queue_length"
        })
        .map(|word| {
            let histogram = ["_bucket", "_count", "_sum"]
                .iter()
                .find_map(|part| word.strip_suffix(part));
            histogram.unwrap_or(word).to_owned()
        })
        .collect()
}

#[test]
fn each_query_of_the_dashboard_has_an_answer() {
    let place = Place::busy();
    let prometheus = Prometheus::start(&place.address());
    let queries = queries();
    assert!(queries.len() > 40, "{}", queries.len());
    let end = Instant::now() + LIMIT;
    for query in &queries {
        loop {
            let answer = prometheus.query(query);
            if answer.as_ref().is_ok_and(|samples| !samples.is_empty()) {
                break;
            }
            assert!(Instant::now() < end, "{query}: {answer:?}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
    let text = place.metrics();
    for name in names(&queries.concat()) {
        // A counter by class has no series before its first error; that it is ours is in the table of the README.
        let known = text.contains(&format!("# TYPE {name} ")) || readme().contains(&format!("| `{name}` |"));
        assert!(known, "{name}");
    }
}

#[test]
fn each_alert_speaks_when_it_should_and_its_runbook_is_there() {
    let rules = deploy("chart/alerts.yaml");
    let output = promtool(&["check", "rules", &rules.to_string_lossy()], b"");
    assert!(output.status.success(), "{output:?}");
    let output = promtool(
        &["test", "rules", &deploy("alerts.test.yaml").to_string_lossy()],
        b"",
    );
    assert!(output.status.success(), "{output:?}");

    let (rules, tests) = (read(&rules), read(&deploy("alerts.test.yaml")));
    let alerts: Vec<&str> = values(&rules, "- alert: ");
    let anchors: BTreeSet<String> = readme().lines().filter_map(anchor).collect();
    assert_eq!(alerts.len(), values(&rules, "runbook: ").len());
    for entry in values(&rules, "runbook: ") {
        let place = entry.strip_prefix("README.md#").expect("an entry of the README");
        assert!(anchors.contains(place), "README.md has no {place}: {anchors:?}");
    }
    for alert in alerts {
        let spoken = tests
            .split("- eval_time:")
            .skip(1)
            .any(|test| test.contains(&format!("alertname: {alert}\n")) && test.contains("exp_labels"));
        assert!(spoken, "no test lets {alert} speak");
        let silent = tests.contains(&format!("alertname: {alert}, exp_alerts: []"));
        assert!(silent, "no test keeps {alert} silent");
    }
    for name in names(&rules) {
        assert!(
            readme().contains(&format!("| `{name}` |")),
            "there is no metric {name}"
        );
    }
}

fn readme() -> String {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md"))
}

/// What stands behind a word at the start of lines.
fn values<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    text.lines()
        .filter_map(|line| line.trim_start().strip_prefix(word))
        .collect()
}

/// The anchor that a page gives to a headline.
fn anchor(line: &str) -> Option<String> {
    let title = line.trim_start_matches('#');
    (title.len() < line.len() && title.starts_with(' ')).then(|| {
        title
            .trim()
            .to_lowercase()
            .chars()
            .filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter))
            .map(|letter| if letter == ' ' { '-' } else { letter })
            .collect()
    })
}
