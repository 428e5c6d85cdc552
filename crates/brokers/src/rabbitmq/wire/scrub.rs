//! Makes the properties of one delivery readable for lapin, in place and without changing a length.
//!
//! lapin ends the whole connection over a short string that is not UTF-8, or over a table it cannot read: one such
//! message would stop its queue for ever. The body is never touched.

/// Tables may be nested this deep; lapin reads them by recursion.
const DEPTH: u32 = 32;
/// What stands for a byte that is not text.
const GARBLED: u8 = b'?';

/// The properties of a content header in the order of their flags, from the highest bit.
#[derive(Clone, Copy)]
enum Field {
    Short,
    Table,
    Octets(usize),
}

const FIELDS: [Field; 14] = [
    Field::Short,     // content-type
    Field::Short,     // content-encoding
    Field::Table,     // headers
    Field::Octets(1), // delivery-mode
    Field::Octets(1), // priority
    Field::Short,     // correlation-id
    Field::Short,     // reply-to
    Field::Short,     // expiration
    Field::Short,     // message-id
    Field::Octets(8), // timestamp
    Field::Short,     // type
    Field::Short,     // user-id
    Field::Short,     // app-id
    Field::Short,     // cluster-id
];

/// Where the flags of a content header's payload begin: after class, weight and body size.
const FLAGS_AT: usize = 12;

/// Scrubs the payload of a content header frame. Says whether anything was changed.
pub(crate) fn content_header(payload: &mut [u8]) -> bool {
    let Some(flags) = payload.get(FLAGS_AT..FLAGS_AT + 2) else { return false };
    let flags = u16::from_be_bytes([flags[0], flags[1]]);
    let (mut rest, mut changed) = (&mut payload[FLAGS_AT + 2..], false);
    for (bit, field) in FIELDS.iter().enumerate() {
        if flags & (0x8000 >> bit) == 0 {
            continue;
        }
        let length = match field {
            Field::Short => rest.first().map(|length| 1 + usize::from(*length)),
            Field::Table => long(rest).map(|length| 4 + length),
            Field::Octets(count) => Some(*count),
        };
        let Some((this, after)) = length.and_then(|length| rest.split_at_mut_checked(length)) else { break };
        changed |= match field {
            Field::Short => text(&mut this[1..]),
            Field::Table => table(&mut this[4..]),
            Field::Octets(_) => false,
        };
        rest = after;
    }
    changed
}

fn long(bytes: &[u8]) -> Option<usize> {
    let bytes = bytes.first_chunk::<4>()?;
    usize::try_from(u32::from_be_bytes(*bytes)).ok()
}

/// Replaces the bytes that are no UTF-8.
fn text(bytes: &mut [u8]) -> bool {
    let mut at = 0;
    let mut changed = false;
    while let Err(error) = std::str::from_utf8(&bytes[at..]) {
        let begin = at + error.valid_up_to();
        let end = error.error_len().map_or(bytes.len(), |length| begin + length);
        bytes[begin..end].fill(GARBLED);
        (at, changed) = (end, true);
    }
    changed
}

/// Scrubs the names in a table; a table that is not a table becomes one long text of question marks.
fn table(bytes: &mut [u8]) -> bool {
    match entries(bytes, DEPTH) {
        Some(changed) => changed,
        None => {
            blot(bytes);
            true
        }
    }
}

/// Name `?`, type long string, as long as there is room; shorter rubbish cannot be a table at all.
fn blot(bytes: &mut [u8]) {
    let room = bytes.len();
    if let Some(length) = room.checked_sub(7).and_then(|length| u32::try_from(length).ok()) {
        bytes.fill(GARBLED);
        bytes[..3].copy_from_slice(&[1, GARBLED, b'S']);
        bytes[3..7].copy_from_slice(&length.to_be_bytes());
    } else if let [name, .., kind] = bytes {
        // 2 to 6 bytes: a name and no value.
        *name = u8::try_from(room - 2).unwrap_or(0);
        *kind = b'V';
        bytes[1..room - 1].fill(GARBLED);
    }
}

