//! Updates that came, and people: what they set and whether a wallet is linked.

use serde_json::Value;

use super::database::{Database, Field, StoreError};
use crate::clock;

/// What a person set, and who pays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    pub wallet: Option<String>,
    /// Of the delegate that the wallet grants.
    pub generation: i64,
    /// Lamports below which a question runs at once.
    pub run_below: Option<u64>,
    /// Id of a model.
    pub model: Option<String>,
}

/// Most updates of one person that wait; those beyond are not taken.
const WAITING: u32 = 50;

/// Whose an update is; 0 = nobody's.
fn lane(update: &Value) -> i64 {
    let of = |kind: &str| update[kind]["from"]["id"].as_i64();
    of("message").or_else(|| of("callback_query")).unwrap_or(0)
}

/// An amount as it is stored; the chain has none beyond.
pub(crate) fn stored(lamports: u64) -> Field {
    Field::Int(i64::try_from(lamports).unwrap_or(i64::MAX))
}

/// The store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store(pub(crate) Database);

impl Store {
    /// Opens a file or a server, and lays out what is missing.
    pub async fn open(database: &str) -> Result<Self, StoreError> {
        Database::open(database).await.map(Self)
    }

    /// Keeps updates. Those that came before change nothing; what has no number is no update. Of somebody who floods some are left out.
    pub async fn receive(&self, updates: &[Value]) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO telegram_bot.inbox (update_id, lane, body, received)
             SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS BIGINT)
             WHERE (SELECT COUNT(*) FROM telegram_bot.inbox WHERE done = 0 AND lane = $2) < {WAITING} ON CONFLICT DO NOTHING"
        );
        for update in updates {
            let Some(id) = update["update_id"].as_i64() else {
                continue;
            };
            let fields = vec![
                Field::Int(id),
                Field::Int(lane(update)),
                Field::Text(update.to_string()),
                Field::Int(clock::now()),
            ];
            self.0.run(&sql, fields).await?;
        }
        Ok(())
    }

    /// The oldest update of each person that waits to be worked on.
    pub async fn pending(&self) -> Result<Vec<(i64, String)>, StoreError> {
        let sql = "SELECT update_id, body FROM telegram_bot.inbox
                   WHERE update_id IN (SELECT MIN(update_id) FROM telegram_bot.inbox WHERE done = 0 GROUP BY lane)
                   ORDER BY update_id LIMIT 200";
        let rows = self.0.rows(sql, Vec::new()).await?;
        Ok(rows
            .into_iter()
            .filter_map(|mut row| Some((row.int()?, row.text()?)))
            .collect())
    }

    /// Whether an update still waits.
    pub async fn is_pending(&self, update: i64) -> Result<bool, StoreError> {
        let sql = "SELECT COUNT(*) FROM telegram_bot.inbox WHERE update_id = $1 AND done = 0";
        let rows = self.0.rows(sql, vec![Field::Int(update)]).await?;
        let count = rows.into_iter().next().and_then(|mut row| row.int());
        Ok(count == Some(1))
    }

    /// An update was worked on. Its number is kept, so that it is known again.
    pub async fn done(&self, update: i64) -> Result<(), StoreError> {
        let sql = "UPDATE telegram_bot.inbox SET done = 1, body = '' WHERE update_id = $1";
        self.0.run(sql, vec![Field::Int(update)]).await.map(drop)
    }

    /// What is known of a person; nothing of a new one.
    pub async fn person(&self, user: i64) -> Result<Person, StoreError> {
        let sql = "SELECT wallet, generation, run_below, model FROM telegram_bot.person WHERE user_id = $1";
        let rows = self.0.rows(sql, vec![Field::Int(user)]).await?;
        Ok(rows
            .into_iter()
            .next()
            .map_or_else(Person::default, |mut row| Person {
                wallet: row.text(),
                generation: row.int().unwrap_or(0),
                run_below: row.int().map(i64::cast_unsigned),
                model: row.text(),
            }))
    }

    async fn know(&self, user: i64) -> Result<(), StoreError> {
        let sql = "INSERT INTO telegram_bot.person (user_id) VALUES ($1) ON CONFLICT DO NOTHING";
        self.0.run(sql, vec![Field::Int(user)]).await.map(drop)
    }

    /// Sets below which price a person's questions run at once.
    pub async fn set_run_below(&self, user: i64, lamports: u64) -> Result<(), StoreError> {
        self.know(user).await?;
        let sql = "UPDATE telegram_bot.person SET run_below = $1 WHERE user_id = $2";
        self.0
            .run(sql, vec![stored(lamports), Field::Int(user)])
            .await
            .map(drop)
    }

    /// Sets which model a person asks.
    pub async fn set_model(&self, user: i64, model: &str) -> Result<(), StoreError> {
        self.know(user).await?;
        let sql = "UPDATE telegram_bot.person SET model = $1 WHERE user_id = $2";
        self.0
            .run(sql, vec![Field::Text(model.into()), Field::Int(user)])
            .await
            .map(drop)
    }

    /// People with a wallet.
    pub async fn linked(&self) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) FROM telegram_bot.person WHERE wallet IS NOT NULL";
        let rows = self.0.rows(sql, Vec::new()).await?;
        Ok(rows
            .into_iter()
            .next()
            .and_then(|mut row| row.int())
            .unwrap_or(0))
    }

    /// Forgets what is older than it is kept: updates, addresses of pages, texts of questions that are over, and what was said of them.
    pub async fn forget(&self, before: i64) -> Result<(), StoreError> {
        let now = Field::Int(clock::now());
        let before = Field::Int(before);
        for (sql, at) in [
            // What could not be worked on for so long keeps its author's next words waiting no longer.
            (
                "UPDATE telegram_bot.inbox SET done = 1, body = '' WHERE done = 0 AND received < $1",
                &before,
            ),
            (
                "DELETE FROM telegram_bot.inbox WHERE done = 1 AND received < $1",
                &before,
            ),
            ("DELETE FROM telegram_bot.link WHERE expires < $1", &now),
            (
                "UPDATE telegram_bot.ask SET prompt = '', answer = NULL, body = NULL, words = NULL
                 WHERE state = 'over' AND changed < $1 AND prompt <> ''",
                &before,
            ),
        ] {
            self.0.run(sql, vec![at.clone()]).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn an_update_is_worked_on_once_however_often_it_comes_and_in_whichever_order() {
        let store = Store::open(":memory:").await.unwrap();
        let update = |id: i64| json!({"update_id": id, "message": {"from": {"id": 7}}});
        store
            .receive(&[update(2), update(1), json!({})])
            .await
            .unwrap();
        store.receive(&[update(1)]).await.unwrap();
        let ids =
            |found: Vec<(i64, String)>| found.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(
            ids(store.pending().await.unwrap()),
            [1],
            "one after another"
        );
        assert!(store.is_pending(1).await.unwrap());
        store.done(1).await.unwrap();
        assert!(!store.is_pending(1).await.unwrap());
        store.receive(&[update(1)]).await.unwrap();
        assert_eq!(ids(store.pending().await.unwrap()), [2]);
    }

    #[tokio::test]
    async fn nobodys_updates_keep_others_waiting_and_who_floods_is_not_heard_beyond_some() {
        let store = Store::open(":memory:").await.unwrap();
        let update =
            |id: i64, user: i64| json!({"update_id": id, "message": {"from": {"id": user}}});
        let flood: Vec<Value> = (1..=300).map(|id| update(id, 7)).collect();
        store.receive(&flood).await.unwrap();
        let tap = json!({"update_id": 301, "callback_query": {"from": {"id": 8}}});
        store
            .receive(&[tap, json!({"update_id": 302})])
            .await
            .unwrap();
        let mut heard = 0;
        loop {
            let heads = store.pending().await.unwrap();
            let Some((head, _)) = heads.iter().find(|(id, _)| *id < 301) else {
                break;
            };
            assert_eq!(heads.len(), 3, "each person's oldest");
            store.done(*head).await.unwrap();
            heard += 1;
        }
        assert_eq!(heard, WAITING);
    }

    #[tokio::test]
    async fn what_a_person_set_is_kept() {
        let store = Store::open(":memory:").await.unwrap();
        assert_eq!(store.person(7).await.unwrap(), Person::default());
        store.set_model(7, "tiny").await.unwrap();
        store.set_run_below(7, 5).await.unwrap();
        let person = store.person(7).await.unwrap();
        assert_eq!(
            (person.model.as_deref(), person.run_below),
            (Some("tiny"), Some(5))
        );
        assert_eq!(store.linked().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_file_is_found_again_and_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bot.sqlite");
        let name = file.display().to_string();
        Store::open(&name)
            .await
            .unwrap()
            .set_model(1, "m")
            .await
            .unwrap();
        let store = Store::open(&name).await.unwrap();
        assert_eq!(store.person(1).await.unwrap().model.as_deref(), Some("m"));
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
}
