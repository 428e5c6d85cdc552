//! Words to lines: white space folded, lines of 76 columns, marks for quotes and lists, at most one empty line in a row.
//!
//! Every call costs what it is given: marks have a bound, so that a stranger's nesting cannot make a line of its own
//! for each letter that is longer than all the rest.

use unicode_width::UnicodeWidthChar as _;

/// Columns of the text.
const WIDTH: usize = 76;
/// Text beyond this many bytes is cut: mail programs show less, and the HTML stands beside it.
const MOST: usize = 256 << 10;
/// Quotes and lists within each other that still show.
const DEEPEST: usize = 4;
const CUT: &str = "[…]";

/// The page as it grows.
#[derive(Default)]
pub(super) struct Page {
    out: String,
    /// The line that is being written, without its marks.
    line: String,
    columns: usize,
    /// White space was seen since the last word.
    space: bool,
    /// An empty line is wanted before the next text.
    gap: bool,
    quotes: usize,
    /// The quotes that the last line stands in.
    quoted: usize,
    lists: Vec<Option<u32>>,
    /// Lists that are open beyond those that show.
    deeper: usize,
    /// The item that waits for its first word.
    marker: Option<String>,
    preformatted: bool,
    link: Option<Link>,
    full: bool,
}

/// An open link: what it leads to, and its words as far as they may be the address itself.
struct Link {
    url: String,
    words: String,
}

impl Page {
    pub(super) fn text(&mut self, text: &str) {
        if self.full || text.is_empty() {
            return;
        }
        if self.preformatted {
            return self.verbatim(text);
        }
        let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}' | '\u{a0}');
        self.space |= text.starts_with(blank);
        for word in text.split(blank).filter(|word| !word.is_empty()) {
            self.word(word);
            self.space = true;
            if self.full {
                return;
            }
        }
        self.space &= text.ends_with(blank);
    }

    pub(super) fn end_line(&mut self) {
        if !self.line.is_empty() {
            self.write_line();
        }
        self.space = false;
    }

    pub(super) fn end_paragraph(&mut self) {
        self.end_line();
        self.gap = true;
    }

    pub(super) fn line_break(&mut self) {
        match self.line.is_empty() {
            true => self.gap = true,
            false => self.end_line(),
        }
    }

    pub(super) fn rule(&mut self) {
        self.end_line();
        self.put("---", 3);
        self.end_line();
    }

    /// A cell stands beside the one before it.
    pub(super) fn cell(&mut self) {
        if !self.line.is_empty() && !self.line.ends_with(' ') {
            self.put("  ", 2);
        }
        self.space = false;
    }

    pub(super) fn quote(&mut self) {
        self.end_paragraph();
        self.quotes += 1;
    }

    pub(super) fn end_quote(&mut self) {
        self.end_paragraph();
        self.quotes = self.quotes.saturating_sub(1);
    }

    pub(super) fn preformatted(&mut self, begins: bool) {
        self.end_paragraph();
        self.preformatted = begins;
    }

    pub(super) fn list(&mut self, numbered: bool) {
        match self.lists.is_empty() {
            true => self.end_paragraph(),
            false => self.end_line(),
        }
        match self.lists.len() < DEEPEST {
            true => self.lists.push(numbered.then_some(0)),
            false => self.deeper += 1,
        }
    }

    pub(super) fn end_list(&mut self) {
        self.end_line();
        self.marker = None;
        match self.deeper > 0 {
            true => self.deeper -= 1,
            false => drop(self.lists.pop()),
        }
        self.gap |= self.lists.is_empty();
    }

    pub(super) fn item(&mut self) {
        self.end_line();
        self.marker = Some(match self.lists.last_mut() {
            Some(Some(number)) => {
                *number = number.saturating_add(1);
                format!("{number}. ")
            }
            _ => "- ".to_owned(),
        });
    }

    pub(super) fn link(&mut self, url: Option<String>) {
        self.link = url.map(|url| Link { url, words: String::new() });
    }

    /// The address stands behind the words, unless the words are the address.
    pub(super) fn end_link(&mut self) {
        let Some(link) = self.link.take() else { return };
        if !self.full && link.words != link.url {
            let space = std::mem::replace(&mut self.space, !self.line.is_empty());
            self.word(&format!("[{}]", link.url));
            self.space = space;
        }
    }

    pub(super) fn finish(mut self) -> String {
        self.end_line();
        match self.out.is_empty() {
            true => "\n".to_owned(),
            false => self.out,
        }
    }

    /// One word: in this line when it fits, else in the next one. Only scripts without spaces are parted.
    fn word(&mut self, word: &str) {
        let columns = columns(word);
        let space = usize::from(self.space && !self.line.is_empty());
        if !self.line.is_empty() && self.space && self.columns + space + columns > WIDTH {
            self.write_line();
        } else if space == 1 {
            self.line.push(' ');
            self.columns += 1;
        }
        self.space = false;
        if let Some(link) = &mut self.link
            && link.words.len() <= link.url.len()
        {
            link.words.push_str(word);
        }
        if self.columns + columns <= WIDTH {
            return self.put(word, columns);
        }
        for letter in word.chars() {
            let wide = letter.width().unwrap_or(0);
            if wide == 2 && self.columns + wide > WIDTH {
                self.write_line();
            }
            self.line.push(letter);
            self.columns += wide;
        }
        self.check();
    }

    fn verbatim(&mut self, text: &str) {
        for (number, line) in text.split('\n').enumerate() {
            if number > 0 {
                self.write_line();
            }
            let line = line.strip_suffix('\r').unwrap_or(line);
            self.put(line, columns(line));
            if self.full {
                return;
            }
        }
    }

    fn put(&mut self, text: &str, columns: usize) {
        self.line.push_str(text);
        self.columns += columns;
        self.check();
    }

    /// Ends the page when it holds enough.
    fn check(&mut self) {
        if self.out.len() + self.line.len() <= MOST || self.full {
            return;
        }
        self.line.truncate(self.line.floor_char_boundary(MOST.saturating_sub(self.out.len())));
        self.write_line();
        self.out.push_str(CUT);
        self.out.push('\n');
        self.full = true;
    }

    fn write_line(&mut self) {
        self.columns = 0;
        let line = std::mem::take(&mut self.line);
        let line = line.trim_end();
        if self.full {
            return;
        }
        if line.is_empty() {
            self.gap = true;
            return;
        }
        let quotes = self.quotes.min(DEEPEST);
        let before = std::mem::replace(&mut self.quoted, quotes);
        if std::mem::take(&mut self.gap) && !self.out.is_empty() {
            self.out.push_str("> ".repeat(quotes.min(before)).trim_end());
            self.out.push('\n');
        }
        self.out.push_str(&"> ".repeat(quotes));
        let depth = self.lists.len();
        let marker = self.marker.take();
        let indented = if marker.is_some() { depth.saturating_sub(1) } else { depth };
        self.out.push_str(&"  ".repeat(indented));
        self.out.push_str(marker.as_deref().unwrap_or_default());
        self.out.push_str(line);
        self.out.push('\n');
    }
}

fn columns(text: &str) -> usize {
    text.chars().map(|letter| letter.width().unwrap_or(0)).sum()
}
