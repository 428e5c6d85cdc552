//! Who listens on a port of this machine, as far as this user may see: for the second `dev`, which says why it is elsewhere.

use std::{fs, os::unix::ffi::OsStrExt as _, path::Path};

/// `pid 4711 (backshift)`; `None` = it belongs to another user, or this system has no `/proc`.
pub(super) fn holder(port: u16) -> Option<String> {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let sockets: Vec<String> = tables
        .iter()
        .flat_map(|table| listening(table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let numbered = processes.filter(|entry| entry.file_name().as_bytes().iter().all(u8::is_ascii_digit));
    let holds = |process: &Path| {
        let links = fs::read_dir(process.join("fd")).into_iter().flatten().filter_map(Result::ok);
        links
            .filter_map(|link| fs::read_link(link.path()).ok())
            .any(|to| sockets.iter().any(|socket| to.as_os_str() == socket.as_str()))
    };
    let found = numbered.map(|entry| entry.path()).find(|process| holds(process))?;
    let name = fs::read_to_string(found.join("comm")).unwrap_or_default();
    Some(format!("pid {} ({})", found.file_name()?.to_string_lossy(), name.trim()))
}

/// The sockets of the kernel's table that listen on this port.
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTENS: &str = "0A";
    let of = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
        let at = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        (at == port && *state == LISTENS).then(|| (*inode).to_owned())
    };
    table.lines().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_listens_is_named_by_process_and_name() {
        let held = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = held.local_addr().unwrap().port();
        let told = holder(port).unwrap();
        assert!(told.starts_with(&format!("pid {} (", std::process::id())), "{told}");
        drop(held);
        assert_eq!(holder(port), None);
    }
}
