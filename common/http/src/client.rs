//! Clients that dial loopback addresses directly, whatever the proxy variables say.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, NoProxy, Proxy, Url};

/// What is never sent through a proxy.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// A builder with the environment's proxies (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, in capitals or not) for all but
/// loopback addresses, 5 s to connect and 30 s without a byte. Give single requests a time-out of their own where they should end.
pub fn builder() -> ClientBuilder {
    with_variables(|name| std::env::var(name).ok())
}

fn with_variables(variable: impl Fn(&str) -> Option<String>) -> ClientBuilder {
    let read = |name: &str| {
        variable(&name.to_ascii_lowercase())
            .or_else(|| variable(name))
            .filter(|value| !value.is_empty())
    };
    let except = match read("NO_PROXY") {
        Some(more) => format!("{LOOPBACK},{more}"),
        None => LOOPBACK.to_owned(),
    };
    let mut builder = Client::builder()
        .no_proxy()
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_secs(30))
        .pool_idle_timeout(Duration::from_secs(30));
    type Make = fn(Url) -> reqwest::Result<Proxy>;
    let kinds: [(&str, Make); 3] = [
        ("HTTP_PROXY", |url| Proxy::http(url)),
        ("HTTPS_PROXY", |url| Proxy::https(url)),
        ("ALL_PROXY", |url| Proxy::all(url)),
    ];
    for (name, make) in kinds {
        // As curl does, an address without a scheme is an HTTP proxy.
        let Some(url) = read(name).and_then(|value| {
            if value.contains("://") {
                value.parse::<Url>().ok()
            } else {
                format!("http://{value}").parse().ok()
            }
        }) else {
            continue;
        };
        match make(url) {
            Ok(proxy) => builder = builder.proxy(proxy.no_proxy(NoProxy::from_string(&except))),
            Err(error) => tracing::warn!(%error, "{name} is no proxy that can be used"),
        }
    }
    builder
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpListener};

    use super::*;

    async fn answering(body: &'static str, address: &str) -> std::net::SocketAddr {
        let listener = TcpListener::bind(address).await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let _ = stream.read(&mut head).await;
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        at
    }

    #[tokio::test]
    async fn loopback_never_goes_through_a_proxy_and_the_rest_does() {
        let proxy = answering("proxy", "127.0.0.1:0").await;
        let target = answering("target", "127.0.0.1:0").await;
        for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            let client = with_variables(|asked| (asked == name).then(|| proxy.to_string()))
                .build()
                .unwrap();
            for host in ["127.0.0.1", "localhost", "127.0.0.1"] {
                let url = format!("http://{host}:{}/", target.port());
                let text = client.get(url).send().await.unwrap().text().await.unwrap();
                assert_eq!(text, "target", "{name} {host}");
            }
            let away = client.get("http://gateway.example/").send().await.unwrap();
            assert_eq!(away.text().await.unwrap(), "proxy", "{name}");
        }
    }

    #[tokio::test]
    async fn loopback_of_ipv6_never_goes_through_a_proxy() {
        let Ok(free) = TcpListener::bind("[::1]:0").await else {
            return; // A machine without IPv6.
        };
        drop(free);
        let target = answering("target", "[::1]:0").await;
        let client = with_variables(|name| (name == "ALL_PROXY").then(|| "127.0.0.1:9".into()))
            .build()
            .unwrap();
        let url = format!("http://{target}/");
        let text = client.get(url).send().await.unwrap().text().await.unwrap();
        assert_eq!(text, "target");
    }
}
