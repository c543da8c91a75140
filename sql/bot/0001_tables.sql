-- What the bot keeps, in words that PostgreSQL and SQLite both understand: BIGINT and TEXT, times in Unix seconds, amounts in lamports.
-- SQLite has no schemas: there the tables lie in the file, without "telegram_bot.".

-- Updates from Telegram, stored before they are acknowledged. A second one with the same number changes nothing.
CREATE TABLE telegram_bot.inbox (
    update_id BIGINT NOT NULL PRIMARY KEY,
    -- Whose it is: one person's updates are worked on one after another. 0 = nobody's.
    lane BIGINT NOT NULL,
    body TEXT NOT NULL,
    done BIGINT NOT NULL DEFAULT 0,
    received BIGINT NOT NULL
);
CREATE INDEX inbox_by_lane ON telegram_bot.inbox (done, lane, update_id);

-- People. `generation` tells the delegates of one person and wallet apart; no key of anybody is stored.
CREATE TABLE telegram_bot.person (
    user_id BIGINT NOT NULL PRIMARY KEY,
    wallet TEXT,
    generation BIGINT NOT NULL DEFAULT 0,
    run_below BIGINT,
    model TEXT
);

-- Addresses of the wallet page, by SHA-256 of what is secret in them.
CREATE TABLE telegram_bot.link (
    token_hash TEXT NOT NULL PRIMARY KEY,
    user_id BIGINT NOT NULL,
    chat_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    expires BIGINT NOT NULL,
    -- The challenge that waits for its signature, and until when.
    wallet TEXT,
    message TEXT,
    message_expires BIGINT,
    -- open; proved: the wallet signed, and the account is asked whether it is its own; signed: it said so
    state TEXT NOT NULL
);

-- Delegates that are used no more, until what lies on them went back to their wallet.
CREATE TABLE telegram_bot.retired (
    user_id BIGINT NOT NULL,
    wallet TEXT NOT NULL,
    generation BIGINT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (user_id, wallet, generation)
);

-- Questions, by the number of the update that brought them. What is to be done next follows from `state`; whatever is sent or paid is
-- stored here first.
CREATE TABLE telegram_bot.ask (
    id BIGINT NOT NULL PRIMARY KEY,
    user_id BIGINT NOT NULL,
    chat_id BIGINT NOT NULL,
    thread_id BIGINT,
    private BIGINT NOT NULL,
    reply_to BIGINT NOT NULL,
    model TEXT,
    prompt TEXT NOT NULL,
    -- quoting, quoted, approved, sent, answered, watching, over
    state TEXT NOT NULL,
    -- What its author agreed that it may cost.
    ceiling BIGINT,
    -- The request exactly as it is sent, its job, the last slot in which it can land, its transaction.
    body TEXT,
    job TEXT,
    expiry BIGINT,
    signature TEXT,
    -- Requests before this one, whose time was over without a job.
    tries BIGINT NOT NULL DEFAULT 0,
    answer TEXT,
    cost BIGINT,
    validator TEXT,
    unconfirmed BIGINT NOT NULL DEFAULT 0,
    -- What became of it, and in words where it is no answer.
    outcome TEXT,
    words TEXT,
    -- Numbers of the bot's messages about it, as a JSON list: the answer's parts, then the receipt.
    messages TEXT NOT NULL DEFAULT '[]',
    -- Nobody can be told while the bot is blocked.
    blocked BIGINT NOT NULL DEFAULT 0,
    made BIGINT NOT NULL,
    changed BIGINT NOT NULL
);
CREATE INDEX ask_by_user ON telegram_bot.ask (user_id, id);
CREATE INDEX ask_by_state ON telegram_bot.ask (state);
