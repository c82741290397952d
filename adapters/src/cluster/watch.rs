//! Lists and then watches one kind of object in one scope, for ever.
//!
//! It holds no object. A list is consistent (no resourceVersion) and paged; a watch that ends is resumed where it was. A new list is
//! made where the API server cannot resume it, where the watch broke off or the API server could not be reached (what it keeps may
//! be older when it is back, and it would be silent until it has caught up), and from time to time, for what a watch has lost.
//! Called by the scopes.

use super::Shared;
use super::backoff::Backoff;
use super::client::{self, Answer, Client, Silence, Verb};
use super::frames::{Frames, Line};
use super::names::label;
use super::wire::{Bookmark, Frame, List, Status, Watched};
use super::{Scope, chance};
use engine::Timestamp;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Objects asked for in one page of a list.
const PAGE: usize = 500;

/// How long the API server is asked to keep a watch open. A connection that died in silence is noticed this much later, at most.
const WATCH: Duration = Duration::from_secs(60);

/// How much longer a watch may be silent before it counts as dead.
const MARGIN: Duration = Duration::from_secs(5);

/// A watch that ends sooner than this has not worked.
const SHORT: Duration = Duration::from_secs(1);

/// Attempts to resume in a row that were answered, but led to nothing, before a new list is made: an API server that was
/// restored from a backup never reaches the version that is asked for.
const RESUMES_MAX: u32 = 3;

/// What a feed yields.
pub(super) enum Notice<K> {
    /// A consistent list begins.
    Listing,
    /// A page of it.
    Page(Vec<K>),
    /// It is complete.
    Listed { began_at: Timestamp },
    /// The watch is open.
    Watching,
    /// An object was made or changed.
    Changed(K),
    /// An object is gone; this was its last state.
    Deleted(K),
    /// The API server does not allow it.
    Refused(String),
}

/// Why a list or a watch came to an end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("{0}")]
    Silence(#[from] Silence),
    #[error("{message}")]
    Refused { message: String },
    #[error("the version is too old to be resumed")]
    Expired,
    #[error("{message} (HTTP {code})")]
    Answer {
        code: u16,
        message: String,
        retry_after_ms: Option<u64>,
    },
    #[error("what the API server sent cannot be read: {0}")]
    Decode(#[from] serde_json::Error),
    #[error("the watch broke off: {0}")]
    Broken(String),
    #[error("the watch ended")]
    Ended,
    #[error("nothing came for {} s", (WATCH + MARGIN).as_secs())]
    Idle,
}

impl Trouble {
    /// Returns the reason as metrics spell it.
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Silence(_) => "unreachable",
            Self::Refused { .. } => "forbidden",
            Self::Expired => "expired",
            Self::Answer { .. } => "error",
            Self::Decode(_) => "unreadable",
            Self::Broken(_) => "broken",
            Self::Ended => "ended",
            Self::Idle => "idle",
        }
    }

    fn of(answer: &Answer) -> Self {
        let status = Status::read(&answer.body);
        let reason = status.as_ref().map_or("", |status| status.reason.as_str());
        match answer.code {
            410 => Self::Expired,
            _ if reason == "Expired" || reason == "Gone" => Self::Expired,
            403 => Self::Refused {
                message: answer.words(),
            },
            code => Self::Answer {
                code,
                message: answer.words(),
                retry_after_ms: answer.retry_after_ms,
            },
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answer {
                retry_after_ms: Some(ms),
                ..
            } => Some(Duration::from_millis(*ms)),
            Self::Answer { .. }
            | Self::Silence(_)
            | Self::Refused { .. }
            | Self::Expired
            | Self::Decode(_)
            | Self::Broken(_)
            | Self::Ended
            | Self::Idle => None,
        }
    }
}

