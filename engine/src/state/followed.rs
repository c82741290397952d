//! The rows of the table that `Created` and `PodStarted` share: both follow a Job that exists.

/// Writes the rows for a state with `uid`, `stoppable`, `pod`, `retried` and `phase`.
macro_rules! followed_rows {
    ($state:ident) => {
        impl $state {
            pub(crate) fn judged(self, e: JobJudged, cx: &mut Cx<'_>) -> Exception {
                self.ends_as(e.failure, cx)
            }

            // Watched or not.

            /// A look is not under way, so this comes from the watch.
            pub(crate) fn watched_again(&self, e: &JobSeen, _: &Cx<'_>) -> bool {
                !e.by_pod
                    && matches!(
                        self.phase,
                        Phase::Unwatched {
                            look_at: Some(_),
                            ..
                        }
                    )
            }

            pub(crate) fn follows_again(mut self, _: JobSeen, _: &mut Cx<'_>) -> Self {
                self.phase = Phase::Following;
                self
            }

            // Pods.

            pub(crate) fn news(&self, e: &PodFailed, _: &Cx<'_>) -> bool {
                self.pod.as_deref() != Some(&e.end)
            }

            pub(crate) fn pod_failed(mut self, e: PodFailed, _: &mut Cx<'_>) -> Self {
                self.retried |= self.pod.as_ref().is_some_and(|pod| pod.uid != e.end.uid);
                self.pod = Some(Box::new(e.end));
                self
            }

            // The Job's end.

            pub(crate) fn unsettled<E>(&self, _: &E, _: &Cx<'_>) -> bool {
                self.phase.end().is_none()
            }

            pub(crate) fn settles(mut self, e: JobEnded, cx: &mut Cx<'_>) -> Self {
                self.phase = Phase::settling(e.end, cx.now);
                self
            }

            pub(crate) fn may_be_deleted(&self, _: &JobDeleted, _: &Cx<'_>) -> bool {
                !matches!(
                    self.phase,
                    Phase::Settling { .. } | Phase::Missing { deleted: true, .. }
                )
            }

            pub(crate) fn deleted(mut self, _: JobDeleted, cx: &mut Cx<'_>) -> Self {
                self.phase = self.phase.lost(true, cx.now);
                self
            }

            pub(crate) fn may_be_missing(&self, _: &JobMissing, _: &Cx<'_>) -> bool {
                !matches!(self.phase, Phase::Settling { .. } | Phase::Missing { .. })
            }

            pub(crate) fn missing(mut self, _: JobMissing, cx: &mut Cx<'_>) -> Self {
                self.phase = self.phase.lost(false, cx.now);
                self
            }

            // Time.

            pub(crate) fn due<E>(&self, _: &E, cx: &Cx<'_>) -> bool {
                self.phase.is_due(cx.now)
            }

            pub(crate) fn acts<E>(mut self, _: E, _: &mut Cx<'_>) -> Self {
                self.phase = self.phase.begun();
                self
            }

            // A fresh look.

            pub(crate) fn is_looking<E>(&self, _: &E, _: &Cx<'_>) -> bool {
                self.phase.is_looking()
            }

            pub(crate) fn looked_failed(&self, e: &Looked, cx: &Cx<'_>) -> bool {
                self.is_looking(e, cx) && matches!(self.phase.end(), Some(JobEnd::Failed { .. }))
            }

            pub(crate) fn gone(&self, e: &Looked, cx: &Cx<'_>) -> bool {
                self.is_looking(e, cx) && e.job.as_ref() != Some(&self.uid)
            }

            pub(crate) fn vanished(self, _: Looked, cx: &mut Cx<'_>) -> Exception {
                let deleted = matches!(self.phase, Phase::Missing { deleted: true, .. });
                let failure = verdict::gone(deleted, cx.spec);
                cx.notify(Notice::Exception(failure.clone()));
                Exception::without_job(failure)
            }

            pub(crate) fn unwatched(mut self, _: Looked, cx: &mut Cx<'_>) -> Self {
                self.phase = Phase::unwatched(cx.now);
                self
            }

            pub(crate) fn looks_again(mut self, _: LookFailed, cx: &mut Cx<'_>) -> Self {
                self.phase = self.phase.put_off(cx.now);
                self
            }

            // The stop.

            pub(crate) fn is_stopped(&self, e: &StopAnswered, _: &Cx<'_>) -> bool {
                *e == StopAnswered::Done && self.phase.verdict().is_some()
            }

            pub(crate) fn stopped(self, _: StopAnswered, cx: &mut Cx<'_>) -> Exception {
                let failure = self.being_written();
                self.ends_as(failure, cx)
            }

            pub(crate) fn may_not_stop(&self, e: &StopAnswered, _: &Cx<'_>) -> bool {
                *e == StopAnswered::Forbidden && self.phase.verdict().is_some()
            }

            pub(crate) fn leaves(self, _: StopAnswered, cx: &mut Cx<'_>) -> Exception {
                let failure = self.being_written();
                self.left_in_place(failure, cx)
            }

            fn being_written(&self) -> Failure {
                let Some(failure) = self.phase.verdict() else {
                    unreachable!("guarded: a verdict is being written to the Job");
                };
                failure.clone()
            }

            pub(crate) fn stop_unanswered(&self, _: &StopAnswered, _: &Cx<'_>) -> bool {
                self.phase.verdict().is_some()
            }

            pub(crate) fn stops_again(mut self, _: StopAnswered, cx: &mut Cx<'_>) -> Self {
                self.phase = self.phase.put_off(cx.now);
                self
            }

            // An operator's order.

            /// Where the end is known or being written, or a look is to tell whether there is a Job, the order comes too late
            /// or too early.
            fn may_be_cancelled(&self) -> bool {
                match self.phase {
                    Phase::Following | Phase::Unwatched { .. } | Phase::Overdue { .. } => true,
                    Phase::Settling { .. } | Phase::Missing { .. } | Phase::Stopping { .. } => false,
                }
            }

            pub(crate) fn can_be_stopped(&self, _: &Cancelled, _: &Cx<'_>) -> bool {
                self.stoppable && self.may_be_cancelled()
            }

            pub(crate) fn stops_by_order(self, e: Cancelled, _: &mut Cx<'_>) -> Self {
                self.stopping(verdict::cancelled(&e))
            }

            pub(in crate::state) fn stopping(mut self, failure: Failure) -> Self {
                self.phase = Phase::Stopping {
                    failure,
                    retry_at: None,
                };
                self
            }

            pub(crate) fn can_only_be_left(&self, _: &Cancelled, _: &Cx<'_>) -> bool {
                !self.stoppable && self.may_be_cancelled()
            }

            pub(crate) fn cancelled_in_place(self, e: Cancelled, cx: &mut Cx<'_>) -> Exception {
                self.left_in_place(verdict::cancelled(&e), cx)
            }

            // Refusals.

            /// Nobody watches any more: it is looked up now and then, until it may be watched again.
            pub(crate) fn is_unseen(&self, _: &Refusal, _: &Cx<'_>) -> bool {
                self.phase == Phase::Following
            }

            pub(crate) fn unseen(mut self, _: Refusal, cx: &mut Cx<'_>) -> Self {
                self.phase = Phase::unwatched(cx.now);
                self
            }

            pub(crate) fn refused_for_good(&self, e: &LookRefused, cx: &Cx<'_>) -> bool {
                self.is_looking(e, cx) && self.phase.is_refused_for_good(cx.now)
            }

            pub(crate) fn blindly_failed(&self, e: &LookRefused, cx: &Cx<'_>) -> bool {
                self.refused_for_good(e, cx) && matches!(self.phase.end(), Some(JobEnd::Failed { .. }))
            }

            pub(crate) fn lost(self, e: LookRefused, cx: &mut Cx<'_>) -> Exception {
                let failure = if matches!(self.phase, Phase::Missing { deleted: true, .. }) {
                    verdict::gone(true, cx.spec)
                } else {
                    verdict::unreadable(&e.message, cx.spec)
                };
                cx.notify(Notice::Exception(failure.clone()));
                Exception::without_job(failure)
            }

            pub(crate) fn looks_later(mut self, _: LookRefused, cx: &mut Cx<'_>) -> Self {
                self.phase = self.phase.refused(cx.now);
                self
            }

            // Ends.

            pub(crate) fn set_aside(self, e: SetAside, cx: &mut Cx<'_>) -> Exception {
                self.left_in_place(Failure::new(Code::InternalError, e.message), cx)
            }

            fn ends_as(self, failure: Failure, cx: &mut Cx<'_>) -> Exception {
                cx.notify(Notice::Exception(failure.clone()));
                Exception {
                    failure,
                    closing: Closing::of_ended(self.uid, self.stoppable, cx),
                }
            }

            pub(in crate::state) fn left_in_place(self, failure: Failure, cx: &mut Cx<'_>) -> Exception {
                let failure = verdict::left_in_place(failure, cx.spec);
                cx.notify(Notice::Exception(failure.clone()));
                Exception {
                    failure,
                    closing: Closing::LeftInPlace {
                        uid: self.uid,
                        stoppable: self.stoppable,
                    },
                }
            }

            fn fails_by(
                self,
                end: &JobEnd,
                started: bool,
                waiting: Option<&Waiting>,
                cx: &mut Cx<'_>,
            ) -> Failed {
                let JobEnd::Failed { reason, message } = end else {
                    unreachable!("guarded: the Job has failed");
                };
                let evidence = verdict::Evidence {
                    started,
                    pod: self.pod.as_deref(),
                    waiting,
                };
                let failure = verdict::job_failed(reason, message, &evidence, cx.spec);
                cx.notify(Notice::Failed(failure.clone()));
                Failed {
                    failure,
                    closing: Closing::of_ended(self.uid, self.stoppable, cx),
                }
            }

            fn completes_after(self, duration_secs: u64, cx: &mut Cx<'_>) -> Completed {
                cx.notify(Notice::Completed { duration_secs });
                Completed {
                    closing: Closing::of_ended(self.uid, self.stoppable, cx),
                }
            }
        }
    };
}

pub(super) use followed_rows;
