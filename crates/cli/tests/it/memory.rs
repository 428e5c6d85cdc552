//! What a worker keeps of the memory that large mails took, and how it begins again for that: once, and whatever is odd
//! about its start it works.

use std::{
    collections::HashMap,
    fs::{self, File, Permissions},
    os::{
        fd::AsRawFd as _,
        unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    },
    path::{Path, PathBuf},
};

use backshift_testkit::{
    ports::free_port,
    process::{Running, Signal, backshift_binary},
    programs, wait,
};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    outcomes::wait_jobs,
    scene::{PATIENCE, SystemC, Worker, request},
};

const THRESHOLD: &str = "MALLOC_MMAP_THRESHOLD_";
const AGAIN: &str = "_BACKSHIFT_BEGUN_AGAIN";

/// MiB that are resident in a process.
fn resident(worker: &Worker) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", worker.process.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[tokio::test]
async fn large_mails_leave_no_memory_behind() {
    let Some(system) = SystemC::new().await else { return };
    let worker = system.worker().await;
    system.vhost.publish_mail("first@example.com", "small").await;
    wait_jobs(&system, "completed", 1).await;
    let before = resident(&worker);
    for n in 0..8 {
        let file = "QmFja3NoaWZ0".repeat((8 << 20) / 12);
        let mail = json!({"Recipient": format!("p{n}@example.com"), "Attachments": [{"Data": file}]});
        system.vhost.publish_bare(mail.to_string()).await;
    }
    wait_jobs(&system, "completed", 9).await;
    // A mail is completed in the ledger before its last buffer is gone.
    let given_back = wait::until(PATIENCE, || async { resident(&worker) < before + 40 }).await;
    assert!(given_back, "{before} MiB before 64 MiB of mails, {} MiB after them", resident(&worker));
}

/// A directory beside the binary, so that a link to it can be made there.
fn beside() -> TempDir {
    tempfile::tempdir_in(backshift_binary().parent().unwrap()).unwrap()
}

/// A worker of this program with an embedded store, started by a shell.
struct Begun {
    process: Running,
    port: u16,
    _data: TempDir,
}

impl Begun {
    /// `how` = `own`: with the process's own id in the environment already.
    fn new(how: &str, program: &Path, settings: &[(&str, &str)]) -> Self {
        let (data, port) = (tempfile::tempdir().unwrap(), free_port().unwrap());
        let (directory, address) = (data.path().display().to_string(), format!("127.0.0.1:{port}"));
        let own = [("BACKSHIFT_DATA_DIR", directory.as_str()), ("BACKSHIFT_WORKER_HTTP_ADDR", &address)];
        let process = Running::launch(
            programs::find("sh").unwrap().as_path(),
            &[
                "-c",
                "if [ \"$1\" = own ]; then export _BACKSHIFT_BEGUN_AGAIN=$$; fi; exec \"$0\" worker",
                program.to_str().unwrap(),
                how,
            ],
            &[&own, settings].concat(),
        );
        Self { process, port, _data: data }
    }

    async fn is_ready(&self) -> bool {
        let asked =
            || async { request(self.port, "GET", "/readyz", &[], b"").await.is_ok_and(|a| a.status == 200) };
        wait::until(PATIENCE, asked).await
    }

    /// What its environment was when it began for the last time.
    fn environment(&self) -> HashMap<String, String> {
        let bytes = fs::read(format!("/proc/{}/environ", self.process.pid())).unwrap();
        let all = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        all.filter_map(|one| one.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()))).collect()
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[tokio::test]
async fn a_worker_begins_again_once_whatever_the_environment_says() {
    let odd = "\u{fffd}=\n";
    for (how, settings, threshold, again) in [
        ("", vec![], Some("1048576"), true),
        ("", vec![(AGAIN, "1")], Some("1048576"), true),
        ("", vec![(AGAIN, "")], Some("1048576"), true),
        ("", vec![(AGAIN, odd)], Some("1048576"), true),
        // Somebody says that it has begun again already: it believes that, and works.
        ("own", vec![], None, true),
        // Somebody has chosen a threshold.
        ("", vec![(THRESHOLD, "65536")], Some("65536"), false),
        ("", vec![(THRESHOLD, "")], Some(""), false),
        ("", vec![("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=65536")], None, false),
    ] {
        let begun = Begun::new(how, backshift_binary(), &settings);
        assert!(begun.is_ready().await, "{how:?} {settings:?}\n{}", begun.process.output());
        let found = begun.environment();
        assert_eq!(found.get(THRESHOLD).map(String::as_str), threshold, "{how:?} {settings:?}");
        let id = begun.process.pid().to_string();
        assert_eq!(found.get(AGAIN) == Some(&id), again, "{how:?} {settings:?}: {found:?}");
    }
}

