//! A ledger in whose every row and text somebody planted something: each page is there, says it as text, and stays small.

use std::fmt::Write as _;

use axum::http::StatusCode;
use backshift_core::{Bytes, JobId};
use backshift_store::Sql;

use super::house::House;

/// Opens tags and attributes, asks the template engine, acts on a terminal, turns the order of letters.
const PLANTED: &str = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'>{{ 7*7 }}{% raw %}\u{1b}[2J\u{1b}]0;own\u{7}\u{9b}31m\u{202e}txt.exe\u{2066}\u{200f}\r\n\u{7f}\u{2028}\u{e0041}\0end";

const fn both(text: &'static str) -> Sql {
    Sql { pg: text, sqlite: text }
}

/// `$1` id, `$2` state, `$3` what was planted, `$4` payload, `$5` its size.
const JOB: Sql = both(
    "INSERT INTO background_jobs (id, job_type, status, queue, broker, token, attempts, failures, created_at, updated_at, run_at, \
     started_at, finished_at, lease_until, worker, payload, payload_size, output, reason, error_message, error_fingerprint, note, \
     headers, progress_word, progress_percent, idempotency_key, effect) \
     SELECT $1, $3, $2, $3, $3, 2, 1, 1, t.at, t.at, t.at, t.at, t.at, t.at, $3, $4, $5, $4, $3, $3, $3, $3, $3, $3, 50, $1, 'ambiguous' \
     FROM (SELECT clock_timestamp() AS at) t",
);
/// `$1` what was planted, `$2` a job, `$3` an id.
const BESIDE: [Sql; 7] = [
    both("INSERT INTO job_queues (name, paused) SELECT $1, 1 WHERE $2 <> $3"),
    both(
        "INSERT INTO job_workers (name, queues, kinds, started_at, seen_at, troubles) \
         SELECT $1, $1, $1, clock_timestamp(), clock_timestamp(), $1 WHERE $2 <> $3",
    ),
    both(
        "INSERT INTO job_workers (name, queues, kinds, started_at, seen_at, troubles) \
         SELECT 'w', $1 || ':4', $1, clock_timestamp(), clock_timestamp(), $1 WHERE $2 <> $3",
    ),
    both("INSERT INTO job_breakers (name, state, error) SELECT $1, $1, $1 WHERE $2 <> $3"),
    both(
        "INSERT INTO job_deeds (at, deed, job_id, queue, who, why) SELECT clock_timestamp(), $1, $2, $1, $1, $1 WHERE $2 <> $3",
    ),
    both(
        "INSERT INTO job_deeds (at, deed, job_id, queue, who, why) SELECT clock_timestamp(), $1, NULL, $1, $1, $1 WHERE $2 <> $3",
    ),
    both(
        "INSERT INTO job_attempts (job_id, token, attempt, worker, started_at, ended_at, outcome, error) \
         SELECT $2, 1, 1, $1, clock_timestamp(), clock_timestamp(), $1, $1 WHERE $2 <> $3",
    ),
];
const SWEEP: Sql = both(
    "INSERT INTO job_sweeps (id, deed, words, filter, who, why, expected, more, begun_at, touched_at, until_at) \
     SELECT $1, 'retry', $2, '{\"state\":\"dead\"}', $2, $2, 5, 0, clock_timestamp(), clock_timestamp(), clock_timestamp()",
);

/// Payloads that are dear or wrong; each has something planted where it can.
fn payloads() -> Vec<Vec<u8>> {
    let keys = (0..10_000).fold(String::from("{\"password\":\"hunter2\""), |mut text, n| {
        let _ = write!(text, ",\"<script>{n}\u{202e}\":{n}");
        text
    });
    let nested =
        serde_json::json!({"j": serde_json::json!({"token": "hunter2", PLANTED: PLANTED}).to_string()});
    vec![
        serde_json::json!({PLANTED: PLANTED, "password": "hunter2"}).to_string().into_bytes(),
        nested.to_string().into_bytes(),
        PLANTED.as_bytes().to_vec(),
        (0..=255).cycle().take(4096).collect(),
        serde_json::json!({"body": "<script>\u{202e}".repeat(100_000)}).to_string().into_bytes(),
        (keys + "}").into_bytes(),
        ("[".repeat(20_000) + &"]".repeat(20_000)).into_bytes(),
        ("{\"<script>\":".repeat(120) + "1" + &"}".repeat(120)).into_bytes(),
        br#"{"a":"\ud800","n":1e400,"a":2}"#.to_vec(),
        Vec::new(),
    ]
}

async fn planted(house: &House) -> Vec<String> {
    let states = ["dead", "available", "running", "retrying", "scheduled", "cancelled", "completed"];
    let mut paths = Vec::new();
    for (n, payload) in payloads().into_iter().enumerate() {
        // A new page for each payload, and each state on some.
        let id = JobId::generate();
        let size = payload.len() as i64;
        let job = house.db.sql(JOB).bind(id).bind(states[n % states.len()]).bind(PLANTED);
        job.bind(Bytes::from(payload)).bind(size).run().await.unwrap();
        if n == 0 {
            for beside in BESIDE {
                let row = house.db.sql(beside).bind(PLANTED).bind(id);
                assert_eq!(row.bind(JobId::generate()).run().await.unwrap(), 1, "{beside:?}");
            }
        }
        paths.extend([format!("/jobs/{id}"), format!("/jobs/{id}?payload=whole")]);
    }
    let sweep = JobId::generate();
    house.db.sql(SWEEP).bind(sweep).bind(PLANTED).run().await.unwrap();
    paths.push(format!("/many/{sweep}"));
    paths
}

#[tokio::test]
async fn what_is_planted_in_every_row_stays_text_and_closes_no_page() {
    let house = House::open().await;
    let mut paths = planted(&house).await;
    let typed: String = PLANTED.bytes().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "%{byte:02X}");
        text
    });
    let rooms = ["/overview", "/jobs", "/queues", "/workers", "/hands", "/causes", "/jobs?state=dead"];
    paths.extend(rooms.map(str::to_owned));
    paths.extend(
        ["/jobs?find=", "/jobs?state=", "/causes?find=", "/hands?before="]
            .map(|path| format!("{path}{typed}")),
    );
    paths.push("/many?deed=retry&state=dead".to_owned());
    for path in paths {
        let page = house.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
        let ours = ["live", "keys"].map(|name| format!("<script src=\"/assets/{name}.js\" defer></script>"));
        let body = ours.iter().fold(page.text.clone(), |text, script| text.replace(script, ""));
        for harm in ["<script", "<img", "49", "hunter2"] {
            let found = body.find(harm).filter(|_| harm != "49" || body.contains(">49{"));
            assert_eq!(found, None, "{path} has {harm}: {body}");
        }
        let acts = |c: char| {
            (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{e0041}')
        };
        // A field keeps what was written into it.
        let shown = body.split("value=\"").enumerate().map(|(n, part)| match (n, part.split_once('"')) {
            (1.., Some((_, rest))) => rest,
            _ => part,
        });
        let acting: Vec<char> = shown.flat_map(str::chars).filter(|c| acts(*c)).collect();
        assert!(acting.is_empty(), "{path} has {acting:?}");
        assert!(body.len() < 3 << 20, "{path} has {} bytes", body.len());
    }
}
