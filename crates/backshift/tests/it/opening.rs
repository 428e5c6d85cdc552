//! Opening a site: tables that are there, tables that are made.

use backshift::{Backshift, OpenError, StoreError, testkit::servers::TestDatabase};

#[tokio::test]
async fn a_site_without_tables_is_refused_with_the_remedy_or_makes_them_also_when_many_start_at_once() {
    let Some(database) = TestDatabase::create().await else { return };
    let url = database.url();
    let refused = Backshift::postgres(&url).await.err().expect("there are no tables");
    let text = refused.to_string();
    assert!(matches!(refused, OpenError::Store(StoreError::Schema(_))), "{text}");
    assert!(text.contains("backshift migrate up"), "{text}");
    let (one, two, three) = tokio::join!(
        async { Backshift::postgres(&url).migrate().await.map(drop) },
        async { Backshift::postgres(&url).migrate().await.map(drop) },
        async { Backshift::postgres(&url).migrate().await.map(drop) },
    );
    one.and(two).and(three).unwrap();
    Backshift::postgres(&url).await.unwrap();
}