/// The loader takes what tunes the allocator out of the environment of a program with capabilities, so that the threshold
/// alone would have it begin again for ever. Only root can give capabilities away, and only another user gains by them.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[tokio::test]
async fn a_program_with_capabilities_begins_again_once() {
    const NOBODY: u32 = 65_534;
    // Revision 2, effective; what may be gained is CAP_NET_BIND_SERVICE (10).
    let mut capability = [0_u8; 20];
    capability[0] = 1;
    capability[3] = 2;
    capability[4..8].copy_from_slice(&(1_u32 << 10).to_le_bytes());
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("backshift");
    fs::copy(backshift_binary(), &program).unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    if let Err(error) = rustix::fs::setxattr(&program, "security.capability", &capability, flags) {
        eprintln!("skipped: capabilities cannot be given to a file here: {error}");
        return;
    }
    // A child that another test forked while the copy was written holds it open until it runs something else: text file busy.
    let runs = || async {
        let mut command = programs::command("sh").unwrap();
        let tried = command.args(["-c", "exec \"$0\" --version"]).arg(&program).output().await;
        tried.is_ok_and(|ended| ended.status.success())
    };
    assert!(wait::until(PATIENCE, runs).await, "the copy cannot be run");
    let (data, port) = (tempfile::tempdir().unwrap(), free_port().unwrap());
    chown(data.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let mut command = programs::command("sh").unwrap();
    command.args(["-c", "exec \"$0\" worker"]).arg(&program).uid(NOBODY).gid(NOBODY).env_clear();
    command
        .env("BACKSHIFT_DATA_DIR", data.path())
        .env("BACKSHIFT_WORKER_HTTP_ADDR", format!("127.0.0.1:{port}"));
    command.current_dir(data.path()).stdout(std::process::Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let ready = wait::until(PATIENCE, || async {
        request(port, "GET", "/readyz", &[], b"").await.is_ok_and(|answer| answer.status == 200)
    });
    let ready = ready.await;
    let environment = fs::read(format!("/proc/{}/environ", child.id().unwrap())).unwrap();
    child.kill().await.unwrap();
    assert!(ready, "it begins again and again");
    assert!(String::from_utf8_lossy(&environment).contains(AGAIN), "it has begun again");
}

/// The program is gone when it wants to begin again: an upgrade, a directory that was tidied up. Something else in its place
/// is not run.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[tokio::test]
async fn a_program_whose_file_is_gone_works_all_the_same() {
    for in_its_place in [false, true] {
        let place = beside();
        let link: PathBuf = place.path().join("backshift");
        fs::hard_link(backshift_binary(), &link).unwrap();
        let open = File::open(&link).unwrap();
        fs::remove_file(&link).unwrap();
        if in_its_place {
            // What the system calls a program whose file is gone.
            fs::create_dir(place.path().join("backshift (deleted)")).unwrap();
            fs::create_dir(&link).unwrap();
        }
        let program = format!("/proc/{}/fd/{}", std::process::id(), open.as_raw_fd());
        let begun = Begun::new("", Path::new(&program), &[]);
        assert!(begun.is_ready().await, "{}", begun.process.output());
        let found = begun.environment();
        assert!(!found.contains_key(THRESHOLD) && !found.contains_key(AGAIN), "{found:?}");
        assert_eq!(
            fs::metadata(format!("/proc/{}/exe", begun.process.pid())).unwrap().ino(),
            open.metadata().unwrap().ino()
        );
        // The attempt gave this signal its usual meaning back; a client that hangs up must not end a worker.
        begun.process.signal(Signal::PIPE);
        begun.process.signal(Signal::PIPE);
        assert!(begun.is_ready().await, "{}", begun.process.output());
        let Begun { mut process, .. } = begun;
        process.terminate();
        let ended = process.ended(PATIENCE).await.and_then(|status| status.code());
        assert_eq!(ended, Some(0), "{}", process.output());
    }
}
