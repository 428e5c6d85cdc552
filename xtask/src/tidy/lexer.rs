//! Just enough of Rust's lexical grammar to tell code from comments and strings. Positions are kept: the result has
//! the same lines as the input, so that a finding can name its line.

/// One string literal (of any kind) and where it starts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Literal {
    /// 1-based.
    pub(crate) line: usize,
    /// Where its first quote stands in the masked code.
    pub(crate) at: usize,
    /// Between the quotes, escapes not resolved.
    pub(crate) value: String,
}

/// Masks comments (as blanks) and the contents of literals (as `s`), and lists the string literals.
pub(crate) fn lex(text: &str) -> (String, Vec<Literal>) {
    let mut lexer =
        Lexer { chars: text.chars().collect(), at: 0, line: 1, code: String::new(), literals: Vec::new() };
    while lexer.at < lexer.chars.len() {
        lexer.step();
    }
    (lexer.code, lexer.literals)
}

/// Whether `c` may be part of a name.
pub(crate) fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands in `code` as a whole name or path (not as a part of a longer one).
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = code[..*at].chars().next_back().is_some_and(is_name);
        let after = code[at + word.len()..].chars().next().is_some_and(is_name);
        !before && !after
    })
}

/// The 1-based line of a byte position.
pub(crate) fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The byte position of the bracket that closes the one at `open`.
pub(crate) fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(open + at);
                }
            }
            _ => {}
        }
    }
    None
}

/// The body after `from`: the position of its `{`, or `None` when a `;` ends the item first.
pub(crate) fn body(code: &str, from: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, c) in code[from..].char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return Some(from + at),
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    code: String,
    literals: Vec<Literal>,
}

impl Lexer {
    fn step(&mut self) {
        let previous = self.at.checked_sub(1).and_then(|at| self.chars.get(at)).copied().unwrap_or(' ');
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => self.line_comment(),
            ('/', '*') => self.block_comment(),
            ('"', _) => self.string(0, true),
            ('r', '"' | '#') if !is_name(previous) || self.after_prefix() => self.raw_string(),
            ('\'', _) => self.quote(),
            _ => self.keep(),
        }
    }

    /// Whether the `r` here follows a `b` or `c` that starts a name: `br"…"`, `cr#"…"#`.
    fn after_prefix(&self) -> bool {
        let before = |back: usize| self.at.checked_sub(back).and_then(|at| self.chars.get(at)).copied();
        matches!(before(1), Some('b' | 'c')) && !before(2).is_some_and(is_name)
    }

    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn keep(&mut self) {
        let c = self.peek(0);
        self.put(c);
    }

    /// Does nothing at the end of an unfinished text.
    fn put(&mut self, shown: char) {
        if self.at >= self.chars.len() {
            return;
        }
        let newline = self.peek(0) == '\n';
        self.line += usize::from(newline);
        self.code.push(if newline { '\n' } else { shown });
        self.at += 1;
    }

    fn line_comment(&mut self) {
        while self.at < self.chars.len() && self.peek(0) != '\n' {
            self.put(' ');
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.chars.len() {
            let step = match (self.peek(0), self.peek(1)) {
                ('/', '*') => 1,
                ('*', '/') => -1,
                _ => 0,
            };
            depth += step;
            self.put(' ');
            if step != 0 {
                self.put(' ');
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// A string whose end is a quote and `hashes` hash signs.
    fn string(&mut self, hashes: usize, escapes: bool) {
        let (line, start, at) = (self.line, self.at + 1, self.code.len());
        self.keep();
        while self.at < self.chars.len() {
            if escapes && self.peek(0) == '\\' {
                self.put('s');
                self.put('s');
                continue;
            }
            if self.peek(0) == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == '#') {
                let value = self.chars[start..self.at].iter().collect();
                self.literals.push(Literal { line, at, value });
                self.keep();
                return (0..hashes).for_each(|_| self.keep());
            }
            self.put('s');
        }
    }

    /// `r"…"`, `r#"…"#`; a raw name such as `r#type` is kept.
    fn raw_string(&mut self) {
        let hashes = (1..).take_while(|ahead| self.peek(*ahead) == '#').count();
        let is_string = self.peek(hashes + 1) == '"';
        self.keep();
        if is_string {
            (0..hashes).for_each(|_| self.keep());
            self.string(hashes, false);
        }
    }

    /// A character literal or a lifetime.
    fn quote(&mut self) {
        let escaped = self.peek(1) == '\\';
        if !escaped && self.peek(2) != '\'' {
            return self.keep();
        }
        self.keep();
        if escaped {
            self.put('s');
        }
        self.put('s');
        while self.at < self.chars.len() && self.peek(0) != '\'' {
            self.put('s');
        }
        if self.at < self.chars.len() {
            self.keep();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Literal, body, closing, lex, words};

    #[test]
    fn masks_comments_and_strings_but_keeps_lines() {
        let (code, literals) =
            lex("let a = \"x { \\\" y\"; // {\n/* { /* { */ */ let b = '{'; let c: &'a str;\n");
        assert_eq!(code.lines().count(), 2);
        assert!(!code.contains('{') && code.contains("let b") && code.contains("&'a str"));
        assert_eq!(literals, [Literal { line: 1, at: 8, value: "x { \\\" y".to_owned() }]);
    }

    #[test]
    fn knows_raw_and_byte_strings_and_raw_names() {
        let text = "a(r#\"one \" { \"#, br\"two {\", b\"three\\\"{\"); let r#type = var\"\";";
        let (code, literals) = lex(text);
        let values: Vec<&str> = literals.iter().map(|literal| literal.value.as_str()).collect();
        assert_eq!(values, ["one \" { ", "two {", "three\\\"{", ""]);
        assert!(!code.contains('{') && code.contains("r#type"));
    }

    #[test]
    fn knows_characters_from_lifetimes() {
        let (code, _) = lex(r"f('\'', '\u{7b}', b'{', 'x', &'static {})");
        assert_eq!(code.matches('{').count(), 1);
        assert!(code.ends_with("&'static {})"));
    }

    #[test]
    fn unfinished_text_ends_quietly() {
        for text in ["\"abc", "r#\"abc\"", "/* /* */", "'\\", "b'", "r#"] {
            assert_eq!(lex(text).0.chars().count(), text.chars().count(), "{text}");
        }
    }

    #[test]
    fn finds_bodies_and_whole_words() {
        let code = "fn a(x: [u8; 2]) -> B { if c { d } } fn e();";
        let open = body(code, 0).unwrap();
        assert_eq!(&code[open..=closing(code, open).unwrap()], "{ if c { d } }");
        assert!(body(code, 37).is_none());
        assert_eq!(words("my_env env::x envy", "env").count(), 1);
    }
}
