//! What of a webhook URL may be shown, and who a receiver is. Pure.

use url::Url;

/// The most characters of a URL that a log line shows.
const SHOWN_MAX: usize = 200;

/// Returns a URL as it may stand in a log: without user, password, query and fragment, at most 200 characters.
#[must_use]
pub fn shown_url(url: &str) -> String {
    let Ok(url) = Url::parse(url) else {
        return "(not a URL)".to_owned();
    };
    let mut shown = format!("{}{}", origin(&url), url.path());
    if let Some((cut, _)) = shown.char_indices().nth(SHOWN_MAX) {
        shown.truncate(cut);
        shown.push('…');
    }
    shown
}

/// Returns the identity of a receiver: `scheme://host:port`, lower case, the port always written.
///
/// All that is no URL with a host is one receiver, `invalid`: nothing can be sent to it.
#[must_use]
pub fn receiver(url: &str) -> String {
    Url::parse(url)
        .ok()
        .filter(Url::has_host)
        .map_or_else(|| "invalid".to_owned(), |url| origin(&url))
}

fn origin(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_has_no_user_query_or_fragment() {
        let url = "https://user:pass@Example.com/hook/a%20b?token=secret#part";
        assert_eq!(shown_url(url), "https://example.com:443/hook/a%20b");
        assert_eq!(shown_url("no url?token=secret"), "(not a URL)");
        let long = shown_url(&format!("http://example.com/{}", "a".repeat(500)));
        assert_eq!(long.chars().count(), 201);
    }

    #[test]
    fn a_receiver_is_its_scheme_host_and_port() {
        let cases = [
            ("http://Example.COM/a?b", "http://example.com:80"),
            ("HTTPS://example.com:443/x", "https://example.com:443"),
            ("http://u:p@10.0.0.1:8080", "http://10.0.0.1:8080"),
            ("http://0x7f.1/", "http://127.0.0.1:80"),
            ("http://[::1]:9/", "http://[::1]:9"),
            ("mailto:a@example.com", "invalid"),
            ("nonsense", "invalid"),
        ];
        for (url, expected) in cases {
            assert_eq!(receiver(url), expected, "{url}");
        }
    }
}
