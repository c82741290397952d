//! Rows in columns, as kubectl prints them.

/// Between two columns.
const GAP: &str = "   ";

/// Lines up rows under their headers; the last column is as long as it is.
pub(super) struct Table {
    widths: Vec<usize>,
    headers: Option<Vec<&'static str>>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Begins a table; the headers also say how wide a column is at least.
    pub(super) fn new(headers: &[&'static str], shown: bool) -> Self {
        Self {
            widths: headers.iter().map(|header| header.len()).collect(),
            headers: shown.then(|| headers.to_vec()),
            rows: Vec::new(),
        }
    }

    /// Makes a column wide enough for what may come.
    pub(super) fn make_room<'a>(&mut self, column: usize, words: impl IntoIterator<Item = &'a str>) {
        let longest = words.into_iter().map(|word| word.chars().count()).max();
        if let (Some(width), Some(longest)) = (self.widths.get_mut(column), longest) {
            *width = (*width).max(longest);
        }
    }

    /// Adds a row; what could move the cursor of a terminal is escaped.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().map(|cell| shown(&cell)).collect();
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.chars().count());
        }
        self.rows.push(cells);
    }

    /// Returns the lines, and keeps the widths for rows that follow; headers come once.
    pub(super) fn take(&mut self) -> String {
        let mut text = String::new();
        let headers = self.headers.take();
        let head = headers.map(|headers| headers.into_iter().map(str::to_owned).collect());
        for cells in head.into_iter().chain(std::mem::take(&mut self.rows)) {
            self.line(&cells, &mut text);
        }
        text
    }

    fn line(&self, cells: &[String], text: &mut String) {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&self.widths) {
            line.push_str(cell);
            let missing = width - cell.chars().count().min(*width);
            line.extend(std::iter::repeat_n(' ', missing));
            line.push_str(GAP);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// Returns text as a terminal may get it: control characters are escaped, what is empty is a dash.
pub(super) fn shown(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => safe.push(' '),
            control if control.is_control() => safe.extend(control.escape_default()),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_lined_up_and_control_characters_are_escaped() {
        let mut table = Table::new(&["ID", "STATE"], true);
        table.row(["a\u{1b}[2J".to_owned(), String::new()]);
        table.row(["b".to_owned(), "Created".to_owned()]);
        assert_eq!(
            table.take(),
            "ID           STATE\na\\u{1b}[2J   -\nb            Created\n"
        );
        table.row(["c".to_owned(), "Failed".to_owned()]);
        assert_eq!(table.take(), "c            Failed\n");
    }
}
