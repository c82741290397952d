//! Chromium under control, by its DevTools protocol: windows of any size, both colour schemes, keys.

use crate::browser::chromium;
use crate::place::until;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The protocol is spoken over the descriptors 3 and 4.
const START: &str = r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null"#;

/// One window.
pub(crate) struct Inspector {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
    session: Option<String>,
    asked: u64,
    /// What the page made the console say.
    pub(crate) console: Vec<Value>,
    _profile: tempfile::TempDir,
}

impl Inspector {
    /// Opens an empty window.
    pub(crate) fn open() -> Self {
        let profile = tempfile::tempdir().expect("a directory");
        let mut child = Command::new("sh")
            .args(["-c", START, "sh", chromium()])
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-dev-shm-usage",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromium starts");
        let asks = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut inspector = Self {
            child,
            asks,
            answers,
            session: None,
            asked: 0,
            console: Vec::new(),
            _profile: profile,
        };
        inspector.attach();
        inspector
    }

    fn attach(&mut self) {
        let mut target = Value::Null;
        until("there is a window", || {
            let targets = self.ask("Target.getTargets", json!({}));
            let windows = targets["targetInfos"].as_array().expect("targets").clone();
            let window = windows.into_iter().find(|target| target["type"] == "page");
            target = window.map_or(Value::Null, |window| window["targetId"].clone());
            !target.is_null()
        });
        let attached = self.ask(
            "Target.attachToTarget",
            json!({"targetId": target, "flatten": true}),
        );
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            self.ask(&format!("{domain}.enable"), json!({}));
        }
    }

    /// Asks, and waits for the answer.
    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut question = json!({"id": self.asked, "method": method, "params": params});
        if let Some(session) = &self.session {
            question["sessionId"] = session.as_str().into();
        }
        let text = format!("{question}\0");
        self.asks.write_all(text.as_bytes()).expect("chromium listens");
        loop {
            let mut text = Vec::new();
            self.answers.read_until(0, &mut text).expect("chromium speaks");
            text.pop();
            let said: Value = serde_json::from_slice(&text).expect("JSON");
            if said["id"] == self.asked {
                assert!(said["error"].is_null(), "{method}: {said}");
                return said["result"].clone();
            }
            let method = said["method"].as_str().unwrap_or_default();
            // A door that is busy answers the next time: the page shows it, and it is no fault of the page.
            let by_page = match method {
                "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" => true,
                "Log.entryAdded" => {
                    let entry = &said["params"]["entry"];
                    entry["level"] == "error" && entry["source"] != "network"
                }
                _ => false,
            };
            if by_page {
                self.console.push(said);
            }
        }
    }

    /// Makes the window that wide, for eyes that prefer this scheme.
    pub(crate) fn view(&mut self, width: u32, scheme: &str) {
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false}),
        );
        self.ask(
            "Emulation.setEmulatedMedia",
            json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
    }

    /// Goes to an address.
    pub(crate) fn go(&mut self, url: &str) {
        self.ask("Page.navigate", json!({"url": url}));
    }

    /// Asks the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let answer = self.ask(
            "Runtime.evaluate",
            json!({"expression": expression, "returnByValue": true}),
        );
        answer["result"]["value"].clone()
    }

    /// Waits until something is true in the page.
    pub(crate) fn until(&mut self, expression: &str) {
        until(expression, || self.value(expression) == true);
    }

    /// Presses a key.
    pub(crate) fn press(&mut self, key: &str, code: u8) {
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let mut press = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
            if kind == "keyDown" && !text.is_empty() {
                press["text"] = text.into();
            }
            self.ask("Input.dispatchKeyEvent", press);
        }
    }
}

impl Drop for Inspector {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
