//! What the bot says. Pure.

use crate::{
    clock,
    config::BotConfig,
    gateway::{Estimate, JobView, Model},
    purse::{DAY_SLOTS, Funds},
    store::{Ask, Past},
    telegram::{Button, Keyboard, Offer},
    text::{Text, foreign, money, sol},
};

/// Characters of a page's hash that its buttons carry.
pub const PAGE_TAG: usize = 16;
/// Characters of a wallet's beginning and of its end that a button shows.
const ENDS: usize = 4;
/// Milliseconds of a slot, for what is said beside slots.
const SLOT_MS: u64 = 400;

/// The commands that Telegram offers.
pub const OFFERS: [Offer; 9] = [
    Offer {
        command: "ai",
        description: "ask: /ai why is the sky blue?",
    },
    Offer {
        command: "balance",
        description: "what your vault holds",
    },
    Offer {
        command: "limit",
        description: "what may be spent; /limit 0.001 runs cheaper questions at once",
    },
    Offer {
        command: "model",
        description: "choose who answers",
    },
    Offer {
        command: "history",
        description: "your last questions and what they cost",
    },
    Offer {
        command: "verify",
        description: "check an answer against the chain",
    },
    Offer {
        command: "link",
        description: "link a wallet, change its limits",
    },
    Offer {
        command: "revoke",
        description: "end what the bot may spend",
    },
    Offer {
        command: "help",
        description: "how this works",
    },
];

/// `/help` and `/start`.
pub fn help() -> Text {
    let mut text = Text::plain("I answer questions, and each answer can be checked on chain.\n\n")
        .bold("How it works")
        .say(
            "\n1. /link opens a page on which your wallet allows this bot to spend a little from your vault. The chain keeps the limits; your \
             key stays in your wallet.\n2. Write me a question, or /ai and a question in a group. I say what it costs at most; you tap Run.\n\
             3. The answer comes with its receipt: who answered, what it cost, the job on chain.\n\n",
        )
        .bold("Commands");
    for Offer {
        command,
        description,
    } in OFFERS
    {
        text = text.say(&format!("\n/{command} – {description}"));
    }
    text.say(
        "\n\nWho can read your question: Telegram, this bot, its gateway, the validator that answers and those that check it. The chain holds \
         a salted hash of it.",
    )
}

/// The wallet page, for one person and a short while.
pub fn page(url: &str, why: &str) -> Text {
    Text::plain(why)
        .say("\n\nOpen this page in a browser that has your wallet:\n")
        .link(url, url)
        .say("\n\nIt is for you alone and good for 15 minutes: give it to nobody. Once your wallet has signed I ask you here whether it is yours.")
}

/// Asks whether the wallet that signed on somebody's page is their own, with the buttons for it.
pub fn confirm(hash: &str, wallet: &str) -> (Text, Keyboard) {
    let text = Text::default()
        .bold("Is this your wallet?")
        .say("\n")
        .code(wallet)
        .say(
            "\n\nIt signed in on the page whose address I gave you. Compare the first and the last characters with what your wallet shows. Say no \
             if you signed nothing, or gave the address to somebody: whose wallet it is can read your questions.",
        );
    let tag: String = hash.chars().take(PAGE_TAG).collect();
    let button = |text: String, what: &str| Button {
        text,
        callback_data: format!("{what}:{tag}"),
    };
    let yes = format!("Yes, {} is mine", ends(wallet));
    let keyboard = Keyboard {
        inline_keyboard: vec![
            vec![button(yes, "mine")],
            vec![button("No, end that page".into(), "alien")],
        ],
    };
    (text, keyboard)
}

/// The first and the last characters of an address.
fn ends(address: &str) -> String {
    let last = address.chars().count().saturating_sub(ENDS);
    let (first, last): (String, String) = (
        address.chars().take(ENDS).collect(),
        address.chars().skip(last).collect(),
    );
    format!("{first}…{last}")
}

/// A wallet is somebody's.
pub fn linked(wallet: &str) -> Text {
    Text::plain("A wallet was linked to you: ")
        .code(wallet)
        .say("\nGo on on the page: say there what I may spend. /revoke ends the link.")
}

