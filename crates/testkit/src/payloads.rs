//! Payload bytes that careless code changes, loses or chokes on.
//!
//! They are legal *bytes*: a broker or store moves and keeps them as they are, whatever they mean.

use bytes::Bytes;

/// Name and bytes of each awkward payload; all are small enough for every broker.
pub fn awkward() -> Vec<(&'static str, Bytes)> {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let fixed: [(&'static str, &'static [u8]); 12] = [
        ("empty", b""),
        ("one NUL", b"\0"),
        ("not UTF-8", b"\xff\xfe{\"a\":\x80}"),
        ("truncated JSON", b"{\"email\":\"a@example.org\",\"na"),
        ("duplicate keys", b"{\"queue\":\"a\",\"queue\":\"b\"}"),
        ("numbers beyond 2^53", b"{\"n\":9007199254740993,\"m\":18446744073709551616,\"f\":1.10}"),
        ("escaped NUL", b"{\"a\":\"x\\u0000y\"}"),
        ("spaces and key order", b" {\"b\": 1 ,\n\t\"a\":2 }\r\n"),
        ("byte order mark", b"\xef\xbb\xbf{\"a\":1}"),
        ("escapes that could be shorter", b"{\"a\":\"\\u0041\\/\\u00fc\"}"),
        ("AMQP frame end and CRLF", b"\xce\r\n.\r\nQUIT\r\n"),
        ("SQL and shell", b"'; DROP TABLE background_jobs; -- $(id) \\x41"),
    ];
    let mut all: Vec<_> = fixed.into_iter().map(|(name, bytes)| (name, Bytes::from_static(bytes))).collect();
    all.push(("10,000 levels deep", Bytes::from(deep)));
    all.push(("every byte value", (0..=255u8).collect::<Vec<_>>().into()));
    all
}

/// Ten megabytes that compress badly and repeat nowhere.
pub fn ten_megabytes() -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(10_000_000);
    while bytes.len() < 10_000_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(10_000_000);
    bytes.into()
}
