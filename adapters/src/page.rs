//! The page for operators under `/ui`: what the store holds, read-only, in a browser.
//!
//! It answers from memory, at once. A thread of its own reads the store, and only while somebody looks: an overview at
//! most every few seconds, one task's life when it is asked for, and after each reading it rests for a multiple of the time
//! that it took. So a page that many have open costs no more than one. Leader and standby show the same, for they
//! read the same store. Nothing here writes, and nothing shows more than `view` does.

mod desk;
mod files;
mod hour;
mod now;
mod reading;

use std::sync::Arc;

use crate::connection::Error as LinkError;
use crate::http::Response;
use crate::source::Source;
use crate::source::letters::Letters;
use crate::store::read::Place;
use crate::view::View;
use desk::Desk;
use reading::Reading;

/// What the page shows beside the store, and where that is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The store.
    pub place: Place,
    /// The name of this replica.
    pub replica: String,
    /// The version of the program.
    pub version: &'static str,
    /// The bound of tasks without a verdict.
    pub tasks_max: usize,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store's address or CA cannot be used at all.
    #[error(transparent)]
    Store(#[from] LinkError),
    /// The operating system has no thread to give.
    #[error("no thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// The open page; its thread ends after it.
pub struct Page {
    desk: Arc<Desk>,
}

impl Page {
    /// Starts the thread that reads.
    ///
    /// # Errors
    /// When the store cannot be used at all, or there is no thread.
    pub fn open(settings: Settings, source: Arc<dyn Source>, letters: Letters) -> Result<Self, Error> {
        let view = View::new(&settings.place, "page")?;
        let desk = Arc::new(Desk::default());
        let reading = Reading::new(settings, view, source, letters);
        std::thread::Builder::new().name("page".to_owned()).spawn({
            let desk = Arc::clone(&desk);
            move || reading.run(&desk)
        })?;
        Ok(Self { desk })
    }

    /// Answers a path below `/ui`; `None` for any other.
    pub fn response(&self, path: &str) -> Option<Response> {
        let name = path.strip_prefix("/ui")?;
        if name.is_empty() {
            return Some(files::to_the_page());
        }
        let name = name.strip_prefix('/')?;
        if name == "now.json" {
            return Some(self.desk.now());
        }
        let task = name
            .strip_prefix("tasks/")
            .and_then(|task| task.strip_suffix(".json"));
        if let Some(id) = task.and_then(decoded) {
            return Some(self.desk.life(&id));
        }
        Some(files::file(name))
    }
}

/// Reads an id from the hexadecimal digits of its bytes, so that no proxy can make another path of it.
fn decoded(digits: &str) -> Option<String> {
    let bytes = data_encoding::HEXLOWER.decode(digits.as_bytes()).ok()?;
    String::from_utf8(bytes).ok().filter(|id| !id.is_empty())
}

impl Drop for Page {
    fn drop(&mut self) {
        self.desk.close();
    }
}
