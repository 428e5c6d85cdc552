//! Where the shared servers of `cargo xtask services` are, and names in them that are nobody else's.
//!
//! A missing server skips the test with a printed reason, and fails it when `BACKSHIFT_REQUIRE=all` is set.

use backshift_core::QueueName;
use uuid::Uuid;

/// The server's address from `BACKSHIFT_TEST_<NAME>`, such as `POSTGRES_URL`; `None` = skip the test, the reason
/// is printed.
///
/// # Panics
/// When the variable is missing although `BACKSHIFT_REQUIRE=all` says that every server must be there.
pub fn require(name: &str) -> Option<String> {
    let variable = format!("BACKSHIFT_TEST_{name}");
    let found = std::env::var(&variable).ok().filter(|value| !value.is_empty());
    if found.is_none() {
        let reason = format!("{variable} is not set: run `cargo xtask services up`");
        let must = std::env::var("BACKSHIFT_REQUIRE").is_ok_and(|value| value == "all");
        assert!(!must, "{reason} (BACKSHIFT_REQUIRE=all forbids skipping)");
        eprintln!("skipped: {reason}");
    }
    found
}

/// A name that no other test uses: `prefix-<16 hex digits>`.
pub fn unique_name(prefix: &str) -> String {
    // The end of a UUIDv7 is random, its beginning is the time.
    let random = Uuid::now_v7().simple().to_string();
    format!("{prefix}-{}", &random[16..])
}

/// A queue that no other test uses.
///
/// # Panics
/// When the prefix is not legal in a queue's name.
pub fn unique_queue(prefix: &str) -> QueueName {
    QueueName::new(unique_name(prefix)).expect("prefix and hex digits are a legal name")
}