/// Lists and watches until the task is aborted.
pub(super) async fn follow<K: Watched>(shared: &Shared, scope: &Scope, mut emit: impl FnMut(Notice<K>)) {
    let selector = format!("{}={}", label::INSTANCE, shared.ours.label());
    let feed = Feed {
        shared,
        namespace: scope.namespace(),
        selector,
    };
    let mut backoff = Backoff::default();
    loop {
        let version = feed.list(&mut backoff, &mut emit).await;
        feed.resume(version, &mut backoff, &mut emit).await;
    }
}

/// Lists objects page by page; returns the version at which the list is true.
///
/// # Errors
/// The first page that could not be had; pages before it were already given to `take`.
pub(super) async fn pages<K: Watched>(
    client: &Client,
    namespace: Option<&str>,
    selector: &str,
    mut take: impl FnMut(Vec<K>),
) -> Result<String, Trouble> {
    let path = client::objects(K::ROOT, namespace, K::RESOURCE);
    let mut size = PAGE;
    let mut token = String::new();
    loop {
        let limit = size.to_string();
        let mut query = vec![("labelSelector", selector), ("limit", limit.as_str())];
        if !token.is_empty() {
            query.push(("continue", &token));
        }
        let answer = match client.read(Verb::List, &client::with_query(&path, &query)).await {
            Err(Silence::TooLong) if size > 1 => {
                size /= 2;
                continue;
            }
            answer => answer?,
        };
        if answer.code != 200 {
            return Err(Trouble::of(&answer));
        }
        let list: List<K> = serde_json::from_slice(&answer.body)?;
        take(list.items);
        token = list.metadata.r#continue;
        if token.is_empty() {
            return Ok(list.metadata.resource_version);
        }
    }
}

struct Feed<'a> {
    shared: &'a Shared,
    namespace: Option<&'a str>,
    selector: String,
}

impl Feed<'_> {
    /// Lists, as often as it takes.
    async fn list<K: Watched>(&self, backoff: &mut Backoff, emit: &mut impl FnMut(Notice<K>)) -> String {
        loop {
            let began_at = self.shared.now();
            emit(Notice::Listing);
            let listed = pages(&self.shared.client, self.namespace, &self.selector, |page| {
                emit(Notice::Page(page));
            })
            .await;
            match listed {
                Ok(version) => {
                    self.shared.reports.reached();
                    emit(Notice::Listed { began_at });
                    return version;
                }
                Err(trouble) => self.suffer::<K>(&trouble, "list", backoff, emit).await,
            }
        }
    }

    /// Watches from `version` on; returns when only a new list can help.
    async fn resume<K: Watched>(
        &self,
        mut version: String,
        backoff: &mut Backoff,
        emit: &mut impl FnMut(Notice<K>),
    ) {
        let mut in_vain = 0;
        let stale_at = Instant::now() + self.shared.settings.relist_after.mul_f64(1.0 + chance() / 5.0);
        loop {
            let began = Instant::now();
            let trouble = self.watch(&mut version, emit).await;
            self.shared.client.watch_ended(trouble.as_str());
            log::debug!(resource = K::RESOURCE, namespace = self.namespace; "a watch ended: {trouble}");
            let worked = began.elapsed() >= SHORT;
            if worked {
                in_vain = 0;
                backoff.reset();
            } else {
                in_vain += 1;
            }
            match trouble {
                Trouble::Expired if worked => return,
                Trouble::Ended | Trouble::Idle if worked => {}
                Trouble::Expired | Trouble::Decode(_) | Trouble::Silence(_) | Trouble::Broken(_) => {
                    self.suffer::<K>(&trouble, "watch", backoff, emit).await;
                    return;
                }
                Trouble::Ended | Trouble::Idle | Trouble::Refused { .. } | Trouble::Answer { .. } => {
                    self.suffer::<K>(&trouble, "watch", backoff, emit).await;
                    if in_vain >= RESUMES_MAX {
                        return;
                    }
                }
            }
            if Instant::now() >= stale_at {
                return;
            }
        }
    }

    /// Opens one watch and reads it to its end, whatever that is.
    async fn watch<K: Watched>(&self, version: &mut String, emit: &mut impl FnMut(Notice<K>)) -> Trouble {
        let seconds = WATCH.as_secs().to_string();
        let query = [
            ("watch", "1"),
            ("labelSelector", self.selector.as_str()),
            ("resourceVersion", version.as_str()),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", seconds.as_str()),
        ];
        let path = client::objects(K::ROOT, self.namespace, K::RESOURCE);
        let stream = match self.shared.client.open(&client::with_query(&path, &query)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(answer)) => return Trouble::of(&answer),
            Err(silence) => return silence.into(),
        };
        self.shared.reports.reached();
        emit(Notice::Watching);
        let mut frames = Frames::new(stream);
        loop {
            match timeout(WATCH + MARGIN, frames.next()).await {
                Err(_) => return Trouble::Idle,
                Ok(Line::End) => return Trouble::Ended,
                Ok(Line::Broken(why)) => return Trouble::Broken(why),
                Ok(Line::Whole(line)) => {
                    if let Err(trouble) = read(line, version, emit) {
                        return trouble;
                    }
                }
            }
        }
    }

    /// Reports what is wrong and waits.
    async fn suffer<K>(
        &self,
        trouble: &Trouble,
        verb: &str,
        backoff: &mut Backoff,
        emit: &mut impl FnMut(Notice<K>),
    ) where
        K: Watched,
    {
        let pause = match trouble {
            Trouble::Refused { message } => {
                self.shared.reports.reached();
                emit(Notice::Refused(format!(
                    "cannot {verb} {}: {message}",
                    K::RESOURCE
                )));
                REFUSED.mul_f64(1.0 + chance() / 10.0)
            }
            Trouble::Silence(_) | Trouble::Answer { .. } | Trouble::Decode(_) => {
                self.shared
                    .reports
                    .lost(format!("cannot {verb} {}: {trouble}", K::RESOURCE));
                let least = trouble.retry_after().unwrap_or_default();
                backoff.next(chance()).max(least.min(RETRY_AFTER_MAX))
            }
            Trouble::Expired | Trouble::Ended | Trouble::Idle | Trouble::Broken(_) => backoff.next(chance()),
        };
        sleep(pause).await;
    }
}

