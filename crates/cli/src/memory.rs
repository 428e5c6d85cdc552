//! Memory that large messages took goes back to the system.
//!
//! The trap: glibc gives a block of its own, which it returns, only to what is larger than a threshold; and it raises the
//! threshold to the largest block that was ever freed. After the first mails of 16 MiB such blocks are cut from heaps that
//! never shrink, and a worker keeps hundreds of MiB for ever. Only the environment at the start of a process fixes the
//! threshold, so a long-running command begins once more with it: same process id, same files, same arguments.

/// What glibc reads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const THRESHOLD: &str = "MALLOC_MMAP_THRESHOLD_";
/// Large enough that ordinary work never asks the system for a block.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const BYTES: &str = "1048576";

/// Holds our process id, which beginning again keeps. The threshold alone cannot say that we did: newer versions of glibc
/// take it out of the environment of a program with file capabilities.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const AGAIN: &str = "_BACKSHIFT_BEGUN_AGAIN";

/// Begins this program again with a fixed threshold, unless somebody has chosen one. Returns when there is nothing to do, or
/// when it cannot be done (the file is gone, say): then memory is kept, and nothing else is wrong. What the attempt has done
/// to the signals is put right where they are listened to.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn give_large_blocks_back() {
    use std::os::unix::process::CommandExt as _;

    let tuned =
        std::env::var("GLIBC_TUNABLES").is_ok_and(|text| text.contains("glibc.malloc.mmap_threshold"));
    let own = std::process::id().to_string();
    let again = std::env::var(AGAIN).is_ok_and(|id| id == own);
    if tuned || again || std::env::var_os(THRESHOLD).is_some() {
        return;
    }
    if std::env::current_exe().is_ok_and(|program| program.file_name().is_some_and(is_loader)) {
        return;
    }
    let mut arguments = std::env::args_os();
    let mut again = std::process::Command::new(std::env::current_exe().unwrap_or_default());
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    let _ = again.args(arguments).env(THRESHOLD, BYTES).env(AGAIN, own).exec();
}

/// A loader that was started by its name, with ours as its argument, would take the command for a program.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn is_loader(program: &std::ffi::OsStr) -> bool {
    [&b"ld-"[..], b"ld.so", b"ld64.so"].iter().any(|start| program.as_encoded_bytes().starts_with(start))
}

/// Other allocators have no such threshold.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_large_blocks_back() {}
