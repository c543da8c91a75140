//! TLS to a server, as the URL's `sslmode` asks for it.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use mythic_postgres::{
    Cluster, ClusterConfig, Manner, PoolSettings, PostgresError, connect, listen, pool,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

/// An authority's certificate, those of a server that it vouches for today and that it did years ago, and their key.
fn certificates(names: &[&str]) -> (String, [String; 2], String) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let today = CertificateParams::new(names).unwrap();
    let mut past = today.clone();
    past.not_before = date_time_ymd(2019, 1, 1);
    past.not_after = date_time_ymd(2020, 1, 1);
    let servers = [today, past].map(|server| server.signed_by(&key, &issuer).unwrap().pem());
    (root, servers, key.serialize_pem())
}

/// Writes a file that the server's user owns.
fn give(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    let owner = fs::metadata(path.parent().unwrap()).unwrap();
    let (uid, gid) = (owner.uid().into(), owner.gid().into());
    nix::unistd::chown(path, Some(uid), Some(gid)).unwrap();
}

async fn encrypted(url: &str) -> Result<bool, PostgresError> {
    let (client, _guard) = connect(url, &Manner::named("test")).await?;
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

#[tokio::test]
async fn a_connection_is_as_safe_as_its_url_asks() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(ClusterConfig {
        data_dir: dir.path().join("pg"),
        port: Some(0),
    })
    .await
    .unwrap();
    let url = cluster.readonly_url().to_owned();
    let with = |rest: &str| format!("{url}?{rest}");
    assert!(!encrypted(&url).await.unwrap(), "the server has no TLS yet");
    assert!(encrypted(&with("sslmode=require")).await.is_err());

    let (admin, _guard) = connect(cluster.url(), &Manner::named("test"))
        .await
        .unwrap();
    let data: String = admin
        .query_one("SHOW data_directory", &[])
        .await
        .unwrap()
        .get(0);
    let (root, [certificate, expired], key) = certificates(&["127.0.0.1"]);
    let (other, ..) = certificates(&["127.0.0.1"]);
    give(&PathBuf::from(&data).join("server.crt"), &certificate);
    give(&PathBuf::from(&data).join("server.key"), &key);
    admin
        .batch_execute("ALTER SYSTEM SET ssl = on")
        .await
        .unwrap();
    admin.query("SELECT pg_reload_conf()", &[]).await.unwrap();
    let (good, bad) = (dir.path().join("root.pem"), dir.path().join("other.pem"));
    fs::write(&good, root).unwrap();
    fs::write(&bad, other).unwrap();
    let (good, bad) = (good.display(), bad.display());

    let deadline = Instant::now() + Duration::from_secs(30);
    while !encrypted(&with("sslmode=require")).await.unwrap_or(false) {
        assert!(
            Instant::now() < deadline,
            "the server never took its certificate"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(encrypted(&url).await.unwrap(), "prefer is the default");
    assert!(!encrypted(&with("sslmode=disable")).await.unwrap());
    let full = with(&format!("sslmode=verify-full&sslrootcert={good}"));
    assert!(encrypted(&full).await.unwrap());
    for refused in [
        format!("sslmode=verify-full&sslrootcert={bad}"),
        format!("sslmode=verify-ca&sslrootcert={bad}"),
        format!("sslmode=require&sslrootcert={bad}"),
        "sslmode=verify-full".to_owned(),
        "sslmode=verify-ca&sslrootcert=system".to_owned(),
    ] {
        let error = encrypted(&with(&refused)).await.expect_err(&refused);
        assert!(
            error.to_string().to_lowercase().contains("certificate"),
            "{error}"
        );
    }
    // A name that the certificate lacks: only the chain is asked for by verify-ca.
    let named = url.replace("@127.0.0.1", "@localhost");
    let ca = format!("{named}?sslmode=verify-ca&sslrootcert={good}");
    assert!(encrypted(&ca).await.unwrap());
    assert!(
        encrypted(&ca.replace("verify-ca", "verify-full"))
            .await
            .is_err()
    );

    // A pool and a listener take the same way.
    let settings = PoolSettings {
        name: "test".into(),
        size: 1,
        wait: Duration::from_secs(5),
        statement_timeout: Duration::from_millis(200),
    };
    let client = pool(&full, &settings).unwrap().get().await.unwrap();
    let slow = client.query("SELECT pg_sleep(60)", &[]).await.unwrap_err();
    assert_eq!(slow.code().unwrap().code(), "57014", "statement_timeout");
    let mut listener = listen(&full, &Manner::named("test"), "news").await.unwrap();
    admin.batch_execute("NOTIFY news").await.unwrap();
    let woken = tokio::time::timeout(Duration::from_secs(30), listener.woken());
    assert_eq!(woken.await.unwrap(), Some(()));

    // One day it is over, and who asks for a check is told what to look at.
    give(&PathBuf::from(&data).join("server.crt"), &expired);
    admin.query("SELECT pg_reload_conf()", &[]).await.unwrap();
    is_told_that_it_expired(&full).await;
    assert!(encrypted(&with("sslmode=require")).await.unwrap());
    cluster.stop().await.unwrap();
}

async fn is_told_that_it_expired(url: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let refused = loop {
        match encrypted(url).await {
            Err(refused) => break refused,
            Ok(_) => assert!(Instant::now() < deadline, "the old certificate is served"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(
        matches!(refused, PostgresError::Certificate(_)),
        "{refused:?}"
    );
    let refused = refused.to_string();
    for part in [
        "certificate expired",
        "database_url",
        "clocks",
        "sslrootcert",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
}
