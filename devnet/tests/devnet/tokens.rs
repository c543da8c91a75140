//! SPL tokens as wallets read them.

use serde_json::json;
use solana_keypair::Keypair;
use solana_program_pack::Pack;
use solana_pubkey::Pubkey;
use solana_rpc_client_api::config::UiTransactionEncoding;
use solana_rpc_client_api::request::TokenAccountsFilter;
use solana_signer::Signer;
use solana_transaction_status::option_serializer::OptionSerializer;
use spl_token_interface::instruction as token;
use spl_token_interface::state::{Account, Mint};

use crate::common::{Devnet, config};

const TOKEN: Pubkey = spl_token_interface::ID;

async fn refused_for_what_is_no_token(devnet: &Devnet, owner: &Pubkey) {
    let key = json!(owner.to_string());
    for (method, params) in [
        ("getTokenSupply", json!([key])),
        ("getTokenAccountBalance", json!([key])),
        ("getTokenLargestAccounts", json!([key])),
        (
            "getTokenAccountsByOwner",
            json!([key, {"mint": owner.to_string()}]),
        ),
        (
            "getTokenAccountsByOwner",
            json!([key, {"programId": owner.to_string()}]),
        ),
        ("getTokenAccountsByOwner", json!([key])),
    ] {
        let answer = devnet.answer(method, params).await;
        assert_eq!(answer["error"]["code"], -32602, "{method}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_found_by_owner_delegate_and_mint() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let rpc = &devnet.rpc;
    let payer = devnet.funded(10).await;
    devnet.advance(6).await;
    let (mint, rich, poor) = (Keypair::new(), Keypair::new(), Keypair::new());
    let (owner, delegate) = (payer.pubkey(), Pubkey::new_unique());
    let create = |key: &Keypair, bytes: usize| {
        let lamports = 3_000_000;
        solana_system_interface::instruction::create_account(
            &owner,
            &key.pubkey(),
            lamports,
            bytes as u64,
            &TOKEN,
        )
    };
    let account = |key: &Keypair| {
        token::initialize_account3(&TOKEN, &key.pubkey(), &mint.pubkey(), &owner).unwrap()
    };
    let made = [
        create(&mint, Mint::LEN),
        token::initialize_mint2(&TOKEN, &mint.pubkey(), &owner, None, 2).unwrap(),
        create(&rich, Account::LEN),
        account(&rich),
        create(&poor, Account::LEN),
        account(&poor),
    ];
    devnet.run(&made, &[&payer, &mint, &rich, &poor]).await;
    let minted = [
        token::mint_to(&TOKEN, &mint.pubkey(), &rich.pubkey(), &owner, &[], 1_250).unwrap(),
        token::mint_to(&TOKEN, &mint.pubkey(), &poor.pubkey(), &owner, &[], 50).unwrap(),
        token::approve(&TOKEN, &rich.pubkey(), &delegate, &owner, &[], 9).unwrap(),
    ];
    let signature = devnet.run(&minted, &[&payer]).await;
    devnet.advance(6).await;

    let supply = rpc.get_token_supply(&mint.pubkey()).await.unwrap();
    assert_eq!(
        (supply.amount.as_str(), supply.ui_amount_string.as_str()),
        ("1300", "13")
    );
    let balance = rpc.get_token_account_balance(&rich.pubkey()).await.unwrap();
    assert_eq!((balance.decimals, balance.ui_amount), (2, Some(12.5)));
    let by_mint = TokenAccountsFilter::Mint(mint.pubkey());
    let found = rpc
        .get_token_accounts_by_owner(&owner, by_mint)
        .await
        .unwrap();
    assert_eq!(found.len(), 2);
    let by_program = TokenAccountsFilter::ProgramId(TOKEN);
    let found = rpc
        .get_token_accounts_by_delegate(&delegate, by_program)
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].pubkey, rich.pubkey().to_string());
    let largest = devnet
        .call(
            "getTokenLargestAccounts",
            json!([mint.pubkey().to_string(), {"commitment": "processed"}]),
        )
        .await;
    assert_eq!(largest["value"][0]["address"], rich.pubkey().to_string());
    assert_eq!(largest["value"][0]["uiAmountString"], "12.5");
    assert_eq!(largest["value"].as_array().unwrap().len(), 2);

    let parsed =
        json!([rich.pubkey().to_string(), {"encoding": "jsonParsed", "commitment": "processed"}]);
    let parsed = devnet.call("getAccountInfo", parsed).await;
    let info = &parsed["value"]["data"]["parsed"]["info"];
    assert_eq!(info["tokenAmount"]["uiAmountString"], "12.5");
    assert_eq!(info["delegatedAmount"]["amount"], "9");

    let shown = rpc
        .get_transaction(&signature, UiTransactionEncoding::Base64)
        .await
        .unwrap();
    let meta = shown.transaction.meta.unwrap();
    let (OptionSerializer::Some(before), OptionSerializer::Some(after)) =
        (meta.pre_token_balances, meta.post_token_balances)
    else {
        panic!("token balances");
    };
    let amounts = |balances: &[solana_rpc_client_api::response::UiTransactionTokenBalance]| {
        let mut amounts: Vec<String> = balances
            .iter()
            .map(|one| one.ui_token_amount.ui_amount_string.clone())
            .collect();
        amounts.sort();
        amounts
    };
    assert_eq!(amounts(&before), ["0", "0"]);
    assert_eq!(amounts(&after), ["0.5", "12.5"]);

    refused_for_what_is_no_token(&devnet, &owner).await;
    devnet.stop().await;
}
