//! Requests that are refused, and what becomes of their connections.

use mythic_http::Limits;
use mythic_http::guard::LocalOnly;
use tokio::io::AsyncWriteExt;

use crate::server::{assert_refusal, response, rest, start, start_with};

#[tokio::test]
async fn a_full_listener_says_so() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let server = start(limits).await;
    let mut first = server.connect().await;
    first
        .write_all(b"GET / HTTP/1.1\r\nHost: l\r\n\r\n")
        .await
        .unwrap();
    response(&mut first).await;
    let mut second = server.connect().await;
    let told = rest(&mut second).await;
    assert_refusal(&told, 503, "too_many_connections");
    assert!(told.contains("retry-after: 1"));
}

#[tokio::test]
async fn too_many_and_too_large_headers_are_refused_with_a_body() {
    let server = start(Limits::default()).await;
    let many: String = (0..110).map(|n| format!("X-A{n}: 1\r\n")).collect();
    let large = format!("X-Large: {}\r\n", "a".repeat(300_000));
    for headers in [many, large] {
        let mut stream = server.connect().await;
        let request = format!("POST /echo HTTP/1.1\r\nHost: l\r\n{headers}\r\n");
        // The refusal may come before all is sent.
        let _ = stream.write_all(request.as_bytes()).await;
        assert_refusal(&rest(&mut stream).await, 431, "headers_too_large");
    }
}

#[tokio::test]
async fn what_is_not_http_is_refused_with_a_body() {
    let server = start(Limits::default()).await;
    for request in [
        "POST /echo HTTP/1.1\r\nHost: l\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST /echo HTTP/1.1\r\nHost: l\r\nContent-Length: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : l\r\n\r\n",
        "\u{1}\u{2}\r\n\r\n",
    ] {
        let mut stream = server.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_refusal(&rest(&mut stream).await, 400, "bad_http");
        // And as the second request of a connection.
        let mut stream = server.connect().await;
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: l\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(response(&mut stream).await.1, "hello");
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_refusal(&rest(&mut stream).await, 400, "bad_http");
    }
}

#[tokio::test]
async fn a_response_that_looks_like_a_refusal_is_left_alone() {
    let server = start(Limits::default()).await;
    let text = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let mut stream = server.connect().await;
    let head = format!(
        "POST /echo HTTP/1.1\r\nHost: l\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    for _ in 0..3 {
        stream.write_all(head.as_bytes()).await.unwrap();
        let (head, body) = response(&mut stream).await;
        assert!(head.starts_with("http/1.1 200"));
        assert_eq!(body, text);
    }
}

#[tokio::test]
async fn a_refusal_before_the_body_leaves_the_connection_usable() {
    let server = start(Limits::default()).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream
            .write_all(b"POST /refuse HTTP/1.1\r\nHost: l\r\nContent-Length: 300000\r\n\r\n")
            .await
            .unwrap();
        stream.write_all(&vec![b'a'; 300_000]).await.unwrap();
        let (head, _) = response(&mut stream).await;
        assert!(head.starts_with("http/1.1 404"), "{head}");
        assert!(!head.contains("connection: close"), "{head}");
    }
}

#[tokio::test]
async fn a_refusal_that_cannot_wait_for_the_body_says_close() {
    let limits = Limits {
        discard_bytes: 1_000,
        ..Limits::default()
    };
    let server = start(limits).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"POST /refuse HTTP/1.1\r\nHost: l\r\nContent-Length: 5000\r\n\r\nabc")
        .await
        .unwrap();
    let told = rest(&mut stream).await;
    assert!(
        told.starts_with("HTTP/1.1 404 ") && told.contains("connection: close"),
        "{told}"
    );

    let mut stream = server.connect().await;
    stream
        .write_all(b"POST /refuse HTTP/1.1\r\nHost: l\r\nExpect: 100-continue\r\nContent-Length: 500\r\n\r\n")
        .await
        .unwrap();
    let told = rest(&mut stream).await;
    assert!(
        told.starts_with("HTTP/1.1 404 ") && told.contains("connection: close"),
        "{told}"
    );
}

#[tokio::test]
async fn a_development_network_answers_its_own_machine_alone() {
    let server = start_with(Limits::default(), |router| router.layer(LocalOnly)).await;
    let host = server.address.to_string();
    for (headers, status) in [
        (format!("Host: {host}\r\n"), 200),
        (
            format!("Host: {host}\r\nOrigin: http://localhost:5173\r\n"),
            200,
        ),
        ("Host: evil.example\r\n".to_owned(), 403),
        (
            format!("Host: {host}\r\nOrigin: https://evil.example\r\n"),
            403,
        ),
        (
            format!("Host: {host}\r\nX-Forwarded-For: 192.0.2.1\r\n"),
            403,
        ),
    ] {
        let mut stream = server.connect().await;
        let request = format!("GET / HTTP/1.1\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let (head, _) = response(&mut stream).await;
        assert!(
            head.starts_with(&format!("http/1.1 {status} ")),
            "{headers}{head}"
        );
    }
}
