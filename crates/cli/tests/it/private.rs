//! What `dev` writes is for its owner alone, and what somebody else could have put there is not used.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use backshift_testkit::{
    ports::free_port,
    process::{Running, backshift_binary},
    programs, wait,
};

use crate::scene::{Ended, PATIENCE, Settings, backshift, request};

fn settings(data: &Path, port: u16) -> Settings {
    Settings::of(&[("BACKSHIFT_DATA_DIR", data.to_str().unwrap()), ("BACKSHIFT_DEV_PORT", &port.to_string())])
}

async fn dev(data: &Path) -> (Running, u16) {
    dev_under("022", data).await
}

/// Its modes may not depend on what the shell that starts it says.
async fn dev_under(umask: &str, data: &Path) -> (Running, u16) {
    let port = free_port().unwrap();
    let process = Running::launch(
        programs::find("sh").unwrap().as_path(),
        &["-c", "umask $1; exec \"$0\" dev", backshift_binary().to_str().unwrap(), umask],
        &settings(data, port).pairs(),
    );
    assert!(
        process.wait_for_output(&format!("http://127.0.0.1:{port}"), PATIENCE).await,
        "{}",
        process.output()
    );
    (process, port)
}

/// A `dev` that must end by itself. Whoever was killed before it has to be gone, with his lock.
async fn refused(data: &Path) -> Ended {
    backshift(&["dev"], &settings(data, free_port().unwrap()).pairs()).await
}

fn modes(directory: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = vec![(directory.to_owned(), fs::metadata(directory).unwrap().mode() & 0o777)];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(modes(&path)),
            false => found.push((path.clone(), fs::metadata(&path).unwrap().mode() & 0o777)),
        }
    }
    found
}

#[tokio::test]
async fn nothing_that_dev_writes_can_be_read_by_others() {
    for umask in ["000", "022", "077"] {
        nothing_can_be_read_under(umask).await;
    }
}

async fn nothing_can_be_read_under(umask: &str) {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let (_process, port) = dev_under(umask, &data).await;
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let signed =
        request(port, "POST", "/signup", &form, b"email=lan%40example.com&password=correct+horse").await;
    assert_eq!(signed.unwrap().status, 303);
    let mails = || {
        fs::read_dir(data.join("mail"))
            .is_ok_and(|all| all.flatten().any(|e| e.path().extension().is_some_and(|e| e == "eml")))
    };
    let mails =
        if data.join("mail").exists() { wait::until(PATIENCE, || async { mails() }).await } else { false };
    let found = modes(&data);
    assert!(mails, "a mail is there: {found:?}");
    let open = |(_, mode): &&(PathBuf, u32)| mode & 0o077 != 0;
    assert_eq!(found.iter().filter(open).collect::<Vec<_>>(), Vec::<&(PathBuf, u32)>::new());
    for name in ["backshift.db", "backshift.db-wal", "backshift.db.workers", "jwt.key", "dev.lock"] {
        assert!(found.iter().any(|(path, _)| path.ends_with(name)), "{name} in {found:?}");
    }
}

#[tokio::test]
async fn a_directory_a_key_or_a_lock_that_somebody_else_could_have_made_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    dev(&data).await.0.kill().await;
    let link = place.path().join("link");
    symlink(&data, &link).unwrap();
    let ended = refused(&link).await;
    assert_eq!(ended.code, 78, "{ended:?}");
    assert!(ended.err.contains("is a link"), "{ended:?}");

    for (name, word) in [("dev.lock", "is a link"), ("jwt.key", "is a link")] {
        let (file, aside) = (data.join(name), place.path().join(format!("{name}.real")));
        fs::rename(&file, &aside).unwrap();
        symlink(&aside, &file).unwrap();
        let before = fs::read(&aside).unwrap();
        let ended = refused(&data).await;
        assert_eq!(ended.code, 78, "{ended:?}");
        assert!(ended.err.contains(name) && ended.err.contains(word), "{ended:?}");
        assert_eq!(fs::read(&aside).unwrap(), before, "nothing was written through the link");
        fs::remove_file(&file).unwrap();
        fs::rename(&aside, &file).unwrap();
    }
    for (path, mode) in [(data.clone(), 0o777), (data.join("dev.lock"), 0o666), (data.join("jwt.key"), 0o644)]
    {
        let usual = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let ended = refused(&data).await;
        assert_eq!(ended.code, 78, "{ended:?}");
        assert!(ended.err.contains("chmod"), "the remedy: {ended:?}");
        fs::set_permissions(&path, usual).unwrap();
    }
    dev(&data).await.0.kill().await;
}

