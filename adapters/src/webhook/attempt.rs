//! One attempt: from a delivery to the class of its answer.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ureq::http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body};
use url::Url;

use super::failure::{Failure, detail};
use super::lookup::Lookup;
use super::receiver::shown_url;
use super::retry_after::retry_after;
use super::secrets_file::SecretsFile;
use super::settings::{Error, Settings};
use super::{Answer, Delivery};

/// The most bytes of an answer's head.
pub const HEAD_MAX: usize = 16 * 1024;
/// The most bytes of an answer's body that are read, and dropped, so that the connection can be used again.
pub const DRAIN_MAX: u64 = 4 * 1024;
/// The longest that reading them may take.
pub const DRAIN_TIME: Duration = Duration::from_secs(1);

const USER_AGENT: &str = concat!("job-worker/", env!("CARGO_PKG_VERSION"));
/// Idle connections kept to one receiver, and how long.
const IDLE_PER_HOST: usize = 8;
const IDLE_AGE: Duration = Duration::from_secs(15);
const OUTPUT_BUFFER: usize = 16 * 1024;

/// The HTTP client of all delivery threads.
pub(super) struct Client {
    agent: Agent,
    secrets: Option<SecretsFile>,
    interrupted: AtomicBool,
}

impl Client {
    pub(super) fn new(settings: &Settings) -> Result<Client, Error> {
        let secrets = match &settings.secret_file {
            Some(path) => Some(SecretsFile::open(path.clone(), settings.clock.clone())?),
            None => None,
        };
        let roots = match &settings.ca_file {
            Some(path) => roots_with(path)?,
            None => RootCerts::WebPki,
        };
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(roots)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .tls_config(tls)
            .user_agent(USER_AGENT)
            .timeout_global(Some(settings.total))
            .timeout_resolve(Some(settings.connect))
            .timeout_connect(Some(settings.connect))
            .timeout_recv_body(Some(DRAIN_TIME))
            .max_response_header_size(HEAD_MAX)
            .input_buffer_size(2 * HEAD_MAX)
            .output_buffer_size(OUTPUT_BUFFER)
            .max_idle_connections(settings.threads)
            .max_idle_connections_per_host(IDLE_PER_HOST)
            .max_idle_age(IDLE_AGE)
            .build();
        let lookup = Lookup::new(settings.guard.clone());
        Ok(Client {
            agent: Agent::with_parts(config, DefaultConnector::default(), lookup),
            secrets,
            interrupted: AtomicBool::new(false),
        })
    }

    /// Posts once.
    pub(super) fn post(&self, delivery: &Delivery) -> Answer {
        let began = Instant::now();
        let answer = match self.exchange(delivery) {
            Ok(answer) => answer,
            Err(_) if self.interrupted.load(Ordering::SeqCst) => failed(Failure::Interrupted),
            Err(failure) => failed(failure),
        };
        log::debug!(
            webhook_id = delivery.webhook_id.as_str(),
            url = shown_url(&delivery.url),
            took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            "webhook attempt: {answer:?}"
        );
        answer
    }

    /// Makes every attempt fail that is under way or begins later.
    pub(super) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::SeqCst);
        self.agent.clone().shutdown();
    }

    fn exchange(&self, delivery: &Delivery) -> Result<Answer, Failure> {
        let request = self.request(delivery, SystemTime::now())?;
        let response = self.agent.run(request)?;
        let (head, body) = response.into_parts();
        let answer = answer(head.status, &head.headers, SystemTime::now());
        drain(body);
        Ok(answer)
    }

    fn request<'a>(&self, delivery: &'a Delivery, now: SystemTime) -> Result<Request<&'a [u8]>, Failure> {
        let timestamp = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let body = delivery.body.as_slice();
        let mut request = Request::post(target(&delivery.url)?)
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &delivery.webhook_id)
            .header("webhook-timestamp", timestamp);
        if let Some(secrets) = &self.secrets {
            let signature = secrets.current().signature(&delivery.webhook_id, timestamp, body);
            request = request.header("webhook-signature", signature);
        }
        if let Some(traceparent) = &delivery.traceparent {
            match HeaderValue::from_str(traceparent) {
                Ok(value) => request = request.header("traceparent", value),
                Err(_) => log::warn!(
                    webhook_id = delivery.webhook_id.as_str();
                    "a traceparent that is no header value was left out"
                ),
            }
        }
        request.body(body).map_err(|_| Failure::Url)
    }
}

