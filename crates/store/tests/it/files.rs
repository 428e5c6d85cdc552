//! One SQLite file: whatever path leads to it, and what becomes of it while it is open.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown, symlink},
        process::CommandExt,
    },
    path::Path,
    sync::Arc,
};

use backshift_core::{State, WorkerName, store::Maintenance};
use backshift_store::{
    Database, Options, SqlStore, StoreError,
    liveness::{check, dead_workers, sign},
};

use crate::{
    place::{self, Place},
    world::{World, job},
};

fn open(path: &Path) -> Result<Database, StoreError> {
    Database::open(&format!("sqlite:{}", path.display()), &Options::default())
}

fn path_of(place: &Place) -> std::path::PathBuf {
    place.db.as_sqlite().unwrap().path().to_owned()
}

/// The lock files beside the database.
fn locks(file: &Path) -> Vec<String> {
    let directory = file.with_file_name("test.db.workers");
    let names = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<_> = names.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn two_workers_that_reach_one_file_by_two_paths_do_not_take_each_other_for_dead() {
    let world = World::sqlite().await;
    let file = path_of(&world.place);
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(&file, elsewhere.path().join("link.db")).unwrap();
    symlink(file.parent().unwrap(), elsewhere.path().join("directory")).unwrap();
    symlink(elsewhere.path().join("link.db"), elsewhere.path().join("link-of-a-link.db")).unwrap();
    let here = std::env::current_dir().unwrap();
    let up: String = here.components().skip(1).map(|_| "../").collect();
    let relative = Path::new(&up).join(file.strip_prefix("/").unwrap());
    let id = world.enqueue(job("ready")).await.id();
    assert_eq!(world.claim("living").await.unwrap().0.id, id);
    let living = WorkerName::new("living").unwrap();
    let announced = world.db().sql(
        "INSERT INTO job_workers (name, queues, started_at, seen_at, signed) \
        VALUES ('living', 'ready:1', 1, 1, true)",
    );
    announced.run().await.unwrap();
    let standing = sign(world.db(), &living).await.unwrap().unwrap();
    for path in [
        elsewhere.path().join("link.db"),
        elsewhere.path().join("directory/test.db"),
        elsewhere.path().join("directory/./test.db"),
        elsewhere.path().join("link-of-a-link.db"),
        relative,
    ] {
        let other = open(&path).unwrap();
        assert!(dead_workers(&other, std::slice::from_ref(&living)).await.unwrap().is_empty(), "{path:?}");
        assert!(sign(&other, &living).await.is_err(), "the name is taken: {path:?}");
        assert_eq!(SqlStore::new(other).rescue().await.unwrap().returned, 0, "{path:?}");
        assert_eq!(world.state(id).await, State::Running);
    }
    drop(standing);
    let other = open(&elsewhere.path().join("link.db")).unwrap();
    assert_eq!(SqlStore::new(other).rescue().await.unwrap().returned, 1, "a dead one is found by any path");
}

#[tokio::test]
async fn a_file_with_two_names_is_refused() {
    let place = place::sqlite();
    let file = path_of(&place);
    let elsewhere = tempfile::tempdir_in(file.parent().unwrap()).unwrap();
    let second = elsewhere.path().join("second.db");
    fs::hard_link(&file, &second).unwrap();
    for path in [&second, &file] {
        let refused = open(path).unwrap_err();
        assert!(matches!(&refused, StoreError::Unusable(text) if text.contains("hard links")), "{refused}");
    }
    fs::remove_file(&second).unwrap();
    open(&file).unwrap();
}

/// Somebody works in this name, as its row says.
async fn busy(world: &World, name: &str) -> backshift_core::JobId {
    let id = world.enqueue(job("ready")).await.id();
    assert_eq!(world.claim(name).await.unwrap().0.id, id);
    let row = "INSERT INTO job_workers (name, queues, started_at, seen_at, signed) \
        VALUES ($1, 'ready:1', 1, 1, true)";
    world.db().sql(row).bind(name).run().await.unwrap();
    id
}

#[tokio::test]
async fn lock_files_of_killed_workers_are_a_proof_until_nothing_runs_and_those_of_the_living_are_kept() {
    let world = World::sqlite().await;
    let (db, file) = (world.db(), path_of(&world.place));
    let names = ["a", "b", "c", "d"].map(|name| WorkerName::new(name).unwrap());
    let first = sign(db, &names[0]).await.unwrap();
    let id = busy(&world, "killed:17").await;
    // What a SIGKILL leaves: a file that nobody locks.
    for left in ["killed%3A17.lock", "b.lock"] {
        fs::write(file.with_file_name("test.db.workers").join(left), "").unwrap();
    }
    let killed = WorkerName::new("killed:17").unwrap();
    assert_eq!(dead_workers(db, std::slice::from_ref(&killed)).await.unwrap(), [killed]);
    assert_eq!(locks(&file), ["a.lock", "b.lock", "killed%3A17.lock"], "to look takes nothing away");
    let third = sign(db, &names[2]).await.unwrap();
    assert_eq!(locks(&file), ["a.lock", "c.lock", "killed%3A17.lock"], "its job still runs for the ledger");
    assert_eq!(SqlStore::new(db.clone()).rescue().await.unwrap().returned, 1);
    assert_eq!(world.state(id).await, State::Available);
    drop((first, third));
    let fourth = sign(db, &names[3]).await.unwrap();
    assert_eq!(locks(&file), ["d.lock"], "nothing runs in the names of the others");
    assert!(fourth.unwrap().stands());
}

/// Whoever can delete a lock file must not make others start what still runs.
#[tokio::test]
async fn a_lock_file_that_is_missing_is_no_death() {
    let world = World::sqlite().await;
    let name = WorkerName::new("living").unwrap();
    let standing = sign(world.db(), &name).await.unwrap().unwrap();
    let id = busy(&world, "living").await;
    let directory = path_of(&world.place).with_file_name("test.db.workers");
    let ghost = WorkerName::new("ghost").unwrap();
    let none_is_dead = async || {
        let names = [name.clone(), ghost.clone()];
        assert!(dead_workers(world.db(), &names).await.unwrap().is_empty());
        assert_eq!(SqlStore::new(world.db().clone()).rescue().await.unwrap().returned, 0);
        assert_eq!(world.state(id).await, State::Running);
    };
    fs::remove_file(directory.join("living.lock")).unwrap();
    assert!(!standing.stands(), "its holder sees it, and makes another");
    none_is_dead().await;
    fs::remove_dir_all(&directory).unwrap();
    none_is_dead().await;
    // A free file in a place that others can write proves nothing either.
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("living.lock"), "").unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o777)).unwrap();
    none_is_dead().await;
    fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
    assert_eq!(SqlStore::new(world.db().clone()).rescue().await.unwrap().returned, 1);
}

