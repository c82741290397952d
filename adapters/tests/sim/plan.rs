//! What one seed plays: sizes, settings, and which faults are on.

use crate::rng::Rng;
use engine::Policy;
use std::collections::BTreeSet;

/// A kind of trouble; each seed has a random subset of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub(crate) enum Fault {
    Crash,
    Rollout,
    Pause,
    LostReply,
    Rollback,
    Wipe,
    ClockJump,
    ApiDown,
    Creates,
    Namespaces,
    Watches,
    ThirdParty,
    Receivers,
    LateTake,
    Lease,
    Poison,
    Corrupt,
    Lives,
}

impl Fault {
    pub(crate) const ALL: [Self; 18] = [
        Self::Crash,
        Self::Rollout,
        Self::Pause,
        Self::LostReply,
        Self::Rollback,
        Self::Wipe,
        Self::ClockJump,
        Self::ApiDown,
        Self::Creates,
        Self::Namespaces,
        Self::Watches,
        Self::ThirdParty,
        Self::Receivers,
        Self::LateTake,
        Self::Lease,
        Self::Poison,
        Self::Corrupt,
        Self::Lives,
    ];

    /// Mean milliseconds between two of its strokes; `None` for one that only changes how requests fare.
    pub(crate) const fn mean_ms(self) -> Option<u64> {
        match self {
            Self::Crash | Self::Pause => Some(30_000),
            Self::LostReply => Some(8_000),
            Self::Rollback | Self::Lease => Some(45_000),
            Self::Wipe => Some(150_000),
            Self::Rollout | Self::ApiDown => Some(70_000),
            Self::ClockJump | Self::Corrupt => Some(40_000),
            Self::Namespaces => Some(50_000),
            Self::ThirdParty => Some(25_000),
            Self::Watches => Some(6_000),
            Self::Creates | Self::Receivers | Self::LateTake | Self::Poison | Self::Lives => None,
        }
    }
}

/// One mechanism taken away; the run has to notice.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub(crate) enum Mutant {
    FenceOff,
    VersionsOff,
    EpochByOrder,
    EarlyAcknowledge,
    NoAdoption,
    AdoptionWithoutAge,
    NoTombstone,
    NoBeat,
    TtlAtCreation,
    EarlyCallback,
    NameWithTime,
    OneDrain,
}

impl Mutant {
    pub(crate) const ALL: [(Self, &'static str); 12] = [
        (Self::FenceOff, "fence-off"),
        (Self::VersionsOff, "compare-and-set-off"),
        (Self::EpochByOrder, "epoch-by-order"),
        (Self::EarlyAcknowledge, "early-acknowledge"),
        (Self::NoAdoption, "no-adoption"),
        (Self::AdoptionWithoutAge, "adoption-without-age"),
        (Self::NoTombstone, "no-tombstone"),
        (Self::NoBeat, "no-beat"),
        (Self::TtlAtCreation, "ttl-at-creation"),
        (Self::EarlyCallback, "early-callback"),
        (Self::NameWithTime, "name-with-time"),
        (Self::OneDrain, "one-drain"),
    ];

    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(mutant, _)| *mutant)
    }
}

/// The settings of one run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// `patch` on Jobs is granted.
    pub(crate) patch: bool,
    /// Queue and store are one server.
    pub(crate) joint: bool,
    pub(crate) replicas: usize,
    pub(crate) tasks: u64,
    pub(crate) policy: Policy,
    pub(crate) start_timeout_secs: u32,
    /// Ids are used again after the dedup window.
    pub(crate) reuse: bool,
    pub(crate) faults: BTreeSet<Fault>,
    /// When every fault ends.
    pub(crate) heal_at: u64,
    pub(crate) mutant: Option<Mutant>,
}

impl Plan {
    pub(crate) fn draw(seed: u64, patch: bool, mutant: Option<Mutant>) -> Self {
        let mut rng = Rng::new(seed ^ 0x005e_ed00_0000_0001);
        let calm = rng.chance(4);
        let percent = *rng.pick(&[25, 50, 75]);
        let mut faults: BTreeSet<Fault> = Fault::ALL
            .into_iter()
            .filter(|_| rng.chance(percent) && !calm)
            .collect();
        if faults.contains(&Fault::Wipe) && !rng.chance(25) {
            faults.remove(&Fault::Wipe);
        }
        let reuse = rng.chance(20);
        let policy = Policy {
            creates_max: usize::try_from(rng.range(1, 5)).expect("small"),
            tasks_max: *rng.pick(&[2, 5, 1000, 1000]),
            request_timeout_ms: *rng.pick(&[10_000, 30_000]),
            lease_ms: 15_000,
            dedup_window_ms: if reuse { 400_000 } else { 86_400_000 },
        };
        let heal_at = if reuse {
            rng.range(500_000, 900_000)
        } else {
            rng.range(60_000, 200_000)
        };
        Self {
            seed,
            patch,
            joint: rng.chance(60),
            replicas: usize::try_from(rng.range(2, 3)).expect("small"),
            tasks: if rng.chance(15) {
                rng.range(8, 14)
            } else {
                rng.range(2, 7)
            },
            policy,
            start_timeout_secs: 60,
            reuse,
            faults,
            heal_at,
            mutant,
        }
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}
