//! The effects of probes without a store: one JSON line each, on disk before the job is acked.
//!
//! Lines that wait while a group is being written become the next group, so that many jobs share one fsync.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use tokio::sync::{mpsc, oneshot};

/// At most this many lines share one write.
const GROUP: usize = 512;

type Waiting = (String, oneshot::Sender<Result<(), String>>);

/// Appends lines to a file. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ProbeLog {
    lines: mpsc::Sender<Waiting>,
}

impl ProbeLog {
    /// Opens the file for appending, making it when needed. A thread of its own writes; it ends with the last clone.
    pub fn open(path: &Path) -> io::Result<Self> {
        // Keys and tokens of somebody's jobs stand in it.
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let (lines, waiting) = mpsc::channel(GROUP);
        std::thread::Builder::new().name("probe-log".into()).spawn(move || write_groups(file, waiting))?;
        Ok(Self { lines })
    }

    /// Appends one line; answers when it is on disk.
    pub(super) async fn append(&self, line: String) -> io::Result<()> {
        let (done, written) = oneshot::channel();
        let gone = || io::Error::other("the probe log's thread has ended");
        self.lines.send((line, done)).await.map_err(|_| gone())?;
        written.await.map_err(|_| gone())?.map_err(io::Error::other)
    }
}

fn write_groups(mut file: File, mut waiting: mpsc::Receiver<Waiting>) {
    let mut group = Vec::new();
    while waiting.blocking_recv_many(&mut group, GROUP) > 0 {
        let text: String = group.iter().flat_map(|(line, _)| [line.as_str(), "\n"]).collect();
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        let result = written.map_err(|error| format!("the probe log cannot be written: {error}"));
        for (_, done) in group.drain(..) {
            // Nobody waits any more when the attempt was aborted; its line stays.
            let _ = done.send(result.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_line_is_whole_and_there_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("effects");
        std::fs::write(&path, "earlier\n").unwrap();
        let log = ProbeLog::open(&path).unwrap();
        let appends = (0..500).map(|n| {
            let log = log.clone();
            tokio::spawn(async move { log.append(format!("{{\"n\":{n}}}")).await })
        });
        for append in appends.collect::<Vec<_>>() {
            append.await.unwrap().unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.remove(0), "earlier");
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), 500);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error() {
        assert!(ProbeLog::open(Path::new("/nonexistent/directory/log")).is_err());
    }

    #[test]
    fn it_is_made_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("effects");
        ProbeLog::open(&path).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}
