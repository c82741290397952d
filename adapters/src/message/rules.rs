//! The rules that single strings of a message obey, most of them Kubernetes' own.
//!
//! They are as strict as the API server of any supported version, so that a fault is named here and not answered there,
//! and no stricter. Sources: `k8s.io/apimachinery/pkg/util/validation` and the field documentation of the core API.

use url::Url;

/// The most bytes of an id.
pub const ID_MAX: usize = 253;

/// The most bytes of a webhook URL: it is stored, and is an annotation (256 KiB for all of an object's annotations).
pub const WEBHOOK_URL_MAX: usize = 8 * 1024;

/// A rule for one string.
pub(super) struct Rule {
    /// Tells whether the string obeys.
    pub(super) holds: fn(&str) -> bool,
    /// The rule in words, as the rest of a sentence that starts with the field.
    pub(super) text: &'static str,
    /// The string is not shown where it breaks the rule.
    pub(super) secret: bool,
}

pub(super) const ID: Rule = Rule {
    holds: |text| (1..=ID_MAX).contains(&text.len()),
    text: "must have 1 to 253 bytes",
    secret: false,
};

pub(super) const LABEL_VALUE: Rule = Rule {
    holds: is_label_value,
    text: "must be a label value: at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends",
    secret: false,
};

pub(super) const LABEL_KEY: Rule = Rule {
    holds: is_label_key,
    text: "must be a label key: at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends, \
           after an optional DNS subdomain and '/'",
    secret: false,
};

pub(super) const DNS_LABEL: Rule = Rule {
    holds: is_dns_label,
    text: "must be a DNS label: 1 to 63 lower-case letters, digits and '-', with a letter or digit at both ends",
    secret: false,
};

pub(super) const DNS_SUBDOMAIN: Rule = Rule {
    holds: is_dns_subdomain,
    text: "must be a DNS subdomain: at most 253 lower-case letters, digits, '-' and '.', with a letter or digit at both \
           ends of every part",
    secret: false,
};

pub(super) const IMAGE: Rule = Rule {
    holds: |text| !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control()),
    text: "must be an image reference, without white space",
    secret: false,
};

/// A command, an argument, the value of a variable: no process can be given a NUL.
pub(super) const ARGUMENT: Rule = Rule {
    holds: |text| !text.contains('\0'),
    text: "must be a string without NUL characters",
    secret: true,
};

/// Kubernetes before 1.30; newer ones take every printable ASCII character but '='. Secret, as `NAME=value` may stand here.
pub(super) const ENV_NAME: Rule = Rule {
    holds: is_env_name,
    text: "must be letters, digits, '_', '-' and '.', must not start with a digit, and must not be '.' or start with '..'",
    secret: true,
};

pub(super) const MOUNT_PATH: Rule = Rule {
    holds: |text| text.starts_with('/') && !text.contains([':', '\0']),
    text: "must be an absolute path without ':'",
    secret: false,
};

/// Tells whether a label may have this value, the empty one included.
pub(crate) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_label_name(text)
}

/// Tells whether the text is a DNS label of RFC 1123 in lower case.
pub(crate) fn is_dns_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= 63 && has_ends(text) && text.bytes().all(inner)
}

fn is_label_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= 63 && has_ends(text) && text.bytes().all(inner)
}

fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_dns_subdomain(prefix) && is_label_name(name),
        None => is_label_name(text),
    }
}

/// Only the whole is bounded: Kubernetes does not hold its parts to 63.
fn is_dns_subdomain(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= 253
        && text
            .split('.')
            .all(|part| has_ends(part) && part.bytes().all(inner))
}

fn is_env_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let first_is_digit = text.bytes().next().is_none_or(|byte| byte.is_ascii_digit());
    !first_is_digit && text.bytes().all(inner) && text != "." && !text.starts_with("..")
}

/// Not empty, with an ASCII letter or digit first and last.
fn has_ends(text: &str) -> bool {
    let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    end(text.as_bytes().first()) && end(text.as_bytes().last())
}

