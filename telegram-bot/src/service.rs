//! The bot as a process: its parts, its loops, its end.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use mythic_client::ChainClient;
use mythic_support::{Backoff, Throttle, life};
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
    time::{Instant, interval, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock,
    commands::Commands,
    config::BotConfig,
    desk::Desk,
    gateway::Gateway,
    metrics::Metrics,
    page::{self, WEBHOOK, Web},
    parts::{Parts, Trouble},
    purse::{Purse, Secret},
    store::Store,
    telegram::{
        DeleteWebhook, GetMe, GetUpdates, Me, POLL_SECONDS, SetMyCommands, SetWebhook, Telegram,
        TelegramError,
    },
    words,
};

/// What Telegram is to send; edited messages are not among it, because they ask nothing anew.
const UPDATES: &[&str] = &["message", "callback_query"];
/// Updates asked for at once.
const BATCH: u32 = 100;
/// Updates that are worked on at once: those of people whom Telegram has the bot wait for count too.
const AT_ONCE: usize = 128;
/// Longest that one update is worked on.
const UPDATE: Duration = Duration::from_secs(180);
/// Pauses after a fault.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How often what waits is looked for without being told of it.
const LOOK: Duration = Duration::from_secs(10);
/// How often old prices end, delegates are swept and what is old is forgotten.
const SWEEP: Duration = Duration::from_secs(60);
/// How long something may come back to a delegate that is used no more: its jobs have ended and are closed by then.
const SWEPT: i64 = 7 * 86_400;
/// How long a stop waits for what is under way.
const DRAIN: Duration = Duration::from_secs(20);
/// Troubles are logged once in this time.
const WARNINGS: Duration = Duration::from_secs(10);

/// Runs the bot until `stop`. Faults of Telegram, gateway, chain and database are logged and waited out.
pub async fn run(config: BotConfig, stop: CancellationToken) -> anyhow::Result<()> {
    config.validate().map_err(anyhow::Error::msg)?;
    let metrics = Metrics::new()?;
    let (webhook, limits) = (config.webhook, config.limits.clone());
    if let Some(addr) = config.metrics_addr {
        // Who can look at it matters less than the work.
        match metrics.serve(addr, stop.clone()).await {
            Ok(bound) => tracing::info!(%bound, "serving metrics and health"),
            Err(error) => tracing::warn!("no metrics: {error}"),
        }
    }
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("listen = {}", config.listen))?;
    let Some(parts) = parts(config, metrics, stop.clone()).await? else {
        return Ok(());
    };
    let parts = Arc::new(parts);
    let inbox = Arc::new(Notify::new());
    let secret = webhook.then(|| parts.purse.webhook_secret());
    let web = Web::new(parts.clone(), inbox.clone(), secret.clone());
    let served = tokio::spawn(mythic_http::serve(
        listener,
        page::router(Arc::new(web)),
        limits,
        stop.clone(),
    ));
    let desk = Desk::new(parts.clone());
    let commands = Commands::new(parts.clone(), desk.clone());
    tracing::info!(bot = %parts.me.name, webhook, "the bot runs");
    let work = work(&parts, &commands, &desk, &inbox);
    let sweep = sweep(&parts, &desk);
    match secret {
        Some(secret) => {
            tokio::join!(work, sweep, hook(&parts, secret));
        }
        None => {
            tokio::join!(work, sweep, poll(&parts, &inbox));
        }
    }
    if timeout(DRAIN, desk.close()).await.is_err() {
        tracing::warn!("questions are still under way; the next start goes on with them");
    }
    served.await.context("the page's server")??;
    Ok(())
}