#[tokio::test]
async fn signs_of_life_are_for_their_owner_alone() {
    let place = place::sqlite();
    let directory = path_of(&place).with_file_name("test.db.workers");
    let lock = directory.join("one.lock");
    let name = WorkerName::new("one").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    let standing = sign(&place.db, &name).await.unwrap();
    assert_eq!((mode(&directory), mode(&lock)), (0o700, 0o600));
    // To hold a lock it is enough to read its file: nobody else gets there.
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(directory.parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
        let stranger = std::process::Command::new("cat").arg(&lock).uid(65_534).gid(65_534).output().unwrap();
        assert!(!stranger.status.success(), "{stranger:?}");
    }
    drop(standing);
    // What an earlier state left open is closed.
    fs::set_permissions(&lock, Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
    check(&place.db).unwrap();
    assert_eq!(mode(&directory), 0o755, "who only looks changes nothing");
    let _standing = sign(&place.db, &name).await.unwrap();
    assert_eq!((mode(&directory), mode(&lock)), (0o700, 0o600));
}

#[tokio::test]
async fn a_place_for_signs_that_is_not_ours_alone_is_refused() {
    let place = place::sqlite();
    let file = path_of(&place);
    let (directory, elsewhere) =
        (file.with_file_name("test.db.workers"), file.with_file_name("elsewhere.directory"));
    let refused = async |words: &str| {
        let error = sign(&place.db, &WorkerName::new("one").unwrap()).await.map(drop).unwrap_err();
        let shown = error.to_string();
        assert!(matches!(&error, StoreError::Unusable(_)), "{error:?}");
        assert!(shown.contains("test.db.workers") && shown.contains(words), "{shown}");
        shown
    };
    check(&place.db).expect("nothing is there yet");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &directory).unwrap();
    refused("is a link").await;
    assert!(check(&place.db).is_err());
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    fs::remove_file(&directory).unwrap();
    for open in [0o770, 0o702, 0o1777] {
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(open)).unwrap();
        refused(&format!("(mode {open:04o}): run chmod go= ")).await;
        assert!(check(&place.db).is_err());
        fs::remove_dir(&directory).unwrap();
    }
    fs::create_dir(&directory).unwrap();
    let (lock, theirs) = (directory.join("one.lock"), elsewhere.join("theirs"));
    symlink(&theirs, &lock).unwrap();
    refused("is a link").await;
    assert!(!theirs.exists(), "nothing is made through a link");
    fs::remove_file(&lock).unwrap();
    if rustix::process::geteuid().is_root() {
        for foreign in [&lock, &directory] {
            if foreign == &lock {
                fs::write(&lock, "").unwrap();
            }
            chown(foreign, Some(65_534), None).unwrap();
            refused("belongs to another user").await;
            chown(foreign, Some(0), None).unwrap();
        }
    }
    assert!(sign(&place.db, &WorkerName::new("one").unwrap()).await.unwrap().is_some());
}

