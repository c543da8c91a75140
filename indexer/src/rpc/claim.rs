//! What an RPC says, checked: every shape, size, owner and order. Pure. What passes here may be a lie, but no nonsense.

use std::borrow::Cow;
use std::io::Read as _;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use mythic_interface::PROGRAMS;
use mythic_interface::state::Key;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::tree::{BankId, Hash};

/// Longest account of a Solana chain, bytes.
const MAX_DATA: usize = 10 << 20;
/// Memory that unpacking an account may take, as a power of two.
const MAX_WINDOW: u32 = 24;
/// What an account takes in memory beside its data, bytes.
pub(super) const HEAD: usize = 200;

/// Why an answer is not used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It can't be true, in words.
    Claim(String),
    /// Its accounts take more than may be held.
    TooMuch,
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self::Claim(what)
    }
}

/// A block: where it stands, and what it may have changed of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub id: BankId,
    pub parent: BankId,
    /// Unix seconds.
    pub time: Option<i64>,
    /// In the order of each account's last transaction.
    pub touched: Vec<Touch>,
}

/// An account that transactions of a block could write while one of our programs ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Touch {
    pub key: Key,
    /// Of the last such transaction.
    pub signature: [u8; 64],
    /// How many.
    pub transactions: u32,
}

/// An account as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub owner: Key,
    pub lamports: u64,
    pub data: Bytes,
}

impl Content {
    /// Whether it is an account of one of our programs.
    pub fn is_ours(&self) -> bool {
        PROGRAMS.contains(&self.owner) && self.lamports > 0
    }
}

/// Accounts as they were in the block of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read<T> {
    pub slot: u64,
    pub value: T,
}

/// An answer of JSON-RPC.
#[derive(Debug, Deserialize)]
pub(super) struct Answer<'a> {
    #[serde(borrow)]
    pub result: Option<&'a RawValue>,
    pub error: Option<Fault>,
    pub id: Option<u64>,
}

/// Its error.
#[derive(Debug, Deserialize)]
pub(super) struct Fault {
    pub code: i64,
    #[serde(default)]
    pub message: String,
}

#[derive(Deserialize)]
struct Context {
    slot: u64,
}

#[derive(Deserialize)]
struct WithContext<T> {
    context: Context,
    value: T,
}

// Texts stay where the answer has them: a copy of each would take its memory once more.
#[derive(Deserialize)]
struct RawAccount<'a> {
    lamports: u64,
    #[serde(borrow)]
    owner: Cow<'a, str>,
    #[serde(borrow)]
    data: Encoded<'a>,
}

/// The bytes and how they are encoded.
#[derive(Deserialize)]
struct Encoded<'a>(#[serde(borrow)] Cow<'a, str>, #[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Keyed<'a> {
    #[serde(borrow)]
    pubkey: Cow<'a, str>,
    #[serde(borrow)]
    account: RawAccount<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBlock {
    blockhash: String,
    previous_blockhash: String,
    parent_slot: u64,
    block_time: Option<i64>,
    #[serde(default)]
    transactions: Vec<RawTransaction>,
}