/// A wallet is not somebody's.
pub fn denied() -> Text {
    Text::plain(
        "Nothing was linked, and that page has ended. Give its address to nobody. /link makes a new one.",
    )
}

/// Somebody tapped below a page that has ended.
pub fn page_over() -> Text {
    Text::plain("This page has ended. /link makes a new one.")
}

/// What a question would cost.
pub fn quote(estimate: &Estimate) -> Text {
    Text::default()
        .bold(&foreign(&estimate.model))
        .say(&format!(
            "\n{} tokens to read, at most {} to write\nAbout {}, at most ",
            estimate.prompt_tokens,
            estimate.max_output_tokens,
            sol(estimate.estimated_cost_lamports) + " SOL",
        ))
        .bold(&money(estimate.ceiling_cost_lamports))
}

/// While a question is under way.
pub fn running(model: &str, ceiling: u64) -> Text {
    Text::default()
        .bold(&foreign(model))
        .say(&format!(" answers, for at most {}…", money(ceiling)))
}

/// The receipt below an answer.
pub fn receipt(ask: &Ask, view: Option<&JobView>, slot: Option<u64>, config: &BotConfig) -> Text {
    let mut text = Text::default()
        .bold("Receipt")
        .say("\nModel ")
        .say(&foreign(ask.new.model.as_deref().unwrap_or("–")))
        .say("\nValidator ");
    text = match &ask.validator {
        Some(validator) => text.code(validator),
        None => text.say("–"),
    };
    let fee = view.and_then(|view| view.fee_lamports).or(ask.cost);
    text = text.say("\nCost ").say(&fee.map_or("–".into(), money));
    if let Some(tokens) = view.and_then(|view| view.output_tokens) {
        text = text.say(&format!("\nTokens written {tokens}"));
    }
    if let Some(job) = &ask.job {
        text = text
            .say("\nJob ")
            .link(job, &config.page(&format!("/jobs/{job}")));
    }
    if let Some(signature) = &ask.signature {
        text = text.say("\nTransaction ");
        text = match config.explorer_url.is_empty() {
            true => text.code(signature),
            false => text.link(signature, &config.explorer_url.replace("{}", signature)),
        };
    }
    text.say("\n").say(&standing(ask, view, slot))
}

/// How firm an answer is.
fn standing(ask: &Ask, view: Option<&JobView>, slot: Option<u64>) -> String {
    let Some(view) = view else {
        return match ask.unconfirmed {
            true => {
                "The chain has not shown the result yet: nobody vouches for this answer so far."
                    .into()
            }
            false => "On chain. The window in which it can be contested begins.".into(),
        };
    };
    let part =
        |lamports: Option<u64>| lamports.map_or("–".into(), |lamports| sol(lamports) + " SOL");
    match view.status.as_str() {
        "settled" => format!(
            "Settled: {} to the validator, {} burned, {} back to your vault. Nobody can contest it any more.",
            part(view.validator_lamports),
            part(view.burned_lamports),
            part(view.refunded_lamports)
        ),
        "refunded" => format!(
            "Refunded: {} are back in your vault.",
            part(view.refunded_lamports)
        ),
        "slashed" => format!(
            "Found false: {} are back in your vault, and its validator lost {}.",
            part(view.refunded_lamports),
            part(view.slashed_lamports)
        ),
        "disputed" => "Contested: a jury of validators judges it now.".into(),
        "unpaid" => {
            "The chain never took this job: nothing was paid, and nobody vouches for the answer."
                .into()
        }
        _ => match (view.window_end_slot, slot) {
            (Some(end), Some(slot)) if end > slot => format!(
                "Can be contested for {} slots more (about {} s), then it settles.",
                end - slot,
                (end - slot).saturating_mul(SLOT_MS).div_ceil(1_000)
            ),
            (Some(_), Some(_)) => "Nobody contested it in time; it settles now.".into(),
            _ => "Its result is on its way to the chain.".into(),
        },
    }
}

/// What a vault holds, and what may be spent of it.
pub fn balance(funds: &Funds) -> Text {
    let mut text = Text::default().bold("Vault");
    text = match &funds.vault {
        Some(vault) => text.say(&format!(
            "\nFree {}\nHeld by {} running jobs {}",
            money(vault.balance.get()),
            vault.open_jobs.get(),
            money(vault.held.get())
        )),
        None => text.say("\nThere is none yet: /link makes it with the first deposit."),
    };
    text.say(&format!(
        "\nFor rent and fees {}\n(as of slot {}, confirmed)",
        money(funds.fuel),
        funds.slot
    ))
}

