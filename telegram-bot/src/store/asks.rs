//! Questions: each is a row whose state says what is to be done next.

use super::{
    database::{Field, Row, StoreError},
    people::{Store, stored},
};
use crate::clock;

/// Where a question stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AskState {
    /// Its price is to be found out and shown.
    Quoting,
    /// Its author is asked.
    Quoted,
    /// It is to be signed.
    Approved,
    /// It is signed, and may have been sent.
    Sent,
    /// Its answer is here, and is to be delivered.
    Answered,
    /// It is delivered, and its job has not ended.
    Watching,
    /// Nothing more happens to it.
    Over,
}

impl AskState {
    const ALL: [Self; 7] = [
        Self::Quoting,
        Self::Quoted,
        Self::Approved,
        Self::Sent,
        Self::Answered,
        Self::Watching,
        Self::Over,
    ];

    /// As it is stored.
    pub fn word(self) -> &'static str {
        match self {
            Self::Quoting => "quoting",
            Self::Quoted => "quoted",
            Self::Approved => "approved",
            Self::Sent => "sent",
            Self::Answered => "answered",
            Self::Watching => "watching",
            Self::Over => "over",
        }
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// A question as it comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAsk {
    /// Number of the update that brought it.
    pub id: i64,
    pub user: i64,
    pub chat: i64,
    pub thread: Option<i64>,
    pub is_private: bool,
    /// Number of the message that asks; 0 where it stands in another chat.
    pub reply_to: i64,
    pub model: Option<String>,
    pub prompt: String,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub new: NewAsk,
    pub state: AskState,
    /// Lamports that its author agreed to.
    pub ceiling: Option<u64>,
    /// The request exactly as it is sent.
    pub body: Option<String>,
    /// Address of its job.
    pub job: Option<String>,
    /// Last slot in which its request can land.
    pub expiry: Option<u64>,
    /// Of its transaction.
    pub signature: Option<String>,
    /// Requests before this one, whose time was over without a job.
    pub tries: i64,
    pub answer: Option<String>,
    /// Lamports.
    pub cost: Option<u64>,
    /// Authority.
    pub validator: Option<String>,
    /// The chain had not shown the result when the answer came.
    pub unconfirmed: bool,
    pub outcome: Option<String>,
    pub words: Option<String>,
    /// The bot's messages about it: the answer's parts, then the receipt.
    pub messages: Vec<i64>,
    /// Unix seconds.
    pub made: i64,
    pub changed: i64,
}

/// A question of the past, as its author sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    pub prompt: String,
    pub outcome: Option<String>,
    pub cost: Option<u64>,
    pub job: Option<String>,
    pub made: i64,
}

const COLUMNS: &str = "id, user_id, chat_id, thread_id, private, reply_to, model, prompt, state, ceiling, body, job, expiry, signature, \
                       tries, answer, cost, validator, unconfirmed, outcome, words, messages, made, changed";

fn amount(value: Option<i64>) -> Option<u64> {
    value.map(i64::cast_unsigned)
}

/// A row of [`COLUMNS`]; a field is taken in the order in which it stands here.
fn ask(mut row: Row) -> Option<Ask> {
    Some(Ask {
        new: NewAsk {
            id: row.int()?,
            user: row.int()?,
            chat: row.int()?,
            thread: row.int(),
            is_private: row.int()? != 0,
            reply_to: row.int()?,
            model: row.text(),
            prompt: row.text()?,
        },
        state: AskState::of(&row.text()?)?,
        ceiling: amount(row.int()),
        body: row.text(),
        job: row.text(),
        expiry: amount(row.int()),
        signature: row.text(),
        tries: row.int()?,
        answer: row.text(),
        cost: amount(row.int()),
        validator: row.text(),
        unconfirmed: row.int()? != 0,
        outcome: row.text(),
        words: row.text(),
        messages: serde_json::from_str(&row.text()?).ok()?,
        made: row.int()?,
        changed: row.int()?,
    })
}