#[derive(Deserialize)]
struct RawTransaction {
    transaction: RawMessage,
    meta: Option<Meta>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMessage {
    signatures: Vec<String>,
    account_keys: Vec<RawKey>,
}

#[derive(Deserialize)]
struct RawKey {
    pubkey: String,
    writable: bool,
}

#[derive(Deserialize)]
struct Meta {
    err: Option<serde::de::IgnoredAny>,
}

/// What can't be believed, in words, or is too much.
pub(super) type Claimed<T> = Result<T, Wrong>;

fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Claimed<T> {
    serde_json::from_str(raw.get()).map_err(|e| e.to_string().into())
}

/// Exactly `N` bytes of base58.
fn base58<const N: usize>(what: &str, text: &str) -> Claimed<[u8; N]> {
    let mut bytes = [0; N];
    match bs58::decode(text).onto(&mut bytes[..]) {
        Ok(length) if length == N => Ok(bytes),
        _ => Err(format!("a {what} that is not {N} bytes of base58").into()),
    }
}

pub(super) fn hash(raw: &RawValue) -> Claimed<Hash> {
    base58("hash", &parse::<String>(raw)?)
}

pub(super) fn slot(raw: &RawValue) -> Claimed<u64> {
    in_range(parse(raw)?)
}

/// Slots are stored as `bigint`.
fn in_range(slot: u64) -> Claimed<u64> {
    match slot < i64::MAX as u64 / 2 {
        true => Ok(slot),
        false => Err(format!("slot {slot}").into()),
    }
}

/// The blocks between two slots, ascending.
pub(super) fn slots(raw: &RawValue, from: u64, to: u64) -> Claimed<Vec<u64>> {
    let slots: Vec<u64> = parse(raw)?;
    let ascending = slots.is_sorted_by(|a, b| a < b);
    match ascending && slots.iter().all(|slot| (from..=to).contains(slot)) {
        true => Ok(slots),
        false => Err(format!("blocks that are not those from {from} to {to} in order").into()),
    }
}

pub(super) fn block(raw: &RawValue, slot: u64) -> Claimed<Block> {
    let raw: RawBlock = parse(raw)?;
    // The first block is said to stand on itself.
    if raw.parent_slot >= slot.max(1) {
        return Err(format!(
            "block {slot} on block {}, which is not older",
            raw.parent_slot
        )
        .into());
    }
    let mut touched = Vec::new();
    let programs = PROGRAMS.map(|program| bs58::encode(program).into_string());
    for transaction in &raw.transactions {
        touches(transaction, &programs, &mut touched)?;
    }
    Ok(Block {
        id: BankId {
            slot,
            hash: base58("blockhash", &raw.blockhash)?,
        },
        parent: BankId {
            slot: raw.parent_slot,
            hash: base58("blockhash", &raw.previous_blockhash)?,
        },
        // A year that no calendar has would be refused by the database.
        time: raw.block_time.filter(|t| (0..1 << 36).contains(t)),
        touched,
    })
}

/// Adds what a transaction may have changed: nothing if it failed or named none of our programs.
fn touches(
    transaction: &RawTransaction,
    programs: &[String],
    touched: &mut Vec<Touch>,
) -> Claimed<()> {
    let failed = transaction.meta.as_ref().is_none_or(|m| m.err.is_some());
    let keys = &transaction.transaction.account_keys;
    if failed || !keys.iter().any(|key| programs.contains(&key.pubkey)) {
        return Ok(());
    }
    let signature = transaction.transaction.signatures.first();
    let signature = base58("signature", signature.map_or("", String::as_str))?;
    // The first pays the fee, which an account of a program can't.
    for key in keys.iter().skip(1).filter(|key| key.writable) {
        let key = base58("key", &key.pubkey)?;
        let earlier = touched.iter().position(|touch| touch.key == key);
        let transactions = earlier.map_or(0, |place| touched.remove(place).transactions);
        touched.push(Touch {
            key,
            signature,
            transactions: transactions + 1,
        });
    }
    Ok(())
}

/// An account; of others without their data, which nobody reads. `left`: bytes that accounts may still take.
fn content(raw: &RawAccount<'_>, left: &mut usize) -> Claimed<Content> {
    let mut content = Content {
        owner: base58("owner", &raw.owner)?,
        lamports: raw.lamports,
        data: Bytes::new(),
    };
    if content.is_ours() {
        content.data = unpacked(&raw.data)?.into();
    }
    let takes = content.data.len() + HEAD;
    *left = left.checked_sub(takes).ok_or(Wrong::TooMuch)?;
    Ok(content)
}

/// The bytes of an account, of which a few packed ones may claim to be many.
fn unpacked(Encoded(text, encoding): &Encoded<'_>) -> Claimed<Vec<u8>> {
    let packed = match &**encoding {
        "base64" => false,
        "base64+zstd" => true,
        other => return Err(format!("account data in {other:?} in place of base64").into()),
    };
    let decoded = STANDARD.decode(&**text);
    let mut data = decoded.map_err(|_| "account data that is not base64".to_owned())?;
    if packed {
        data = unpack(&data).map_err(|e| format!("account data that can't be unpacked: {e}"))?;
    }
    match data.len() <= MAX_DATA {
        true => Ok(data),
        false => Err(format!("an account of more than {MAX_DATA} bytes").into()),
    }
}

/// At most a byte more than an account may have.
fn unpack(packed: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut reader = zstd::stream::read::Decoder::new(packed)?;
    reader.window_log_max(MAX_WINDOW)?;
    let mut all = Vec::new();
    reader.take(MAX_DATA as u64 + 1).read_to_end(&mut all)?;
    Ok(all)
}

/// The answer to `getMultipleAccounts` of `count` keys, which may take so many bytes.
pub(super) fn accounts(
    raw: &RawValue,
    count: usize,
    most: usize,
) -> Claimed<Read<Vec<Option<Content>>>> {
    let raw: WithContext<Vec<Option<RawAccount<'_>>>> = parse(raw)?;
    if raw.value.len() != count {
        return Err(format!("{} accounts for {count} keys", raw.value.len()).into());
    }
    let mut left = most;
    let mut one = |account: &Option<RawAccount<'_>>| {
        let account = account.as_ref();
        account.map(|a| content(a, &mut left)).transpose()
    };
    Ok(Read {
        slot: in_range(raw.context.slot)?,
        value: raw.value.iter().map(&mut one).collect::<Claimed<_>>()?,
    })
}

