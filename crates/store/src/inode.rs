//! Which file it is, whatever it is called.

use std::{fs::Metadata, os::unix::fs::MetadataExt};

/// Device and inode. A file that was removed and made again has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inode(u64, u64);

impl Inode {
    pub(crate) fn of(found: &Metadata) -> Self {
        Self(found.dev(), found.ino())
    }
}