/// Signs of life and mails lie in directories of their own, which somebody else could have made just as well.
#[tokio::test]
async fn a_directory_within_that_somebody_else_could_have_made_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let running = dev(&data).await.0;
    // It says where its pages are before all of its directories are made.
    let made = || async { ["mail", "backshift.db.workers"].iter().all(|name| data.join(name).is_dir()) };
    assert!(wait::until(PATIENCE, made).await, "{}", running.output());
    running.kill().await;
    let elsewhere = place.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    for (name, commands) in [("mail", &["dev"][..]), ("backshift.db.workers", &["dev", "worker", "doctor"])] {
        let directory = data.join(name);
        fs::remove_dir_all(&directory).unwrap();
        let all_refuse = async |words: &str| {
            for command in commands {
                let pairs = settings(&data, free_port().unwrap());
                let pairs = pairs.with(&[("BACKSHIFT_WORKER_HTTP_ADDR", "127.0.0.1:0")]);
                let ended = backshift(&[command], &pairs.pairs()).await;
                let text = format!("{}{}", ended.out, ended.err);
                assert_eq!(ended.code, 78, "{command} {name}: {ended:?}");
                assert!(text.contains(words) && text.contains(name), "{command}: {ended:?}");
            }
        };
        symlink(&elsewhere, &directory).unwrap();
        all_refuse("is a link").await;
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0, "nothing was written through the link");
        fs::remove_file(&directory).unwrap();
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o777)).unwrap();
        all_refuse("chmod go").await;
        fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
        if rustix::process::geteuid().is_root() {
            chown(&directory, Some(65_534), None).unwrap();
            all_refuse("belongs to another user").await;
            chown(&directory, Some(0), None).unwrap();
        }
    }
    dev(&data).await.0.kill().await;
}

#[tokio::test]
async fn a_directory_that_is_made_for_a_database_is_for_its_owner_alone() {
    let place = tempfile::tempdir().unwrap();
    let (data, elsewhere) = (place.path().join("data"), place.path().join("deep/elsewhere"));
    let url = format!("sqlite:{}", elsewhere.join("jobs.db").display());
    let pairs = settings(&data, 1).with(&[("DATABASE_URL", &url)]);
    backshift(&["migrate", "up"], &pairs.pairs()).await.done();
    assert_eq!(modes(&elsewhere).iter().filter(|(_, mode)| mode & 0o077 != 0).count(), 0);
}

#[tokio::test]
async fn an_empty_key_file_is_no_reason_not_to_start() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    dev(&data).await.0.kill().await;
    fs::write(data.join("jwt.key"), "").unwrap();
    let (process, _) = dev(&data).await;
    assert!(process.wait_for_output("a new key is made", PATIENCE).await, "{}", process.output());
    assert_eq!(fs::read_to_string(data.join("jwt.key")).unwrap().len(), 64);
    process.kill().await;
    fs::write(data.join("jwt.key"), "half").unwrap();
    let ended = refused(&data).await;
    assert_eq!(ended.code, 78, "{ended:?}");
    assert!(ended.err.contains("jwt.key") && ended.err.contains("remove it"), "{ended:?}");
}

/// How often a path stands in what a process said beside the word.
fn said(text: &str, word: &str, path: &Path) -> usize {
    let end = format!("chmod go= {}", path.display());
    text.lines().filter(|line| line.contains(word) && line.contains(&end)).count()
}

#[tokio::test]
async fn what_others_can_read_is_said_once_with_the_command_that_closes_it() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    dev(&data).await.0.kill().await;
    let database = data.join("backshift.db");
    let chmod = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let pairs = |port| settings(&data, port).with(&[("BACKSHIFT_WORKER_HTTP_ADDR", "127.0.0.1:0")]);
    let silent = backshift(&["doctor"], &pairs(1).pairs()).await.done();
    assert!(!silent.out.contains("files"), "{silent:?}");
    chmod(&data, 0o755);
    chmod(&database, 0o644);

    let looked = backshift(&["doctor"], &pairs(1).pairs()).await.done();
    let (process, _) = dev(&data).await;
    let running = process.output();
    process.kill().await;
    let worker = Running::start(&["worker"], &pairs(1).pairs());
    assert!(worker.wait_for_output("is being consumed", PATIENCE).await, "{}", worker.output());
    let working = worker.output();
    worker.kill().await;
    let secret = [
        ("JWT_SECRET", "a secret of 32 bytes and then some"),
        ("APP_PORT", &free_port().unwrap().to_string()),
    ];
    let api = Running::start(&["api"], &pairs(1).with(&secret).pairs());
    assert!(api.wait_for_output("the API listens", PATIENCE).await, "{}", api.output());
    for text in [&looked.out, &running, &working, &api.output()] {
        assert_eq!(said(text, "mode 0755", &data), 1, "{text}");
        assert_eq!(said(text, "mode 0644", &database), 1, "{text}");
    }
    api.kill().await;

    // Writable stays refused, and doctor says so too.
    for (path, mode) in [(&data, 0o775), (&database, 0o664), (&database, 0o646)] {
        let usual = fs::metadata(path).unwrap().permissions();
        chmod(path, mode);
        for command in ["doctor", "worker", "dev"] {
            let ended = backshift(&[command], &pairs(free_port().unwrap()).pairs()).await;
            assert_eq!(ended.code, 78, "{command} {mode:o}: {ended:?}");
            let text = format!("{}{}", ended.out, ended.err);
            assert!(
                text.contains(&format!("chmod go-w {}", path.display())),
                "{command} {mode:o}: {ended:?}"
            );
        }
        fs::set_permissions(path, usual).unwrap();
    }
    chmod(&data, 0o700);
    chmod(&database, 0o600);
    let silent = backshift(&["doctor"], &pairs(1).pairs()).await.done();
    assert!(!silent.out.contains("files"), "{silent:?}");
}