/// The answer to `getProgramAccounts` of one of our programs, sorted by key, which may take so many bytes.
pub(super) fn program_accounts(
    raw: &RawValue,
    program: &Key,
    most: usize,
) -> Claimed<Read<Vec<(Key, Content)>>> {
    let raw: WithContext<Vec<Keyed<'_>>> = parse(raw)?;
    let mut left = most;
    let one = |keyed: &Keyed<'_>| {
        let key = base58("key", &keyed.pubkey)?;
        let content = content(&keyed.account, &mut left)?;
        match content.is_ours() && content.owner == *program {
            true => Ok((key, content)),
            false => Err(Wrong::Claim(format!(
                "account {} of another program, or without lamports, as one of the program's",
                keyed.pubkey
            ))),
        }
    };
    let mut value = raw
        .value
        .iter()
        .map(one)
        .collect::<Claimed<Vec<(Key, Content)>>>()?;
    value.sort_unstable_by_key(|(key, _)| *key);
    if !value.is_sorted_by(|(a, _), (b, _)| a < b) {
        return Err("one account twice".to_owned().into());
    }
    Ok(Read {
        slot: in_range(raw.context.slot)?,
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mythic_interface::{AI_PRECOMPILES_ID, COMPUTE_MARKET_ID};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn raw(value: &Value) -> Box<RawValue> {
        serde_json::value::to_raw_value(value).unwrap()
    }

    /// Most bytes that accounts may take.
    const MOST: usize = 1 << 20;

    fn said<T: std::fmt::Debug>(claimed: Claimed<T>) -> String {
        match claimed.unwrap_err() {
            Wrong::Claim(what) => what,
            Wrong::TooMuch => "too much".into(),
        }
    }

    fn text<const N: usize>(byte: u8) -> String {
        bs58::encode([byte; N]).into_string()
    }

    fn transaction(signature: u8, failed: bool, keys: &[(u8, bool)], ours: bool) -> Value {
        naming(signature, failed, keys, ours.then_some(AI_PRECOMPILES_ID))
    }

    fn naming(signature: u8, failed: bool, keys: &[(u8, bool)], program: Option<Key>) -> Value {
        let mut keys: Vec<Value> = keys
            .iter()
            .map(|(key, writable)| json!({"pubkey": text::<32>(*key), "writable": writable, "signer": false}))
            .collect();
        if let Some(program) = program {
            let program = bs58::encode(program).into_string();
            keys.push(json!({"pubkey": program, "writable": false, "signer": false}));
        }
        let err = if failed {
            json!({"InstructionError": [0, "Custom"]})
        } else {
            Value::Null
        };
        json!({
            "transaction": {"signatures": [text::<64>(signature)], "accountKeys": keys},
            "meta": {"err": err, "fee": 5000},
            "version": "legacy",
        })
    }

    fn answer(transactions: Vec<Value>) -> Value {
        json!({
            "blockhash": text::<32>(9), "previousBlockhash": text::<32>(8), "parentSlot": 8, "blockTime": 1_800_000_000,
            "blockHeight": 3, "transactions": transactions,
        })
    }

    #[test]
    fn a_block_names_what_transactions_of_the_programs_could_write_in_their_order() {
        let answer = answer(vec![
            transaction(
                1,
                false,
                &[(1, true), (2, true), (3, true), (4, false)],
                true,
            ),
            transaction(2, false, &[(1, true), (2, true)], true),
            transaction(3, true, &[(1, true), (5, true)], true),
            transaction(4, false, &[(1, true), (6, true)], false),
            naming(5, false, &[(1, true), (7, true)], Some(COMPUTE_MARKET_ID)),
        ]);
        let block = block(&raw(&answer), 9).unwrap();
        assert_eq!((block.id.hash, block.parent.hash), ([9; 32], [8; 32]));
        let touched: Vec<(u8, u8, u32)> = block
            .touched
            .iter()
            .map(|t| (t.key[0], t.signature[0], t.transactions))
            .collect();
        assert_eq!(touched, [(3, 1, 1), (2, 2, 2), (7, 5, 1)]);
    }

    #[test]
    fn a_block_that_cannot_be_is_refused() {
        let refused = |change: fn(&mut Value)| {
            let mut value = answer(vec![transaction(1, false, &[(1, true), (2, true)], true)]);
            change(&mut value);
            said(block(&raw(&value), 9))
        };
        assert!(refused(|v| v["parentSlot"] = json!(9)).contains("not older"));
        assert!(refused(|v| v["blockhash"] = json!("l0O")).contains("blockhash"));
        assert!(refused(|v| v["previousBlockhash"] = json!(text::<31>(1))).contains("32 bytes"));
        assert!(
            refused(|v| v["transactions"][0]["transaction"]["signatures"] = json!([]))
                .contains("signature")
        );
        refused(|v| v["transactions"] = json!(7));
        let mut far = answer(Vec::new());
        far["blockTime"] = json!(i64::MAX);
        assert_eq!(block(&raw(&far), 9).unwrap().time, None);
    }

    #[test]
    fn accounts_of_others_and_repeated_ones_are_refused() {
        let account = |key: u8, owner: [u8; 32], lamports: u64| {
            json!({"pubkey": text::<32>(key), "account": {
                "lamports": lamports, "owner": bs58::encode(owner).into_string(), "data": ["AAEC", "base64"],
                "executable": false, "rentEpoch": u64::MAX, "space": 3}})
        };
        let read = |accounts: Vec<Value>| {
            let answer = json!({"context": {"slot": 7, "apiVersion": "4.2.2"}, "value": accounts});
            program_accounts(&raw(&answer), &AI_PRECOMPILES_ID, MOST)
        };
        let refused = |accounts: Vec<Value>| said(read(accounts));
        let ours = AI_PRECOMPILES_ID;
        let good = read(vec![account(2, ours, 5), account(1, ours, 5)]).unwrap();
        assert_eq!((good.slot, good.value[0].0[0]), (7, 1));
        assert_eq!(&good.value[0].1.data[..], [0, 1, 2]);
        assert!(refused(vec![account(1, [3; 32], 5)]).contains("another program"));
        // One of ours as well, but not the one that was asked about.
        assert!(refused(vec![account(1, COMPUTE_MARKET_ID, 5)]).contains("another program"));
        assert!(refused(vec![account(1, ours, 0)]).contains("without lamports"));
        assert!(refused(vec![account(1, ours, 5), account(1, ours, 6)]).contains("twice"));
        let mut base58 = account(1, ours, 5);
        base58["account"]["data"][1] = json!("base58");
        assert!(refused(vec![base58]).contains("base64"));
        let one = json!({"context": {"slot": 7}, "value": [null]});
        assert!(said(accounts(&raw(&one), 2, MOST)).contains("1 accounts for 2 keys"));
        assert_eq!(accounts(&raw(&one), 1, MOST).unwrap().value, [None]);
    }

    fn of_program(raw: &RawValue, most: usize) -> Claimed<Read<Vec<(Key, Content)>>> {
        program_accounts(raw, &AI_PRECOMPILES_ID, most)
    }

    /// `getProgramAccounts` of one account whose data is packed.
    fn packed(data: &[u8], copies: u8) -> Value {
        let data = STANDARD.encode(zstd::encode_all(data, 3).unwrap());
        let one = |key: u8| {
            json!({"pubkey": text::<32>(key), "account": {"lamports": 5, "owner": bs58::encode(AI_PRECOMPILES_ID).into_string(),
                   "data": [data, "base64+zstd"], "executable": false, "rentEpoch": 0, "space": 3}})
        };
        let value: Vec<Value> = (0..copies).map(one).collect();
        json!({"context": {"slot": 7}, "value": value})
    }

    #[test]
    fn packed_accounts_are_unpacked_within_bounds() {
        let read = of_program(&raw(&packed(&[7; 9], 1)), MOST).unwrap();
        assert_eq!(read.value[0].1.data[..], [7; 9]);
        // A kilobyte that says it is eleven megabytes, and many that say they are one.
        let bomb = vec![0; MAX_DATA + 1];
        let answer = packed(&bomb, 1);
        assert!(answer.to_string().len() < 10_000);
        assert!(said(of_program(&raw(&answer), usize::MAX)).contains("more than"));
        let many = raw(&packed(&[0; 200_000], 8));
        assert_eq!(of_program(&many, MOST), Err(Wrong::TooMuch));
        assert_eq!(of_program(&many, 2 * MOST).unwrap().value.len(), 8);
        // A frame that asks for more memory than any account needs.
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(27).unwrap();
        std::io::Write::write_all(&mut encoder, &[1; 100]).unwrap();
        let mut wide = packed(&[], 1);
        let frame = STANDARD.encode(encoder.finish().unwrap());
        wide["value"][0]["account"]["data"][0] = json!(frame);
        assert!(said(of_program(&raw(&wide), MOST)).contains("can't be unpacked"));
        let mut torn = packed(&[7; 900], 1);
        torn["value"][0]["account"]["data"][0] = json!("KLUv/Q==");
        assert!(said(of_program(&raw(&torn), MOST)).contains("can't be unpacked"));
        // Nobody reads what accounts of others hold.
        let mut foreign = packed(&bomb, 1)["value"][0]["account"].clone();
        foreign["owner"] = json!(text::<32>(3));
        let answer = json!({"context": {"slot": 7}, "value": [foreign]});
        let read = accounts(&raw(&answer), 1, MOST).unwrap();
        assert!(read.value[0].as_ref().is_some_and(|a| a.data.is_empty()));
    }

    #[test]
    fn slots_are_those_that_were_asked_for_in_order() {
        for (claimed, good) in [
            (json!([5, 7]), true),
            (json!([7, 5]), false),
            (json!([5, 5]), false),
            (json!([4]), false),
            (json!([9]), false),
        ] {
            assert_eq!(slots(&raw(&claimed), 5, 8).is_ok(), good, "{claimed}");
        }
        assert!(slot(&raw(&json!(u64::MAX))).is_err() && slot(&raw(&json!(-1))).is_err());
    }

    proptest! {
        #[test]
        fn nonsense_is_refused_and_nothing_else_happens(text in r#"[\[\]{}a-z0-9",:.-]{0,80}"#) {
            if let Ok(raw) = RawValue::from_string(text) {
                let _ = (block(&raw, 9), accounts(&raw, 1, MOST), of_program(&raw, MOST), slots(&raw, 0, 9), hash(&raw), slot(&raw));
            }
        }
    }
}
