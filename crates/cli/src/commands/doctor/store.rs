//! What a process will need of its store, tried and undone: an answer, safe settings, the schema, rights, a clock, room.
//!
//! Nothing is made: a schema that the next start brings up is told and left, and what is tried is rolled back.

use std::{path::Path, time::Duration};

use backshift_core::{StoreError, Timestamp};
use backshift_store::{Database, Dialect, check};

use super::{Finding, within};
use crate::{
    config::{Config, Origin, keys, without_password},
    domains::Role,
    exit::Failure,
    wiring::{Backend, Pending, and_what_is_there, file_of, lines, look_at, places, schema_failure},
};

const PART: &str = "store";
const WHO: &str = "the database";
/// A worker writes results all the time; with less left it soon cannot.
const LEAST_ROOM: u64 = 64 << 20;
/// Tokens, codes and what is due tell times apart by seconds.
const APART: Duration = Duration::from_secs(2);
/// No row is touched; the right is looked at all the same.
const TRIED: [&str; 3] = [
    "INSERT INTO background_jobs (id) SELECT id FROM background_jobs WHERE 1 = 0",
    "UPDATE background_jobs SET status = status WHERE 1 = 0",
    "DELETE FROM background_jobs WHERE 1 = 0",
];
/// `$1` tables with commas between: each right that is missing.
const MISSING: &str = "SELECT p.name || ' on ' || t.name FROM unnest(string_to_array($1, ',')) AS t(name), \
     unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p(name) \
     WHERE to_regclass(t.name) IS NOT NULL AND NOT has_table_privilege(to_regclass(t.name), p.name) ORDER BY 1";
const MAY_CREATE: &str = "SELECT current_user::text, COALESCE(current_schema()::text, ''), \
     COALESCE(has_schema_privilege(current_schema(), 'CREATE'), false)";

/// Everything about the store.
pub(super) async fn store(
    config: &Config,
    backend: Option<&Backend>,
    failure: Option<Failure>,
) -> Vec<Finding> {
    let url = places(config, false).ok().and_then(|places| places.store).unwrap_or_default();
    let what = without_password(&url);
    let file = file_of(&url);
    if *config.origin(&keys::DATABASE_URL) == Origin::Default
        && file.as_ref().is_some_and(|file| !file.exists())
    {
        let what = format!("{what}: nothing there yet; `backshift dev` or `backshift migrate up` makes one");
        let room = file.as_deref().map(room);
        return [Finding::new(PART, what, None)].into_iter().chain(room).collect();
    }
    let Some(backend) = backend else { return vec![Finding::new(PART, what, failure)] };
    let Ok(database) = backend.database() else { return Vec::new() };
    let looked = within(WHO, look_at(config, database)).await;
    let pending = looked.as_ref().ok().copied();
    let mut findings =
        vec![Finding { ways: database.ways().to_vec(), ..Finding::new(PART, what, looked.err()) }];
    findings.extend(accepted(config, database).await);
    if let Some(pending) = pending {
        findings.extend(rights(config, database, pending).await);
        findings.extend(clock(database).await);
    }
    findings.extend(file.as_deref().map(room));
    findings
}

async fn accepted(config: &Config, database: &Database) -> Vec<Finding> {
    if !config.get(&keys::ALLOW_UNSAFE_SERVER) {
        return Vec::new();
    }
    let Ok(unsafe_settings) = within(WHO, check::settings(database)).await else {
        return Vec::new();
    };
    let told = |finding: &check::Unsafe| format!("{finding}; accepted by allow_unsafe_server");
    unsafe_settings.iter().map(|finding| Finding::new(PART, told(finding), None)).collect()
}

/// What a worker and the API do with the tables, and what `migrate up` needs.
async fn rights(config: &Config, database: &Database, pending: Pending) -> Vec<Finding> {
    let mut findings = Vec::new();
    if pending == Pending::Nothing {
        let problem = within(WHO, tried(config, database)).await.err();
        findings.push(Finding::new(PART, "reads and writes every table (nothing was changed)", problem));
    }
    if database.as_pg().is_some() {
        let may = within(WHO, database.sql(MAY_CREATE).one::<(String, String, bool)>()).await;
        findings.push(match may {
            Err(failure) => Finding::new(PART, "rights for `migrate up`", Some(failure)),
            Ok((role, schema, true)) => {
                Finding::new(PART, format!("role {role} may run `migrate up` in schema {schema}{}", pending.told()), None)
            }
            Ok((role, schema, false)) => {
                let what = format!("role {role} may not run `migrate up`{}", pending.told());
                let remedy = format!(
                    "{}: GRANT CREATE ON SCHEMA {schema} TO {role}, or run `backshift migrate up` as a role that may",
                    config.told(&keys::MIGRATE)
                );
                // Whoever keeps the schema up by another role wants it so.
                let needed = pending == Pending::NextStart;
                Finding::new(PART, what, needed.then(|| Failure::configuration(remedy)))
            }
        });
    } else if pending == Pending::NextStart {
        findings.push(Finding::new(PART, format!("the schema{}", pending.told()), None));
    }
    findings
}

