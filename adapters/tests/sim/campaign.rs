//! A replica's campaign for the lease, as `lease.rs` carries it, and the Lease on the API server.

use crate::plan::Fault;
use crate::world::{Event, ToProcess, World};
use engine::lease;

impl World {
    pub(crate) fn lease_step(&mut self, index: usize, input: lease::Input) {
        let now = self.now;
        let life = self.replicas[index].life;
        let outputs = self.replicas[index].machine.step(now, input);
        for output in outputs {
            match output {
                lease::Output::Get | lease::Output::Create(_) | lease::Output::Update { .. } => {
                    let hop = self.hop();
                    self.after(hop, Event::Lease(index, life, output));
                }
                lease::Output::Gained { .. } => {
                    self.note(|| format!(" ! w{index}_{life} gains the lease"));
                    self.reach("lease gained");
                    let wait = self.rng.range(0, 50);
                    self.after(wait, Event::Process(index, life, ToProcess::Lead));
                }
                lease::Output::Lost(why) => {
                    self.note(|| format!(" ! w{index}_{life} loses the lease: {why:?}"));
                    let replica = &mut self.replicas[index];
                    replica.deadline = 0;
                    replica.losses += 1;
                    self.want_turn(index, 0);
                }
                lease::Output::Stopped => {
                    self.replicas[index].up = false;
                    self.note(|| format!(" ! w{index}_{life} has stopped"));
                    let back = self.rng.range(500, 6_000);
                    self.after(back, Event::Start(index));
                    return;
                }
            }
        }
        let replica = &mut self.replicas[index];
        replica.deadline = replica.machine.lease_deadline().unwrap_or(0);
        if let Some(at) = replica.machine.wake_at() {
            self.at(at, Event::Process(index, life, ToProcess::LeaseWoke));
        }
    }

    /// A request reaches the API server, which answers or not.
    pub(crate) fn lease_request(&mut self, index: usize, life: u64, output: lease::Output) {
        let trouble = self.faulty(Fault::Lease) && self.rng.chance(15);
        let answer = |world: &mut Self, ms: u64, input| {
            world.after(ms, Event::Process(index, life, ToProcess::LeaseAnswer(input)));
        };
        let reads = matches!(output, lease::Output::Get);
        let lost = if reads {
            lease::Input::Unread(lease::Fault::Unknown)
        } else {
            lease::Input::Unwritten(lease::Fault::Unknown)
        };
        if self.api_is_down() || (trouble && self.rng.chance(50)) {
            return answer(self, 5_000, lost);
        }
        let input = self.lease_done(index, output);
        if trouble {
            self.reach("lease answer lost");
            return answer(self, 5_000, lost);
        }
        let hop = self.hop();
        answer(self, hop, input);
    }

    fn lease_done(&mut self, index: usize, output: lease::Output) -> lease::Input {
        let wall = i64::try_from(self.wall(index).0).unwrap_or(0) * 1000;
        self.lease_version += 1;
        let version = self.lease_version.to_string();
        let (draft, expect) = match output {
            lease::Output::Create(draft) if self.lease.is_none() => (draft, None),
            lease::Output::Update { draft, version } => (draft, Some(version)),
            lease::Output::Create(_) => return lease::Input::Conflict,
            lease::Output::Get
            | lease::Output::Gained { .. }
            | lease::Output::Lost(_)
            | lease::Output::Stopped => return lease::Input::Looked(self.lease.clone()),
        };
        if expect.is_some() && self.lease.as_ref().map(|held| held.version.clone()) != expect {
            return lease::Input::Conflict;
        }
        let record = lease::Record {
            holder: draft.holder,
            seconds: draft.seconds,
            transitions: draft.transitions,
            acquired_us: draft.acquired_us.or(Some(wall)),
            renewed_us: Some(wall),
            version,
        };
        self.lease = Some(record.clone());
        lease::Input::Wrote(record)
    }

    /// SIGTERM.
    pub(crate) fn told_to_stop(&mut self, index: usize) {
        self.note(|| format!(" ! w{index} is told to stop"));
        self.replicas[index].stopping = true;
        if self.replicas[index].term.is_some() {
            self.want_turn(index, 0);
        } else {
            self.lease_step(index, lease::Input::Stop);
        }
    }
}
