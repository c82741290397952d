//! The stories of `fixtures/stories`: what happens, and what the worker makes of it.
//!
//! `REWRITE=1 cargo test -p engine --test stories` writes down what happens; read the difference as code.

#[allow(dead_code, reason = "each test uses its part of it")]
mod story;

use story::{Story, rewrite};

#[test]
fn every_story_goes_as_it_is_told() {
    let mut wrong = Vec::new();
    for story in Story::all() {
        let (_, text) = story.run();
        if text == story.text {
            continue;
        }
        if rewrite() {
            std::fs::write(story.path(), text).expect("a story can be written");
        } else {
            let line = text
                .lines()
                .zip(story.text.lines())
                .position(|(new, old)| new != old);
            let line = line.unwrap_or_else(|| text.lines().count().min(story.text.lines().count()));
            wrong.push(format!(
                "{}.txt:{}\n  told:     {}\n  happened: {}",
                story.name,
                line + 1,
                story.text.lines().nth(line).unwrap_or("(nothing)"),
                text.lines().nth(line).unwrap_or("(nothing)"),
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_story_told_twice_is_the_same() {
    for story in Story::all() {
        let (_, once) = story.run();
        let again = Story {
            name: story.name.clone(),
            text: once.clone(),
        };
        assert_eq!(again.run().1, once, "{}", story.name);
    }
}
