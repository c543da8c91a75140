//! Chains behind TLS: `https://` and `wss://` are spoken, and a certificate that nobody vouches for is refused by name.

use std::{sync::Arc, time::Duration};

use mythic_client::{ChainClient, ClientError, Commitment};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

/// A server on loopback whose certificate it signed itself, valid to the end of that year, and the handshakes it saw fail.
async fn self_signed(last_year: i32) -> (u16, tokio::sync::mpsc::Receiver<String>) {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = date_time_ymd(last_year, 12, 31);
    let signing_key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&signing_key).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (failed, failures) = tokio::sync::mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Err(error) = acceptor.accept(stream).await {
                let _ = failed.send(error.to_string()).await;
            }
        }
    });
    (port, failures)
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_or_that_is_over_is_refused_by_name() {
    for (last_year, why) in [(4095, "UnknownIssuer"), (2020, "certificate expired")] {
        let (port, _failures) = self_signed(last_year).await;
        let chain = ChainClient::new(
            format!("https://localhost:{port}"),
            format!("wss://localhost:{port}"),
        );
        let error = chain.slot(Commitment::Processed).await.unwrap_err();
        assert!(matches!(error, ClientError::Certificate(_)), "{error:?}");
        let message = error.to_string();
        for part in [why, "certificate is refused", "rpc_url", "clocks"] {
            assert!(message.contains(part), "{message}");
        }
    }
}

#[tokio::test]
async fn a_websocket_over_tls_shakes_hands_and_refuses_the_same_certificate() {
    let (port, mut failures) = self_signed(4095).await;
    let chain = ChainClient::new(
        "http://127.0.0.1:1".to_owned(),
        format!("wss://localhost:{port}"),
    );
    let _slots = chain.watch_slots();
    // The alert that the client sends: it speaks TLS, and says why it leaves.
    let failure = tokio::time::timeout(Duration::from_secs(20), failures.recv())
        .await
        .unwrap()
        .unwrap();
    assert!(failure.contains("UnknownCA"), "{failure}");
}