/// A refused list or watch is tried again, and its refusal reported again, after this and up to a tenth more.
const REFUSED: Duration = Duration::from_secs(5);

/// The longest `Retry-After` that a list or watch obeys.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

fn read<K: Watched>(
    line: &[u8],
    version: &mut String,
    emit: &mut impl FnMut(Notice<K>),
) -> Result<(), Trouble> {
    if line.is_empty() {
        return Ok(());
    }
    let frame: Frame<'_> = serde_json::from_slice(line)?;
    let object = frame.object.get();
    let mut seen = |newer: &str| {
        if !newer.is_empty() {
            newer.clone_into(version);
        }
    };
    match frame.r#type.as_ref() {
        "ADDED" | "MODIFIED" => {
            let object: K = serde_json::from_str(object)?;
            seen(&object.metadata().resource_version);
            emit(Notice::Changed(object));
        }
        "DELETED" => {
            let object: K = serde_json::from_str(object)?;
            seen(&object.metadata().resource_version);
            emit(Notice::Deleted(object));
        }
        "BOOKMARK" => {
            let bookmark: Bookmark = serde_json::from_str(object)?;
            seen(&bookmark.metadata.resource_version);
        }
        "ERROR" => {
            let status: Status = serde_json::from_str(object)?;
            return Err(match (status.code, status.reason.as_str()) {
                (410, _) | (_, "Expired" | "Gone") => Trouble::Expired,
                (code, _) => Trouble::Answer {
                    code,
                    retry_after_ms: status.details.retry_after_seconds.map(|s| s.saturating_mul(1000)),
                    message: client::cut(&status.message),
                },
            });
        }
        other => log::debug!("a watch sent a line of the unknown type {other}: ignored"),
    }
    Ok(())
}
