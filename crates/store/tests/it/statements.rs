//! Values, batches, filters and errors mean the same on PostgreSQL, behind PgBouncer and on SQLite.

use backshift_core::{Bytes, JobId, StoreError, Timestamp};
use backshift_store::{Dialect, Executor, Sql, Uuid, table};

use crate::place::{self, Place, unique};

async fn create(place: &Place, columns: Sql) -> String {
    let name = unique("t");
    let text = columns.text(place.db.dialect());
    place.db.text(format!("CREATE TABLE {name} ({text})")).run().await.unwrap();
    name
}

const EVERYTHING: Sql = Sql {
    pg: "id uuid PRIMARY KEY, yes boolean, small smallint, big bigint, words text, raw bytea, at timestamptz, doc jsonb",
    sqlite: "id TEXT PRIMARY KEY, yes INTEGER, small INTEGER, big INTEGER, words TEXT, raw BLOB, at INTEGER, doc TEXT",
};

type Everything = (
    Uuid,
    Option<bool>,
    Option<i16>,
    Option<i64>,
    Option<String>,
    Option<Bytes>,
    Option<Timestamp>,
    Option<serde_json::Value>,
);

#[tokio::test]
async fn every_type_comes_back_as_it_went_in() {
    for place in place::all().await {
        let table = create(&place, EVERYTHING).await;
        let insert = format!("INSERT INTO {table} VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
        let (id, at) = (JobId::generate(), "2026-11-21T12:00:00.123456Z".parse::<Timestamp>().unwrap());
        let doc = serde_json::json!({"a": [1, null, "ü"]});
        let full = place.db.text(insert.clone()).bind(id).bind(true).bind(-7_i32).bind(i64::MAX);
        let full = full.bind("a\"ü\n").bind(Bytes::from_static(&[0, 255])).bind(at).bind(doc.clone());
        assert_eq!(full.run().await.unwrap(), 1);
        let empty = place.db.text(insert).bind(JobId::generate()).bind(None::<bool>).bind(None::<i64>);
        let empty = empty.bind(None::<i64>).bind(None::<String>).bind(None::<Bytes>);
        empty.bind(None::<Timestamp>).bind(None::<serde_json::Value>).run().await.unwrap();
        let rows: Vec<Everything> =
            place.db.text(format!("SELECT * FROM {table} ORDER BY words")).all().await.unwrap();
        let mut rows = rows;
        rows.sort_by_key(|row| row.4.is_none());
        let words = Some("a\"ü\n".to_owned());
        let bytes = Some(Bytes::from_static(&[0, 255]));
        assert_eq!(rows[0], (id.0, Some(true), Some(-7), Some(i64::MAX), words, bytes, Some(at), Some(doc)));
        assert_eq!((&rows[1].1, &rows[1].6, &rows[1].7), (&None, &None, &None));
    }
}

#[tokio::test]
async fn a_batch_is_one_statement_and_keeps_nulls() {
    const KEYED: Sql = Sql { pg: "k bigint PRIMARY KEY, v text", sqlite: "k INTEGER PRIMARY KEY, v TEXT" };
    for place in place::all().await {
        let table = create(&place, KEYED).await;
        let insert = match place.db.dialect() {
            Dialect::Postgres => format!(
                "INSERT INTO {table} SELECT k * $1, v FROM unnest($2::bigint[], $3::text[]) AS r(k, v) RETURNING k"
            ),
            Dialect::Sqlite => format!("INSERT INTO {table} VALUES ($2 * $1, $3) RETURNING k"),
        };
        let keys: Vec<i64> = (1..=300).collect();
        let texts: Vec<Option<String>> = keys.iter().map(|k| (k % 2 == 0).then(|| format!("v{k}"))).collect();
        let query = place.db.text(insert).bind(10_i64).column(keys).column(texts);
        let made: Vec<i64> = query.all().await.unwrap();
        assert_eq!((made.len(), made[299]), (300, 3000));
        let nulls: i64 =
            place.db.text(format!("SELECT count(*) FROM {table} WHERE v IS NULL")).one().await.unwrap();
        assert_eq!(nulls, 150);
    }
}

#[tokio::test]
async fn a_batch_of_no_rows_does_nothing_and_uneven_columns_are_refused() {
    for place in place::all().await {
        let text = match place.db.dialect() {
            Dialect::Postgres => "SELECT k FROM unnest($1::bigint[], $2::bigint[]) AS r(k, v)",
            Dialect::Sqlite => "SELECT $1 AS k WHERE $2 IS NOT NULL",
        };
        let none: Vec<i64> =
            place.db.sql(text).column(Vec::<i64>::new()).column(Vec::<i64>::new()).all().await.unwrap();
        assert!(none.is_empty());
        let uneven = place.db.sql(text).column(vec![1_i64]).column(vec![1_i64, 2]).all::<i64>().await;
        assert!(matches!(uneven, Err(StoreError::Rejected(_))), "{uneven:?}");
    }
}

table! {
    /// A row of the test's table.
    struct Person = "people" {
        /// Id.
        id: Uuid,
        /// Name.
        name: String,
        /// Age, if known.
        age: Option<i32>,
    }
}

#[tokio::test]
async fn a_table_selects_inserts_and_filters() {
    const PEOPLE: Sql = Sql {
        pg: "CREATE TABLE people (id uuid PRIMARY KEY, name text NOT NULL, age int)",
        sqlite: "CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT NOT NULL, age INTEGER)",
    };
    let mut places = vec![place::sqlite()];
    places.extend(place::postgres().await);
    for place in places {
        place.db.sql(PEOPLE).run().await.unwrap();
        for (name, age) in [("ada", Some(36)), ("bob", None), ("cyd", Some(20))] {
            let person = Person { id: Uuid::now_v7(), name: name.into(), age };
            assert_eq!(person.insert(&place.db).run().await.unwrap(), 1);
        }
        let grown: Vec<Person> = place
            .db
            .sql(Person::select())
            .and("age >", Some(18))
            .and("name =", None::<&str>)
            .push(" ORDER BY name LIMIT ")
            .push_bind(10_i64)
            .all()
            .await
            .unwrap();
        assert_eq!(grown.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["ada", "cyd"]);
    }
}

#[tokio::test]
async fn errors_say_what_to_do() {
    for place in place::all().await {
        let missing = place.db.sql("SELECT * FROM no_such_table").all::<()>().await.unwrap_err();
        assert!(
            matches!(&missing, StoreError::Schema(text) if text.contains("backshift migrate up") && text.contains(".migrate()")),
            "{missing}"
        );
        let broken = place.db.sql("SELEC 1").all::<()>().await.unwrap_err();
        assert!(matches!(broken, StoreError::Rejected(_)), "{broken}");
        const KEY: Sql = Sql { pg: "k bigint PRIMARY KEY", sqlite: "k INTEGER PRIMARY KEY" };
        let table = create(&place, KEY).await;
        let insert = format!("INSERT INTO {table} VALUES (1)");
        place.db.text(insert.clone()).run().await.unwrap();
        let twice = place.db.text(insert).run().await.unwrap_err();
        let rule = if place.db.dialect() == Dialect::Postgres {
            format!("{table}_pkey")
        } else {
            format!("{table}.k")
        };
        assert!(matches!(&twice, StoreError::Taken { rule: named, .. } if *named == rule), "{twice:?}");
        assert!(twice.is_refusal() && !twice.is_transient() && !twice.is_outage(), "{twice}");
        let narrow = place.db.sql("SELECT 300").one::<(u8,)>().await.unwrap_err();
        assert!(narrow.to_string().contains("300 is out of range"), "{narrow}");
    }
}

#[tokio::test]
async fn now_is_the_store_s_clock_on_both() {
    for place in place::all().await {
        let now: Timestamp = place.db.sql("SELECT now()").one().await.unwrap();
        let apart = now.duration_since(Timestamp::now()).abs();
        assert!(apart.as_secs() < 60, "{now}");
    }
}
