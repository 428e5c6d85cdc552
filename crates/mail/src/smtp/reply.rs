//! A server's reply: code, enhanced code, lines.
//!
//! The enhanced code may stand on any line; a code that changes between lines is not a reply.

use crate::outcome::EnhancedCode;

/// Longest line that we read, in bytes; RFC 5321 allows 512.
pub(super) const MAX_LINE: usize = 2_000;
/// Most lines of one reply.
pub(super) const MAX_LINES: usize = 100;

/// A complete reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// The first RFC 3463 code on any line.
    pub enhanced: Option<EnhancedCode>,
    /// The text of each line, without codes and line end.
    pub lines: Vec<String>,
}

/// One line of a reply.
pub(super) struct ReplyLine {
    pub(super) code: u16,
    pub(super) last: bool,
    pub(super) text: String,
}

impl Reply {
    /// Reads a reply from text, one or several lines. `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = Vec::new();
        for line in text.lines() {
            let line = ReplyLine::parse(line.as_bytes())?;
            let last = line.last;
            lines.push(line);
            if last {
                return Self::from_lines(lines);
            }
        }
        None
    }

    pub(super) fn from_lines(lines: Vec<ReplyLine>) -> Option<Self> {
        let code = lines.first()?.code;
        if lines.iter().any(|line| line.code != code) {
            return None;
        }
        let mut enhanced = None;
        let mut texts = Vec::with_capacity(lines.len());
        for line in lines {
            let (found, rest) = split_enhanced(&line.text);
            enhanced = enhanced.or(found);
            texts.push(rest.to_owned());
        }
        Some(Self { code, enhanced, lines: texts })
    }

    /// 2xx.
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// All lines, joined by spaces.
    pub fn text(&self) -> String {
        self.lines.join(" ").trim().to_owned()
    }
}

impl ReplyLine {
    /// `250-text`, `250 text` or `250`; the line end is already gone. Bytes beyond UTF-8 are replaced.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let (code, rest) = line.split_at_checked(3)?;
        let code: u16 = std::str::from_utf8(code).ok()?.parse().ok()?;
        let last = match rest.first() {
            None | Some(b' ') => true,
            Some(b'-') => false,
            Some(_) => return None,
        };
        let text = String::from_utf8_lossy(rest.get(1..).unwrap_or_default()).trim().to_owned();
        (200..600).contains(&code).then_some(Self { code, last, text })
    }
}

fn split_enhanced(text: &str) -> (Option<EnhancedCode>, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match parse_enhanced(word.trim_end_matches(':')) {
        Some(code) => (Some(code), rest.trim_start()),
        None => (None, text),
    }
}

fn parse_enhanced(word: &str) -> Option<EnhancedCode> {
    let mut parts = word.split('.');
    let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
    let number = |part: &str| -> Option<u16> {
        let digits = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        if digits { part.parse().ok() } else { None }
    };
    let class = match class {
        "2" => 2,
        "4" => 4,
        "5" => 5,
        _ => return None,
    };
    let code = EnhancedCode { class, subject: number(subject)?, detail: number(detail)? };
    parts.next().is_none().then_some(code)
}

#[cfg(test)]
mod tests {
    use super::Reply;

    #[test]
    fn reads_replies() {
        let reply = Reply::parse("250-sink.example\r\n250-PIPELINING\r\n250 SIZE 100").unwrap();
        assert_eq!((reply.code, reply.lines.len(), reply.enhanced), (250, 3, None));
        let reply = Reply::parse("550-First line\r\n550 5.1.1 unknown").unwrap();
        assert_eq!(reply.enhanced.unwrap().to_string(), "5.1.1");
        assert_eq!(reply.text(), "First line unknown");
        assert_eq!(Reply::parse("354").unwrap().code, 354);
        assert_eq!(Reply::parse("550 1.2.3.4 is blocked").unwrap().enhanced, None);
    }

    #[test]
    fn refuses_what_is_none() {
        for bad in
            ["", "25", "abc hello", "250_x", "999 x", "199 x", "250-open", "250-a\r\n251 b", "é50 x", "+25 x"]
        {
            assert!(Reply::parse(bad).is_none(), "{bad:?}");
        }
    }
}
