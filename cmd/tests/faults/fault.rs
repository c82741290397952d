//! The faults beside the kills of the leader, each done to real processes.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::campaign::{self, Run};
use crate::loss::{self, Contents};

/// How long a successor may take until it has moved a task.
const SUCCESSOR_TIMEOUT: Duration = Duration::from_secs(4);
/// A write that was put off reaches the file at most so long after it was acknowledged.
const PUT_OFF: Duration = Duration::from_secs(3);

/// What is done besides.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Fault {
    /// A replica that does not lead is killed.
    Standby,
    /// All replicas are killed at one moment.
    AllReplicas,
    /// The leader is frozen until a successor has worked, and wakes then.
    StaleLeader,
    /// A replica is frozen for a moment, long or short for its lease.
    Stall,
    /// The redis-server is killed and starts again.
    RedisKilled,
    /// The redis-server is frozen for a while.
    RedisFrozen,
    /// `CLIENT PAUSE`.
    RedisPaused,
    /// Redis refuses writes: `maxmemory` is reached.
    RedisFull,
    /// Redis is a replica for a while: READONLY.
    RedisReadOnly,
    /// A reply of Redis breaks off in its middle.
    RedisCut,
    /// Redis is killed and starts with older files: acknowledged writes are lost.
    RedisRestored,
    /// `FLUSHALL`: everything is lost.
    RedisFlushed,
    /// A reply of the API server breaks off in its middle.
    ApiCut,
    /// The API server is silent, or killed.
    ApiAway,
    /// Creates are done, and their answers lost.
    ApiUnheard,
}

impl Fault {
    /// In the order in which they come again and again, before they are shuffled.
    const MIX: [Fault; 24] = [
        Fault::Stall,
        Fault::RedisCut,
        Fault::StaleLeader,
        Fault::Standby,
        Fault::RedisKilled,
        Fault::RedisPaused,
        Fault::RedisRestored,
        Fault::ApiCut,
        Fault::Stall,
        Fault::RedisFrozen,
        Fault::RedisFull,
        Fault::StaleLeader,
        Fault::RedisCut,
        Fault::AllReplicas,
        Fault::RedisReadOnly,
        Fault::ApiUnheard,
        Fault::Standby,
        Fault::RedisKilled,
        Fault::Stall,
        Fault::RedisPaused,
        Fault::ApiAway,
        Fault::RedisFrozen,
        Fault::StaleLeader,
        Fault::RedisFlushed,
    ];

    /// So many faults, each kind about as often as in the mix; without those that lose writes where `lossless`.
    pub(crate) fn mix(count: usize, first: usize, lossless: bool) -> impl Iterator<Item = Fault> {
        let wanted = move |fault: &Fault| !(lossless && fault.loses_writes());
        Fault::MIX
            .into_iter()
            .cycle()
            .skip(first)
            .filter(wanted)
            .take(count)
    }

    /// Says whether Redis forgets what it has acknowledged.
    const fn loses_writes(self) -> bool {
        matches!(self, Fault::RedisRestored | Fault::RedisFlushed)
    }

    /// Says whether a process is killed or stands still.
    pub(crate) const fn kills_or_pauses(self) -> bool {
        !matches!(
            self,
            Fault::RedisFull
                | Fault::RedisReadOnly
                | Fault::RedisCut
                | Fault::RedisFlushed
                | Fault::ApiCut
                | Fault::ApiUnheard
        )
    }
}

