//! Wallets: the addresses of the page on which they are linked, who is linked, and delegates that are used no more.

use super::{
    database::{Field, Row, StoreError},
    people::Store,
};
use crate::clock;

/// How far a wallet page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// A wallet is to sign the challenge.
    Open,
    /// It signed; the account that the page is for is asked whether the wallet is its own.
    Proved,
    /// It is: the page may build the wallet's transactions.
    Signed,
}

impl LinkState {
    fn of(word: &str) -> Option<Self> {
        match word {
            "open" => Some(Self::Open),
            "proved" => Some(Self::Proved),
            "signed" => Some(Self::Signed),
            _ => None,
        }
    }
}

/// An address of the wallet page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageLink {
    pub user: i64,
    pub chat: i64,
    /// The account's name, as the page shows it.
    pub name: String,
    /// Unix seconds.
    pub expires: i64,
    /// The wallet that is asked to sign or has signed.
    pub wallet: Option<String>,
    /// What it is asked to sign, and until when.
    pub message: Option<String>,
    pub message_expires: Option<i64>,
    pub state: LinkState,
}

/// A delegate that is used no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    pub user: i64,
    pub wallet: String,
    pub generation: i64,
    /// Unix seconds.
    pub since: i64,
}

fn page_link(mut row: Row) -> Option<PageLink> {
    Some(PageLink {
        user: row.int()?,
        chat: row.int()?,
        name: row.text()?,
        expires: row.int()?,
        wallet: row.text(),
        message: row.text(),
        message_expires: row.int(),
        state: LinkState::of(&row.text()?)?,
    })
}

impl Store {
    /// Keeps an address of the wallet page, by the hash of its secret; earlier ones of the same person end.
    pub async fn add_link(&self, hash: &str, link: &PageLink) -> Result<(), StoreError> {
        let sql = "DELETE FROM telegram_bot.link WHERE user_id = $1";
        self.0.run(sql, vec![Field::Int(link.user)]).await?;
        let sql = "INSERT INTO telegram_bot.link (token_hash, user_id, chat_id, name, expires, state) VALUES ($1, $2, $3, $4, $5, 'open')";
        let fields = vec![
            Field::Text(hash.into()),
            Field::Int(link.user),
            Field::Int(link.chat),
            Field::Text(link.name.clone()),
            Field::Int(link.expires),
        ];
        self.0.run(sql, fields).await.map(drop)
    }

    /// An address that has not ended.
    pub async fn link(&self, hash: &str) -> Result<Option<PageLink>, StoreError> {
        let sql = "SELECT user_id, chat_id, name, expires, wallet, message, message_expires, state FROM telegram_bot.link
                   WHERE token_hash = $1 AND expires > $2";
        let fields = vec![Field::Text(hash.into()), Field::Int(clock::now())];
        let rows = self.0.rows(sql, fields).await?;
        Ok(rows.into_iter().next().and_then(page_link))
    }

    /// Keeps the one challenge that is good for an address; `false` where a wallet has signed already.
    pub async fn challenge(
        &self,
        hash: &str,
        wallet: &str,
        message: &str,
        expires: i64,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE telegram_bot.link SET wallet = $1, message = $2, message_expires = $3 WHERE token_hash = $4 AND state = 'open'";
        let fields = vec![
            Field::Text(wallet.into()),
            Field::Text(message.into()),
            Field::Int(expires),
            Field::Text(hash.into()),
        ];
        Ok(self.0.run(sql, fields).await? == 1)
    }

    /// The challenge was signed: it is used up, and its account may confirm the wallet until `expires`. `false` if it was used before, or
    /// another one is asked for since.
    pub async fn proved(
        &self,
        hash: &str,
        message: &str,
        expires: i64,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE telegram_bot.link SET state = 'proved', message = NULL, expires = $1
                   WHERE token_hash = $2 AND state = 'open' AND message = $3";
        let fields = vec![
            Field::Int(expires),
            Field::Text(hash.into()),
            Field::Text(message.into()),
        ];
        Ok(self.0.run(sql, fields).await? == 1)
    }

