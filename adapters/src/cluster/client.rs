//! One request, one answer. Each is sent once; kube's own repetition is off.
//!
//! It never judges an answer. Called by everything of this adapter that speaks to the API server.

use super::Hooks;
use super::wire::Status;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::client::Body;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Longest answer that is read, in bytes; a list that is longer is asked for in smaller pages.
const ANSWER_MAX: usize = 64 << 20;

/// Longest text of the API server that is passed on, in bytes.
pub(super) const TEXT_MAX: usize = 2048;

/// A refused token is looked for in its file no more often than this.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// What a request does, as Kubernetes names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Patch,
}

impl Verb {
    /// Returns the verb as RBAC and metrics spell it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Patch => "patch",
        }
    }

    const fn method(self) -> Method {
        match self {
            Self::Get | Self::List | Self::Watch => Method::GET,
            Self::Create => Method::POST,
            Self::Patch => Method::PATCH,
        }
    }

    const fn content_type(self) -> Option<&'static str> {
        match self {
            Self::Get | Self::List | Self::Watch => None,
            Self::Create => Some("application/json"),
            // RFC 7396; the API server takes uid and resourceVersion in it as preconditions.
            Self::Patch => Some("application/merge-patch+json"),
        }
    }
}

/// What the API server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) retry_after_ms: Option<u64>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Returns the API server's own words, or the beginning of whatever answered in its place.
    pub(super) fn words(&self) -> String {
        let text = Status::read(&self.body).map_or_else(
            || String::from_utf8_lossy(&self.body[..self.body.len().min(TEXT_MAX)]).into_owned(),
            |status| status.message,
        );
        match text.trim() {
            "" => format!("HTTP {}", self.code),
            text => cut(text),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Silence {
    #[error("no answer from the API server within {:.1} s", .0.as_secs_f32())]
    Timeout(Duration),
    #[error("the API server could not be asked: {0}")]
    Transport(String),
    #[error("the answer of the API server is longer than {ANSWER_MAX} bytes")]
    TooLong,
}

impl Silence {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "timeout",
            Self::Transport(_) => "error",
            Self::TooLong => "too_long",
        }
    }
}

/// Sends requests and counts them.
pub(super) struct Client {
    config: kube::Config,
    kube: Mutex<Current>,
    timeout: Duration,
    hooks: Hooks,
}

/// The client in use; what it has read of files may be older than they are.
struct Current {
    client: kube::Client,
    renewed_at: Option<Instant>,
}

impl Client {
    /// Builds a client, within a runtime; `timeout` bounds every request that is not told otherwise.
    ///
    /// # Errors
    /// The configuration is of no use.
    pub(super) fn new(config: kube::Config, timeout: Duration, hooks: Hooks) -> Result<Self, kube::Error> {
        let kube = Mutex::new(Current {
            client: kube::Client::try_from(config.clone())?,
            renewed_at: None,
        });
        Ok(Self {
            config,
            kube,
            timeout,
            hooks,
        })
    }

    /// Returns the bound of a request.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Counts the end of a watch.
    pub(super) fn watch_ended(&self, reason: &'static str) {
        (self.hooks.watch_restart)(reason);
    }

    /// Sends a request without a body.
    pub(super) async fn read(&self, verb: Verb, path: &str) -> Result<Answer, Silence> {
        self.send(verb, path, Vec::new(), self.timeout).await
    }

