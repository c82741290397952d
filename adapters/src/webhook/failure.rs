//! Why an attempt failed: what the HTTP client says, in the words of this program.

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;

use super::attempt::HEAD_MAX;
use super::lookup::LOOKUPS_MAX;

/// The most characters of a foreign error text that are kept.
const DETAIL_MAX: usize = 200;

/// Why an attempt failed. No text holds a query, a body or a secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Failure {
    /// The URL cannot be called at all.
    #[error("the URL is not an absolute http or https URL without user and password")]
    Url,
    /// Every address of the host is denied.
    #[error("the address {address} is in {rule}, which WEBHOOK_DENY_CIDRS denies")]
    Denied {
        /// The first address that was denied.
        address: IpAddr,
        /// The network that denies it.
        rule: IpNet,
    },
    /// The host name leads to no address.
    #[error("the host name could not be resolved: {0}")]
    Lookup(String),
    /// Too many look-ups of other names hang.
    #[error("{LOOKUPS_MAX} look-ups of other host names are still running")]
    LookupsBusy,
    /// The time was over, in the phase that is named.
    #[error("no answer in time ({0})")]
    Timeout(String),
    /// The connection could not be made or broke.
    #[error("the connection failed: {0}")]
    Connection(String),
    /// The TLS session could not be made.
    #[error("the TLS session failed: {0}")]
    Tls(String),
    /// What came back is no HTTP answer.
    #[error("the answer is not HTTP: {0}")]
    Protocol(String),
    /// The head of the answer is too long.
    #[error("the head of the answer is longer than {HEAD_MAX} bytes")]
    HeadTooLong,
    /// Answered 3xx.
    #[error("the receiver redirects, which is not followed")]
    Redirect,
    /// Answered with another status that is not 2xx.
    #[error("the receiver did not accept the callback")]
    Status,
    /// The pool was shut down in the middle of the attempt; the receiver may have got the callback.
    #[error("the attempt was interrupted by the end of this replica")]
    Interrupted,
    /// A defect of this program.
    #[error("the attempt ended by a defect of this program")]
    Panicked,
}

impl Failure {
    /// Returns a short name from a closed list, for metric labels.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Failure::Url => "url",
            Failure::Denied { .. } => "denied",
            Failure::Lookup(_) => "lookup",
            Failure::LookupsBusy => "lookups_busy",
            Failure::Timeout(_) => "timeout",
            Failure::Connection(_) => "connection",
            Failure::Tls(_) => "tls",
            Failure::Protocol(_) => "protocol",
            Failure::HeadTooLong => "head_too_long",
            Failure::Redirect => "redirect",
            Failure::Status => "status",
            Failure::Interrupted => "interrupted",
            Failure::Panicked => "panicked",
        }
    }
}

impl From<ureq::Error> for Failure {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the enum of the client is open, and its other variants cannot come from one POST"
    )]
    fn from(error: ureq::Error) -> Failure {
        match error {
            ureq::Error::Other(inner) => inner
                .downcast::<Failure>()
                .map_or_else(|other| Failure::Protocol(detail(&other)), |failure| *failure),
            ureq::Error::Timeout(phase) => Failure::Timeout(phase.to_string()),
            ureq::Error::Io(error) => connection(&error),
            ureq::Error::ConnectionFailed => Failure::Connection("no reason given".to_owned()),
            ureq::Error::HostNotFound => Failure::Lookup("no address".to_owned()),
            ureq::Error::Rustls(error) => Failure::Tls(detail(&error)),
            ureq::Error::Tls(text) => Failure::Tls(text.to_owned()),
            ureq::Error::LargeResponseHeader(..) => Failure::HeadTooLong,
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => Failure::Url,
            other => Failure::Protocol(detail(&other)),
        }
    }
}

fn connection(error: &io::Error) -> Failure {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(tls) => Failure::Tls(detail(tls)),
        None => Failure::Connection(detail(error)),
    }
}

/// A foreign text: control characters escaped, cut at a bound.
pub(super) fn detail(text: &impl std::fmt::Display) -> String {
    let text = text.to_string();
    let safe = text.chars().flat_map(|character| {
        let escape = character.is_control();
        escape
            .then(|| character.escape_default())
            .into_iter()
            .flatten()
            .chain((!escape).then_some(character))
    });
    safe.take(DETAIL_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_text_is_one_short_line() {
        assert_eq!(detail(&"a\nb\u{1b}[0m é"), "a\\nb\\u{1b}[0m é");
        assert_eq!(detail(&"x".repeat(1000)), "x".repeat(200));
    }
}