    /// The page on which a wallet signed for a person, with the hash of its secret.
    pub async fn proof_of(&self, user: i64) -> Result<Option<(String, PageLink)>, StoreError> {
        let sql = "SELECT token_hash, user_id, chat_id, name, expires, wallet, message, message_expires, state FROM telegram_bot.link
                   WHERE user_id = $1 AND state <> 'open' AND expires > $2";
        let fields = vec![Field::Int(user), Field::Int(clock::now())];
        let rows = self.0.rows(sql, fields).await?;
        Ok(rows
            .into_iter()
            .next()
            .and_then(|mut row| Some((row.text()?, page_link(row)?))))
    }

    /// Its account confirmed the wallet: the page may be used until `expires`. Nothing changes where it did so before.
    pub async fn confirmed(&self, hash: &str, expires: i64) -> Result<(), StoreError> {
        let sql = "UPDATE telegram_bot.link SET state = 'signed', expires = $1 WHERE token_hash = $2 AND state = 'proved'";
        let fields = vec![Field::Int(expires), Field::Text(hash.into())];
        self.0.run(sql, fields).await.map(drop)
    }

    /// Ends a page on which a wallet signed that is not its account's.
    pub async fn denied(&self, hash: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM telegram_bot.link WHERE token_hash = $1 AND state = 'proved'";
        self.0
            .run(sql, vec![Field::Text(hash.into())])
            .await
            .map(drop)
    }

    /// Links a wallet to a person. The delegate of another wallet is retired.
    pub async fn link_wallet(&self, user: i64, wallet: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO telegram_bot.person (user_id) VALUES ($1) ON CONFLICT DO NOTHING";
        self.0.run(sql, vec![Field::Int(user)]).await?;
        self.retire(user, wallet).await?;
        let sql = "UPDATE telegram_bot.person SET wallet = $1 WHERE user_id = $2";
        self.0
            .run(sql, vec![Field::Text(wallet.into()), Field::Int(user)])
            .await
            .map(drop)
    }

    /// Ends a link: the delegate is used no more, and what lies on it is to go back. `false` if there was none.
    pub async fn unlink(&self, user: i64) -> Result<bool, StoreError> {
        self.retire(user, "").await
    }

    /// Retires the delegate of a person's wallet unless that is `keep`. In this order a stop between two steps leaves nothing that is
    /// not swept.
    async fn retire(&self, user: i64, keep: &str) -> Result<bool, StoreError> {
        let sql = "INSERT INTO telegram_bot.retired (user_id, wallet, generation, since)
                   SELECT user_id, wallet, generation, CAST($1 AS BIGINT) FROM telegram_bot.person
                   WHERE user_id = $2 AND wallet IS NOT NULL AND wallet <> $3 ON CONFLICT DO NOTHING";
        let fields = vec![
            Field::Int(clock::now()),
            Field::Int(user),
            Field::Text(keep.into()),
        ];
        self.0.run(sql, fields).await?;
        let sql = "UPDATE telegram_bot.person SET wallet = NULL, generation = generation + 1
                   WHERE user_id = $1 AND wallet IS NOT NULL AND wallet <> $2";
        let fields = vec![Field::Int(user), Field::Text(keep.into())];
        Ok(self.0.run(sql, fields).await? == 1)
    }

    /// Some of the delegates whose lamports are to go back, others each time, so that none waits behind many.
    pub async fn retired(&self) -> Result<Vec<Retired>, StoreError> {
        let sql = "SELECT user_id, wallet, generation, since FROM telegram_bot.retired ORDER BY RANDOM() LIMIT 200";
        let rows = self.0.rows(sql, Vec::new()).await?;
        let retired = rows.into_iter().filter_map(|mut row| {
            Some(Retired {
                user: row.int()?,
                wallet: row.text()?,
                generation: row.int()?,
                since: row.int()?,
            })
        });
        Ok(retired.collect())
    }