/// The form of the URL that both parsers, WHATWG's and RFC 3986's, read alike.
fn target(url: &str) -> Result<Uri, Failure> {
    let url = Url::parse(url).map_err(|_| Failure::Url)?;
    let anonymous = url.username().is_empty() && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https") || !anonymous {
        return Err(Failure::Url);
    }
    url.as_str().parse().map_err(|_| Failure::Url)
}

fn failed(reason: Failure) -> Answer {
    Answer::Failed {
        reason,
        status: None,
        retry_after: None,
    }
}

fn answer(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Answer {
    if status.is_success() {
        return Answer::Delivered {
            status: status.as_u16(),
        };
    }
    if status == StatusCode::GONE {
        return Answer::Gone;
    }
    let reason = if status.is_redirection() {
        Failure::Redirect
    } else {
        Failure::Status
    };
    let asked = headers
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| retry_after(value, now));
    Answer::Failed {
        reason,
        status: Some(status.as_u16()),
        retry_after: asked,
    }
}

/// Reads a short body to its end, which frees the connection for the next callback; any other closes it.
fn drain(body: Body) {
    let mut rest = body.into_reader().take(DRAIN_MAX);
    if let Err(error) = io::copy(&mut rest, &mut io::sink()) {
        // The status is already known: how the body ends changes nothing.
        log::trace!("the body of a webhook's answer broke off: {}", detail(&error));
    }
}

/// The public roots and those of the file.
fn roots_with(path: &Path) -> Result<RootCerts, Error> {
    let pem = std::fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let unusable = |reason: String| Error::Certificates {
        path: path.to_owned(),
        reason,
    };
    let mut own = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => own.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(unusable(detail(&error))),
        }
    }
    if own.is_empty() {
        return Err(unusable("no certificate in it".to_owned()));
    }
    let mut store = rustls::RootCertStore::empty();
    for certificate in &own {
        store
            .add(certificate.der().into())
            .map_err(|error| unusable(detail(&error)))?;
    }
    let public = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    own.extend(public.map(|der| Certificate::from_der(der)));
    Ok(RootCerts::Specific(Arc::new(own)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_becomes_the_address() {
        let host = |url: &str| target(url).map(|uri| uri.host().unwrap_or_default().to_owned());
        for spelling in ["127.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.1."] {
            assert_eq!(host(&format!("http://{spelling}/a")).as_deref(), Ok("127.0.0.1"));
        }
        assert_eq!(host("http://[0:0::1]:80/").as_deref(), Ok("[::1]"));
        assert_eq!(host("HTTP://EXAMPLE.com/").as_deref(), Ok("example.com"));
        assert_eq!(
            host("http://bücher.example/").as_deref(),
            Ok("xn--bcher-kva.example")
        );
    }

    #[test]
    fn a_url_that_cannot_be_called_is_refused() {
        for url in [
            "",
            "/callback",
            "ftp://example.com/",
            "http://user@example.com/",
            "http://user:pass@example.com/",
            "http://[fe80::1%25eth0]/",
            "http://exa mple.com/",
            "mailto:a@example.com",
        ] {
            assert_eq!(target(url), Err(Failure::Url), "{url}");
        }
    }

    #[test]
    fn the_class_of_an_answer_is_that_of_its_status() {
        let now = UNIX_EPOCH;
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        let class = |status: u16| answer(StatusCode::from_u16(status).unwrap(), &headers, now);
        for status in [200, 201, 202, 204, 226, 299] {
            assert_eq!(class(status), Answer::Delivered { status });
        }
        assert_eq!(class(410), Answer::Gone);
        let refused = |reason: Failure, status: u16| Answer::Failed {
            reason,
            status: Some(status),
            retry_after: Some(Duration::from_secs(7)),
        };
        for status in [300, 301, 302, 303, 304, 307, 308] {
            assert_eq!(class(status), refused(Failure::Redirect, status));
        }
        for status in [400, 401, 404, 409, 429, 500, 503, 599, 999] {
            assert_eq!(class(status), refused(Failure::Status, status));
        }
    }
}