fn entries(mut bytes: &mut [u8], depth: u32) -> Option<bool> {
    let mut changed = false;
    while let Some(length) = bytes.first() {
        let (name, rest) = bytes.split_at_mut_checked(1 + usize::from(*length))?;
        changed |= text(&mut name[1..]);
        let (kind, rest) = rest.split_at_mut_checked(1)?;
        let (inside, rest) = value(kind[0], rest, depth)?;
        changed |= inside;
        bytes = rest;
    }
    Some(changed)
}

fn items(mut bytes: &mut [u8], depth: u32) -> Option<bool> {
    let mut changed = false;
    while !bytes.is_empty() {
        let (kind, rest) = bytes.split_at_mut_checked(1)?;
        let (inside, rest) = value(kind[0], rest, depth)?;
        changed |= inside;
        bytes = rest;
    }
    Some(changed)
}

/// Reads one value; `None` = it is not readable, or too deep.
fn value(kind: u8, rest: &mut [u8], depth: u32) -> Option<(bool, &mut [u8])> {
    let length = match kind {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'U' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'L' | b'l' | b'd' | b'T' => 8,
        b'S' | b'x' | b'A' | b'F' => 4 + long(rest)?,
        _ => return None,
    };
    let (this, rest) = rest.split_at_mut_checked(length)?;
    let changed = match kind {
        b'F' => entries(&mut this[4..], depth.checked_sub(1)?)?,
        b'A' => items(&mut this[4..], depth.checked_sub(1)?)?,
        _ => false,
    };
    Some((changed, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(flags: u16, properties: &[u8]) -> Vec<u8> {
        let mut payload = vec![0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
        payload.extend(flags.to_be_bytes());
        payload.extend(properties);
        payload
    }

    fn tabled(entries: &[u8]) -> Vec<u8> {
        let mut field = u32::try_from(entries.len()).unwrap().to_be_bytes().to_vec();
        field.extend(entries);
        header(0x2000, &field)
    }

    #[test]
    fn text_and_sound_tables_stay_as_they_are() {
        let mut sound = header(0xA000, b"\x05h\xc3\xa9yo\0\0\0\x0b\x01aF\0\0\0\x04\x01bt\x01");
        let before = sound.clone();
        assert!(!content_header(&mut sound));
        assert_eq!(sound, before);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_one_by_one() {
        let mut payload = header(0x8080, b"\x04a\xff\xfeb\x03\xe2\x82x");
        assert!(content_header(&mut payload));
        assert_eq!(payload, header(0x8080, b"\x04a??b\x03??x"));
        let mut nested = tabled(b"\x01\xffF\0\0\0\x04\x01\xfet\x01");
        assert!(content_header(&mut nested));
        assert_eq!(nested, tabled(b"\x01?F\0\0\0\x04\x01?t\x01"));
    }

    #[test]
    fn tables_that_cannot_be_read_or_are_too_deep_become_one_text() {
        for wrong in [&b"\x01aZ12345"[..], b"\x09a", b"\x01aS\xff\xff\xff\xff", b"\x01"] {
            let mut payload = tabled(wrong);
            assert!(content_header(&mut payload), "{wrong:?}");
            assert!(wrong.len() == 1 || !content_header(&mut payload), "{wrong:?} is readable now");
        }
        let mut deep = Vec::new();
        for _ in 0..5000 {
            let mut outer = b"\x01aF".to_vec();
            outer.extend(u32::try_from(deep.len()).unwrap().to_be_bytes());
            outer.extend(deep);
            deep = outer;
        }
        let mut payload = tabled(&deep);
        assert!(content_header(&mut payload) && !content_header(&mut payload));
    }

    #[test]
    fn truncated_headers_do_not_panic() {
        let whole = header(0xFFFC, b"\x02ab\x02cd\0\0\0\x04\x01at\x01\x02\x03\x01x");
        for end in 0..whole.len() {
            content_header(&mut whole[..end].to_vec());
        }
    }
}
