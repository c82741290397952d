//! What a look at the store shows, for `job-worker check` and `job-worker audit`. It never claims, and never writes.

mod pages;

pub use pages::{GivenUp, Pages, Remembered, Stored};

use super::Settings;
use super::keys::Keys;
use crate::connection::Error;
use crate::survey::{self, Survey};

/// Is what a store shows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoreSurvey {
    /// Server and login.
    pub survey: Survey,
    /// The instance that its keys belong to, as `<namespace>/<lock name>`; `None` where no leader has claimed it yet,
    /// or the keys are not as they should be.
    pub owner: Option<String>,
    /// Whether a message and its task are settled in one write, because queue and store are one server.
    pub joint: bool,
}

/// Looks at the store.
///
/// # Errors
/// Why the server cannot be asked.
pub fn survey(settings: &Settings) -> Result<StoreSurvey, Error> {
    let mut link = settings.target.link("check", "check")?;
    let address = settings.target.endpoint.address().to_string();
    let queue = settings.queue.as_ref().filter(|queue| queue.address == address);
    let keys = Keys::new(&settings.prefix, &settings.lock);
    let survey = survey::survey(&mut link, &keys.needed(queue), &keys.types())?;
    let readable = survey.wrong_types.is_empty() && survey.denied.is_empty();
    let owner = match readable {
        true => survey::value(&mut link, keys.instance())?,
        false => None,
    };
    Ok(StoreSurvey {
        survey,
        owner,
        joint: queue.is_some(),
    })
}
