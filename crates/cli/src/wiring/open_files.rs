//! Files of ours that others can read: they are used, and it is said. What others can *write* is refused (`private`).
//!
//! What is made is closed from its first moment; an earlier state or other hands may have left it open. A file that others
//! cannot reach is open to nobody.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::process::geteuid;

use super::{Places, file_of, private::is_same};
use crate::config::Config;

/// Warns of each.
pub(crate) fn warn_of_open_files(config: &Config, places: &Places) {
    open_files(config, places).iter().for_each(|remark| tracing::warn!("{remark}"));
}

/// What is open, each with the command that closes it.
pub(crate) fn open_files(config: &Config, places: &Places) -> Vec<String> {
    let file = places.store.as_deref().and_then(file_of);
    open_to_others(config.data_dir(), file.as_deref())
}

fn open_to_others(data: &Path, database: Option<&Path>) -> Vec<String> {
    let mut said = Vec::new();
    let inside = |name: &&str| data.join(*name).exists();
    let ours = database.and_then(Path::parent).is_some_and(|parent| is_same(parent, data));
    // One that holds nothing of ours may be anybody's.
    let used = ours || ["jwt.key", "backshift.db", "mail"].iter().any(inside);
    if used && let Some(mode) = open_mode(data) {
        said.push(format!(
            "the data directory {0} is open to others (mode {mode:04o}): run chmod go= {0}",
            data.display()
        ));
    }
    said.extend(database.and_then(open_database));
    said
}

fn open_database(file: &Path) -> Option<String> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if fs::metadata(directory).is_ok_and(|found| found.mode() & 0o011 == 0) {
        return None;
    }
    let beside = |end: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let all = ["", "-wal", "-shm"].map(beside).into_iter();
    let open: Vec<(u32, PathBuf)> = all.filter_map(|path| Some((open_mode(&path)?, path))).collect();
    let (mode, first) = open.first()?;
    let names: Vec<String> = open.iter().map(|(_, path)| path.display().to_string()).collect();
    Some(format!(
        "the database file {} is open to others (mode {mode:04o}), with the jobs and password hashes in it: run chmod go= {}",
        first.display(),
        names.join(" ")
    ))
}

/// The mode of what is ours and not for us alone.
fn open_mode(path: &Path) -> Option<u32> {
    let found = fs::metadata(path).ok()?;
    (found.uid() == geteuid().as_raw() && found.mode() & 0o077 != 0).then(|| found.mode() & 0o7777)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::wiring::private::{directory, write};

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_open_to_others_is_said_with_the_command_that_closes_it() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        directory(&data).unwrap();
        let (file, log) = (data.join("backshift.db"), data.join("backshift.db-wal"));
        write(&file, "x").unwrap();
        assert_eq!(open_to_others(&data, Some(&file)), Vec::<String>::new());
        assert_eq!(
            open_to_others(&place.path().join("none"), Some(&data.join("none"))),
            Vec::<String>::new()
        );
        chmod(&file, 0o644);
        assert_eq!(open_to_others(&data, Some(&file)), Vec::<String>::new(), "nobody else can reach it");
        chmod(&data, 0o755);
        chmod(place.path(), 0o755);
        let elsewhere = place.path().join("jobs.db");
        assert_eq!(open_to_others(place.path(), None), Vec::<String>::new(), "it holds nothing of ours");
        write(&elsewhere, "x").unwrap();
        chmod(&elsewhere, 0o604);
        assert_eq!(open_to_others(&place.path().join("none"), Some(&elsewhere)).len(), 1, "wherever it lies");
        let said = open_to_others(&data, Some(&file));
        let [one, two] = &said[..] else { panic!("{said:?}") };
        assert!(
            one.contains("mode 0755") && one.ends_with(&format!("chmod go= {}", data.display())),
            "{one}"
        );
        assert!(
            two.contains("mode 0644") && two.ends_with(&format!("chmod go= {}", file.display())),
            "{two}"
        );
        write(&log, "x").unwrap();
        chmod(&log, 0o640);
        let said = open_to_others(&data, Some(&file));
        assert!(said[1].ends_with(&format!("chmod go= {} {}", file.display(), log.display())), "{said:?}");
    }
}