impl Store {
    /// Keeps a question that was written at a moment; `false` if it is kept already.
    pub async fn add_ask(&self, new: &NewAsk, made: i64) -> Result<bool, StoreError> {
        let sql = "INSERT INTO telegram_bot.ask (id, user_id, chat_id, thread_id, private, reply_to, model, prompt, state, made, changed)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'quoting', $9, $10) ON CONFLICT DO NOTHING";
        let fields = vec![
            Field::Int(new.id),
            Field::Int(new.user),
            Field::Int(new.chat),
            new.thread.map_or(Field::Null, Field::Int),
            Field::Int(new.is_private.into()),
            Field::Int(new.reply_to),
            Field::maybe(new.model.clone()),
            Field::Text(new.prompt.clone()),
            Field::Int(made),
            Field::Int(clock::now()),
        ];
        Ok(self.0.run(sql, fields).await? == 1)
    }

    /// A question.
    pub async fn ask(&self, id: i64) -> Result<Option<Ask>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM telegram_bot.ask WHERE id = $1");
        let rows = self.0.rows(&sql, vec![Field::Int(id)]).await?;
        Ok(rows.into_iter().next().and_then(ask))
    }

    /// Moves a question from one state to another and sets columns with it; `false` if it was not in that state: then nothing is
    /// changed.
    pub async fn advance(
        &self,
        id: i64,
        (from, to): (AskState, AskState),
        set: Vec<(&'static str, Field)>,
    ) -> Result<bool, StoreError> {
        let mut sql = "UPDATE telegram_bot.ask SET state = $1, changed = $2".to_owned();
        let mut fields = vec![Field::Text(to.word().into()), Field::Int(clock::now())];
        for (column, value) in set {
            fields.push(value);
            sql.push_str(&format!(", {column} = ${}", fields.len()));
        }
        fields.push(Field::Int(id));
        sql.push_str(&format!(" WHERE id = ${}", fields.len()));
        fields.push(Field::Text(from.word().into()));
        sql.push_str(&format!(" AND state = ${}", fields.len()));
        Ok(self.0.run(&sql, fields).await? == 1)
    }

    /// Keeps the numbers of the bot's messages about a question.
    pub async fn set_messages(&self, id: i64, messages: &[i64]) -> Result<(), StoreError> {
        let sql = "UPDATE telegram_bot.ask SET messages = $1 WHERE id = $2";
        let list = serde_json::to_string(messages).unwrap_or_else(|_| "[]".into());
        self.0
            .run(sql, vec![Field::Text(list), Field::Int(id)])
            .await
            .map(drop)
    }

    /// Its author can't be told now.
    pub async fn set_blocked(&self, id: i64) -> Result<(), StoreError> {
        let sql = "UPDATE telegram_bot.ask SET blocked = 1 WHERE id = $1";
        self.0.run(sql, vec![Field::Int(id)]).await.map(drop)
    }

    /// Somebody is heard of again: their questions that wait for it.
    pub async fn unblock(&self, user: i64) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT id FROM telegram_bot.ask WHERE user_id = $1 AND blocked = 1";
        let rows = self.0.rows(sql, vec![Field::Int(user)]).await?;
        let ids: Vec<i64> = rows.into_iter().filter_map(|mut row| row.int()).collect();
        if !ids.is_empty() {
            let sql = "UPDATE telegram_bot.ask SET blocked = 0 WHERE user_id = $1 AND blocked = 1";
            self.0.run(sql, vec![Field::Int(user)]).await?;
        }
        Ok(ids)
    }

    /// A question goes on in another chat, where nothing was said of it yet.
    pub async fn move_chat(&self, id: i64, chat: i64) -> Result<(), StoreError> {
        let sql = "UPDATE telegram_bot.ask SET chat_id = $1, thread_id = NULL, reply_to = 0, messages = '[]' WHERE id = $2";
        self.0
            .run(sql, vec![Field::Int(chat), Field::Int(id)])
            .await
            .map(drop)
    }

    /// Where its author is alone with the bot, if the question is not there.
    pub async fn refuge(&self, id: i64) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT user_id FROM telegram_bot.ask WHERE id = $1 AND chat_id <> user_id";
        let rows = self.0.rows(sql, vec![Field::Int(id)]).await?;
        Ok(rows.into_iter().next().and_then(|mut row| row.int()))
    }

    /// Questions that something is to be done about.
    pub async fn unfinished(&self) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT id FROM telegram_bot.ask WHERE state NOT IN ('quoted', 'over') AND blocked = 0 ORDER BY id";
        let rows = self.0.rows(sql, Vec::new()).await?;
        Ok(rows.into_iter().filter_map(|mut row| row.int()).collect())
    }

    /// Questions whose author was asked before a moment and said nothing.
    pub async fn unanswered(&self, before: i64) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT id FROM telegram_bot.ask WHERE state = 'quoted' AND changed < $1 ORDER BY id LIMIT 100";
        let rows = self.0.rows(sql, vec![Field::Int(before)]).await?;
        Ok(rows.into_iter().filter_map(|mut row| row.int()).collect())
    }

    /// How many questions of somebody are under way, and how many came since a moment.
    pub async fn load(&self, user: i64, since: i64) -> Result<(i64, i64), StoreError> {
        let running = "SELECT COUNT(*) FROM telegram_bot.ask WHERE user_id = $1 AND state IN ('quoting', 'approved', 'sent')";
        let recent = "SELECT COUNT(*) FROM telegram_bot.ask WHERE user_id = $1 AND made > $2";
        let one = |rows: Vec<Row>| {
            rows.into_iter()
                .next()
                .and_then(|mut row| row.int())
                .unwrap_or(0)
        };
        let user = Field::Int(user);
        let running = self.0.rows(running, vec![user.clone()]).await?;
        let recent = self.0.rows(recent, vec![user, Field::Int(since)]).await?;
        Ok((one(running), one(recent)))
    }

    /// The newest questions of somebody that ended or were answered.
    pub async fn past(&self, user: i64, limit: u32) -> Result<Vec<Past>, StoreError> {
        let sql = format!(
            "SELECT prompt, outcome, cost, job, made FROM telegram_bot.ask
             WHERE user_id = $1 AND state IN ('answered', 'watching', 'over') ORDER BY id DESC LIMIT {limit}"
        );
        let rows = self.0.rows(&sql, vec![Field::Int(user)]).await?;
        let past = rows.into_iter().filter_map(|mut row| {
            Some(Past {
                prompt: row.text()?,
                outcome: row.text(),
                cost: amount(row.int()),
                job: row.text(),
                made: row.int()?,
            })
        });
        Ok(past.collect())
    }

    /// The newest job of somebody.
    pub async fn last_job(&self, user: i64) -> Result<Option<String>, StoreError> {
        let sql = "SELECT job FROM telegram_bot.ask WHERE user_id = $1 AND answer IS NOT NULL AND job IS NOT NULL ORDER BY id DESC LIMIT 1";
        let rows = self.0.rows(sql, vec![Field::Int(user)]).await?;
        Ok(rows.into_iter().next().and_then(|mut row| row.text()))
    }

    /// How far somebody's job came, if it is theirs.
    pub async fn is_job_of(&self, user: i64, job: &str) -> Result<bool, StoreError> {
        let sql = "SELECT COUNT(*) FROM telegram_bot.ask WHERE user_id = $1 AND job = $2";
        let rows = self
            .0
            .rows(sql, vec![Field::Int(user), Field::Text(job.into())])
            .await?;
        let count = rows.into_iter().next().and_then(|mut row| row.int());
        Ok(count.is_some_and(|count| count > 0))
    }

    /// What a price is set by: the columns of a quote.
    pub fn quote(ceiling: u64, model: &str) -> Vec<(&'static str, Field)> {
        vec![
            ("ceiling", stored(ceiling)),
            ("model", Field::Text(model.into())),
        ]
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn new(id: i64) -> NewAsk {
        NewAsk {
            id,
            user: 7,
            chat: -5,
            thread: None,
            is_private: false,
            reply_to: 3,
            model: None,
            prompt: "why?".into(),
        }
    }

    /// A question from its first day to its last, on whichever database.
    pub(in crate::store) async fn a_life(store: &Store) {
        let now = clock::now();
        assert!(store.add_ask(&new(1), now).await.unwrap());
        assert!(
            !store.add_ask(&new(1), now).await.unwrap(),
            "it is there already"
        );
        let step = (AskState::Quoting, AskState::Quoted);
        assert!(store.advance(1, step, Store::quote(9, "m")).await.unwrap());
        assert!(store.unfinished().await.unwrap().is_empty());
        assert_eq!(store.unanswered(i64::MAX).await.unwrap(), [1]);
        let tap = (AskState::Quoted, AskState::Approved);
        assert!(store.advance(1, tap, Vec::new()).await.unwrap());
        assert!(
            !store.advance(1, tap, Vec::new()).await.unwrap(),
            "a second tap"
        );
        assert_eq!(store.unfinished().await.unwrap(), [1]);
        assert_eq!(store.load(7, 0).await.unwrap(), (1, 1));
        let sent = vec![
            ("job", Field::Text("J".into())),
            ("expiry", stored(55)),
            ("answer", Field::Text("be\0cause".into())),
            ("words", Field::Text("said".into())),
            ("cost", stored(4)),
        ];
        let answered = (AskState::Approved, AskState::Answered);
        assert!(store.advance(1, answered, sent).await.unwrap());
        store.set_messages(1, &[8, 9]).await.unwrap();
        let found = store.ask(1).await.unwrap().unwrap();
        assert_eq!(
            (found.new, found.ceiling, found.expiry),
            (
                NewAsk {
                    model: Some("m".into()),
                    ..new(1)
                },
                Some(9),
                Some(55)
            )
        );
        assert_eq!(
            (found.messages.as_slice(), found.cost),
            ([8, 9].as_slice(), Some(4))
        );
        store.set_blocked(1).await.unwrap();
        assert!(store.unfinished().await.unwrap().is_empty());
        assert_eq!(store.unblock(7).await.unwrap(), [1]);
        assert_eq!(store.last_job(7).await.unwrap().as_deref(), Some("J"));
        assert!(store.is_job_of(7, "J").await.unwrap() && !store.is_job_of(8, "J").await.unwrap());
        assert_eq!(store.refuge(1).await.unwrap(), Some(7));
        store.move_chat(1, 7).await.unwrap();
        assert_eq!(store.refuge(1).await.unwrap(), None);
        store.move_chat(1, -6).await.unwrap();
        assert_eq!(store.past(7, 5).await.unwrap().len(), 1);
        let over = (AskState::Answered, AskState::Over);
        assert!(store.advance(1, over, Vec::new()).await.unwrap());
        store.forget(i64::MAX).await.unwrap();
        let found = store.ask(1).await.unwrap().unwrap();
        assert_eq!(
            (found.new.chat, found.new.prompt.as_str(), found.answer),
            (-6, "", None)
        );
        assert_eq!(found.words, None);
        assert_eq!(found.cost, Some(4), "what it cost is kept");
    }

    #[tokio::test]
    async fn a_question_moves_only_from_the_state_that_it_is_in() {
        a_life(&Store::open(":memory:").await.unwrap()).await;
    }

    #[test]
    fn states_are_stored_by_words_that_lead_back() {
        for state in AskState::ALL {
            assert_eq!(AskState::of(state.word()), Some(state));
        }
    }
}