/// Workers come and go while others ask and sweep: a sign that stands is never seen as gone, a name is held once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lock_files_are_removed_without_a_race() {
    // With a schema: else nobody knows what runs, and nothing is removed.
    let world = World::sqlite().await;
    let held = Arc::new(std::sync::Mutex::new(std::collections::HashSet::new()));
    let tasks = (0..4).map(|task| {
        let (db, held) = (world.db().clone(), Arc::clone(&held));
        tokio::spawn(async move {
            let mut taken = 0;
            for round in 0..150 {
                let name = format!("w{}", (task + round) % 3);
                let worker = WorkerName::new(&name).unwrap();
                let Ok(sign) = sign(&db, &worker).await else { continue };
                taken += 1;
                assert!(held.lock().unwrap().insert(name.clone()), "{name} is held twice");
                let sign = sign.unwrap();
                assert!(sign.stands(), "{name} was removed under its holder");
                held.lock().unwrap().remove(&name);
                drop(sign);
            }
            taken
        })
    });
    let taken: Vec<i32> = futures::future::join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    assert!(taken.iter().sum::<i32>() > 100, "{taken:?}");
}

#[tokio::test]
async fn a_file_that_moved_away_is_not_written_any_more_and_comes_back() {
    let world = World::sqlite().await;
    let (db, file) = (world.db().clone(), path_of(&world.place));
    let sign = sign(&db, &WorkerName::new("w").unwrap()).await.unwrap().unwrap();
    let away = file.with_file_name("away.db");
    db.ping().await.unwrap();
    fs::rename(&file, &away).unwrap();
    let tx_refused = async {
        let tx = db.begin().await?;
        tx.commit().await
    };
    for error in [db.ping().await.unwrap_err(), tx_refused.await.unwrap_err()] {
        assert!(
            matches!(&error, StoreError::Unavailable(text) if text.contains("moved or deleted")),
            "{error}"
        );
    }
    let refused = world.enqueue_all((0..40).map(|_| job("ready")).collect()).await;
    assert!(refused.iter().all(|answer| answer.as_ref().is_err_and(StoreError::is_transient)));
    assert!(!sign.stands());
    assert!(!file.exists(), "nobody made an empty one");
    let orphan = open(&file).unwrap_err();
    assert!(matches!(&orphan, StoreError::Unusable(text) if text.contains("log")), "{orphan}");
    // Another file in its place is another file.
    fs::write(&file, "").unwrap();
    assert!(db.ping().await.unwrap_err().to_string().contains("replaced"));
    fs::remove_file(&file).unwrap();
    fs::rename(&away, &file).unwrap();
    db.ping().await.unwrap();
    assert!(sign.stands());
    let id = world.enqueue(job("ready")).await.id();
    assert_eq!(world.state(id).await, State::Available);
    let all: i64 = db.sql("SELECT count(*) FROM background_jobs").one().await.unwrap();
    assert_eq!(all, 1, "what was refused is not there");
}

#[tokio::test]
async fn a_transaction_on_a_file_that_moves_away_meanwhile_is_not_committed() {
    let world = World::sqlite().await;
    let file = path_of(&world.place);
    let tx = world.db().begin().await.unwrap();
    tx.sql("CREATE TABLE late (k INTEGER)").run().await.unwrap();
    fs::rename(&file, file.with_file_name("away.db")).unwrap();
    let error = tx.commit().await.unwrap_err();
    assert!(error.to_string().contains("moved or deleted"), "{error}");
    fs::rename(file.with_file_name("away.db"), &file).unwrap();
    assert!(world.db().sql("SELECT count(*) FROM late").one::<i64>().await.is_err());
}

#[tokio::test]
async fn a_late_reader_does_not_read_a_file_that_took_the_place() {
    let place = place::sqlite();
    let file = path_of(&place);
    fs::rename(&file, file.with_file_name("away.db")).unwrap();
    let other = rusqlite_file(&file);
    // No reader is open yet: the first one would look into the other file.
    let read = place.db.sql("SELECT count(*) FROM other").one::<i64>().await;
    assert!(read.as_ref().is_err_and(|e| e.to_string().contains("replaced")), "{read:?}");
    drop(other);
}

fn rusqlite_file(path: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch("CREATE TABLE other (k INTEGER)").unwrap();
    connection
}

#[test]
fn a_mistyped_path_makes_no_file_where_none_is_to_be_made() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jbos.db");
    let options = Options { create: false, ..Options::default() };
    let refused = Database::open(&format!("sqlite:{}", file.display()), &options).unwrap_err();
    assert!(matches!(&refused, StoreError::Unusable(text) if text.contains("no database file")), "{refused}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    drop(open(&file).unwrap());
    Database::open(&format!("sqlite:{}", file.display()), &options).unwrap();
}