/// The parts, once Telegram said who the bot is; `None` if it is stopped before.
async fn parts(
    config: BotConfig,
    metrics: Metrics,
    stop: CancellationToken,
) -> anyhow::Result<Option<Parts>> {
    let token = config.token()?;
    let secret = Secret::open(&config.secret_file)?;
    let store = Store::open(&config.database).await?;
    metrics.linked.set(store.linked().await?);
    let api = reqwest::Url::parse(&config.api_url).context("api_url")?;
    let telegram = Telegram::new(&token, api, metrics.clone(), stop.clone())?;
    let mut pauses = Backoff::new(PAUSES.0, PAUSES.1);
    let me = loop {
        match telegram.once(GetMe {}).await {
            Ok(me) => break me,
            Err(error @ (TelegramError::Token | TelegramError::Refused(_))) => {
                anyhow::bail!("Telegram refuses the token of token_file: {error}")
            }
            Err(error) => {
                tracing::warn!(%error, "waiting for Telegram");
                if !pauses.wait(&stop).await {
                    return Ok(None);
                }
            }
        }
    };
    metrics.heard();
    let gateway = Gateway::new(&config.gateway_url, &config.page(""))?;
    let chain = ChainClient::new(config.rpc_url.clone(), config.ws_url.clone());
    Ok(Some(Parts {
        me: Me {
            id: me.id,
            name: me.username.unwrap_or_default(),
        },
        purse: Purse::new(chain, secret),
        config,
        telegram,
        gateway,
        store,
        metrics,
        stop,
    }))
}

/// Has updates sent to the page's server. Nothing has to come then: whether Telegram is there is asked from time to time.
async fn hook(parts: &Parts, secret: String) {
    let origin = parts.config.public_url.trim_end_matches('/');
    let hook = SetWebhook {
        url: format!("{origin}{WEBHOOK}"),
        secret_token: secret,
        max_connections: 20,
        allowed_updates: UPDATES,
    };
    let mut pauses = Backoff::new(PAUSES.0, PAUSES.1);
    while let Err(error) = parts.telegram.call(hook.clone()).await {
        tracing::warn!(%error, "Telegram was not told where to send updates");
        if !pauses.wait(&parts.stop).await {
            return;
        }
    }
    parts.metrics.heard();
    life::ready();
    let mut turns = interval(SWEEP);
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = parts.stop.cancelled() => return,
        }
        if parts.telegram.once(GetMe {}).await.is_ok() {
            parts.metrics.heard();
        }
    }
}

/// Asks for updates. They are stored before the next question acknowledges them.
async fn poll(parts: &Parts, inbox: &Notify) {
    let mut pauses = Backoff::new(PAUSES.0, PAUSES.1);
    let pulse = life::Pulse::new("polling", Duration::from_secs(4 * POLL_SECONDS) + PAUSES.1);
    let warnings = Throttle::new(WARNINGS);
    let (mut offset, mut is_unhooked) = (0, false);
    while !parts.stop.is_cancelled() {
        pulse.beat();
        let turn = async {
            if !is_unhooked {
                parts.telegram.once(DeleteWebhook {}).await?;
            }
            let question = GetUpdates {
                offset,
                limit: BATCH,
                timeout: POLL_SECONDS,
                allowed_updates: UPDATES,
            };
            let updates = parts.telegram.once(question).await?;
            parts.store.receive(&updates).await?;
            let next = updates
                .iter()
                .filter_map(|one| one["update_id"].as_i64())
                .max();
            Ok::<(Option<i64>, bool), Trouble>((next, updates.is_empty()))
        };
        let turned = tokio::select! {
            turned = turn => turned,
            () = parts.stop.cancelled() => return,
        };
        match turned {
            Ok((newest, is_empty)) => {
                is_unhooked = true;
                offset = newest.map_or(offset, |newest| newest.saturating_add(1));
                if !is_empty {
                    inbox.notify_one();
                }
                parts.metrics.heard();
                life::ready();
                pauses.reset();
            }
            Err(error) => {
                if let Some(more) = warnings.allow() {
                    tracing::warn!(%error, more, "no updates; trying again");
                }
                let asked = match &error {
                    Trouble::Telegram(TelegramError::Wait(asked)) => *asked,
                    _ => Duration::ZERO,
                };
                let until = Instant::now() + asked.max(pauses.pause());
                while Instant::now() < until {
                    pulse.beat();
                    tokio::select! {
                        () = sleep_until(until.min(Instant::now() + LOOK)) => {}
                        () = parts.stop.cancelled() => return,
                    }
                }
            }
        }
    }
}