impl Run<'_> {
    /// Does one fault, and undoes it.
    pub(crate) fn disturb(&mut self, fault: Fault) -> io::Result<()> {
        let while_ = self.chance.shorter_than(Duration::from_millis(1_200));
        match fault {
            Fault::Standby => self.kill_standby(),
            Fault::AllReplicas => self.replicas.kill_all(),
            Fault::StaleLeader => self.outlive_leader(),
            Fault::Stall => {
                let count = u64::try_from(self.replicas.count()).unwrap_or(1);
                let place = usize::try_from(self.chance.below(count)).unwrap_or_default();
                self.replicas.freeze(place)?;
                thread::sleep(while_);
                self.replicas.thaw(place)
            }
            Fault::RedisKilled => self.kill_redis(while_),
            Fault::RedisFrozen => {
                self.world.store().server.stop()?;
                thread::sleep(while_);
                self.world.store().server.cont()
            }
            Fault::RedisPaused => {
                let ms = while_.as_millis().to_string();
                let mode = if self.chance.percent(50) { "ALL" } else { "WRITE" };
                self.redis(&["CLIENT", "PAUSE", &ms, mode])
            }
            Fault::RedisFull => {
                self.redis(&["CONFIG", "SET", "maxmemory", "1"])?;
                thread::sleep(while_);
                self.redis(&["CONFIG", "SET", "maxmemory", "0"])
            }
            Fault::RedisReadOnly => {
                // Nobody listens there, so nothing is copied over.
                self.redis(&["REPLICAOF", "127.0.0.1", "1"])?;
                thread::sleep(while_);
                self.redis(&["REPLICAOF", "NO", "ONE"])
            }
            Fault::RedisCut => {
                let bytes = u32::try_from(self.chance.below(2_000)).unwrap_or_default();
                self.world.store().proxy.cut_after(bytes);
                Ok(())
            }
            Fault::ApiCut => {
                let bytes = u32::try_from(self.chance.below(200_000)).unwrap_or_default();
                self.world.place.cut_after(bytes);
                Ok(())
            }
            Fault::RedisRestored => self.restore_redis(while_),
            Fault::RedisFlushed => self.flush_redis(),
            Fault::ApiAway => self.world.place.silence(while_),
            Fault::ApiUnheard => {
                self.world.place.unhear_creates(3);
                self.push()
            }
        }
    }

    fn redis(&self, words: &[&str]) -> io::Result<()> {
        let server = &self.world.store().server;
        let mut connection = server.connection(0).map_err(io::Error::other)?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.exec(&mut connection).map_err(io::Error::other)
    }

    fn kill_standby(&mut self) -> io::Result<()> {
        let leader = self.replicas.place_of(&self.world.holder());
        let standby = (0..self.replicas.count()).find(|place| Some(*place) != leader);
        self.replicas.kill(standby.unwrap_or_default())
    }

    /// Freezes the leader, waits until another one has moved a task, and lets the first one go on.
    fn outlive_leader(&mut self) -> io::Result<()> {
        let (place, holder) = campaign::leader(self.world, &mut self.replicas, "")?;
        self.replicas.freeze(place)?;
        let (successor, _) = campaign::leader(self.world, &mut self.replicas, &holder)?;
        self.push()?;
        let deadline = Instant::now() + SUCCESSOR_TIMEOUT;
        while Instant::now() < deadline {
            let moves = self.replicas.read(successor, Duration::from_millis(50))?;
            if !moves.is_empty() {
                self.counts.outlived += 1;
                break;
            }
        }
        self.replicas.thaw(place)
    }

    /// Kills Redis. What it has acknowledged is in the file, unless the run says otherwise.
    fn kill_redis(&mut self, pause: Duration) -> io::Result<()> {
        if self.flush {
            self.flush_file()?;
        }
        self.world.store_mut().server.kill()?;
        if !self.flush {
            self.replicas.read_all()?;
            let lately = |moved: &&Instant| moved.elapsed() < PUT_OFF;
            let told = &self.replicas.told;
            let moved = told.moved_at.iter().filter(|(_, moved)| lately(moved));
            self.suspects = moved.map(|(id, _)| id.clone()).collect();
            self.losses_before = told.losses;
        }
        thread::sleep(pause);
        self.world.store_mut().server.restart()
    }

    /// From the answer on, everything acknowledged is in the file: with `everysec` a busy disk may put it off.
    fn flush_file(&self) -> io::Result<()> {
        self.redis(&["CONFIG", "SET", "appendfsync", "always"])
    }

    /// Copies the files, lets work go on for a while, kills Redis, and starts it with the copy.
    fn restore_redis(&mut self, age: Duration) -> io::Result<()> {
        let (older, newer) = (tempfile::tempdir()?, tempfile::tempdir()?);
        loss::copy_files(&self.world.store().server, older.path())?;
        self.push()?;
        thread::sleep(age);
        self.flush_file()?;
        let lock = self.world.namespace.clone();
        let server = &mut self.world.store_mut().server;
        server.kill()?;
        loss::copy_files(server, newer.path())?;
        let before = Contents::of_files(newer.path(), &lock)?;
        let after = Contents::of_files(older.path(), &lock)?;
        loss::put_back(older.path(), server.directory())?;
        server.restart()?;
        self.lost(&before, &after)
    }

    /// Drops everything.
    fn flush_redis(&mut self) -> io::Result<()> {
        let before = Contents::flush(&self.world.store().server, &self.world.namespace);
        self.lost(&before.map_err(io::Error::other)?, &Contents::default())
    }

    /// Notes whom a loss has hit; the producers send again what has no verdict yet.
    fn lost(&mut self, before: &Contents, after: &Contents) -> io::Result<()> {
        let hit = before.hit(after);
        self.counts.lost_writes += usize::from(!hit.is_empty());
        self.world.hit.extend(hit);
        self.push_again()
    }
}
