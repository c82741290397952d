//! Laws of `parse` over input that nobody wrote: it never panics, and what it refuses it refuses with a reason.

use adapters::message::{self, FAULTS_MAX, SHOWN_MAX};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const WORKED_EXAMPLE: &str = include_str!("../../fixtures/messages/valid/worked-example.json");

fn obeys_the_laws(raw: &[u8]) -> Result<(), TestCaseError> {
    match message::parse(raw) {
        Ok(parsed) => {
            let again = message::parse(raw).expect("the same bytes");
            prop_assert_eq!(parsed, again);
        }
        Err(refused) => {
            prop_assert!((1..=FAULTS_MAX + 1).contains(&refused.faults.len()));
            for fault in &refused.faults {
                // Every character may take ten when it is escaped; the cut has three parts of a path at most.
                prop_assert!(
                    fault.to_string().len() <= 300 + 4 * 10 * (SHOWN_MAX + 1),
                    "{}",
                    fault
                );
                prop_assert!(!fault.to_string().chars().any(char::is_control), "{:?}", fault);
            }
        }
    }
    Ok(())
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![0, 1, 4, 5, 30, 31, 59, 60, 86_400, 86_401]).prop_map(Value::from),
        ".*".prop_map(Value::from),
        "[-+]?[0-9.]{0,22}[eEinumkKMGTP]{0,2}[-+]?[0-9]{0,11}".prop_map(Value::from),
        "https?:[/\\\\]{0,3}[a-z@:\\[\\]0-9/]{0,20}".prop_map(Value::from),
        prop::sample::select(vec!["", "a", "a.b", "/", "secret", "configMap"]).prop_map(Value::from),
    ];
    let name = prop_oneof![
        prop::sample::select(vec![
            "id", "url", "name", "value", "type", "cpu", "memory", "limits", "requests", "Body"
        ])
        .prop_map(str::to_owned),
        ".{0,8}",
    ];
    leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..4)
                .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Every place of a document, as JSON pointers.
fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Object(members) => members
            .iter()
            .for_each(|(name, value)| places(value, &format!("{at}/{name}"), out)),
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| places(value, &format!("{at}/{index}"), out));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes(raw in prop::collection::vec(any::<u8>(), 0..512)) {
        obeys_the_laws(&raw)?;
    }

    #[test]
    fn the_worked_example_with_some_bytes_changed_and_its_end_cut(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut raw = WORKED_EXAMPLE.as_bytes().to_vec();
        for (index, byte) in changes {
            let index = index.index(raw.len());
            raw[index] = byte;
        }
        if cut {
            raw.truncate(end.index(raw.len()));
        }
        obeys_the_laws(&raw)?;
    }

    #[test]
    fn the_worked_example_with_some_values_replaced(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any_json()), 1..4),
        wrapped in any::<bool>(),
    ) {
        let mut document: Value = serde_json::from_str(WORKED_EXAMPLE).expect("JSON");
        for (index, value) in changes {
            let mut all = Vec::new();
            places(&document, "", &mut all);
            if let Some(place) = document.pointer_mut(&all[index.index(all.len())]) {
                *place = value;
            }
        }
        let text = document.to_string();
        obeys_the_laws(text.as_bytes())?;
        if wrapped {
            obeys_the_laws(json!({ "Body": text }).to_string().as_bytes())?;
        }
    }
}
