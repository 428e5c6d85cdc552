//! The few HTTP/2 frames that an attack needs (RFC 9113 §6, RFC 7541), written by hand: a client library would be polite.

pub(crate) const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// Preface and settings.
pub(crate) fn start() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &*frame(4, 0, 0, &[])].concat()
}

/// The same with a first window for each stream.
pub(crate) fn start_with_window(bytes: u32) -> Vec<u8> {
    let setting = [&[0, 4], &bytes.to_be_bytes()[..]].concat();
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &*frame(4, 0, 0, &setting)].concat()
}

/// `GET path` of `http://x`, without a body.
pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    let path = [&[4, u8::try_from(path.len()).unwrap()], path.as_bytes()].concat();
    frame(1, 0x5, stream, &[&[0x82, 0x86, 0x41, 1, b'x'], &*path].concat())
}

pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(3, 0, stream, &8_u32.to_be_bytes())
}

/// `:method GET`, `:scheme http`, `:path /`, `:authority x` as a block of headers.
pub(crate) const ROOT: [u8; 6] = [0x82, 0x86, 0x84, 0x41, 1, b'x'];

/// A header that no table keeps, of a name and a value below 127 bytes.
pub(crate) fn header(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).unwrap();
    [&[0x10, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

/// The frames that came: kind, stream and payload. A client that understands no more than that.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, u32, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        all.push((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload.to_vec()));
        bytes = rest;
    }
    all
}
