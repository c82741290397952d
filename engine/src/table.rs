//! The transition table: what every event means in every state.
//!
//! Rows are tried in order; a row with a guard applies only where the guard holds. What is in neither
//! list is rejected: it cannot happen unless the worker itself is wrong.

use crate::event::Event;
use crate::kind::{EventKind, StateKind};
use crate::state::{Cx, State};

/// A row that moves a task.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Move {
    /// The state that the row is for.
    pub from: StateKind,
    /// The event that the row is for.
    pub on: EventKind,
    /// The name of the condition, where there is one.
    pub guard: Option<&'static str>,
    /// The state that the task is in afterwards.
    pub to: StateKind,
    /// The name of what became of the task.
    pub handler: &'static str,
}

/// A row that leaves a task as it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ignore {
    /// The state that the row is for.
    pub from: StateKind,
    /// The event that the row is for.
    pub on: EventKind,
    /// Why the event changes nothing.
    pub why: &'static str,
}

/// What the table says of one event in one state.
pub(crate) enum Dispatch {
    Moved(State, &'static Move),
    Ignored(&'static str),
    Rejected,
}

macro_rules! optional {
    () => {
        None
    };
    ($guard:ident) => {
        Some(stringify!($guard))
    };
}

macro_rules! row {
    ($from:ident, $on:ident, [$($guard:ident)?], $to:ident, $handler:ident) => {
        Move {
            from: StateKind::$from,
            on: EventKind::$on,
            guard: optional!($($guard)?),
            to: StateKind::$to,
            handler: stringify!($handler),
        }
    };
}

macro_rules! transitions {
    (
        moves { $($from:ident + $on:ident $(if $guard:ident)? => $to:ident : $handler:ident;)* }
        ignores { $($ifrom:ident + $ion:ident : $why:literal;)* }
    ) => {
        /// Every row that moves a task, in the order in which they are tried.
        pub const MOVES: &[Move] = &[$(row!($from, $on, [$($guard)?], $to, $handler)),*];

        /// Every row that leaves a task as it is; tried after the moves.
        pub const IGNORES: &[Ignore] = &[$(Ignore {
            from: StateKind::$ifrom,
            on: EventKind::$ion,
            why: $why,
        }),*];

        /// Only a row that moves copies the state and the event.
        pub(crate) fn dispatch(state: &State, event: &Event, cx: &mut Cx<'_>) -> Dispatch {
            match (state, event) {
                $((State::$from(s), Event::$on(e)) $(if s.$guard(e, cx))? =>
                    Dispatch::Moved(
                        State::$to(s.clone().$handler(e.clone(), cx)),
                        &row!($from, $on, [$($guard)?], $to, $handler),
                    ),)*
                $((State::$ifrom(_), Event::$ion(_)) => Dispatch::Ignored($why),)*
                (State::Completed(_) | State::Failed(_) | State::Exception(_), _) =>
                    Dispatch::Ignored(FINISHED),
                (_, _) => Dispatch::Rejected,
            }
        }
    };
}

transitions! {
    moves {
        // The way to the Job.
        Received   + Granted      if lost_while_in_doubt   => Received   : confirms_loss;
        Received   + Granted      if waits_for_slot        => Received   : creating;
        Received   + Held         if is_queued             => Received   : held;
        Received   + Released     if is_gated              => Received   : released;
        Received   + StillRefused if final_in_doubt        => Received   : confirms_refusal;
        Received   + StillRefused if final_refusal         => Exception  : refused_for_good;
        Received   + TookOver     if lost_while_nobody_led => Received   : doubted_and_lost;
        Received   + TookOver     if is_creating           => Received   : doubted;
        Received   + Woke         if due_again             => Received   : retried;
        Received   + Woke         if due_to_look           => Received   : looks;
        Received   + JobSeen      if blocked               => Received   : waits_for_old;
        Received   + JobSeen      if fits_and_is_unwanted  => Created    : created_to_stop;
        Received   + JobSeen      if fits_but_was_cancelled => Exception : created_and_left;
        Received   + JobSeen      if fits                  => Created    : created;
        Received   + JobSeen      if other_content         => Exception  : name_taken_by_other;
        Received   + JobDeleted   if waits_for_deletion    => Received   : queued;
        Received   + CreateFailed if conclusive_in_doubt   => Received   : confirms;
        Received   + CreateFailed if conclusive            => Exception  : refused;
        Received   + CreateFailed if gates                 => Received   : gated;
        Received   + CreateFailed if is_creating           => Received   : backed_off;
        Received   + Looked       if absence_confirmed     => Exception  : confirmed;
        Received   + Looked       if is_looking            => Exception  : name_taken_after_all;
        Received   + LookFailed   if is_looking            => Received   : looks_again;
        Received   + LookRefused  if refused_to_look       => Exception  : unconfirmed;
        Received   + LookRefused  if is_looking            => Received   : looks_later;
        Received   + SetAside     if in_doubt              => Received   : confirms_absence;
        Received   + SetAside                              => Exception  : set_aside;
        Received   + Cancelled    if cancelled_in_doubt    => Received   : confirms_cancellation;
        Received   + Cancelled    if has_no_job            => Exception  : cancelled;

        // The Job exists.
        Created    + StillRefused if is_unseen             => Created    : unseen;
        Created    + JobSeen      if suspension_changed    => Created    : suspension;
        Created    + JobSeen      if watched_again         => Created    : follows_again;
        Created    + JobJudged                             => Exception  : judged;
        Created    + JobEnded     if unsettled             => Created    : settles;
        Created    + JobDeleted   if may_be_deleted        => Created    : deleted;
        Created    + JobMissing   if may_be_missing        => Created    : missing;
        Created    + PodStarted   if had_completed         => Completed  : started_and_completed;
        Created    + PodStarted                            => PodStarted : started;
        Created    + PodWaiting   if waits_for_other       => Created    : waits;
        Created    + PodFailed    if news                  => Created    : pod_failed;
        Created    + Woke         if due                   => Created    : acts;
        Created    + Woke         if overdue               => Created    : looks;
        Created    + Looked       if looked_completed      => Completed  : completed;
        Created    + Looked       if looked_failed         => Failed     : failed;
        Created    + Looked       if gone_unsaid           => Created    : not_found;
        Created    + Looked       if gone                  => Exception  : vanished;
        Created    + Looked       if overdue_and_stoppable => Created    : stops;
        Created    + Looked       if still_overdue         => Exception  : gives_up;
        Created    + Looked       if looked_present        => Created    : unwatched;
        Created    + Looked       if is_looking            => Created    : follows;
        Created    + LookFailed   if is_looking            => Created    : looks_again;
        Created    + LookRefused  if blindly_completed     => Completed  : completed_unseen;
        Created    + LookRefused  if blindly_failed        => Failed     : failed_unseen;
        Created    + LookRefused  if refused_for_good      => Exception  : lost;
        Created    + LookRefused  if is_looking            => Created    : looks_later;
        Created    + StopAnswered if is_stopped            => Exception  : stopped;
        Created    + StopAnswered if may_not_stop          => Exception  : leaves;
        Created    + StopAnswered if stop_is_moot          => Created    : reconsiders;
        Created    + StopAnswered if stop_unanswered       => Created    : stops_again;
        Created    + SetAside                              => Exception  : set_aside;
        Created    + Cancelled    if can_be_stopped        => Created    : stops_by_order;
        Created    + Cancelled    if can_only_be_left      => Exception  : cancelled_in_place;

        // A container has started.
        PodStarted + StillRefused if is_unseen             => PodStarted : unseen;
        PodStarted + JobSeen      if watched_again         => PodStarted : follows_again;
        PodStarted + JobJudged                             => Exception  : judged;
        PodStarted + JobEnded     if complete              => Completed  : completed;
        PodStarted + JobEnded     if clear                 => Failed     : failed;
        PodStarted + JobEnded     if unsettled             => PodStarted : settles;
        PodStarted + JobDeleted   if may_be_deleted        => PodStarted : deleted;
        PodStarted + JobMissing   if may_be_missing        => PodStarted : missing;
        PodStarted + PodStarted   if another               => PodStarted : retried;
        PodStarted + PodFailed    if news                  => PodStarted : pod_failed;
        PodStarted + Woke         if due                   => PodStarted : acts;
        PodStarted + Looked       if looked_failed         => Failed     : settled;
        PodStarted + Looked       if gone                  => Exception  : vanished;
        PodStarted + Looked       if is_looking            => PodStarted : unwatched;
        PodStarted + LookFailed   if is_looking            => PodStarted : looks_again;
        PodStarted + StopAnswered if is_stopped            => Exception  : stopped;
        PodStarted + StopAnswered if may_not_stop          => Exception  : leaves;
        PodStarted + StopAnswered if found_nothing_to_stop => PodStarted : lost_meanwhile;
        PodStarted + StopAnswered if stop_unanswered       => PodStarted : stops_again;
        PodStarted + LookRefused  if blindly_failed        => Failed     : failed_unseen;
        PodStarted + LookRefused  if refused_for_good      => Exception  : lost;
        PodStarted + LookRefused  if is_looking            => PodStarted : looks_later;
        PodStarted + SetAside                              => Exception  : set_aside;
        PodStarted + Cancelled    if can_be_stopped        => PodStarted : stops_by_order;
        PodStarted + Cancelled    if can_only_be_left      => Exception  : cancelled_in_place;

        // The ends; they are never left.
        Completed  + TtlAnswered  if settles               => Completed  : closed;
        Completed  + TtlAnswered  if owes_ttl              => Completed  : put_off;
        Completed  + Woke         if due                   => Completed  : asks_again;
        Completed  + JobDeleted   if open                  => Completed  : closed;
        Failed     + TtlAnswered  if settles               => Failed     : closed;
        Failed     + TtlAnswered  if owes_ttl              => Failed     : put_off;
        Failed     + Woke         if due                   => Failed     : asks_again;
        Failed     + JobDeleted   if open                  => Failed     : closed;
        Exception  + TtlAnswered  if settles               => Exception  : closed;
        Exception  + TtlAnswered  if owes_ttl              => Exception  : put_off;
        Exception  + Woke         if due                   => Exception  : asks_again;
        Exception  + JobEnded     if left_in_place         => Exception  : ended_after_all;
        Exception  + JobDeleted   if open                  => Exception  : closed;
        Exception  + JobMissing   if open                  => Exception  : closed;
    }
    ignores {
        Received   + Granted      : "it no longer waits for a create slot";
        Received   + Held         : "only a queued task is held";
        Received   + Released     : "it was not held";
        Received   + StillRefused : "the refusal may pass";
        Received   + TookOver     : "no create request was under way";
        Received   + Woke         : "woken early";
        Received   + JobSeen      : "a Job or a pod of an earlier task with this id";
        Received   + JobJudged    : "an earlier task with this id";
        Received   + JobEnded     : "an earlier task with this id";
        Received   + JobDeleted   : "an earlier task with this id";
        Received   + JobMissing   : "its Job is not known to exist yet";
        Received   + PodStarted   : "an earlier task with this id";
        Received   + PodWaiting   : "an earlier task with this id";
        Received   + PodFailed    : "an earlier task with this id";
        Received   + CreateFailed : "the create is no longer awaited";
        Received   + Looked       : "no look is under way";
        Received   + LookFailed   : "no look is under way";
        Received   + Cancelled    : "its end is decided, a look has to confirm it";
        Received   + LookRefused  : "no look is under way";

        Created    + Granted      : "the Job is known";
        Created    + Held         : "the Job is known";
        Created    + Released     : "the Job is known";
        Created    + StillRefused : "it is looked up already";
        Created    + TookOver     : "what is owed is asked again";
        Created    + JobSeen      : "the Job is known";
        Created    + CreateFailed : "the Job is known";
        Created    + JobEnded     : "the end is known";
        Created    + JobDeleted   : "the end is known, or a look is due";
        Created    + JobMissing   : "the end is known, or a look is due";
        Created    + PodWaiting   : "that is known";
        Created    + PodFailed    : "that is known";
        Created    + Woke         : "woken early";
        Created    + Looked       : "no look is under way";
        Created    + LookFailed   : "no look is under way";
        Created    + LookRefused  : "no look is under way";
        Created    + StopAnswered : "no stop is under way";
        Created    + Cancelled    : "its end is known or decided, or a look at its Job is due first";

        PodStarted + Granted      : "the Job is known";
        PodStarted + Held         : "the Job is known";
        PodStarted + Released     : "the Job is known";
        PodStarted + StillRefused : "it is looked up already";
        PodStarted + TookOver     : "what is owed is asked again";
        PodStarted + JobSeen      : "the Job is known";
        PodStarted + CreateFailed : "the Job is known";
        PodStarted + JobEnded     : "the end is known";
        PodStarted + JobDeleted   : "the end is known, or a look is due";
        PodStarted + JobMissing   : "the end is known, or a look is due";
        PodStarted + PodStarted   : "a start is told once per task";
        PodStarted + PodWaiting   : "a pod has started before";
        PodStarted + PodFailed    : "that is known";
        PodStarted + Woke         : "woken early";
        PodStarted + Looked       : "no look is under way";
        PodStarted + LookFailed   : "no look is under way";
        PodStarted + LookRefused  : "no look is under way";
        PodStarted + StopAnswered : "a pod has started; should the stop have come through, the Job says so";
        PodStarted + Cancelled    : "its end is known or decided, or a look at its Job is due first";

        Completed  + TtlAnswered  : "no TTL is owed";
        Failed     + TtlAnswered  : "no TTL is owed";
        Exception  + TtlAnswered  : "no TTL is owed";
    }
}

/// Why a finished task ignores whatever no row of its own moves.
pub const FINISHED: &str = "the task is finished";
/// Why a fact about another Job is ignored before the table is asked.
pub const ANOTHER_JOB: &str = "about another Job of that name";
