//! Messages: from the bytes that a queue delivers to a task's description, or to every reason why not.
//!
//! Owns the rules of the message format, and the digest by which copies are recognised. It must never show an env value, a
//! command, an argument or a webhook URL, and never touches the world. Intake calls [`parse`] once per message taken.

mod digest;
mod fault;
mod fields;
mod job;
mod json;
mod quantity;
pub(crate) mod rules;
mod schema;
mod template;

use std::fmt;

use self::fault::{Path, Report};
use self::fields::Fields;
use self::json::{Json, Member};

pub use self::fault::{FAULTS_MAX, Fault, SHOWN_MAX, WARNINGS_MAX, Warning};
pub use self::quantity::{DIGITS_MAX, Malformed as MalformedQuantity, Quantity};
pub use self::rules::{ID_MAX, WEBHOOK_URL_MAX};
pub use self::schema::SCHEMA;
pub use self::template::{EnvFrom, EnvVar, JobTemplate, NodeSelector, Resources, Toleration, Volume};
pub use engine::Digest;

/// The most bytes of a message, its wrapping included.
pub const SIZE_MAX: usize = 256 * 1024;

/// A message that obeys every rule.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Names the task; 1 to [`ID_MAX`] bytes, any characters.
    pub id: String,
    /// The value of the app label.
    pub service: String,
    /// Where the callbacks go, as given; at most [`WEBHOOK_URL_MAX`] bytes. May hold secrets in its query.
    pub webhook: Option<String>,
    /// The trace context, as version 00 of W3C Trace Context.
    pub traceparent: Option<String>,
    /// What to run.
    pub job: JobTemplate,
}

/// An accepted message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The message.
    pub message: Message,
    /// Its digest.
    pub digest: Digest,
    /// What in it has no effect; at most [`WARNINGS_MAX`] and two more.
    pub warnings: Vec<Warning>,
}

/// A refused message: every fault, and what can be read for the answer to its client.
#[derive(Clone, PartialEq, Eq)]
pub struct Refused {
    /// The faults, one at least, at most [`FAULTS_MAX`] and one more.
    pub faults: Vec<Fault>,
    /// What else has no effect.
    pub warnings: Vec<Warning>,
    /// The id, where it is valid and given once.
    pub id: Option<String>,
    /// The webhook URL, where it is valid and given once.
    pub webhook: Option<String>,
    /// The trace context, where it is valid.
    pub traceparent: Option<String>,
}

/// Reads a message, as JSON or wrapped as `{"Body": "<the JSON as a string>"}`.
///
/// # Errors
/// The message breaks a rule: [`Refused`] names every rule that it breaks. Over [`SIZE_MAX`] nothing of it is read.
pub fn parse(raw: &[u8]) -> Result<Parsed, Refused> {
    if raw.len() > SIZE_MAX {
        return Err(Refused::whole(format!(
            "must have at most {SIZE_MAX} bytes, has {}",
            raw.len()
        )));
    }
    let text = std::str::from_utf8(raw)
        .map_err(|error| Refused::whole(format!("must be UTF-8, is not at byte {}", error.valid_up_to())))?;
    let tree = Json::read(text).map_err(|error| Refused::whole(format!("must be JSON: {error}")))?;
    let mut report = Report::default();
    let Json::Object(members) = &tree else {
        return Err(Refused::whole(format!(
            "must be a JSON object, is {}",
            tree.kind()
        )));
    };
    if !is_wrapped(members) {
        return read(members, report);
    }
    match unwrap(members, &mut report) {
        Some(Json::Object(inner)) => read(&inner, report),
        Some(other) => {
            let rule = format!(
                "must be a JSON object in a string, is {} in a string",
                other.kind()
            );
            report.fault(&Path::Field(&Path::Root, BODY), rule);
            Err(Refused::unread(report))
        }
        None => Err(Refused::unread(report)),
    }
}

const KNOWN: [&str; 5] = ["id", "service", "webhook", "traceparent", "job"];
const BODY: &str = "Body";

