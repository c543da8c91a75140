//! Hosts the built library as a validator of Solana 1.18 does: loads it by name, lets it make its plugin, and plays seeded stories with
//! callbacks from several threads. What the spool then holds is compared with what the story says.

mod oracle;
mod story;
mod validator;

use mythic_stream::proto::{Event, LossReason};
use story::Story;
use validator::Validator;

#[test]
fn what_a_validator_tells_is_what_the_spool_holds() {
    let (mut sealed, mut forks, mut dumped) = (0, 0, 0);
    for seed in 0..12 {
        let story = Story::new(seed);
        let spool = Validator::play(&story);
        let seals = oracle::compare(&story, &spool);
        assert_eq!(seals, story.banks.len(), "seed {seed}");
        sealed += seals;
        forks += story.forks();
        dumped += story
            .banks
            .iter()
            .filter(|bank| bank.generation > 1)
            .count();
    }
    assert!(
        sealed > 400 && forks > 20 && dumped > 20,
        "{sealed} {forks} {dumped}"
    );
}

#[test]
fn a_plugin_loaded_in_the_middle_seals_nothing_that_it_did_not_see_whole() {
    let validator = Validator::start("");
    // The rest of slot 5, a fork on slot 3, and what is built on both.
    validator.write(5, 1);
    validator.freeze(5, 4);
    validator.write(6, 1);
    validator.write(7, 1);
    validator.freeze(6, 3);
    validator.freeze(7, 5);
    validator.write(8, 1);
    validator.freeze(8, 6);
    // A block frozen again says nothing new; accounts of a frozen slot are another block of it.
    validator.freeze(8, 6);
    validator.write(8, 1);
    validator.write(8, 1);
    validator.freeze(8, 7);
    let events = validator.finish();
    let seals = events.iter().filter_map(|event| match event {
        Event::Seal(seal) => Some((seal.slot, seal.generation, seal.parent_slot, seal.offered)),
        _ => None,
    });
    let seals: Vec<_> = seals.collect();
    assert_eq!(seals, [(7, 1, 5, 1), (8, 1, 6, 1), (8, 2, 7, 2)]);
    let first = events.iter().find_map(|event| match event {
        Event::Account(update) => Some((update.slot, update.generation)),
        _ => None,
    });
    assert_eq!(first, Some((5, 0)), "of no bank");
    assert!(!events.iter().any(|event| matches!(event, Event::Loss(_))));
}

#[test]
fn what_the_validator_should_not_tell_is_counted_and_harms_nothing() {
    let validator = Validator::start("");
    validator.write(5, 1);
    validator.freeze(5, 4);
    validator.malformed_account(6);
    validator.unlinked_block(6);
    validator.old_transaction(6);
    validator.write(6, 1);
    validator.freeze(6, 5);
    let events = validator.finish();
    let lost = |reason| -> u64 {
        let losses = events.iter().map(|event| match event {
            Event::Loss(loss) if loss.reason() == reason => loss.count,
            _ => 0,
        });
        losses.sum()
    };
    assert_eq!(lost(LossReason::Malformed), 2);
    assert_eq!(lost(LossReason::Transactions), 1);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::Seal(seal) if seal.slot == 6))
    );
}

#[test]
fn a_config_that_is_wrong_is_refused_by_name() {
    let refused = Validator::refused("fsync_interval_ms: 0");
    assert!(refused.contains("fsync_interval_ms = 0"), "{refused}");
}

#[test]
fn the_library_says_what_it_fits() {
    let bytes = std::fs::read(validator::library()).unwrap();
    let said = format!(
        "\ncrate=solana-geyser-plugin-interface\ninterface=1.18.26\nrustc={}\n",
        mythic_geyser_core::RUSTC
    );
    let found = bytes
        .windows(said.len())
        .any(|window| window == said.as_bytes());
    assert!(found, "not in the library: {said}");
}
