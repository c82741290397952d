//! What happened, in a form that a person can read, and its digest.

use std::collections::VecDeque;

/// Lines that are kept for the report of a violation.
const KEPT: usize = 4_000;

/// The trace of one run.
#[derive(Debug)]
pub(crate) struct Trace {
    digest: u64,
    lines: Option<VecDeque<String>>,
    print: bool,
}

impl Trace {
    /// Begins a trace; `words` keeps the lines, else only the digest is made.
    pub(crate) fn new(words: bool, print: bool) -> Self {
        Self {
            digest: 0xcbf2_9ce4_8422_2325,
            lines: words.then(VecDeque::new),
            print,
        }
    }

    /// Notes a line.
    pub(crate) fn note(&mut self, now: u64, text: impl Fn() -> String) {
        let text = text();
        for byte in now.to_le_bytes().into_iter().chain(text.bytes()) {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let Some(lines) = &mut self.lines else { return };
        let line = format!("{:>9.3}  {text}", now as f64 / 1000.0);
        if self.print {
            println!("{line}");
        }
        lines.push_back(line);
        if lines.len() > KEPT {
            lines.pop_front();
        }
    }

    pub(crate) const fn digest(&self) -> u64 {
        self.digest
    }

    /// The last lines that speak of a word, or of the processes and servers in general.
    pub(crate) fn about(&self, word: &str, max: usize) -> Vec<String> {
        let lines = self.lines.iter().flatten();
        let of: Vec<String> = lines
            .filter(|line| word.is_empty() || line.contains(word) || line.contains(" ! "))
            .cloned()
            .collect();
        of[of.len().saturating_sub(max)..].to_vec()
    }
}
