//! What a worker does not know is put aside once, and nobody walks past it again.

use std::{sync::Arc, time::Instant};

use backshift_core::{Envelope, JobId, Kind, Kinds, State, store::Jobs};
use backshift_store::{Dialect, Executor, ledger, ledger::Round};

use crate::{
    on_both_databases,
    world::{World, completed, holder, job, queue},
};

fn kinds(names: &[&str]) -> Kinds {
    Arc::new(names.iter().map(|name| Kind::new(name).unwrap()).collect())
}

fn of(kind: &str) -> Envelope {
    Envelope { kind: Kind::new(kind).unwrap(), ..job("ready") }
}

async fn claim(world: &World, limit: u32, names: Option<&[&str]>) -> Vec<JobId> {
    let round = Round { kinds: names.map(kinds), ..Round::default() };
    let claimed =
        ledger::claim_round(world.db(), &queue("ready"), limit, &holder("w"), &round).await.unwrap();
    claimed.into_iter().map(|(envelope, _)| envelope.id).collect()
}

/// Many jobs of one kind, made by the database itself.
async fn fill(world: &World, kind: &str, count: u32) {
    let text = match world.db().dialect() {
        Dialect::Postgres => format!(
            "INSERT INTO background_jobs (id, job_type, status, queue, broker, payload, payload_size) \
             SELECT gen_random_uuid(), '{kind}', 'available', 'ready', 'postgres', '{{}}', 2 \
             FROM generate_series(1, {count})"
        ),
        Dialect::Sqlite => format!(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count}) \
             INSERT INTO background_jobs (id, job_type, status, queue, broker, payload, payload_size, created_at, \
             updated_at, run_at) SELECT printf('019aa3c1-7f2e-7c40-9d1b-%012d', n), '{kind}', 'available', 'ready', \
             'embedded', X'7B7D', 2, 1, 1, 1 FROM n"
        ),
    };
    world.db().text(text).run().await.unwrap();
}

on_both_databases! {
    async fn a_claim_takes_what_is_known_and_puts_the_rest_aside(world) {
        let mut ids = Vec::new();
        for kind in ["a", "b", "a", "c", "b", "a"] {
            ids.push(world.enqueue(of(kind)).await.id());
        }
        assert_eq!(claim(world, 2, Some(&["a"])).await, [ids[0], ids[2]]);
        assert_eq!(claim(world, 9, Some(&["a"])).await, [ids[5]]);
        assert_eq!(ledger::depth(world.db(), &queue("ready")).await.unwrap(), 0, "what is aside is in nobody's way");
        let row = world.store.find(ids[1]).await.unwrap().unwrap();
        assert_eq!((row.state, row.token.0), (State::Available, 0), "no start was burnt");
        assert!(row.error.unwrap().starts_with("parked: "));
        assert!(claim(world, 9, None).await.is_empty());
        assert_eq!(claim(world, 1, Some(&["b", "c"])).await, [ids[1]]);
        assert_eq!(claim(world, 9, Some(&["b", "c"])).await, [ids[3], ids[4]]);
        let (_, start) = world.running("w").await;
        world.finish(start.lease, completed()).await;
    }

    async fn what_stands_aside_can_be_cancelled_and_run_again(world) {
        let id = world.enqueue(of("b")).await.id();
        assert!(claim(world, 5, Some(&["a"])).await.is_empty());
        assert_eq!(world.store.cancel(id).await.unwrap(), State::Cancelled);
        assert!(claim(world, 5, Some(&["b"])).await.is_empty());
        assert_eq!(world.store.retry(id).await.unwrap(), State::Available);
        assert_eq!(claim(world, 5, Some(&["b"])).await, [id]);
    }

    async fn a_hundred_thousand_strangers_are_passed_once(world) {
        fill(world, "strange", 100_000).await;
        let mine = world.enqueue(of("known")).await.id();
        let mut claims = 0;
        while claim(world, 4, Some(&["known"])).await != [mine] {
            claims += 1;
            assert!(claims < 100, "the job behind the strangers was not found");
        }
        let began = Instant::now();
        claim(world, 4, Some(&["known"])).await;
        println!("after {claims} claims that put strangers aside one takes {:?}", began.elapsed());
        if world.db().dialect() == Dialect::Sqlite {
            let left = "SELECT COUNT(*) FROM background_jobs WHERE aside IS NULL AND status = 'available'";
            assert_eq!(world.db().sql(left).one::<i64>().await.unwrap(), 0);
            return;
        }
        // The entries of the line that were left behind go with the next vacuum.
        world.db().sql("VACUUM job_line").run().await.unwrap();
        let text = "EXPLAIN (ANALYZE, BUFFERS, FORMAT TEXT) SELECT id FROM \
                    backshift_start_known('ready', 4, 'w', 30000000, gen_random_uuid(), '{known}')";
        let plan: Vec<String> = world.db().sql(text).all().await.unwrap();
        let hits = plan.iter().find_map(|line| line.split("shared hit=").nth(1));
        let hits: u64 = hits.unwrap().split([' ', ',']).next().unwrap().parse().unwrap();
        assert!(hits < 200, "{hits} pages for a claim behind strangers: {plan:#?}");
    }
}