async fn tried(config: &Config, database: &Database) -> Result<(), Failure> {
    let tx = database.begin().await.map_err(schema_failure)?;
    let mut answer = Ok(());
    for text in TRIED {
        answer = tx.sql(text).run().await.map(drop);
        if answer.is_err() {
            break;
        }
    }
    let _ = tx.rollback().await;
    answer.map_err(read_only)?;
    if database.as_pg().is_none() {
        return Ok(());
    }
    let lines = and_what_is_there(database, lines(config, Role::Site)).await.map_err(schema_failure)?;
    let names: Vec<_> = lines.iter().flat_map(|line| line.tables(Dialect::Postgres)).collect();
    let names = names.join(",");
    let missing = database.sql(MISSING).bind(names).all::<String>().await?;
    match missing.is_empty() {
        true => Ok(()),
        false => {
            let role = database.sql("SELECT current_user::text").one::<String>().await?;
            Err(Failure::configuration(format!(
                "role {role} lacks {}: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA … TO {role}",
                missing.join(", ")
            )))
        }
    }
}

/// A server that only reads will not write later either, so far as this role can see.
fn read_only(error: StoreError) -> Failure {
    match &error {
        StoreError::Unavailable(text) if text.contains("25006") => Failure::configuration(format!(
            "nothing can be written there: {text}; connect to the primary, or end default_transaction_read_only of the role"
        )),
        StoreError::Unusable(_) => schema_failure(error).reworded(|text| {
            format!("{text} (GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA … TO …)")
        }),
        _ => schema_failure(error),
    }
}

async fn clock(database: &Database) -> Option<Finding> {
    database.as_pg()?;
    let before = Timestamp::now();
    let there = within(WHO, database.sql("SELECT clock_timestamp()").one::<Timestamp>()).await.ok()?;
    let after = Timestamp::now();
    let apart = apart(before, there, after);
    let what =
        format!("the clocks of the database and of this machine are {:.1} s apart", apart.as_secs_f64());
    let problem = (apart > APART).then(|| {
        let (machine, database) = (after.strftime("%H:%M:%S"), there.strftime("%H:%M:%S"));
        Failure::failed(format!(
            "this machine says {machine} and the database {database} (UTC): codes and tokens would end too soon or too late; let both \
             follow one time server (chrony, systemd-timesyncd)"
        ))
    });
    Some(Finding::new(PART, what, problem))
}

/// At least: what the question took may be on either side.
fn apart(before: Timestamp, there: Timestamp, after: Timestamp) -> Duration {
    let outside = if there < before { before.duration_since(there) } else { there.duration_since(after) };
    Duration::try_from(outside).unwrap_or_default()
}

/// What is free where the file is, or will be.
fn room(file: &Path) -> Finding {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let place = absolute.ancestors().find(|place| place.is_dir()).unwrap_or(Path::new("/"));
    let what = place.display().to_string();
    match rustix::fs::statvfs(place) {
        Err(error) => {
            Finding::new("disk", what, Some(Failure::failed(format!("its room cannot be seen: {error}"))))
        }
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let problem = (free < LEAST_ROOM).then(|| {
                Failure::failed("fewer than 64 MiB are free: nothing is accepted when it is full; make room or move the file")
            });
            Finding::new("disk", format!("{what}: {} MiB free", free >> 20), problem)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_apart_by_what_no_round_trip_explains() {
        let at = |ms: i64| Timestamp::from_millisecond(1_000_000 + ms).unwrap();
        assert_eq!(apart(at(0), at(50), at(100)), Duration::ZERO);
        assert_eq!(apart(at(0), at(-3000), at(100)), Duration::from_secs(3));
        assert_eq!(apart(at(0), at(3100), at(100)), Duration::from_secs(3));
    }
}
