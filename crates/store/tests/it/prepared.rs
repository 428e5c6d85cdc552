//! Every statement text of the store, prepared on both databases.

use backshift_store::{Database, Dialect, Durability, Executor, ledger, sqlite::fault};

use crate::world::World;

#[tokio::test]
async fn on_sqlite() {
    let world = World::sqlite().await;
    let Database::Sqlite(file) = world.db() else { panic!("a SQLite database") };
    for text in ledger::statements(Dialect::Sqlite) {
        let asked = text.clone();
        let prepared =
            file.write(Durability::Strict, move |on| on.prepare(&asked).map(drop).map_err(fault)).await;
        prepared.unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
}

/// A file with a million completed jobs would be read whole for the few that wait.
#[tokio::test]
async fn what_waits_is_found_by_an_index_on_sqlite() {
    let world = World::sqlite().await;
    let looks: Vec<_> =
        ledger::statements(Dialect::Sqlite).into_iter().filter(|text| text.contains("held LIMIT")).collect();
    assert!(looks.len() > 2, "{looks:?}");
    for text in looks {
        let plan = world.db().text(format!("EXPLAIN QUERY PLAN {text}")).bind(1_i64);
        let plan = plan.all::<(i64, i64, i64, String)>().await.unwrap();
        assert!(plan.iter().all(|(.., step)| step != "SCAN background_jobs"), "{plan:?}\n{text}");
    }
}

#[tokio::test]
async fn on_postgresql() {
    let Some(world) = World::postgres().await else { return };
    let (client, connection) =
        tokio_postgres::connect(&world.place.url, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    for text in ledger::statements(Dialect::Postgres) {
        let prepared = client.prepare(&text).await;
        prepared.unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    }
    driver.abort();
}

/// A plan without sorts has a price that no plan has: PostgreSQL would compile it anew at each call, which takes a hundred
/// times as long as the claim.
#[tokio::test]
async fn no_claim_is_compiled() {
    let Some(world) = World::postgres().await else { return };
    let functions = async |jit: &str| {
        let text = "SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
            WHERE n.nspname = current_schema() AND 'enable_sort=off' = ANY(p.proconfig)";
        world.db().text(format!("{text} AND {jit}")).one::<i64>().await.unwrap()
    };
    assert_eq!(functions("NOT 'jit=off' = ANY(p.proconfig)").await, 0);
    assert!(functions("true").await > 0);
}

/// A function of an earlier way to claim would be kept in step by nobody.
#[tokio::test]
async fn every_function_is_called() {
    let Some(world) = World::postgres().await else { return };
    let text = "SELECT p.proname, p.prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
        WHERE n.nspname = current_schema() AND NOT EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgfoid = p.oid)";
    let functions = world.db().text(text.to_owned()).all::<(String, String)>().await.unwrap();
    assert!(functions.len() > 3, "{functions:?}");
    let statements = ledger::statements(Dialect::Postgres);
    for (name, _) in &functions {
        let call = format!("{name}(");
        let others = functions.iter().filter(|(other, _)| other != name).map(|(_, body)| body);
        assert!(statements.iter().chain(others).any(|text| text.contains(&call)), "nobody calls {name}");
    }
}

/// The text must be one of the code: only those are kept prepared.
const LOST: &str = "SELECT word FROM lost_plans";

async fn word(world: &World) -> String {
    world.db().sql(LOST).one::<String>().await.unwrap()
}

#[tokio::test]
async fn a_kept_plan_that_no_longer_fits_is_made_anew() {
    let Some(world) = World::postgres().await else { return };
    let run = async |text: &'static str| world.db().sql(text).run().await.unwrap();
    run("CREATE TABLE lost_plans AS SELECT 'first'::text AS word").await;
    assert_eq!(word(&world).await, "first");
    // The plan's result changes, as by a migration under a running worker.
    run("ALTER TABLE lost_plans ALTER word TYPE varchar(20)").await;
    assert_eq!(word(&world).await, "first");
    // The session forgets every plan, as behind a pooler that resets sessions.
    for _ in 0..8 {
        run("DEALLOCATE ALL").await;
    }
    assert_eq!(word(&world).await, "first");
}
