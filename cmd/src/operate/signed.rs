//! Who gives an order, and why.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use adapters::driver::orders::WORDS_MAX;

use super::age;

/// Who gives an order, why, and for how long it stands.
#[derive(clap::Args)]
pub(super) struct Signed {
    /// Who gives the order: it stands in the event log, and in the verdict of a task that it ends (default: USER@HOST).
    #[arg(long, value_name = "NAME", value_parser = name)]
    by: Option<String>,
    /// Why, for the event log and the verdict.
    #[arg(long, value_name = "TEXT", default_value = "", value_parser = words)]
    pub(super) reason: String,
    /// How long to wait for the leader; then the order is taken back.
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = age::parse)]
    pub(super) wait: Duration,
}

impl Signed {
    /// Returns who gives the order: as named, else whoever runs this program, and where.
    pub(super) fn by(&self) -> String {
        self.by.clone().unwrap_or_else(whoever)
    }
}

/// Reads words that an order may hold.
fn words(text: &str) -> Result<String, String> {
    if text.chars().count() > WORDS_MAX {
        return Err(format!("must have at most {WORDS_MAX} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("must not hold control characters".to_owned());
    }
    Ok(text.to_owned())
}

fn name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("must name somebody".to_owned());
    }
    words(text)
}

fn whoever() -> String {
    let said = |name: &str| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
    let user = said("USER").or_else(|| said("LOGNAME")).unwrap_or_else(|| {
        fs::metadata("/proc/self").map_or_else(|_| "somebody".to_owned(), |me| format!("uid {}", me.uid()))
    });
    let host = fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| said("HOSTNAME"))
        .unwrap_or_default();
    let whole = match host.trim() {
        "" => user,
        host => format!("{user}@{host}"),
    };
    whole
        .chars()
        .filter(|letter| !letter.is_control())
        .take(WORDS_MAX)
        .collect()
}
