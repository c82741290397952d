//! The JSON Schema of a message, for producers: their editors and their own checks.
//!
//! It is a second statement of the rules, in the language of JSON Schema 2020-12; the parser alone decides. The tests hold the
//! two together: the schema never refuses what the parser accepts, and it refuses everything else but what [`SCHEMA`] names.

/// The schema as JSON text.
///
/// It uses only regular expressions that every common engine reads alike. Rules that it cannot express: the size of the
/// message and sizes in bytes where characters are not ASCII; a field given twice; a whole number written with a fraction
/// (`60.0`); request ≤ limit; digits and size of a quantity given as text; host and port of a URL; the length of a
/// label key's prefix; and what is inside a wrapped message (there it is an annotation, `contentSchema`).
pub const SCHEMA: &str = include_str!("schema.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use jsonschema::Validator;
    use serde_json::{Value, json};

    use super::super::{KNOWN, SIZE_MAX, job, parse};
    use super::*;

    /// Invalid messages that are no JSON, and those that only break a rule that a schema cannot express.
    const BEYOND: [&str; 19] = [
        "empty",
        "id-twice",
        "lone-surrogate",
        "not-json",
        "not-utf-8",
        "number-beyond-a-float",
        "quantity-too-large",
        "quantity-with-19-digits",
        "request-above-limit",
        "truncated",
        "ttl-float",
        "webhook-twice",
        "webhook-url-port-too-large",
        "webhook-url-twice",
        "wrapped-given-twice",
        "wrapped-invalid",
        "wrapped-not-an-object",
        "wrapped-not-json",
        "wrapped-twice",
    ];

    fn schema() -> Value {
        serde_json::from_str(SCHEMA).expect("the schema is JSON")
    }

    fn validator() -> Validator {
        jsonschema::draft202012::options()
            .build(&schema())
            .expect("the schema is one")
    }

    fn messages(kind: &str) -> Vec<(String, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fixtures/messages")
            .join(kind);
        let mut files: Vec<_> = fs::read_dir(folder)
            .expect("the folder is there")
            .map(|entry| entry.expect("it can be listed").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        files.sort();
        let read = |path: &std::path::PathBuf| {
            let name = path
                .file_stem()
                .expect("a file has a name")
                .to_string_lossy()
                .into_owned();
            (name, fs::read(path).expect("listed"))
        };
        files.iter().map(read).collect()
    }

    #[test]
    fn the_schema_is_a_valid_one() {
        assert!(jsonschema::meta::is_valid(&schema()));
    }

    #[test]
    fn the_schema_names_the_fields_that_the_parser_knows() {
        let schema = schema();
        let names = |place: &str| -> BTreeSet<String> {
            let properties = schema.pointer(place).and_then(Value::as_object).expect(place);
            properties.keys().cloned().collect()
        };
        let known = |known: &[&str]| {
            known
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(names("/$defs/message/properties"), known(&KNOWN));
        assert_eq!(names("/$defs/job/properties"), known(&job::KNOWN));
    }

    #[test]
    fn every_valid_message_is_valid_by_the_schema() {
        let validator = validator();
        for (name, raw) in messages("valid") {
            let message = serde_json::from_slice(&raw).expect("valid messages are JSON");
            let faults: Vec<_> = validator
                .iter_errors(&message)
                .map(|fault| fault.to_string())
                .collect();
            assert_eq!(faults, Vec::<String>::new(), "{name}");
        }
    }

    #[test]
    fn every_invalid_message_is_invalid_by_the_schema_but_for_what_it_cannot_express() {
        let validator = validator();
        let passed: Vec<String> = messages("invalid")
            .into_iter()
            .filter(|(_, raw)| {
                serde_json::from_slice(raw).map_or(true, |message: Value| validator.is_valid(&message))
            })
            .map(|(name, _)| name)
            .collect();
        assert_eq!(passed, BEYOND);
    }

    /// Every place of a message where a value can stand.
    fn places(value: &Value, at: &str, places: &mut Vec<String>) {
        places.push(at.to_owned());
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    self::places(member, &format!("{at}/{name}"), places);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self::places(item, &format!("{at}/{index}"), places);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn schema_and_parser_agree_on_every_value_in_every_place() {
        let (_, raw) = messages("valid")
            .into_iter()
            .find(|(name, _)| name == "worked-example")
            .expect("the worked example is there");
        let mut message: Value = serde_json::from_slice(&raw).expect("it is JSON");
        message["traceparent"] = json!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        // One value at a time changes: a request above its limit is not what this is about.
        message["job"]["resources"]["limits"] = json!({"cpu": "7E", "memory": "7E"});
        message["job"]["resources"]["requests"] = json!({"cpu": 0, "memory": 0});
        let mut all = Vec::new();
        places(&message, "", &mut all);
        let validator = validator();
        let mut differ = Vec::new();
        let mut compared = 0;
        for gpus in [false, true] {
            message["job"]["gpuEnable"] = json!(gpus);
            for place in &all {
                for value in values() {
                    let mut changed = message.clone();
                    *changed.pointer_mut(place).expect("places are of this message") = value.clone();
                    let raw = serde_json::to_vec(&changed).expect("JSON");
                    assert!(raw.len() <= SIZE_MAX);
                    let by_parser = parse(&raw).is_ok();
                    compared += 1;
                    if by_parser != validator.is_valid(&changed) {
                        differ.push(format!("{place} = {value}: the parser says {by_parser}"));
                    }
                }
            }
        }
        assert_eq!(differ, Vec::<String>::new());
        assert!(compared > 5000, "{compared}");
    }

    fn values() -> Vec<Value> {
        let mut values: Vec<Value> = serde_json::from_str(VALUES).expect("VALUES is JSON");
        let long = [46, 63, 64, 253, 254, 317, 318, 8193].map(|length| json!("a".repeat(length)));
        values.extend(long);
        values
    }

    const VALUES: &str = r#"[
        "", " ", "a", "A", "0", "-", "_", ".", "..", "..a", ".a", ".0", "0a", "a.", "a-", "-a", "_a", "a b", "a\n", "\n",
        "é", "a=b", "a.b", "a..b", "a.-b", "a.b-c", "a_b", "a/b", "/a", "a/", "a/b/c", "A/b", "a.b/C_d", "/a:b", "/",
        "configmap", "configMap", "Secret", "secret", "\u0000", "a\u0000b", "\ufeff", "a\u2028b", "a\u00a0b", "\u0085",
        "busybox:latest", "r:5000/a/b@sha256:0",
        "1", "1.", ".5", "1.5", "+1", "-1", "-0", "-0.0", "1m", "1n", "1k", "1K", "1Ki", "1ki", "1e3", "1E3", "1e+3",
        "1e-3", "1e", "1E", "1Ei", "1 ", "0x1", "1.2.3", "500m", "512Mi", "1mi",
        "http://a", "HTTPS://A:8443/b?c=d#e", "http:///a", "http:\\\\a", "http://\\a", "http:a", "http:/a", "http://",
        "http://?a", "http://a?b@c", "http://a/b@c", "http://u@a", "http://u:p@a", "http://:p@a", "http://@a",
        "http://a#b", "http://[::1]:80/", "ftp://a", "//a", "a://b", "http://a b", "http://a/\u2003", "http://🦀/",
        -1, 0, 1, 4, 5, 30, 31, 59, 60, 86400, 86401, 2147483647, 2147483648, 999999999999999999, 1000000000000000000,
        18446744073709551615, 0.5, -0.5, 1e30, 1e-9, null, true, false,
        [], [null], [""], ["a"], ["a\u0000"], [1], [{}], [[]], {}, {"a": null}, {"a": {"b": ""}}, {"a": 1}, {"a": []},
        {"url": "http://a"}, {"url": ""}, [{"name": "A"}], [{"name": "A", "value": 1}], [{"name": "a", "type": "secret"}],
        [{"name": "a", "type": null}], {"cpu": "1"}, {"limits": {"cpu": 1}}, {"limits": []}, {"matchKey": "a"},
        {"matchValue": "a"}, {"key": "a"}, {"key": "a", "value": {}}, {"mountPath": "/a", "pvc": "b"}, {"mountPath": "/a"}
    ]"#;
}
