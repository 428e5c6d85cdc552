//! The committed corpus through every target, on the ordinary toolchain: what a fuzzer once found stays found.
//!
//! A target without a corpus fails: a fuzzer that starts from nothing sees nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::{fs, panic, path::Path};

use backshift_fuzz_targets::{TARGETS, Target, cost};

/// Room for a corpus that a reader still can look through.
const MOST_FILES: usize = 60;

fn replay(name: &str, target: Target) {
    let _alone = cost::alone();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(name);
    let entries = fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
    let mut seen = 0;
    for entry in entries {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let ended = panic::catch_unwind(|| target(&bytes));
        assert!(ended.is_ok(), "{} breaks a promise of {name}, see above", path.display());
        seen += 1;
    }
    assert!((5..=MOST_FILES).contains(&seen), "the corpus of {name} has {seen} files");
}

macro_rules! replayed {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            let (name, target) = TARGETS.iter().find(|(name, _)| *name == stringify!($name)).unwrap();
            replay(name, *target);
        })*

        #[test]
        fn every_target_is_replayed() {
            assert_eq!(TARGETS.map(|(name, _)| name), [$(stringify!($name)),*]);
        }
    };
}

replayed!(configuration, cron, email_data, envelope, filter, page, smtp_reply, template);
