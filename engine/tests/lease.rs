//! The lease machine as stories: one machine, its answers written out.

use engine::lease::{Draft, Fault, Input, Lost, Machine, Output, Record, Timing};

const D: u64 = 15_000;

fn machine() -> Machine {
    Machine::new("pod-1_a".to_owned(), Timing::new(D))
}

fn record(holder: &str, transitions: u32, version: &str) -> Record {
    Record {
        holder: holder.to_owned(),
        seconds: 15,
        transitions,
        acquired_us: Some(7),
        renewed_us: Some(8),
        version: version.to_owned(),
    }
}

fn draft(transitions: u32, acquired_us: Option<i64>) -> Draft {
    Draft {
        holder: "pod-1_a".to_owned(),
        seconds: 15,
        transitions,
        acquired_us,
    }
}

fn update(draft: Draft, version: &str) -> Output {
    Output::Update {
        draft,
        version: version.to_owned(),
    }
}

fn release(transitions: u32, version: &str) -> Output {
    let draft = Draft {
        holder: String::new(),
        seconds: 1,
        transitions,
        acquired_us: None,
    };
    update(draft, version)
}

fn taken(holder: &str) -> Output {
    Output::Lost(Lost::Taken {
        holder: holder.to_owned(),
    })
}

/// Leads since 0 and rests, with version "1".
fn leader() -> Machine {
    let mut m = machine();
    assert_eq!(m.step(0, Input::Woke), [Output::Get]);
    assert_eq!(m.step(0, Input::Looked(None)), [Output::Create(draft(0, None))]);
    assert_eq!(
        m.step(50, Input::Wrote(record("pod-1_a", 0, "1"))),
        [Output::Gained { transitions: 0 }]
    );
    m
}

/// Has seen `pod-2_b` hold the lease since 100, and rests.
fn standby() -> Machine {
    let mut m = machine();
    assert_eq!(m.step(0, Input::Woke), [Output::Get]);
    assert_eq!(m.step(100, Input::Looked(Some(record("pod-2_b", 4, "9")))), []);
    m
}

fn woken(mut m: Machine) -> Machine {
    let at = m.wake_at().expect("a resting machine wants to be woken");
    assert_ne!(m.step(at, Input::Woke), []);
    m
}

#[test]
fn a_missing_lease_is_created_and_leadership_counts_from_the_sending() {
    let m = leader();
    assert_eq!(m.lease_deadline(), Some(15_000));
    assert!(m.is_leader(9_999));
    assert!(!m.is_leader(10_000));
    assert_eq!(m.wake_at(), Some(2_000));
}

#[test]
fn a_leader_renews_without_looking() {
    let mut m = leader();
    assert_eq!(m.step(1_999, Input::Woke), []);
    assert_eq!(m.step(2_000, Input::Woke), [update(draft(0, Some(7)), "1")]);
    assert_eq!(m.step(2_300, Input::Wrote(record("pod-1_a", 0, "2"))), []);
    assert_eq!(m.lease_deadline(), Some(17_000));
    assert_eq!(m.wake_at(), Some(4_000));
}

#[test]
fn a_foreign_lease_is_taken_only_a_duration_after_it_was_last_seen_to_change() {
    let mut m = standby();
    let mut now = 0;
    for version in ["10", "11"] {
        now = m.wake_at().expect("resting");
        assert_eq!(m.step(now, Input::Woke), [Output::Get]);
        assert_eq!(
            m.step(now, Input::Looked(Some(record("pod-2_b", 4, version)))),
            []
        );
    }
    let seen_at = now;
    loop {
        now = m.wake_at().expect("resting");
        assert_eq!(m.step(now, Input::Woke), [Output::Get]);
        let out = m.step(now, Input::Looked(Some(record("pod-2_b", 4, "11"))));
        if !out.is_empty() {
            assert_eq!(out, [update(draft(5, None), "11")]);
            break;
        }
    }
    assert_eq!(now, seen_at + D);
}

