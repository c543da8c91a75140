//! A chain on which somebody fills every block's share of the accounts of cases: what writes them lands only above a price of
//! compute units. It stands before the real one, and drops what bids less without a word, as leaders do.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State, response::IntoResponse, routing::post};
use base64::Engine as _;
use mythic_client::{pda, units};
use mythic_interface::ix::Tag;
use serde_json::{Value, json};
use solana_compute_budget_interface::ID as BUDGET;
use solana_transaction::Transaction;

/// A transaction that came by.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    pub tag: Tag,
    pub limit: u32,
    /// Lamports that it bids.
    pub bid: u64,
    pub taken: bool,
}

#[derive(Clone)]
pub struct Crowd {
    /// Micro-lamports a unit below which nothing lands.
    price: u64,
    chain: String,
    http: reqwest::Client,
    passed: Arc<Mutex<Vec<Passed>>>,
}

impl Crowd {
    /// Before the chain at `chain`; the URL where it answers.
    pub async fn start(chain: &str, price: u64) -> (Self, String) {
        let crowd = Self {
            price,
            chain: chain.into(),
            http: reqwest::Client::new(),
            passed: Arc::default(),
        };
        let app = Router::new()
            .route("/", post(answer))
            .with_state(crowd.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (crowd, url)
    }

    /// What came by.
    pub fn passed(&self) -> Vec<Passed> {
        self.passed.lock().unwrap().clone()
    }

    /// Whether a transaction lands.
    fn takes(&self, transaction: &Transaction) -> bool {
        let message = &transaction.message;
        let program = |index: u8| message.account_keys[usize::from(index)];
        let (mut limit, mut price, mut tag) = (0, 0, None);
        for call in &message.instructions {
            let data = &call.data;
            if program(call.program_id_index) == BUDGET {
                match data[0] {
                    2 => limit = u32::from_le_bytes(data[1..5].try_into().unwrap()),
                    3 => price = u64::from_le_bytes(data[1..9].try_into().unwrap()),
                    _ => {}
                }
            } else if program(call.program_id_index) == pda::PROGRAM_ID {
                tag = tag.or(Tag::from_u8(data[0]));
            }
        }
        let crowded = |tag: &Tag| {
            matches!(
                tag,
                Tag::VerifyLogits
                    | Tag::PostOutput
                    | Tag::PostOpenings
                    | Tag::CommitJuror
                    | Tag::RevealJuror
                    | Tag::ProveFault
            )
        };
        let Some(tag) = tag.filter(crowded) else {
            return true;
        };
        let taken = price >= self.price;
        let bid = units::lamports(limit, price);
        self.passed.lock().unwrap().push(Passed {
            tag,
            limit,
            bid,
            taken,
        });
        taken
    }
}

async fn answer(State(crowd): State<Crowd>, body: Bytes) -> impl IntoResponse {
    let json = [("content-type", "application/json")];
    let request: Value = serde_json::from_slice(&body).unwrap();
    if request["method"] == "sendTransaction" {
        let text = request["params"][0].as_str().unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        let transaction: Transaction = bincode::deserialize(&bytes.unwrap()).unwrap();
        if !crowd.takes(&transaction) {
            let signature = transaction.signatures[0].to_string();
            let told = json!({"jsonrpc": "2.0", "id": request["id"], "result": signature});
            return (json, told.to_string());
        }
    }
    let sent = crowd.http.post(&crowd.chain).header(json[0].0, json[0].1);
    let answer = sent.body(body).send().await.unwrap();
    (json, answer.text().await.unwrap())
}
