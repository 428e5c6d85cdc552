//! Dot-stuffing and the final dot (RFC 5321 §4.5.2).
//!
//! Chunks keep memory bounded for big mails; a small mail and its final dot leave in one write, because two
//! writes cost 40 ms each (Nagle and delayed ACK).

/// Bytes of one write.
const CHUNK: usize = 64 << 10;

/// The body as it goes on the wire, in chunks; the last one ends with `\r\n.\r\n`.
pub(super) struct Dots<'a> {
    rest: &'a [u8],
    at_line_start: bool,
    ends_line: bool,
    finished: bool,
}

impl<'a> Dots<'a> {
    /// `bytes` must have CRLF line ends only (`Message` guarantees it).
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let ends_line = bytes.is_empty() || bytes.ends_with(b"\r\n");
        Self { rest: bytes, at_line_start: true, ends_line, finished: false }
    }
}

impl Iterator for Dots<'_> {
    /// The chunk, and whether it is the last.
    type Item = (Vec<u8>, bool);

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let (now, later) = self.rest.split_at(self.rest.len().min(CHUNK));
        let mut out = Vec::with_capacity(now.len() + now.len() / 64 + 8);
        for line in now.split_inclusive(|b| *b == b'\n') {
            if self.at_line_start && line.first() == Some(&b'.') {
                out.push(b'.');
            }
            out.extend_from_slice(line);
            self.at_line_start = line.last() == Some(&b'\n');
        }
        self.rest = later;
        self.finished = later.is_empty();
        if self.finished {
            out.extend_from_slice(if self.ends_line { b".\r\n".as_slice() } else { b"\r\n.\r\n" });
        }
        Some((out, self.finished))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::{CHUNK, Dots};

    fn written(body: &[u8]) -> Vec<u8> {
        Dots::new(body).flat_map(|(chunk, _)| chunk).collect()
    }

    fn read_back(wire: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in wire.split_inclusive(|b| *b == b'\n') {
            if line == b".\r\n" {
                return out;
            }
            out.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        panic!("no final dot");
    }

    #[test]
    fn stuffs_and_ends() {
        assert_eq!(written(b""), b".\r\n");
        assert_eq!(written(b"a"), b"a\r\n.\r\n");
        assert_eq!(written(b".\r\n..a\r\n"), b"..\r\n...a\r\n.\r\n");
        assert_eq!(written(b"x\r\n.\r\nMAIL FROM:"), b"x\r\n..\r\nMAIL FROM:\r\n.\r\n");
        assert_eq!(Dots::new(b"small").count(), 1);
        let last: Vec<bool> = Dots::new(&[b'a'; CHUNK * 2 + 1]).map(|(_, last)| last).collect();
        assert_eq!(last, [false, false, true]);
    }

    #[test]
    fn chunk_borders_do_not_matter() {
        for shift in 0..6 {
            let mut body = vec![b'a'; CHUNK - shift];
            body.extend_from_slice(b"\r\n.\r\n.b\r\n");
            assert_eq!(read_back(&written(&body)), body, "{shift}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_written_is_read(lines in proptest::collection::vec(any::<Vec<u8>>(), 0..20)) {
            let body = crate::message::canonical_line_ends(&lines.join(b"\n.".as_slice()));
            let mut want = body.clone();
            if !want.is_empty() && !want.ends_with(b"\r\n") {
                want.extend_from_slice(b"\r\n");
            }
            assert_eq!(read_back(&written(&body)), want);
        }
    }
}