#[test]
fn the_duration_that_counts_is_the_one_in_the_record() {
    let mut m = machine();
    m.step(0, Input::Woke);
    let short = Record {
        seconds: 3,
        ..record("pod-2_b", 4, "9")
    };
    assert_eq!(m.step(0, Input::Looked(Some(short.clone()))), []);
    let mut m = woken(m);
    assert_eq!(m.step(2_999, Input::Looked(Some(short.clone()))), []);
    assert_eq!(m.wake_at(), Some(3_000));
    let mut m = woken(m);
    assert_eq!(
        m.step(3_000, Input::Looked(Some(short))),
        [update(draft(5, None), "9")]
    );
}

#[test]
fn a_lease_without_a_duration_is_given_ours() {
    let mut m = machine();
    m.step(0, Input::Woke);
    let none = Record {
        seconds: 0,
        ..record("pod-2_b", 4, "9")
    };
    assert_eq!(m.step(0, Input::Looked(Some(none.clone()))), []);
    let mut m = woken(m);
    assert_eq!(m.step(14_999, Input::Looked(Some(none.clone()))), []);
    let mut m = woken(m);
    assert_eq!(
        m.step(15_000, Input::Looked(Some(none))),
        [update(draft(5, None), "9")]
    );
}

#[test]
fn a_released_lease_is_free_at_once() {
    let mut m = woken(standby());
    assert_eq!(
        m.step(2_500, Input::Looked(Some(record("", 4, "10")))),
        [update(draft(5, None), "10")]
    );
}

#[test]
fn a_restart_under_the_same_pod_name_waits_like_any_other() {
    let mut m = machine();
    m.step(0, Input::Woke);
    assert_eq!(m.step(0, Input::Looked(Some(record("pod-1_older", 4, "9")))), []);
}

#[test]
fn a_lost_race_is_looked_at_again_and_not_written_again_at_once() {
    let mut m = woken(standby());
    assert_ne!(m.step(20_000, Input::Looked(Some(record("", 4, "10")))), []);
    assert_eq!(m.step(20_010, Input::Conflict), [Output::Get]);
    assert_eq!(
        m.step(20_020, Input::Looked(Some(record("pod-3_c", 5, "11")))),
        []
    );
    assert!(!m.is_leader(20_020));
}

#[test]
fn a_write_with_unknown_outcome_gives_no_leadership_until_one_is_answered() {
    let mut m = woken(machine());
    m.step(0, Input::Looked(None));
    assert_eq!(m.step(5_000, Input::Unwritten(Fault::Unknown)), [Output::Get]);
    assert_eq!(m.step(5_010, Input::Looked(Some(record("pod-1_a", 0, "1")))), []);
    assert!(!m.is_leader(5_010));
    assert_eq!(m.wake_at(), Some(5_010));
    assert_eq!(m.step(5_010, Input::Woke), [update(draft(0, Some(7)), "1")]);
    assert_eq!(
        m.step(5_020, Input::Wrote(record("pod-1_a", 0, "2"))),
        [Output::Gained { transitions: 0 }]
    );
    assert_eq!(m.lease_deadline(), Some(20_010));
}

#[test]
fn an_acquisition_answered_too_late_gives_no_leadership() {
    let mut m = woken(machine());
    m.step(0, Input::Looked(None));
    assert_eq!(m.step(10_000, Input::Wrote(record("pod-1_a", 0, "1"))), []);
    assert!(!m.is_leader(10_000));
}

#[test]
fn a_leader_whose_renewals_fail_ends_itself_at_the_renew_deadline() {
    let mut m = woken(leader());
    assert_eq!(m.step(2_010, Input::Unwritten(Fault::Forbidden)), []);
    assert_eq!(m.wake_at(), Some(4_000));
    let mut m = woken(m);
    assert_eq!(m.step(4_010, Input::Unread(Fault::Unknown)), []);
    let mut m = woken(m);
    assert_eq!(m.wake_at(), Some(10_000));
    assert_eq!(m.step(10_000, Input::Woke), [Output::Lost(Lost::Expired)]);
    assert_eq!(m.lease_deadline(), None);
    assert_eq!(m.wake_at(), None);
}

#[test]
fn a_renewal_answered_after_the_renew_deadline_is_a_new_term() {
    let mut m = leader();
    assert_eq!(m.step(9_900, Input::Woke), [update(draft(0, Some(7)), "1")]);
    assert_eq!(
        m.step(10_100, Input::Wrote(record("pod-1_a", 0, "2"))),
        [Output::Lost(Lost::Expired), Output::Gained { transitions: 0 }]
    );
}