/// Works on what is stored: questions first, then updates, one person's in their order.
async fn work(parts: &Arc<Parts>, commands: &Commands, desk: &Arc<Desk>, inbox: &Arc<Notify>) {
    let tasks = TaskTracker::new();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let under_way: Arc<Mutex<HashSet<i64>>> = Arc::default();
    let mut pauses = Backoff::new(PAUSES.0, PAUSES.1);
    while let Err(error) = desk.resume().await {
        tracing::warn!(%error, "what is unfinished can't be looked for");
        if !pauses.wait(&parts.stop).await {
            return;
        }
    }
    while !parts.stop.is_cancelled() {
        let pending = match parts.store.pending().await {
            Ok(pending) => pending,
            Err(error) => {
                tracing::warn!(%error, "updates can't be looked for");
                Vec::new()
            }
        };
        for (id, text) in pending {
            let is_new = under_way
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(id);
            if !is_new {
                continue;
            }
            let place = tokio::select! {
                place = places.clone().acquire_owned() => place,
                () = parts.stop.cancelled() => break,
            };
            let Ok(place) = place else { break };
            let (parts, commands, inbox) = (parts.clone(), commands.clone(), inbox.clone());
            let under_way = under_way.clone();
            tasks.spawn(async move {
                let _place = place;
                let is_done = one(&parts, &commands, id, &text).await;
                under_way
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&id);
                // The next one of the same person.
                if is_done {
                    inbox.notify_one();
                }
            });
        }
        tokio::select! {
            () = inbox.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = parts.stop.cancelled() => {}
        }
    }
    tasks.close();
    if timeout(DRAIN, tasks.wait()).await.is_err() {
        tracing::warn!("updates are still worked on; the next start takes them up");
    }
}

/// Works on one update until it is done, at the longest for some minutes; whether it is.
async fn one(parts: &Parts, commands: &Commands, id: i64, text: &str) -> bool {
    // It may have been done since the list was read.
    match parts.store.is_pending(id).await {
        Ok(true) => {}
        Ok(false) => return true,
        Err(error) => {
            tracing::warn!(update = id, %error, "an update waits for the next look");
            return false;
        }
    }
    let worked = timeout(UPDATE, commands.update(text)).await;
    let done = match worked {
        Ok(Ok(())) => parts.store.done(id).await.map_err(Trouble::from),
        Ok(Err(trouble)) => Err(trouble),
        Err(_) => {
            tracing::error!(update = id, "an update took too long and is left");
            parts.store.done(id).await.map_err(Trouble::from)
        }
    };
    if let Err(error) = &done {
        tracing::warn!(update = id, %error, "an update waits for the next look");
    }
    done.is_ok()
}

/// From time to time: old prices, delegates that are used no more, what is kept no longer, the commands that Telegram offers.
async fn sweep(parts: &Arc<Parts>, desk: &Arc<Desk>) {
    let offers = SetMyCommands {
        commands: words::OFFERS.to_vec(),
    };
    if let Err(error) = parts.telegram.call(offers).await {
        tracing::info!(%error, "Telegram offers no commands");
    }
    let mut turns = interval(SWEEP);
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = parts.stop.cancelled() => return,
        }
        if let Err(error) = swept(parts, desk).await {
            tracing::warn!(%error, "tidying up");
        }
    }
}

async fn swept(parts: &Parts, desk: &Arc<Desk>) -> Result<(), Trouble> {
    desk.expire().await?;
    parts.metrics.linked.set(parts.store.linked().await?);
    // Whoever wrote again in the moment in which the bot gave up on them.
    desk.resume().await?;
    let kept = i64::try_from(parts.config.keep_hours).unwrap_or(i64::MAX);
    let before = clock::now().saturating_sub(kept.saturating_mul(3_600));
    parts.store.forget(before).await?;
    for retired in parts.store.retired().await? {
        if parts.stop.is_cancelled() {
            return Ok(());
        }
        match parts.purse.sweep(&retired).await {
            Ok(true) => tracing::info!(user = retired.user, "what lay on a delegate went back"),
            Ok(false) if clock::now() - retired.since > SWEPT => {
                parts.store.swept(&retired).await?
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(user = retired.user, %error, "a delegate can't be swept");
            }
        }
    }
    Ok(())
}
