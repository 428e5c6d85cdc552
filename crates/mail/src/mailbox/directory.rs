//! One directory of `.eml` files: written whole or not at all, listed newest first.
//!
//! `Sent` is answered after file and directory are synced, as a real server answers 250 after its queue is.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use super::view::{StoredFile, StoredMail, StoredSummary};
use crate::address::EmailAddress;
use crate::mailer::Mailer;
use crate::message::Message;
use crate::outcome::{Class, Failure, Outcome, SendReport, Stage};

/// Bytes of a mail that a list reads to show its head.
const HEAD: u64 = 64 << 10;

/// Mails in a directory. Cloning shares it.
#[derive(Debug, Clone)]
pub struct DevMailbox {
    directory: Arc<Path>,
    counter: Arc<AtomicU64>,
}

impl DevMailbox {
    /// Opens the directory, making it if needed, and removes what an interrupted write left.
    pub async fn open(directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory: PathBuf = directory.into();
        blocking(move || {
            private_directory(&directory)?;
            for entry in std::fs::read_dir(&directory)? {
                let path = entry?.path();
                if path.extension().is_some_and(|e| e == "tmp") {
                    std::fs::remove_file(path)?;
                }
            }
            Ok(Self { directory: directory.into(), counter: Arc::default() })
        })
        .await
    }

    /// The newest mails, after skipping `offset` of them, and how many there are in all.
    pub async fn list(&self, offset: usize, limit: usize) -> io::Result<(Vec<StoredSummary>, usize)> {
        let directory = self.directory.clone();
        blocking(move || {
            let mut ids = ids(&directory)?;
            ids.sort_unstable_by(|a, b| b.cmp(a));
            let total = ids.len();
            let page = ids.into_iter().skip(offset).take(limit);
            let summaries = page.filter_map(|id| summary(&directory, id).transpose());
            Ok((summaries.collect::<io::Result<_>>()?, total))
        })
        .await
    }

    /// One mail, parsed; `None` when there is none with this id.
    pub async fn read(&self, id: &str) -> io::Result<Option<StoredMail>> {
        Ok(self.raw(id).await?.map(|bytes| StoredMail::parse(id, &bytes)))
    }

    /// The bytes of one mail.
    pub async fn raw(&self, id: &str) -> io::Result<Option<Vec<u8>>> {
        if !is_id(id) {
            return Ok(None);
        }
        let path = self.directory.join(id);
        blocking(move || found(std::fs::read(path))).await
    }

    /// One attachment of one mail, counted from 0, with its bytes.
    pub async fn attachment(&self, id: &str, index: usize) -> io::Result<Option<(StoredFile, Vec<u8>)>> {
        Ok(self.raw(id).await?.and_then(|bytes| StoredFile::extract(&bytes, index)))
    }

    /// Removes every mail; answers how many there were.
    pub async fn clear(&self) -> io::Result<usize> {
        let directory = self.directory.clone();
        blocking(move || {
            let ids = ids(&directory)?;
            for id in &ids {
                found(std::fs::remove_file(directory.join(id)))?;
            }
            Ok(ids.len())
        })
        .await
    }

    fn next_id(&self) -> String {
        let micros = jiff::Timestamp::now().as_microsecond().max(0);
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        format!("{micros:018}-{number:06}-{}.eml", uuid::Uuid::now_v7().simple())
    }
}

#[async_trait]
impl Mailer for DevMailbox {
    async fn send(&self, message: &Message) -> SendReport {
        let (directory, id, message) = (self.directory.clone(), self.next_id(), message.clone());
        let stored = blocking(move || store(&directory, &id, &message).map(|()| id)).await;
        match stored {
            Ok(id) => Outcome::Sent { reply: format!("stored as {id}"), refused_cc: Vec::new() }.into(),
            Err(error) => storage_failure(&error).into(),
        }
    }

    async fn probe(&self, _from: &EmailAddress) -> Result<(), Outcome> {
        let directory = self.directory.clone();
        let test = blocking(move || std::fs::metadata(directory).map(|_| ())).await;
        test.map_err(|error| storage_failure(&error))
    }

    async fn close(&self) {}
}

/// Mails hold codes: nobody else on the machine may read them.
fn private_directory(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

fn private_file(path: &Path) -> io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true).create_new(true).open(path)
}

/// A temporary file, synced, then renamed, then the directory synced.
fn store(directory: &Path, id: &str, message: &Message) -> io::Result<()> {
    let temporary = directory.join(format!("{id}.tmp"));
    let written = (|| {
        let mut file = private_file(&temporary)?;
        file.write_all(trace_headers(message).as_bytes())?;
        file.write_all(message.bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, directory.join(id))?;
        std::fs::File::open(directory)?.sync_all()
    })();
    if written.is_err() {
        // The first error is the one that matters.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// What a delivering server adds: the envelope.
fn trace_headers(message: &Message) -> String {
    let mut head = format!("Return-Path: <{}>\r\n", message.envelope().from);
    for to in message.recipients() {
        head.push_str(&format!("Delivered-To: {to}\r\n"));
    }
    head
}

fn ids(directory: &Path) -> io::Result<Vec<String>> {
    let names = std::fs::read_dir(directory)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter(|name| is_id(name)).collect())
}

fn summary(directory: &Path, id: String) -> io::Result<Option<StoredSummary>> {
    use std::io::Read as _;
    let Some(file) = found(std::fs::File::open(directory.join(&id)))? else { return Ok(None) };
    let size = file.metadata()?.len();
    let mut head = Vec::new();
    file.take(HEAD).read_to_end(&mut head)?;
    Ok(Some(StoredSummary::parse(&id, &head, size)))
}

fn is_id(name: &str) -> bool {
    let stem = name.strip_suffix(".eml").unwrap_or_default();
    !stem.is_empty() && name.len() <= 128 && stem.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn storage_failure(error: &io::Error) -> Outcome {
    let text = format!("the dev mailbox cannot store the mail: {error}");
    let failure = Failure::new(Stage::Data, Class::Storage, text);
    Outcome::Retry { after: None, throttled: false, failure }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests;