#[test]
fn a_leader_that_reads_another_holder_has_lost() {
    let mut m = woken(leader());
    assert_eq!(m.step(2_010, Input::Conflict), [Output::Get]);
    assert!(m.is_leader(2_010));
    assert_eq!(
        m.step(2_020, Input::Looked(Some(record("pod-2_b", 1, "2")))),
        [taken("pod-2_b")]
    );
}

#[test]
fn a_leader_whose_lease_was_only_touched_goes_on_with_the_new_version() {
    let mut m = woken(leader());
    assert_eq!(m.step(2_010, Input::Conflict), [Output::Get]);
    assert_eq!(m.step(2_020, Input::Looked(Some(record("pod-1_a", 0, "2")))), []);
    assert_eq!(m.step(4_000, Input::Woke), [update(draft(0, Some(7)), "2")]);
    assert!(m.is_leader(4_000));
}

#[test]
fn a_deleted_lease_is_created_again_by_its_leader() {
    let mut m = woken(leader());
    assert_eq!(m.step(2_010, Input::Conflict), [Output::Get]);
    assert_eq!(m.step(2_020, Input::Looked(None)), []);
    assert_eq!(m.step(4_000, Input::Woke), [Output::Get]);
    assert_eq!(
        m.step(4_010, Input::Looked(None)),
        [Output::Create(draft(0, None))]
    );
    assert_eq!(m.step(4_020, Input::Wrote(record("pod-1_a", 0, "5"))), []);
    assert_eq!(m.lease_deadline(), Some(4_010 + D));
}

#[test]
fn a_refused_write_never_spins() {
    let mut m = machine();
    let mut requests = 0;
    let mut now = 0;
    while now < 60_000 && requests < 100 {
        now = m.wake_at().expect("resting").max(now);
        for request in m.step(now, Input::Woke) {
            assert_eq!(request, Output::Get);
            m.step(now, Input::Looked(None));
            m.step(now, Input::Unwritten(Fault::Unknown));
            m.step(now, Input::Looked(None));
            requests += 1;
        }
    }
    assert!((25..=31).contains(&requests), "{requests}");
}

#[test]
fn a_stale_lease_that_may_not_be_written_never_spins() {
    let mut m = standby();
    let mut looks = 0;
    let mut now = 0;
    while now < 60_000 && looks < 100 {
        now = m.wake_at().expect("resting").max(now);
        m.step(now, Input::Woke);
        m.step(now, Input::Looked(Some(record("pod-2_b", 4, "9"))));
        m.step(now, Input::Unwritten(Fault::Forbidden));
        looks += 1;
    }
    assert!((25..=31).contains(&looks), "{looks}");
}

#[test]
fn a_stopped_leader_releases_the_lease() {
    let mut m = leader();
    assert_eq!(
        m.step(500, Input::Stop),
        [Output::Lost(Lost::Stopped), release(0, "1")]
    );
    assert!(!m.is_leader(500));
    assert_eq!(m.step(510, Input::Wrote(record("", 0, "2"))), [Output::Stopped]);
    assert_eq!(m.wake_at(), None);
}

#[test]
fn a_leader_stopped_while_it_renews_releases_the_renewed_version() {
    let mut m = woken(leader());
    assert_eq!(m.step(2_010, Input::Stop), [Output::Lost(Lost::Stopped)]);
    assert_eq!(
        m.step(2_020, Input::Wrote(record("pod-1_a", 0, "2"))),
        [release(0, "2")]
    );
    assert_eq!(m.step(2_030, Input::Conflict), [Output::Stopped]);
}

#[test]
fn a_stop_with_an_unknown_write_looks_before_it_releases() {
    let mut m = woken(leader());
    m.step(2_010, Input::Stop);
    assert_eq!(m.step(7_000, Input::Unwritten(Fault::Unknown)), [Output::Get]);
    let mut other = m.clone();
    assert_eq!(
        m.step(7_010, Input::Looked(Some(record("pod-1_a", 0, "2")))),
        [release(0, "2")]
    );
    assert_eq!(
        other.step(7_010, Input::Looked(Some(record("pod-2_b", 1, "2")))),
        [Output::Stopped]
    );
}

