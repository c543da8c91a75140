//! The check at start tells apart what can be wrong.

use crate::world::{PATIENCE, Running, Spool, settings, until};
use mythic_broker::{Broker, PASSWORD, USER, WEAK_USER, shared};
use mythic_kafka::{BrokerError, Settings, Topic, Trouble, check, check_to_read};
use std::{
    fs,
    time::{Duration, Instant},
};

fn secure(broker: &Broker, user: &str, word: &str) -> Settings {
    Settings {
        user: Some(user.into()),
        password_file: Some(broker.password_file(word).unwrap()),
        options: broker.login(),
        ..settings(broker.secure())
    }
}

fn refused(settings: &Settings) -> BrokerError {
    settings.validate().unwrap();
    check(settings, Topic::Updates, PATIENCE).unwrap_err()
}

#[test]
fn a_login_is_let_in_and_each_refusal_has_its_name_and_a_way_out() {
    let Some(guard) = shared() else { return };
    let broker = guard.as_ref().unwrap();
    let good = secure(broker, USER, PASSWORD);
    assert_eq!(check(&good, Topic::Updates, PATIENCE), Ok(()));
    // It is there now, and is as it should be.
    assert_eq!(check(&good, Topic::Updates, PATIENCE), Ok(()));

    let wrong = refused(&secure(broker, USER, "wrong"));
    assert_eq!(wrong.trouble, Trouble::LoginRefused, "{wrong}");
    assert!(wrong.to_string().contains("kafka.password_file"), "{wrong}");

    let weak = refused(&secure(broker, WEAK_USER, PASSWORD));
    assert_eq!(weak.trouble, Trouble::NoRights, "{weak}");
    assert!(weak.to_string().contains("kafka.topic_prefix"), "{weak}");

    let expired = refused(&Settings {
        brokers: broker.expired(),
        ..good.clone()
    });
    assert_eq!(expired.trouble, Trouble::CertificateExpired, "{expired}");

    let mut stranger = good.clone();
    stranger.options.remove("ssl.ca.location");
    let stranger = refused(&stranger);
    assert_eq!(stranger.trouble, Trouble::Tls, "{stranger}");
    assert!(
        stranger.to_string().contains("ssl.ca.location"),
        "{stranger}"
    );

    for error in [&wrong, &weak, &expired, &stranger] {
        assert!(!format!("{error:?} {error}").contains(PASSWORD));
    }
}

#[test]
fn nobody_there_is_told_before_the_deadline_is_long_past() {
    // Nothing listens on a port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let since = Instant::now();
    let nobody = check(
        &settings(port.to_string()),
        Topic::Updates,
        Duration::from_secs(2),
    )
    .unwrap_err();
    assert_eq!(nobody.trouble, Trouble::Unreachable, "{nobody}");
    assert!(nobody.to_string().contains("kafka.brokers"), "{nobody}");
    assert!(since.elapsed() < PATIENCE);
}

#[test]
fn a_topic_is_made_only_where_it_may_be_and_must_fit() {
    let Some(guard) = shared() else { return };
    let broker = guard.as_ref().unwrap();
    let settings = Settings {
        create_topics: false,
        ..settings(broker.plain())
    };
    let missing = refused(&settings);
    assert_eq!(missing.trouble, Trouble::TopicMissing, "{missing}");
    // Asking does not make it, though this broker makes topics on demand.
    assert_eq!(refused(&settings).trouble, Trouble::TopicMissing);

    let too_many = Settings {
        create_topics: true,
        replication: 3,
        ..settings.clone()
    };
    let too_many = refused(&too_many);
    assert_eq!(too_many.trouble, Trouble::Settings, "{too_many}");
    assert!(
        too_many.to_string().contains("kafka.replication"),
        "{too_many}"
    );

    let made = Settings {
        create_topics: true,
        max_message_bytes: 1 << 20,
        ..settings
    };
    assert_eq!(check(&made, Topic::Updates, PATIENCE), Ok(()));
    for partitions in [made.partitions - 1, made.partitions + 1] {
        let other = Settings {
            partitions,
            ..made.clone()
        };
        let refusal = refused(&other);
        assert_eq!(refusal.trouble, Trouble::Partitions, "{refusal}");
        assert!(refusal.to_string().contains("has 4 partitions"));
        let anew = refusal.to_string().contains("was made anew");
        assert_eq!(anew, partitions > made.partitions, "{refusal}");
        // More than are known can be read.
        let read = check_to_read(&other, Topic::Updates, PATIENCE);
        assert_eq!(read.is_ok(), partitions < made.partitions, "{read:?}");
    }
    let larger = refused(&Settings {
        max_message_bytes: 2 << 20,
        ..made
    });
    assert_eq!(larger.trouble, Trouble::TopicUnfit, "{larger}");
}

#[test]
fn a_forwarder_names_why_it_waits_and_goes_on_once_that_is_mended() {
    let Some(guard) = shared() else { return };
    let broker = guard.as_ref().unwrap();
    let settings = secure(broker, USER, "wrong");
    let mut spool = Spool::new();
    spool.banks(2);
    let running = Running::start(&spool, &settings);
    until("it says that the login is refused", || {
        running.stats.trouble() == Some(Trouble::LoginRefused)
    });
    let file = settings.password_file.clone().unwrap();
    fs::write(file, PASSWORD).unwrap();
    running.delivered(spool.written);
    until("it works", || running.stats.trouble().is_none());
}
