//! What the Redis server of the store is set to, and what each weak setting costs: reported, never refused.

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
    /// How many replicas follow it.
    pub replicas: u64,
    /// When appended writes go to the disk: `always`, `everysec` or `no`; `None` where the login may not ask.
    pub appendfsync: Option<String>,
}

/// A setting, and what it costs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Remark {
    /// The promise is weaker than with the settings of the README.
    pub weak: bool,
    /// One sentence.
    pub text: &'static str,
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
            replicas: info.get("connected_slaves").unwrap_or_default(),
            appendfsync: None,
        }
    }

    /// Says whether the server can run our scripts.
    #[must_use]
    pub fn supported(&self) -> bool {
        let major = self.version.split('.').next().unwrap_or_default();
        major.parse::<u32>().is_ok_and(|major| major >= MAJOR_MIN)
    }

    /// Returns a remark for each setting that decides what may be lost.
    #[must_use]
    pub fn remarks(&self) -> Vec<Remark> {
        let mut remarks = Vec::new();
        let mut remark = |weak, text| remarks.push(Remark { weak, text });
        if self.role != "master" {
            remark(true, "the server is a replica: nothing can be written");
        }
        match (self.appendonly, self.appendfsync.as_deref()) {
            (false, _) => remark(
                true,
                "appendonly is off: a restart of the server may lose accepted tasks",
            ),
            (true, Some("no")) => remark(
                true,
                "appendfsync is no: a crash of the machine may lose what was accepted within half a minute, or more",
            ),
            (true, Some("everysec")) => remark(
                false,
                "appendfsync is everysec: a crash may lose what was accepted within a second or two; with always, nothing",
            ),
            (true, Some(_) | None) => {}
        }
        if self.maxmemory_policy != "noeviction" {
            remark(
                self.maxmemory > 0,
                "maxmemory-policy is not noeviction: with a maxmemory the server may drop live tasks",
            );
        }
        if self.replicas == 0 && self.role == "master" {
            remark(
                false,
                "the server has no replica: when its disk is lost, so are the messages and tasks without a Job; those with one are built anew",
            );
        }
        remarks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(info: &str, appendfsync: Option<&str>) -> Vec<(bool, &'static str)> {
        let mut report = Report::new(&InfoDict::new(info));
        report.appendfsync = appendfsync.map(str::to_owned);
        let remarks = report.remarks().into_iter();
        remarks
            .map(|remark| {
                let words = remark.text.split(':').next().unwrap_or_default();
                (remark.weak, words)
            })
            .collect()
    }

    #[test]
    fn each_weak_setting_is_said_with_what_it_costs() {
        let strong = "role:master\r\naof_enabled:1\r\nmaxmemory_policy:noeviction\r\nconnected_slaves:1\r\n";
        assert_eq!(report(strong, Some("always")), []);
        assert_eq!(report(strong, None), []);
        assert_eq!(
            report(strong, Some("everysec")),
            [(false, "appendfsync is everysec")]
        );
        assert_eq!(report(strong, Some("no")), [(true, "appendfsync is no")]);
        let weak = "role:master\r\naof_enabled:0\r\nmaxmemory:1\r\nmaxmemory_policy:allkeys-lru\r\nconnected_slaves:0\r\n";
        let expected = [
            (true, "appendonly is off"),
            (true, "maxmemory-policy is not noeviction"),
            (false, "the server has no replica"),
        ];
        assert_eq!(report(weak, Some("everysec")), expected);
        let unbounded = weak.replace("maxmemory:1", "maxmemory:0");
        assert_eq!(
            report(&unbounded, None)[1],
            (false, "maxmemory-policy is not noeviction")
        );
        let replica = strong.replace("role:master", "role:slave");
        assert_eq!(report(&replica, None), [(true, "the server is a replica")]);
    }
}
