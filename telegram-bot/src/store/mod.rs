//! What the bot keeps, and the only SQL: statements in the words that PostgreSQL and SQLite share.
//!
//! - `database`: runs them
//! - `people`: updates, and what people set; `asks`: questions; `links`: wallets

mod asks;
mod database;
mod links;
mod people;

pub use asks::{Ask, AskState, NewAsk, Past};
pub use database::{Field, StoreError};
pub use links::{LinkState, PageLink, Retired};
pub use people::{Person, Store};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn postgres_understands_every_statement_too() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = mythic_postgres::Cluster::start(mythic_postgres::ClusterConfig {
            data_dir: dir.path().join("pg"),
            port: None,
        })
        .await
        .unwrap();
        let store = Store::open(cluster.url()).await.unwrap();
        store.receive(&[json!({"update_id": 5})]).await.unwrap();
        assert_eq!(store.pending().await.unwrap().len(), 1);
        store.done(5).await.unwrap();
        store.set_model(7, "tiny").await.unwrap();
        store.set_run_below(7, 5).await.unwrap();
        assert_eq!(store.person(7).await.unwrap().run_below, Some(5));
        asks::tests::a_life(&store).await;
        links::tests::a_life(&store).await;
        assert_eq!(store.linked().await.unwrap(), 1);
        store.forget(i64::MAX).await.unwrap();
        // A second start finds what the first one laid out.
        Store::open(cluster.url()).await.unwrap();
        cluster.stop().await.unwrap();
    }
}
