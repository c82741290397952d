//! A bar on a terminal: how far a file is read.

use std::io::{self, Write as _};
use std::path::Path;

const CELLS: u64 = 30;

/// Shows how far one file is read, where its length is known; takes the line away at the end.
pub(super) struct Progress {
    name: String,
    length: Option<u64>,
    shown: Option<u64>,
}

impl Progress {
    /// Without a length nothing is ever shown.
    pub(super) fn new(file: &Path, length: Option<u64>) -> Self {
        Self {
            name: file.display().to_string(),
            length: length.filter(|length| *length > 0),
            shown: None,
        }
    }

    /// Shows a percentage that is not there yet.
    pub(super) fn at(&mut self, offset: u64) {
        let Some(length) = self.length else {
            return;
        };
        let percent = offset.saturating_mul(100) / length;
        if self.shown != Some(percent) {
            self.shown = Some(percent);
            draw(&format!("\r{}", bar(&self.name, percent)));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            draw("\r\x1b[K");
        }
    }
}

fn bar(name: &str, percent: u64) -> String {
    let full = percent.min(100) * CELLS / 100;
    let cells: String = (0..CELLS)
        .map(|cell| if cell < full { '#' } else { '.' })
        .collect();
    format!("[{cells}] {percent:>3} % {name}")
}

fn draw(text: &str) {
    let mut stderr = io::stderr().lock();
    // A bar that nobody sees does not stop the replay.
    match stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()) {
        Ok(()) | Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_bar_is_as_full_as_the_file_is_read() {
        assert_eq!(super::bar("a", 0), format!("[{}]   0 % a", ".".repeat(30)));
        assert_eq!(
            super::bar("a", 50),
            format!("[{}{}]  50 % a", "#".repeat(15), ".".repeat(15))
        );
        assert_eq!(super::bar("a", 100), format!("[{}] 100 % a", "#".repeat(30)));
    }
}
