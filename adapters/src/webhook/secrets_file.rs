//! The file of signing secrets, read again when it changes.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::secrets::Secrets;
use super::settings::{Clock, Error};

/// The most bytes that are read of the file.
const FILE_MAX: u64 = 64 * 1024;
/// The shortest time between two looks at the file.
const LOOK_EVERY_MS: u64 = 1000;

/// The secrets in force and where they came from.
#[derive(Debug)]
pub(super) struct SecretsFile {
    path: PathBuf,
    clock: Clock,
    loaded: Mutex<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    secrets: Arc<Secrets>,
    version: Option<Version>,
    looked_at: u64,
    complaint: Option<String>,
}

/// What tells two contents of the file apart without reading it.
type Version = (Option<SystemTime>, u64, u64);

impl SecretsFile {
    pub(super) fn open(path: PathBuf, clock: Clock) -> Result<SecretsFile, Error> {
        let version = version(&path).ok();
        let secrets = load(&path)?;
        let loaded = Loaded {
            secrets: Arc::new(secrets),
            version,
            looked_at: clock.now_ms(),
            complaint: None,
        };
        Ok(SecretsFile {
            path,
            clock,
            loaded: Mutex::new(loaded),
        })
    }

    /// Returns the secrets in force; looks at the file at most once a second. A file that has become unusable
    /// leaves the old ones in force and is logged once.
    pub(super) fn current(&self) -> Arc<Secrets> {
        let now = self.clock.now_ms();
        let mut loaded = self
            .loaded
            .lock()
            .expect("nothing panics while the secrets are locked");
        if now.saturating_sub(loaded.looked_at) >= LOOK_EVERY_MS {
            loaded.looked_at = now;
            self.look(&mut loaded);
        }
        Arc::clone(&loaded.secrets)
    }

    fn look(&self, loaded: &mut Loaded) {
        let found = version(&self.path).ok();
        if found.is_some() && found == loaded.version {
            loaded.complaint = None;
            return;
        }
        match load(&self.path) {
            Ok(secrets) => {
                log::info!(file = self.path.display().to_string(); "webhook signing secrets read again");
                loaded.secrets = Arc::new(secrets);
                loaded.version = found;
                loaded.complaint = None;
            }
            Err(error) => {
                let complaint = complaint(&error);
                if loaded.complaint.as_ref() != Some(&complaint) {
                    log::warn!(
                        file = self.path.display().to_string();
                        "webhook signing secrets are unusable, the former ones stay in force: {complaint}"
                    );
                    loaded.complaint = Some(complaint);
                }
            }
        }
    }
}

fn complaint(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn version(path: &Path) -> io::Result<Version> {
    let metadata: Metadata = std::fs::metadata(path)?;
    Ok((metadata.modified().ok(), metadata.len(), metadata.ino()))
}

fn load(path: &Path) -> Result<Secrets, Error> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_MAX).read_to_string(&mut text))
        .map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
    Secrets::parse(&text).map_err(|source| Error::Secrets {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const FIRST: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SECOND: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn steered() -> (Clock, Arc<AtomicU64>) {
        let now = Arc::new(AtomicU64::new(0));
        let read = Arc::clone(&now);
        (Clock::new(move || read.load(Ordering::SeqCst)), now)
    }

    #[test]
    fn a_changed_file_is_in_force_after_a_second_and_a_broken_one_never() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets");
        let [first, second] = [FIRST, SECOND].map(|text| Secrets::parse(text).unwrap());
        std::fs::write(&path, FIRST).unwrap();
        let (clock, now) = steered();
        let file = SecretsFile::open(path.clone(), clock).unwrap();

        std::fs::write(&path, format!("{SECOND}\n")).unwrap();
        now.store(999, Ordering::SeqCst);
        assert_eq!(*file.current(), first);
        now.store(1000, Ordering::SeqCst);
        assert_eq!(*file.current(), second);

        std::fs::write(&path, "broken").unwrap();
        now.store(2000, Ordering::SeqCst);
        assert_eq!(*file.current(), second);
        std::fs::remove_file(&path).unwrap();
        now.store(3000, Ordering::SeqCst);
        assert_eq!(*file.current(), second);

        std::fs::write(&path, FIRST).unwrap();
        now.store(4000, Ordering::SeqCst);
        assert_eq!(*file.current(), first);
    }

    #[test]
    fn a_start_with_an_unusable_file_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets");
        let missing = SecretsFile::open(path.clone(), steered().0).unwrap_err();
        assert_eq!(
            missing.to_string(),
            format!("{} could not be read", path.display())
        );
        std::fs::write(&path, "whsec_short").unwrap();
        let broken = SecretsFile::open(path.clone(), steered().0).unwrap_err();
        assert_eq!(
            complaint(&broken),
            format!(
                "{} holds no usable secrets: line 1 is not base64 after `whsec_`",
                path.display()
            )
        );
    }
}
