//! The chain's RPC may be slow, endless or behind a proxy: calls end all the same.

use mythic_client::{BareAccount, ChainClient, ClientError, Commitment};
use mythic_interface::market::state::Lease;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A node of a chain that answers every request with `head`, then `rest` again and again, `times` times.
async fn node(head: String, rest: &'static [u8], times: usize) -> ChainClient {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = head.clone();
            tokio::spawn(async move {
                let mut request = [0; 4_096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(head.as_bytes()).await;
                for _ in 0..times {
                    if stream.write_all(rest).await.is_err() {
                        return;
                    }
                }
                let _ = stream.shutdown().await;
            });
        }
    });
    ChainClient::new(format!("http://{address}"), "ws://127.0.0.1:1")
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n\"";
    let chain = node(head.into(), &[b'a'; 1 << 20], 1 << 20).await;
    let error = chain.slot(Commitment::Processed).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Rpc(reason) if reason.contains("longer than")),
        "{error}"
    );
}

#[tokio::test]
async fn a_chain_on_this_machine_answers() {
    let body = r#"{"jsonrpc":"2.0","id":0,"result":7}"#;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let chain = node(head, b"", 0).await;
    assert_eq!(chain.slot(Commitment::Processed).await.unwrap(), 7);
}

/// A chain that answers everything with this result.
async fn answering(result: &str) -> ChainClient {
    let body = format!(r#"{{"jsonrpc":"2.0","id":0,"result":{result}}}"#);
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    node(head, b"", 0).await
}

#[tokio::test]
async fn an_answer_of_an_older_slot_than_was_asked_for_is_none() {
    let empty = r#"{"context":{"slot":5},"value":[]}"#;
    let chain = answering(empty).await;
    let list = |least| chain.program_accounts_since::<Lease>(&[], Commitment::Confirmed, least);
    let listed = list(5).await.unwrap();
    assert_eq!((listed.slot, listed.accounts.len()), (5, 0));
    let stale = list(6).await.unwrap_err();
    assert!(
        matches!(&stale, ClientError::Answer(reason) if reason.contains("slot 5")),
        "{stale}"
    );
    assert!(stale.is_transient());

    let chain = answering(r#"{"context":{"slot":5},"value":[null, null]}"#).await;
    let keys = [1, 2].map(|n| solana_pubkey::Pubkey::new_from_array([n; 32]));
    let read = |least| chain.raw_accounts_since(&keys, Commitment::Finalized, least);
    let found = read(5).await.unwrap();
    assert!(
        found
            .iter()
            .all(|one| one.slot == 5 && one.account.is_none())
    );
    assert_eq!(found.len(), 2);
    assert!(read(6).await.is_err());
    let one = chain.raw_accounts_since(&keys[..1], Commitment::Finalized, 5);
    assert!(one.await.is_err(), "of as many as were asked for");
    // Nothing at all, and what is no answer to this.
    for broken in ["null", "[]", r#"{"value":[]}"#] {
        let chain = answering(broken).await;
        let list = chain.program_accounts_since::<Lease>(&[], Commitment::Confirmed, 0);
        assert!(list.await.is_err(), "{broken}");
    }
}

#[tokio::test]
async fn accounts_are_read_without_their_data_but_with_its_length() {
    let owner = "11111111111111111111111111111111";
    let account = |space: &str| {
        format!(
            r#"{{"lamports":7,"data":["","base64"],"owner":"{owner}","executable":true,"rentEpoch":0{space}}}"#
        )
    };
    let keys = [1, 2].map(|n| solana_pubkey::Pubkey::new_from_array([n; 32]));
    let answer = |account: String| {
        let value = format!(r#"{{"context":{{"slot":5}},"value":[{account},null]}}"#);
        async move { answering(&value).await }
    };
    let chain = answer(account(r#","space":10485760"#)).await;
    let found = chain.bare_accounts(&keys, Commitment::Confirmed).await;
    let program = BareAccount {
        lamports: 7,
        executable: true,
        bytes: 10_485_760,
    };
    assert_eq!(found.unwrap(), [Some(program), None]);
    let one = chain.bare_accounts(&keys[..1], Commitment::Confirmed).await;
    assert!(one.is_err(), "of as many as were asked for");
    // Unknown is not zero.
    let chain = answer(account("")).await;
    let found = chain.bare_accounts(&keys, Commitment::Confirmed).await;
    assert!(found.is_err());
}

#[test]
fn a_chain_on_this_machine_is_never_asked_through_a_proxy() {
    let nowhere = "http://127.0.0.1:1";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "a_chain_on_this_machine_answers"]);
    child.env_remove("NO_PROXY").env_remove("no_proxy");
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, nowhere);
    }
    let output = child.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
