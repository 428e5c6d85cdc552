//! Files and directories that hold secrets: made for their owner alone, and refused when somebody else could have
//! put them there or can change them.
//!
//! A name is opened first and judged by what was opened: a link is not followed, and nothing can be swapped between
//! the look and the use.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use rustix::{fs::OFlags, io::Errno, process::geteuid};

use crate::exit::Failure;

/// What to do instead of using something of somebody else.
const ELSEWHERE: &str = "set BACKSHIFT_DATA_DIR to a directory of your own";

/// Makes the directory for its owner alone; one that is there must be ours, and no link.
pub(crate) fn directory(path: &Path) -> Result<(), Failure> {
    // A slash at the end would follow a link.
    let path = path.components().as_path();
    let problem = |error: io::Error| Failure::configuration(format!("data_dir {}: {error}", path.display()));
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(problem)?;
        }
        Err(error) => return Err(problem(error)),
        Ok(_) => {}
    }
    let found = fs::symlink_metadata(path).map_err(problem)?;
    if found.is_symlink() {
        return Err(unfit(path, "is a link", "set BACKSHIFT_DATA_DIR to the directory that it points to"));
    }
    if !found.is_dir() {
        return Err(unfit(path, "is no directory", ELSEWHERE));
    }
    judge(path, &found, 0o022)
}

/// Opens a file of ours to read and write, and makes it for its owner alone when it is not there.
pub(crate) fn open_or_make(path: &Path) -> Result<File, Failure> {
    opened(path, OpenOptions::new().read(true).write(true).create(true).truncate(false), 0o022)
}

/// A secret is a line; what is much longer is something else.
const LONGEST: u64 = 4096;

/// The text of a secret file that nobody else may read; `None` when there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Failure> {
    let mut text = String::new();
    match opened(path, OpenOptions::new().read(true), 0o077) {
        Ok(file) => {
            let read = file.take(LONGEST + 1).read_to_string(&mut text);
            // Cut in the middle of a letter, or no text at all, is neither.
            if read.as_ref().is_ok_and(|bytes| *bytes as u64 > LONGEST)
                || read.as_ref().is_err_and(|error| error.kind() == ErrorKind::InvalidData)
            {
                return Err(unfit(
                    path,
                    "holds no secret that was made here",
                    "remove it, and a new one is made",
                ));
            }
            read.map_err(|error| Failure::configuration(said(path, &error)))?;
            Ok(Some(text))
        }
        Err(_) if fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound) => {
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// Writes a secret file whole or not at all, in a directory that is ours.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let fresh = path.with_extension("new");
    let written = || -> io::Result<()> {
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    written().map_err(|error| Failure::failed(said(path, &error)))
}

/// A database file in the data directory. It is looked at by its name: opening and closing it would take away the locks that
/// SQLite holds in this process.
pub(crate) fn database(path: &Path) -> Result<(), Failure> {
    match fs::metadata(path) {
        Ok(found) => judge(path, &found, 0o022),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::configuration(said(path, &error))),
    }
}

/// Whether both names lead to one directory.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    one == other || real(one).is_some_and(|one| real(other) == Some(one))
}

fn opened(path: &Path, options: &mut OpenOptions, forbidden: u32) -> Result<File, Failure> {
    // Without waiting: a pipe in the place of the file must not hold us.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match options.mode(0o600).custom_flags(flags.bits() as i32).open(path) {
        Ok(file) => file,
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            return Err(unfit(path, "is a link", &format!("remove it, or {ELSEWHERE}")));
        }
        Err(error) => return Err(Failure::configuration(said(path, &error))),
    };
    let found = file.metadata().map_err(|error| Failure::configuration(said(path, &error)))?;
    if !found.is_file() {
        return Err(unfit(path, "is no plain file", &format!("remove it, or {ELSEWHERE}")));
    }
    judge(path, &found, forbidden)?;
    Ok(file)
}

fn judge(path: &Path, found: &Metadata, forbidden: u32) -> Result<(), Failure> {
    let us = geteuid().as_raw();
    if found.uid() != us {
        let whose = format!("belongs to another user (uid {}, we are {us})", found.uid());
        return Err(unfit(path, &whose, ELSEWHERE));
    }
    if found.mode() & forbidden == 0 {
        return Ok(());
    }
    let (what, cure) = match forbidden {
        0o022 => ("changed", "go-w"),
        _ => ("read or changed", "go="),
    };
    let whom = format!("can be {what} by others (mode {:04o})", found.mode() & 0o7777);
    Err(unfit(path, &whom, &format!("run chmod {cure} {}, or {ELSEWHERE}", path.display())))
}