    /// Sends a request and reads its answer whole; both together end within `timeout`.
    pub(super) async fn send(
        &self,
        verb: Verb,
        path: &str,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<Answer, Silence> {
        let until = Instant::now() + timeout;
        let answer = timeout_at(until, self.exchange(verb, path, body))
            .await
            .unwrap_or(Err(Silence::Timeout(timeout)));
        self.count(verb, answer.as_ref().map(|answer| answer.code));
        answer
    }

    /// Opens a watch: returns its stream, or the answer that refused it.
    pub(super) async fn open(&self, path: &str) -> Result<Result<Body, Answer>, Silence> {
        let until = Instant::now() + self.timeout;
        let opened = timeout_at(until, async {
            let response = self.begin(Verb::Watch, path, Vec::new()).await?;
            if response.status().is_success() {
                return Ok(Ok(response.into_body()));
            }
            collect(response).await.map(Err)
        })
        .await
        .unwrap_or(Err(Silence::Timeout(self.timeout)));
        let code = match &opened {
            Ok(Ok(_)) => Ok(200),
            Ok(Err(answer)) => Ok(answer.code),
            Err(silence) => Err(silence),
        };
        self.count(Verb::Watch, code);
        opened
    }

    async fn exchange(&self, verb: Verb, path: &str, body: Vec<u8>) -> Result<Answer, Silence> {
        collect(self.begin(verb, path, body).await?).await
    }

    async fn begin(&self, verb: Verb, path: &str, body: Vec<u8>) -> Result<Response<Body>, Silence> {
        let mut request = Request::builder()
            .method(verb.method())
            .uri(path)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(
                USER_AGENT,
                HeaderValue::from_static(concat!("job-worker/", env!("CARGO_PKG_VERSION"))),
            );
        if let Some(content_type) = verb.content_type() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let request = request
            .body(Body::from(body))
            .map_err(|error| Silence::Transport(error.to_string()))?;
        let client = self.current().client.clone();
        let response = client
            .send(request)
            .await
            .map_err(|error| Silence::Transport(chain(&error)))?;
        if response.status() == StatusCode::UNAUTHORIZED {
            self.renew();
        }
        Ok(response)
    }

    /// Begins anew with what the files say now: a token may have been replaced before the old one had run out.
    fn renew(&self) {
        let mut current = self.current();
        if current.renewed_at.is_some_and(|at| at.elapsed() < RENEW_EVERY) {
            return;
        }
        current.renewed_at = Some(Instant::now());
        match kube::Client::try_from(self.config.clone()) {
            Ok(client) => current.client = client,
            Err(error) => log::warn!("the credentials cannot be read again: {}", chain(&error)),
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.kube.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, verb: Verb, code: Result<u16, &Silence>) {
        match code {
            Ok(code) => (self.hooks.request)(verb.as_str(), &code.to_string()),
            Err(silence) => (self.hooks.request)(verb.as_str(), silence.as_str()),
        }
    }
}

async fn collect(response: Response<Body>) -> Result<Answer, Silence> {
    let code = response.status().as_u16();
    let retry_after_ms = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse::<u64>().ok())
        .map(|seconds| seconds.saturating_mul(1000));
    let mut stream = response.into_body();
    let mut body = Vec::new();
    while let Some(frame) = stream.frame().await {
        let frame = frame.map_err(|error| Silence::Transport(chain(&error)))?;
        if let Ok(data) = frame.into_data() {
            if body.len() + data.len() > ANSWER_MAX {
                return Err(Silence::TooLong);
            }
            body.extend_from_slice(&data);
        }
    }
    let retry_after_ms = retry_after_ms.or_else(|| {
        let seconds = Status::read(&body)?.details.retry_after_seconds?;
        Some(seconds.saturating_mul(1000))
    });
    Ok(Answer {
        code,
        retry_after_ms,
        body,
    })
}

/// Puts an error and what caused it on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            write!(text, ": {words}").expect("a String never refuses");
        }
        source = cause.source();
    }
    cut(&text)
}

/// Cuts the API server's words to `TEXT_MAX`, the cut marked.
pub(super) fn cut(text: &str) -> String {
    const MARK: &str = "…";
    if text.len() <= TEXT_MAX {
        return text.to_owned();
    }
    let end = boundary(text, TEXT_MAX - MARK.len());
    format!("{}{MARK}", &text[..end])
}

/// Returns the last boundary between characters at or before `at`.
pub(super) fn boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Builds the path of a kind's objects, in one namespace or in all.
pub(super) fn objects(root: &str, namespace: Option<&str>, resource: &str) -> String {
    match namespace {
        Some(namespace) => format!("{root}/namespaces/{}/{resource}", segment(namespace)),
        None => format!("{root}/{resource}"),
    }
}

/// Builds the path of one Job.
pub(super) fn job(namespace: &str, name: &str) -> String {
    let jobs = objects("/apis/batch/v1", Some(namespace), "jobs");
    format!("{jobs}/{}", segment(name))
}

/// Appends a query to a path.
pub(super) fn with_query(path: &str, pairs: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    format!("{path}?{query}")
}

fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
