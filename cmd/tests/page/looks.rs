//! How the page looks and behaves: widths, colour schemes, the keyboard, what an operator has to notice.

use crate::inspector::Inspector;
use crate::place::{Place, until};
use std::process::Command;

const DRAWN: &str = "document.querySelectorAll('#tiles div').length > 4";
const TAB: (&str, u8) = ("Tab", 9);

fn overview(place: &Place) -> Inspector {
    let mut window = Inspector::open();
    window.go(&format!("http://{}/ui/#/", place.address()));
    window
}

#[test]
fn nothing_sticks_out_in_narrow_and_wide_windows_of_both_schemes() {
    let place = Place::busy();
    let mut window = overview(&place);
    window.until(DRAWN);
    window.until("document.querySelectorAll('#tasks tbody tr').length === 1");
    let mut papers = Vec::new();
    for scheme in ["light", "dark"] {
        for width in [420, 1280] {
            window.view(width, scheme);
            window.until(&format!("document.documentElement.scrollWidth <= {width}"));
            // Rows are read without scrolling sideways; the diagram alone may be wider than a narrow window.
            for list in ["tasks", "letters", "places", "took", "codes", "chart"] {
                window.until(&format!(
                    "document.getElementById('{list}').scrollWidth <= document.getElementById('{list}').clientWidth"
                ));
            }
            let shown = "getComputedStyle(document.querySelector('#tasks td'), '::before').content";
            let title = window.value(shown);
            assert_eq!(title == "\"Id\"", width == 420, "{width}: {title}");
        }
        papers.push(window.value("getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(papers[0], papers[1]);
    assert_eq!(window.console, [] as [serde_json::Value; 0]);
}

#[test]
fn the_keyboard_is_enough_and_keeps_its_place_while_the_page_goes_on() {
    let place = Place::busy();
    let mut window = overview(&place);
    window.view(1280, "light");
    window.until(DRAWN);
    let here = "document.activeElement?.getAttribute('href')";
    window.until("document.querySelector('#tasks a') !== null");
    until("Tab comes to the task", || {
        window.press(TAB.0, TAB.1);
        window.value(here) == "#/task/runs"
    });
    // Drawn anew, with the focus where it was.
    window.value("document.querySelector('#tasks a').dataset.old = 'yes'");
    window.until("document.querySelector('#tasks a').dataset.old === undefined");
    assert_eq!(window.value(here), "#/task/runs");
    window.press("Enter", 13);
    window.until("document.querySelectorAll('ol.life li').length > 2");
    window.press("Escape", 27);
    window.until("!document.getElementById('overview').hidden && document.getElementById('task').hidden");
    // What is selected to be copied stays.
    window.until("document.querySelector('#tasks a') !== null");
    window.value("getSelection().selectAllChildren(document.querySelector('#tasks a'))");
    window.until("document.getElementById('news').textContent.startsWith('stands still')");
    assert_eq!(window.value("String(getSelection())"), "runs");
    assert_eq!(window.console, [] as [serde_json::Value; 0]);
}

#[test]
fn a_long_list_begins_short_and_a_paused_intake_is_seen() {
    let place = Place::quiet();
    for number in 0..30 {
        place.push(format!(r#"{{"id": "refused-{number}", "service": "example"}}"#).as_bytes());
        place.submit(&format!("task-{number:02}"), "play");
    }
    let mut window = overview(&place);
    let rows = "document.querySelectorAll('#tasks tbody tr').length";
    window.until(&format!("{rows} === 25"));
    window.value("document.getElementById('tasks-rows').click()");
    window.until(&format!("{rows} === 30"));
    window.value("document.getElementById('tasks-rows').click()");
    window.until(&format!("{rows} === 25"));
    let paused = "document.getElementById('tiles').textContent.includes('by alice: upgrade')";
    assert_eq!(window.value(paused), false);
    let pause = Command::new(env!("CARGO_BIN_EXE_job-worker"))
        .args(["pause", "--by", "alice", "--reason", "upgrade", "--wait", "100s"])
        .env_clear()
        .env("CACHE_REDIS_ENDPOINT", place.redis.url())
        .env("CACHE_REDIS_DB", "0")
        .output()
        .expect("cargo has built the binary");
    assert!(pause.status.success(), "{pause:?}");
    window.until(paused);
    assert_eq!(window.console, [] as [serde_json::Value; 0]);
}