/// What the chain lets the bot spend for somebody, and what runs at once.
pub fn limits(funds: &Funds, run_below: u64) -> Text {
    let mut text = Text::default().bold("What I may spend for you, as the chain keeps it");
    text = match (&funds.grant, funds.is_granted()) {
        (Some(grant), true) => text.say(&format!(
            "\nOne job {}\nA day {}, {} left\nIn all {}, {} spent\nUntil slot {} (about {} days)",
            money(grant.per_job_max.get()),
            money(grant.window_max.get()),
            funds
                .left_in_window()
                .map_or("–".into(), |left| sol(left) + " SOL"),
            money(grant.lifetime_cap.get()),
            sol(grant.lifetime_spent.get()) + " SOL",
            grant.expiry_slot.get(),
            grant.expiry_slot.get().saturating_sub(funds.slot) / u64::from(DAY_SLOTS)
        )),
        (Some(_), false) => {
            text.say("\nNothing: the leave is revoked or has ended. /link gives it anew.")
        }
        (None, _) => text.say("\nNothing yet: /link gives leave."),
    };
    let at_once = match run_below {
        0 => "I ask before every question.".to_owned(),
        below => format!(
            "Questions of at most {} run at once, without a tap.",
            money(below)
        ),
    };
    text.say(&format!(
        "\n(as of slot {}, confirmed)\n\n{at_once} /limit 0.001 changes that, /limit 0 has me ask always. /link changes what the chain lets me \
         spend.",
        funds.slot
    ))
}

/// The models, with prices.
pub fn models(models: &[Model], chosen: Option<&str>) -> Text {
    if models.is_empty() {
        return Text::plain("The gateway serves no model now.");
    }
    let mut text = Text::default().bold("Who answers");
    for model in models {
        let is_chosen = chosen.map_or(model.is_default, |chosen| chosen == model.id);
        let price =
            |lamports: Option<u64>| lamports.map_or("–".into(), |lamports| lamports.to_string());
        text = text.say(&format!(
            "\n{} {}: {} lamports for 1000 tokens read, {} written, {} validators",
            if is_chosen { "●" } else { "○" },
            foreign(&model.id),
            price(model.price_in_lamports_per_1k),
            price(model.price_out_lamports_per_1k),
            price(model.validators)
        ));
    }
    text
}

