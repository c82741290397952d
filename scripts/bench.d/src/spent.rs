//! The processor's time that processes have spent, thread by thread.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::Duration;

/// Processor's time by the name of threads; those that differ in a number alone are one.
pub(crate) type Spent = BTreeMap<String, Duration>;

/// Returns the time of the threads of a process that live.
pub(crate) fn by_thread(process: u32) -> io::Result<Spent> {
    let mut spent = Spent::new();
    for entry in fs::read_dir(format!("/proc/{process}/task"))? {
        let thread = entry?.path();
        // A thread may end while it is looked at.
        let (Ok(name), Ok(run)) = (
            fs::read_to_string(thread.join("comm")),
            fs::read_to_string(thread.join("schedstat")),
        ) else {
            continue;
        };
        let time = run.split(' ').next().and_then(|nanos| nanos.parse().ok());
        let name = name
            .trim_end()
            .trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
        *spent.entry(name.to_owned()).or_default() += Duration::from_nanos(time.unwrap_or(0));
    }
    Ok(spent)
}

/// Returns that of a redis-server, as it tells it.
pub(crate) fn redis_server(connection: &mut redis::Connection) -> io::Result<Spent> {
    let text: String = redis::cmd("INFO")
        .arg("cpu")
        .query(connection)
        .map_err(io::Error::other)?;
    let seconds = |name: &str| -> f64 {
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value.and_then(|value| value.parse().ok()).unwrap_or(0.0)
    };
    let whole = seconds("used_cpu_user:") + seconds("used_cpu_sys:");
    let main = seconds("used_cpu_user_main_thread:") + seconds("used_cpu_sys_main_thread:");
    Ok(BTreeMap::from([
        ("main".to_owned(), Duration::from_secs_f64(main)),
        (
            "others".to_owned(),
            Duration::from_secs_f64((whole - main).max(0.0)),
        ),
    ]))
}
