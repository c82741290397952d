//! Whether a callback would get to its receiver.

use adapters::webhook::{Failure, Guard, reach, shown_url};

use super::finding::{Finding, Level};
use crate::config::Config;

/// Connects to the receiver.
pub(super) fn finding(config: &Config, url: &str) -> Finding {
    let guard = Guard::new(config.webhook.deny.clone(), config.webhook.allow.clone());
    let ca = config.webhook.ca.as_ref().map(|ca| ca.pem.as_str());
    let check = format!("webhook {}", shown_url(url));
    match reach(url, guard, ca) {
        Ok(reached) => {
            let session = reached
                .tls
                .map_or("without TLS".to_owned(), |version| format!("with {version}"));
            Finding::new(
                check,
                Level::Ok,
                format!("{} takes connections, {session}", reached.address),
            )
        }
        Err(failure) => {
            let advice = advice(&failure);
            Finding::fail(check, failure, advice)
        }
    }
}

fn advice(failure: &Failure) -> &'static str {
    match failure {
        Failure::Denied { .. } => "WEBHOOK_ALLOW_CIDRS makes exceptions for receivers inside",
        Failure::Lookup(_) => "is the name right, and does this machine's DNS know it?",
        Failure::Tls(_) => "is its certificate valid for the name? WEBHOOK_CA_FILE adds a private CA",
        Failure::Url => "the URL has to be an absolute http or https URL without user and password",
        Failure::LookupsBusy
        | Failure::Timeout(_)
        | Failure::Connection(_)
        | Failure::Protocol(_)
        | Failure::HeadTooLong
        | Failure::Redirect
        | Failure::Status
        | Failure::Interrupted
        | Failure::Panicked => {
            "does the receiver listen, and may this machine connect to it (NetworkPolicy, firewall)?"
        }
    }
}