    /// Nothing comes back to a delegate any more.
    pub async fn swept(&self, retired: &Retired) -> Result<(), StoreError> {
        let sql = "DELETE FROM telegram_bot.retired WHERE user_id = $1 AND wallet = $2 AND generation = $3";
        let fields = vec![
            Field::Int(retired.user),
            Field::Text(retired.wallet.clone()),
            Field::Int(retired.generation),
        ];
        self.0.run(sql, fields).await.map(drop)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A link from its first day to its last, on whichever database.
    pub(in crate::store) async fn a_life(store: &Store) {
        let later = clock::now() + 600;
        let link = PageLink {
            user: 7,
            chat: 7,
            name: "Ann".into(),
            expires: later,
            wallet: None,
            message: None,
            message_expires: None,
            state: LinkState::Open,
        };
        store.add_link("h1", &link).await.unwrap();
        store.add_link("h2", &link).await.unwrap();
        assert_eq!(
            store.link("h1").await.unwrap(),
            None,
            "the second one ends the first"
        );
        assert_eq!(store.link("h2").await.unwrap(), Some(link));
        assert!(store.challenge("h2", "W", "first", later).await.unwrap());
        assert!(store.challenge("h2", "W", "second", later).await.unwrap());
        assert!(
            !store.proved("h2", "first", later).await.unwrap(),
            "an older challenge"
        );
        assert_eq!(store.proof_of(7).await.unwrap(), None);
        assert!(store.proved("h2", "second", later).await.unwrap());
        assert!(
            !store.proved("h2", "second", later).await.unwrap(),
            "used once"
        );
        assert!(!store.challenge("h2", "W", "third", later).await.unwrap());
        let (hash, proved) = store.proof_of(7).await.unwrap().unwrap();
        assert_eq!(
            (hash.as_str(), proved.state, proved.wallet.as_deref()),
            ("h2", LinkState::Proved, Some("W"))
        );
        assert_eq!(store.proof_of(8).await.unwrap(), None, "another's");
        store.confirmed("h2", later).await.unwrap();
        store.denied("h2").await.unwrap();
        let signed = store.link("h2").await.unwrap().unwrap();
        assert_eq!(
            signed.state,
            LinkState::Signed,
            "what was confirmed stays so"
        );
        store.add_link("h3", &signed).await.unwrap();
        assert!(store.challenge("h3", "V", "fourth", later).await.unwrap());
        assert!(store.proved("h3", "fourth", later).await.unwrap());
        store.denied("h3").await.unwrap();
        assert_eq!(store.link("h3").await.unwrap(), None);
        store.link_wallet(7, "W").await.unwrap();
        store.link_wallet(7, "W").await.unwrap();
        assert!(
            store.retired().await.unwrap().is_empty(),
            "the same wallet again"
        );
        store.link_wallet(7, "X").await.unwrap();
        let retired = store.retired().await.unwrap();
        assert_eq!(
            (retired[0].wallet.as_str(), retired[0].generation),
            ("W", 0)
        );
        store.swept(&retired[0]).await.unwrap();
        let person = store.person(7).await.unwrap();
        assert_eq!(
            (person.wallet.as_deref(), person.generation),
            (Some("X"), 1)
        );
        assert!(store.unlink(7).await.unwrap() && !store.unlink(7).await.unwrap());
        store.link_wallet(7, "X").await.unwrap();
        assert_eq!(
            store.person(7).await.unwrap().generation,
            2,
            "another delegate"
        );
        assert_eq!(store.retired().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_challenge_is_good_once_and_a_delegate_is_never_used_again() {
        a_life(&Store::open(":memory:").await.unwrap()).await;
    }
}