#[test]
fn a_stopped_candidate_writes_nothing() {
    assert_eq!(standby().step(200, Input::Stop), [Output::Stopped]);
    assert_eq!(woken(standby()).step(2_500, Input::Stop), [Output::Stopped]);
}

/// Every phase, reached as a leader where it can be, against every input; a row that is left out changes nothing.
#[test]
fn every_phase_answers_every_input() {
    let conflicted = || {
        let mut m = woken(leader());
        m.step(2_010, Input::Conflict);
        m
    };
    let stopped = |mut m: Machine| {
        m.step(2_020, Input::Stop);
        m
    };
    let phases: [(&str, Machine); 8] = [
        ("resting", leader()),
        ("looking", woken(standby())),
        ("rechecking", conflicted()),
        ("writing", woken(leader())),
        ("withdrawing", stopped(woken(leader()))),
        ("confirming", stopped(conflicted())),
        ("releasing", stopped(leader())),
        ("stopped", stopped(standby())),
    ];
    let ours = || record("pod-1_a", 0, "2");
    let inputs: [(&str, Input); 11] = [
        ("looked none", Input::Looked(None)),
        ("looked ours", Input::Looked(Some(ours()))),
        ("looked other", Input::Looked(Some(record("pod-2_b", 4, "9")))),
        ("unread forbidden", Input::Unread(Fault::Forbidden)),
        ("unread unknown", Input::Unread(Fault::Unknown)),
        ("wrote", Input::Wrote(ours())),
        ("conflict", Input::Conflict),
        ("unwritten forbidden", Input::Unwritten(Fault::Forbidden)),
        ("unwritten unknown", Input::Unwritten(Fault::Unknown)),
        ("woke", Input::Woke),
        ("stop", Input::Stop),
    ];
    let mut table = String::new();
    for (phase, machine) in &phases {
        for (name, input) in &inputs {
            let mut m = machine.clone();
            let out = m.step(2_450, input.clone());
            let words: Vec<_> = out.iter().map(word).collect();
            if !words.is_empty() || format!("{m:?}") != format!("{machine:?}") {
                let then = m.wake_at().map_or("-".to_owned(), |at| at.to_string());
                table += &format!("{phase} + {name}: {} | {then}\n", words.join(", "));
            }
        }
    }
    assert_eq!(table, MATRIX);
}

fn word(output: &Output) -> String {
    match output {
        Output::Get => "get".to_owned(),
        Output::Create(_) => "create".to_owned(),
        Output::Update { draft, version } if draft.holder.is_empty() => {
            format!("release {version}")
        }
        Output::Update { version, .. } => format!("update {version}"),
        Output::Gained { .. } => "gained".to_owned(),
        Output::Lost(why) => format!("lost {why:?}"),
        Output::Stopped => "stopped".to_owned(),
    }
}

const MATRIX: &str = "\
resting + woke: update 1 | 10000
resting + stop: lost Stopped, release 1 | -
looking + looked none: create | -
looking + looked ours: update 2 | -
looking + looked other:  | 4309
looking + unread forbidden:  | 4309
looking + unread unknown:  | 4309
looking + stop: stopped | -
rechecking + looked none:  | 4000
rechecking + looked ours:  | 4000
rechecking + looked other: lost Taken { holder: \"pod-2_b\" } | 4164
rechecking + unread forbidden:  | 4000
rechecking + unread unknown:  | 4000
rechecking + stop: lost Stopped | -
writing + wrote:  | 4000
writing + conflict: get | 10000
writing + unwritten forbidden:  | 4000
writing + unwritten unknown: get | 10000
writing + stop: lost Stopped | -
withdrawing + wrote: release 2 | -
withdrawing + conflict: get | -
withdrawing + unwritten forbidden: stopped | -
withdrawing + unwritten unknown: get | -
confirming + looked none: stopped | -
confirming + looked ours: release 2 | -
confirming + looked other: stopped | -
confirming + unread forbidden: stopped | -
confirming + unread unknown: stopped | -
releasing + wrote: stopped | -
releasing + conflict: stopped | -
releasing + unwritten forbidden: stopped | -
releasing + unwritten unknown: stopped | -
";