/// Checks a webhook URL. The answer is the broken rule, without any part of the URL but its scheme: the rest may be secret.
pub(super) fn webhook_url(text: &str) -> Result<(), String> {
    if text.len() > WEBHOOK_URL_MAX {
        return Err(format!(
            "must have at most {WEBHOOK_URL_MAX} bytes, has {}",
            text.len()
        ));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("must not contain white space or control characters".to_owned());
    }
    let url = Url::parse(text).map_err(|error| format!("must be an absolute http or https URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "must be an absolute http or https URL, its scheme is {}",
            scheme_shown(url.scheme())
        ));
    }
    // The parser also takes `http:host` and `http:/host`.
    if text
        .get(url.scheme().len()..)
        .is_none_or(|rest| !rest.starts_with("://"))
    {
        return Err("must be an absolute http or https URL: no '//' after the scheme".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain a user or password".to_owned());
    }
    Ok(())
}

fn scheme_shown(scheme: &str) -> &str {
    scheme.get(..16).unwrap_or(scheme)
}

/// Reads a `traceparent` of any version of W3C Trace Context (section 3.2) and answers it as version 00, the one that
/// we can write.
pub(super) fn traceparent(text: &str) -> Option<String> {
    let lower_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let mut parts = text.splitn(5, '-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let rest = parts.next();
    let lengths = (version.len(), trace.len(), parent.len(), flags.len()) == (2, 32, 16, 2);
    let all_hex = [version, trace, parent, flags].into_iter().all(lower_hex);
    let known = version != "ff" && (version != "00" || rest.is_none());
    (lengths && all_hex && known && !zero(trace) && !zero(parent))
        .then(|| format!("00-{trace}-{parent}-{flags}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";

    #[test]
    fn a_traceparent_is_taken_as_w3c_trace_context_says() {
        assert_eq!(
            traceparent(&format!("00-{TRACE}-01")),
            Some(format!("00-{TRACE}-01"))
        );
        assert_eq!(
            traceparent(&format!("cc-{TRACE}-00-more")),
            Some(format!("00-{TRACE}-00"))
        );
        assert_eq!(
            traceparent(&format!("cc-{TRACE}-00")),
            Some(format!("00-{TRACE}-00"))
        );
        for text in [
            String::new(),
            format!("ff-{TRACE}-01"),
            format!("00-{TRACE}-01-more"),
            format!("00-{TRACE}-01-"),
            format!("00-{TRACE}"),
            format!("00-{TRACE}-1"),
            format!("00-{TRACE}-0g"),
            format!("00-{}-01", TRACE.to_uppercase()),
            format!(" 00-{TRACE}-01"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01".to_owned(),
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01".to_owned(),
        ] {
            assert_eq!(traceparent(&text), None, "{text}");
        }
    }

    #[test]
    fn names_are_taken_as_kubernetes_takes_them() {
        let long = |length: usize| "a".repeat(length);
        for (rule, good, bad) in [
            (
                &DNS_LABEL,
                vec!["a".into(), "0".into(), "a-0".into(), long(63)],
                vec![
                    String::new(),
                    "-a".into(),
                    "a-".into(),
                    "A".into(),
                    "a.b".into(),
                    "a_b".into(),
                    "é".into(),
                    long(64),
                ],
            ),
            (
                &LABEL_VALUE,
                vec![String::new(), "A".into(), "a_.-Z".into(), long(63)],
                vec![
                    "-".into(),
                    "a.".into(),
                    "_a".into(),
                    "a b".into(),
                    "é".into(),
                    long(64),
                ],
            ),
            (
                &LABEL_KEY,
                vec![
                    "a".into(),
                    "a.b/C_d".into(),
                    format!("{}/{}", long(253), long(63)),
                ],
                vec![
                    String::new(),
                    "/a".into(),
                    "a/".into(),
                    "a/b/c".into(),
                    "A/b".into(),
                    "a..b/c".into(),
                    format!("{}/a", long(254)),
                ],
            ),
            (
                &DNS_SUBDOMAIN,
                vec!["a".into(), "a.b-c.0".into(), long(253)],
                vec![
                    String::new(),
                    ".".into(),
                    "a.".into(),
                    "a..b".into(),
                    "a.-b".into(),
                    "A".into(),
                    long(254),
                ],
            ),
        ] {
            for text in good {
                assert!((rule.holds)(&text), "{text}: {}", rule.text);
            }
            for text in bad {
                assert!(!(rule.holds)(&text), "{text}: {}", rule.text);
            }
        }
    }
}