fn unfit(path: &Path, what: &str, remedy: &str) -> Failure {
    Failure::configuration(format!("{} {what}: {remedy}", path.display()))
}

fn said(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn refused(result: Result<impl Sized, Failure>, words: &str) {
        let failure = result.map(drop).unwrap_err();
        assert!(failure.to_string().contains(words), "{failure}");
        assert_eq!(failure.gravity(), 78);
    }

    #[test]
    fn what_is_made_is_for_its_owner_alone() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("deep/data");
        directory(&data).unwrap();
        directory(&data).unwrap();
        assert_eq!(mode(&data), 0o700);
        open_or_make(&data.join("dev.lock")).unwrap();
        assert_eq!(mode(&data.join("dev.lock")), 0o600);
        write(&data.join("jwt.key"), "one").unwrap();
        write(&data.join("jwt.key"), "two").unwrap();
        assert_eq!(mode(&data.join("jwt.key")), 0o600);
        assert_eq!(read(&data.join("jwt.key")).unwrap().as_deref(), Some("two"));
        assert_eq!(read(&data.join("other.key")).unwrap(), None);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 2, "no half-written file is left");
    }

    #[test]
    fn links_are_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let (real, link) = (place.path().join("real"), place.path().join("link"));
        directory(&real).unwrap();
        symlink(&real, &link).unwrap();
        refused(directory(&link), "is a link");
        refused(directory(&place.path().join("link/")), "is a link");
        let (secret, alias) = (real.join("secret"), real.join("alias"));
        write(&secret, "theirs").unwrap();
        symlink(&secret, &alias).unwrap();
        refused(read(&alias), "is a link");
        refused(open_or_make(&alias), "is a link");
        symlink(real.join("nowhere"), real.join("dangling")).unwrap();
        refused(open_or_make(&real.join("dangling")), "is a link");
        refused(read(&real.join("dangling")), "is a link");
        assert!(!real.join("nowhere").exists());
    }

    #[test]
    fn what_others_can_change_is_refused_with_the_command_that_mends_it() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        directory(&data).unwrap();
        for open in [0o770, 0o720, 0o702, 0o1777] {
            chmod(&data, open);
            refused(directory(&data), "chmod go-w");
        }
        chmod(&data, 0o755);
        directory(&data).unwrap();
        let key = data.join("jwt.key");
        write(&key, "secret").unwrap();
        for open in [0o640, 0o604, 0o620, 0o602] {
            chmod(&key, open);
            refused(read(&key), "chmod go=");
        }
        let lock = data.join("dev.lock");
        open_or_make(&lock).unwrap();
        chmod(&lock, 0o644);
        open_or_make(&lock).unwrap();
        chmod(&lock, 0o666);
        refused(open_or_make(&lock), "chmod go-w");
    }

    #[test]
    fn a_database_that_others_can_change_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        directory(&data).unwrap();
        let file = data.join("backshift.db");
        database(&file).unwrap();
        write(&file, "x").unwrap();
        for open in [0o620, 0o602, 0o666] {
            chmod(&file, open);
            refused(database(&file), "chmod go-w");
        }
        chmod(&file, 0o644);
        database(&file).unwrap();
    }

    #[test]
    fn what_is_no_file_or_not_ours_is_refused() {
        let place = tempfile::tempdir().unwrap();
        refused(read(place.path()), "is no plain file");
        refused(directory(Path::new("/dev/null")), "is no directory");
        // Tests that run as root own everything that they could be shown; chown makes something that is not theirs.
        let theirs = place.path().join("theirs");
        fs::write(&theirs, "x").unwrap();
        chmod(&theirs, 0o600);
        if geteuid().is_root() {
            std::os::unix::fs::chown(&theirs, Some(65_534), None).unwrap();
            refused(open_or_make(&theirs), "belongs to another user");
            std::os::unix::fs::chown(place.path(), Some(65_534), None).unwrap();
            refused(directory(place.path()), "belongs to another user");
        } else {
            refused(directory(Path::new("/")), "belongs to another user");
        }
    }
}