fn is_wrapped(members: &[Member<'_>]) -> bool {
    let has = |name: &str| members.iter().any(|(member, _)| member == name);
    has(BODY) && !KNOWN.into_iter().any(has)
}

/// Reads the wrapped text; `None` after a fault.
fn unwrap<'a>(members: &'a [Member<'a>], report: &mut Report) -> Option<Json<'a>> {
    let outer = Fields::open(members, Path::Root, &[BODY], report);
    if outer.is_repeated(BODY) {
        return None;
    }
    match outer.value(BODY) {
        Some(Json::String(text)) => Json::read(text)
            .map_err(|error| outer.fault(BODY, format!("must be JSON in a string: {error}"), report))
            .ok(),
        Some(other) => {
            outer.fault(
                BODY,
                format!("must be JSON in a string, is {}", other.kind()),
                report,
            );
            None
        }
        None => {
            outer.require(BODY, report);
            None
        }
    }
}

fn read(members: &[Member<'_>], mut report: Report) -> Result<Parsed, Refused> {
    let fields = Fields::open(members, Path::Root, &KNOWN, &mut report);
    fields.require("id", &mut report);
    let id = fields.string("id", &rules::ID, &mut report);
    let service = fields.required_string("service", &rules::LABEL_VALUE, &mut report);
    let webhook = webhook(&fields, &mut report);
    let traceparent = traceparent(&fields, &mut report);
    let job = fields
        .required_object("job", &job::KNOWN, &mut report)
        .map(|job| job::read(&job, &mut report));

    let id_is_sure = !fields.is_repeated("id");
    let webhook_is_sure = !fields.is_repeated("webhook");
    let (faults, warnings) = report.finish();
    match (id, job) {
        (Some(id), Some(job)) if faults.is_empty() => {
            let message = Message {
                id,
                service,
                webhook,
                traceparent,
                job,
            };
            Ok(Parsed {
                digest: digest::digest(&message),
                message,
                warnings,
            })
        }
        (id, _) => Err(Refused {
            faults,
            warnings,
            id: id.filter(|_| id_is_sure),
            webhook: webhook.filter(|_| webhook_is_sure),
            traceparent,
        }),
    }
}

/// An object with only unknown fields was meant to be one: it needs its URL.
fn webhook(fields: &Fields<'_>, report: &mut Report) -> Option<String> {
    let webhook = fields.object("webhook", &["url"], report)?;
    webhook.require("url", report);
    let value = webhook.value("url")?;
    let checked = match value.as_str() {
        Some(url) => rules::webhook_url(url).map(|()| url.to_owned()),
        None => Err(format!("must be a string, is {}", value.kind())),
    };
    match checked {
        Ok(url) => (!webhook.is_repeated("url")).then_some(url),
        Err(rule) => {
            webhook.fault("url", rule, report);
            None
        }
    }
}

fn traceparent(fields: &Fields<'_>, report: &mut Report) -> Option<String> {
    let valid = fields.value("traceparent")?.as_str().and_then(rules::traceparent);
    if valid.is_none() {
        report.invalid_traceparent();
    }
    valid
}

impl Refused {
    /// Refuses a message that breaks no rule but names a namespace outside `WATCH_NAMESPACES`.
    pub fn not_listed(message: &Message, listed: &[String]) -> Self {
        Self {
            faults: vec![Fault {
                path: "job.namespace".to_owned(),
                value: Some(format!("{:?}", message.job.namespace)),
                rule: format!("must be one of {}", listed.join(", ")).into(),
            }],
            warnings: Vec::new(),
            id: Some(message.id.clone()),
            webhook: message.webhook.clone(),
            traceparent: message.traceparent.clone(),
        }
    }

    fn whole(rule: String) -> Self {
        let mut report = Report::default();
        report.fault(&Path::Root, rule);
        Self::unread(report)
    }

    fn unread(report: Report) -> Self {
        let (faults, warnings) = report.finish();
        Self {
            faults,
            warnings,
            id: None,
            webhook: None,
            traceparent: None,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if index > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

// The URL of a webhook may hold secrets in its query: it stays out of every log.

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Refused");
        out.field("faults", &self.faults)
            .field("warnings", &self.warnings)
            .field("id", &self.id);
        out.field("traceparent", &self.traceparent)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Message");
        out.field("id", &self.id)
            .field("service", &self.service)
            .field("traceparent", &self.traceparent);
        out.field("job", &self.job).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(raw: &[u8]) -> String {
        parse(raw)
            .map(|parsed| parsed.digest)
            .expect_err("invalid")
            .to_string()
    }

    fn digest(job: &str) -> Digest {
        let raw = format!(
            r#"{{"id":"a","service":"s","job":{{"prefixName":"p","namespace":"n","image":"i"{job}}}}}"#
        );
        parse(raw.as_bytes()).expect("valid").digest
    }

    #[test]
    fn a_message_of_the_largest_size_is_read_and_one_byte_more_is_not() {
        let head = r#"{"id":"a","service":"s","webhook":{"url":"http://r/"},"job":{"prefixName":"p","namespace":"n","image":"i","args":[""#;
        let tail = r#""]}}"#;
        let raw = |size: usize| format!("{head}{}{tail}", "x".repeat(size - head.len() - tail.len()));
        let argument = parse(raw(SIZE_MAX).as_bytes()).expect("valid").message.job.args[0].len();
        assert_eq!(argument, SIZE_MAX - head.len() - tail.len());
        let refused = parse(raw(SIZE_MAX + 1).as_bytes()).expect_err("too large");
        assert_eq!(
            refused.to_string(),
            "message: must have at most 262144 bytes, has 262145"
        );
        assert_eq!((refused.id, refused.webhook), (None, None));
    }

    #[test]
    fn deep_nesting_is_refused_without_deep_recursion() {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let deep = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
            let field = format!(r#"{{"id":"a","x":{deep}}}"#);
            let wrapped = format!(r#"{{"Body":{:?}}}"#, field);
            assert!(faults(deep.as_bytes()).starts_with("message: must be JSON: recursion limit exceeded"));
            assert!(faults(field.as_bytes()).starts_with("message: must be JSON: recursion limit exceeded"));
            assert!(
                faults(wrapped.as_bytes())
                    .starts_with("Body: must be JSON in a string: recursion limit exceeded")
            );
        }
    }

    #[test]
    fn faults_and_warnings_are_bounded_and_the_rest_is_counted() {
        let nulls = vec!["null"; FAULTS_MAX + 44].join(",");
        let refused = parse(format!(r#"{{"job":{{"env":[{nulls}]}}}}"#).as_bytes()).expect_err("invalid");
        assert_eq!(refused.faults.len(), FAULTS_MAX + 1);
        assert_eq!(
            refused.faults[FAULTS_MAX].to_string(),
            "message: has 49 more faults"
        );
        let unknown: Vec<_> = (0..WARNINGS_MAX + 8)
            .map(|index| format!(r#""x{index}":0"#))
            .collect();
        let refused = parse(format!("{{{}}}", unknown.join(",")).as_bytes()).expect_err("invalid");
        assert_eq!(refused.warnings.len(), WARNINGS_MAX + 1);
        assert_eq!(refused.warnings[WARNINGS_MAX], Warning::MoreUnknownFields(8));
    }

    #[test]
    fn a_webhook_url_has_a_largest_size() {
        let message = |length: usize| {
            let url = format!("http://r/{}", "x".repeat(length - 9));
            format!(
                r#"{{"id":"a","service":"s","webhook":{{"url":"{url}"}},"job":{{"prefixName":"p","namespace":"n","image":"i"}}}}"#
            )
        };
        let parsed = parse(message(WEBHOOK_URL_MAX).as_bytes()).expect("valid");
        assert_eq!(parsed.message.webhook.map(|url| url.len()), Some(WEBHOOK_URL_MAX));
        assert_eq!(
            faults(message(WEBHOOK_URL_MAX + 1).as_bytes()),
            "webhook.url: must have at most 8192 bytes, has 8193"
        );
    }

    #[test]
    fn absent_and_default_have_one_digest() {
        for default in [
            r#","backoffLimit":0"#,
            r#","gpuEnable":false,"gpuNumber":3"#,
            r#","command":[],"args":null,"env":[]"#,
            r#","resources":{"limits":{}}"#,
            r#","unknown":1"#,
        ] {
            assert_eq!(digest(default), digest(""), "{default}");
        }
        assert_eq!(
            digest(r#","gpuEnable":true"#),
            digest(r#","gpuEnable":true,"gpuNumber":1"#)
        );
        assert_eq!(
            digest(r#","env":[{"name":"A"}]"#),
            digest(r#","env":[{"name":"A","value":""}]"#)
        );
    }

    #[test]
    fn every_field_changes_the_digest() {
        let variants = [
            "",
            r#","command":["a","b"]"#,
            r#","command":["ab"]"#,
            r#","args":["a","b"]"#,
            r#","command":["a"],"args":["b"]"#,
            r#","command":["a\njob.args 1:b"]"#,
            r#","serviceAccount":"a""#,
            r#","ttlSecondsAfterFinished":60"#,
            r#","backoffLimit":1"#,
            r#","activeDeadlineSeconds":60"#,
            r#","gpuEnable":true"#,
            r#","gpuEnable":true,"gpuNumber":2"#,
            r#","env":[{"name":"A","value":"1"}]"#,
            r#","env":[{"name":"A","value":"2"}]"#,
            r#","env":[{"name":"B","value":"1"}]"#,
            r#","envRef":[{"name":"a","type":"secret"}]"#,
            r#","envRef":[{"name":"a","type":"configmap"}]"#,
            r#","envRef":[{"name":"b","type":"configmap"}]"#,
            r#","resources":{"limits":{"cpu":1}}"#,
            r#","resources":{"limits":{"memory":1}}"#,
            r#","resources":{"requests":{"cpu":1}}"#,
            r#","resources":{"requests":{"memory":1}}"#,
            r#","nodeSelector":{"matchKey":"a"}"#,
            r#","nodeSelector":{"matchKey":"a","matchValue":"b"}"#,
            r#","toleration":{"key":"a"}"#,
            r#","toleration":{"key":"a","value":"b"}"#,
            r#","volume":{"mountPath":"/a","pvc":"b"}"#,
            r#","volume":{"mountPath":"/b","pvc":"b"}"#,
            r#","volume":{"mountPath":"/a","pvc":"a"}"#,
        ];
        let digests: std::collections::BTreeSet<_> = variants.into_iter().map(digest).collect();
        assert_eq!(digests.len(), variants.len());
    }

    #[test]
    fn what_is_logged_of_a_message_holds_no_secret() {
        let raw = br#"{"id":"a","service":"s","webhook":{"url":"http://r/?hidden"},"job":{"prefixName":"p","namespace":"n","image":"i",
            "command":["hidden"],"args":["hidden"],"env":[{"name":"PIN","value":"hidden"}]}}"#;
        let parsed = parse(raw).expect("valid");
        let shown = format!("{parsed:?}");
        assert!(shown.contains("PIN") && !shown.contains("hidden"), "{shown}");
    }
}