/// The last questions of somebody.
pub fn history(past: &[Past], config: &BotConfig) -> Text {
    if past.is_empty() {
        return Text::plain("You have asked nothing yet.");
    }
    let mut text = Text::default().bold("Your last questions");
    for one in past {
        let beginning: String = one.prompt.chars().take(60).collect();
        let prompt = match beginning.is_empty() {
            true => "(no longer kept)".to_owned(),
            false => foreign(&beginning),
        };
        text = text.say(&format!(
            "\n\n{} {prompt}\n{}, {}",
            clock::written(one.made),
            one.outcome.as_deref().unwrap_or("not settled yet"),
            one.cost.map_or("–".into(), money)
        ));
        if let Some(job) = &one.job {
            text = text
                .say(", ")
                .link("job", &config.page(&format!("/jobs/{job}")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable as _;
    use mythic_interface::{
        le::{U32, U64},
        state::{GrantStatus, SpendGrant},
    };

    use super::*;
    use crate::{
        store::{AskState, NewAsk},
        text::{MESSAGE, units},
    };

    fn asked() -> Ask {
        Ask {
            new: NewAsk {
                id: 1,
                user: 7,
                chat: 7,
                thread: None,
                is_private: true,
                reply_to: 1,
                model: Some("tiny".into()),
                prompt: "why?".into(),
            },
            state: AskState::Watching,
            ceiling: Some(30),
            body: None,
            job: Some("J".repeat(44)),
            expiry: Some(5),
            signature: Some("S".repeat(88)),
            tries: 0,
            answer: Some("because".into()),
            cost: Some(20),
            validator: Some("V".repeat(44)),
            unconfirmed: false,
            outcome: None,
            words: None,
            messages: vec![1, 2],
            made: 0,
            changed: 0,
        }
    }

    fn view(status: &str, window_end_slot: Option<u64>) -> JobView {
        JobView {
            status: status.into(),
            fee_lamports: Some(20),
            refunded_lamports: Some(10),
            validator_lamports: Some(10),
            burned_lamports: Some(8),
            slashed_lamports: None,
            output_tokens: Some(3),
            window_end_slot,
            validator: None,
        }
    }

    #[test]
    fn a_receipt_counts_down_to_its_end_and_says_a_dash_for_what_is_unknown() {
        let (ask, config) = (asked(), BotConfig::default());
        let said = |view: Option<&JobView>, slot| receipt(&ask, view, slot, &config).text;
        let counting = said(Some(&view("submitted", Some(187))), Some(100));
        assert!(
            counting.contains("87 slots more (about 35 s)"),
            "{counting}"
        );
        assert!(counting.contains(&"V".repeat(44)) && counting.contains("20 lamports"));
        let over = said(Some(&view("submitted", Some(187))), Some(187));
        assert!(over.contains("settles now"), "{over}");
        assert!(said(Some(&view("settled", None)), None).contains("Settled"));
        assert!(said(Some(&view("refunded", None)), None).contains("back in your vault"));
        assert!(said(Some(&view("slashed", None)), None).contains("lost –"));
        let mut unknown = asked();
        (unknown.validator, unknown.cost) = (None, None);
        let text = receipt(&unknown, None, None, &config).text;
        assert!(
            text.contains("Validator –") && text.contains("Cost –"),
            "{text}"
        );
    }

    #[test]
    fn nothing_that_the_bot_says_is_longer_than_a_message() {
        assert!(units(&help().text) < MESSAGE);
        let long = Past {
            prompt: "x".repeat(4_096),
            outcome: Some("settled".into()),
            cost: Some(u64::MAX),
            job: Some("J".repeat(44)),
            made: 0,
        };
        let past = vec![long; 10];
        assert!(units(&history(&past, &BotConfig::default()).text) < MESSAGE);
    }

    #[test]
    fn limits_are_those_of_the_chain_at_its_slot() {
        let mut grant = SpendGrant::zeroed();
        grant.header.status = GrantStatus::Active as u8;
        grant.expiry_slot = U64::new(1_000);
        grant.window_max = U64::new(100);
        grant.window_slots = U32::new(50);
        grant.window_start = U64::new(10);
        grant.window_spent = U64::new(60);
        let mut funds = Funds {
            slot: 20,
            vault: None,
            grant: Some(grant),
            fuel: 0,
        };
        assert_eq!(funds.left_in_window(), Some(40));
        assert!(limits(&funds, 0).text.contains("ask before every"));
        funds.slot = 60;
        assert_eq!(funds.left_in_window(), Some(100), "a new day");
        funds.slot = 1_000;
        assert!(limits(&funds, 5).text.contains("has ended"));
        assert!(balance(&funds).text.contains("There is none yet"));
    }

    #[test]
    fn a_wallet_is_asked_about_by_its_first_and_last_characters() {
        let wallet = "7abcDEFghijkLMNopqrsTUVwxyz123456789ABCDEFxyz9";
        let (text, keyboard) = confirm(&"f".repeat(64), wallet);
        assert!(text.text.contains(wallet));
        let buttons: Vec<&Button> = keyboard.inline_keyboard.iter().flatten().collect();
        assert!(buttons[0].text.contains("7abc…xyz9"), "{}", buttons[0].text);
        assert!(buttons.iter().all(|one| one.callback_data.len() <= 64));
    }

    #[test]
    fn the_model_that_answers_is_marked() {
        let model = |id: &str, is_default| Model {
            id: id.into(),
            is_default,
            price_in_lamports_per_1k: None,
            price_out_lamports_per_1k: Some(5),
            validators: None,
        };
        let list = [model("a", true), model("b", false)];
        assert!(models(&list, None).text.contains("● \u{2068}a"));
        assert!(models(&list, Some("b")).text.contains("● \u{2068}b"));
        assert!(models(&[], None).text.contains("no model"));
    }
}
