//! Reads along what a PostgreSQL server asks for, until it has let us in.
//!
//! The messages pass unchanged; a message is answered only when it is whole, so its last byte is early enough to stop.

/// The letter of an authentication message, and the code that asks for the password in clear.
const AUTHENTICATION: u8 = b'R';
const LET_IN: u32 = 0;
const CLEAR_TEXT: u32 = 3;

/// Where in the stream of messages we are.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Letter, length and the first four bytes of the message that is being read.
    head: Vec<u8>,
    /// What is left of it after those.
    passing: usize,
}

impl Requests {
    /// Looks at more bytes: whether the password is asked for in clear; `None` = we are in, or were sent away.
    pub(super) fn see(&mut self, bytes: &[u8]) -> Option<bool> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.passing > 0 {
                let step = self.passing.min(rest.len());
                self.passing -= step;
                rest = &rest[step..];
                continue;
            }
            let (byte, after) = rest.split_first()?;
            self.head.push(*byte);
            rest = after;
            if let [letter, a, b, c, d, body @ ..] = self.head.as_slice() {
                let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
                let wanted = if *letter == AUTHENTICATION { 4 } else { 0 };
                if body.len() < wanted {
                    continue;
                }
                let code = body.first_chunk().map(|four| u32::from_be_bytes(*four));
                match (*letter, code) {
                    (AUTHENTICATION, Some(CLEAR_TEXT)) => return Some(true),
                    (AUTHENTICATION, Some(LET_IN)) | (b'E', _) => return None,
                    _ => {}
                }
                self.passing = length.saturating_sub(4 + wanted);
                self.head.clear();
            }
        }
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authentication(code: u32, more: &[u8]) -> Vec<u8> {
        let length = 8 + more.len() as u32;
        [&b"R"[..], &length.to_be_bytes(), &code.to_be_bytes(), more].concat()
    }

    /// What is seen when the bytes come in pieces of this size.
    fn seen(bytes: &[u8], size: usize) -> Option<bool> {
        let mut requests = Requests::default();
        let mut last = Some(false);
        for piece in bytes.chunks(size) {
            last = requests.see(piece);
            if last != Some(false) {
                break;
            }
        }
        last
    }

    #[test]
    fn a_password_in_clear_is_noticed_however_the_bytes_come() {
        let version = [&b"v"[..], &12_u32.to_be_bytes(), &[0; 8]].concat();
        let scram = authentication(10, b"SCRAM-SHA-256\0\0");
        let md5 = authentication(5, b"salt");
        for size in 1..40 {
            assert_eq!(seen(&authentication(3, b""), size), Some(true));
            let late = [version.clone(), scram.clone(), authentication(3, b"")].concat();
            assert_eq!(seen(&late, size), Some(true));
            assert_eq!(seen(&[md5.clone(), authentication(0, b"")].concat(), size), None);
            assert_eq!(seen(&scram, size), Some(false));
            assert_eq!(seen(b"E\0\0\0\x0aSFATAL", size), None);
        }
    }
}
