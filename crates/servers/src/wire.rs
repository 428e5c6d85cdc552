//! The smallest possible clients: one question, one answer, each with a time limit. An open port proves nothing;
//! a server is ready when it answers in its own protocol and states the identity we gave it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

const LIMIT: Duration = Duration::from_secs(5);
/// `guest:guest` of RabbitMQ's default account, base64.
const GUEST: &str = "Z3Vlc3Q6Z3Vlc3Q=";

/// `GET path` of a loopback server; the body of a 200 answer.
///
/// # Errors
/// The answer is another one, or none within five seconds.
pub fn http_get(port: u16, path: &str) -> Result<String> {
    let mut stream = connect(port)?;
    let host = format!("127.0.0.1:{port}");
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nAuthorization: Basic {GUEST}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(16 << 20).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("not an HTTP answer")?;
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("port {port} answered {status:?}");
    }
    Ok(body.to_owned())
}

/// The first line that a server sends to whoever connects (SMTP, NATS).
///
/// # Errors
/// The answer is another one, or none within five seconds.
pub fn greeting(port: u16) -> Result<String> {
    let mut line = String::new();
    BufReader::new(connect(port)?.take(64 << 10)).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// One inline Redis command with a bulk answer.
///
/// # Errors
/// The answer is another one, or none within five seconds.
pub fn redis(port: u16, command: &str) -> Result<String> {
    let mut stream = connect(port)?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    reader.read_line(&mut head)?;
    let Some(length) = head.strip_prefix('$').and_then(|n| n.trim_end().parse::<usize>().ok()) else {
        bail!("Redis answered {:?}", head.trim_end());
    };
    let mut body = vec![0; length.min(1 << 20)];
    reader.read_exact(&mut body)?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// Runs one statement on PostgreSQL (or through PgBouncer) as `postgres` without a password; the first column of the
/// first row.
///
/// # Errors
/// The answer is another one, or none within five seconds.
pub fn postgres(port: u16, sql: &str) -> Result<String> {
    let mut stream = greeted(port)?;
    until_ready(&mut stream)?;
    let query = [sql.as_bytes(), b"\0"].concat();
    stream.write_all(b"Q")?;
    stream.write_all(&length_of(&query))?;
    stream.write_all(&query)?;
    let row = until_ready(&mut stream)?;
    stream.write_all(b"X\0\0\0\x04")?;
    row.context("PostgreSQL returned no row")
}

/// Succeeds when PostgreSQL takes clients and asks them for a password.
///
/// # Errors
/// It does not, or not yet.
pub fn postgres_asks(port: u16) -> Result<()> {
    let mut head = [0; 5];
    greeted(port)?.read_exact(&mut head)?;
    if head[0] == b'R' { Ok(()) } else { bail!("PostgreSQL takes no clients") }
}

/// A connection on which PostgreSQL was told that `postgres` wants to come in.
fn greeted(port: u16) -> Result<TcpStream> {
    let mut stream = connect(port)?;
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    body.extend_from_slice(b"user\0postgres\0database\0postgres\0\0");
    stream.write_all(&length_of(&body))?;
    stream.write_all(&body)?;
    Ok(stream)
}

/// A connection to a loopback server.
///
/// # Errors
/// Nobody listens.
pub fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// A message's length counts itself.
fn length_of(body: &[u8]) -> [u8; 4] {
    u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes()
}

/// Reads messages up to ReadyForQuery.
fn until_ready(stream: &mut TcpStream) -> Result<Option<String>> {
    let mut found = None;
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if !(4..1 << 20).contains(&length) {
            bail!("not a PostgreSQL answer");
        }
        let mut body = vec![0; length - 4];
        stream.read_exact(&mut body)?;
        match head[0] {
            b'Z' => return Ok(found),
            b'R' if body != [0; 4] => bail!("PostgreSQL asks for a password"),
            b'E' => bail!("PostgreSQL: {}", String::from_utf8_lossy(&body).replace('\0', " ")),
            b'D' => found = first_column(&body),
            _ => {}
        }
    }
}

/// DataRow: column count (2 bytes), then length (4) and bytes of each.
fn first_column(row: &[u8]) -> Option<String> {
    let length = i32::from_be_bytes(row.get(2..6)?.try_into().ok()?);
    let bytes = row.get(6..6 + usize::try_from(length).ok()?)?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{first_column, greeting, http_get};
    use std::io::Write;
    use std::net::TcpListener;

    fn answering(text: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            // Closing with the question unread would reset the connection and lose the answer.
            std::io::copy(&mut stream, &mut std::io::sink()).ok();
        });
        port
    }

    #[test]
    fn only_a_200_is_an_answer() {
        assert_eq!(http_get(answering("HTTP/1.1 200 OK\r\nA: b\r\n\r\nyes"), "/").unwrap(), "yes");
        assert!(http_get(answering("HTTP/1.1 401 Unauthorized\r\n\r\nno"), "/").is_err());
        assert!(http_get(answering("220 not http\r\n"), "/").is_err());
    }

    #[test]
    fn greeting_is_one_line() {
        assert_eq!(greeting(answering("220 sink ESMTP\r\nmore\r\n")).unwrap(), "220 sink ESMTP");
    }

    #[test]
    fn rows_of_any_shape_do_not_panic() {
        assert_eq!(first_column(b"\0\x01\0\0\0\x02ab"), Some("ab".to_owned()));
        assert_eq!(first_column(b"\0\x01\xff\xff\xff\xff"), None);
        assert_eq!(first_column(b"\0\x01\0\0\0\x09ab"), None);
        assert_eq!(first_column(b""), None);
    }
}
