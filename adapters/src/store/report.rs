//! What the Redis server of the store is set to, for the log: reported, never refused.

use redis::InfoDict;

/// Oldest major version of Redis with scripts that are refused up front when memory is short.
pub const MAJOR_MIN: u32 = 7;

/// Holds the settings that decide how much a crash of the server can lose.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// Version as the server writes it.
    pub version: String,
    /// `master` or `slave`.
    pub role: String,
    /// Whether writes are appended to a file.
    pub appendonly: bool,
    /// Bound of the data in bytes; 0: none.
    pub maxmemory: u64,
    /// What is evicted at the bound.
    pub maxmemory_policy: String,
}

impl Report {
    /// Reads the answer of `INFO`.
    #[must_use]
    pub fn new(info: &InfoDict) -> Report {
        let text = |name: &str| info.get::<String>(name).unwrap_or_default();
        Report {
            version: text("redis_version"),
            role: text("role"),
            appendonly: text("aof_enabled") == "1",
            maxmemory: info.get("maxmemory").unwrap_or_default(),
            maxmemory_policy: text("maxmemory_policy"),
        }
    }

    /// Says whether the server can run our scripts.
    #[must_use]
    pub fn supported(&self) -> bool {
        let major = self.version.split('.').next().unwrap_or_default();
        major.parse::<u32>().is_ok_and(|major| major >= MAJOR_MIN)
    }

    /// Returns one sentence for each setting under which accepted tasks may be lost.
    #[must_use]
    pub fn remarks(&self) -> Vec<&'static str> {
        let mut remarks = Vec::new();
        if self.role != "master" {
            remarks.push("the server is a replica: nothing can be written");
        }
        if !self.appendonly {
            remarks.push("appendonly is off: a restart of the server may lose accepted tasks");
        }
        if self.maxmemory > 0 && self.maxmemory_policy != "noeviction" {
            remarks.push("maxmemory-policy is not noeviction: the server may drop live tasks");
        }
        remarks
    }
}
