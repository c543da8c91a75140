//! A program as a Codama IDL (<https://github.com/codama-idl/codama>): what explorers, wallets' simulators and generators of
//! clients read.

use std::collections::BTreeMap;

use mythic_interface::INCINERATOR;
use mythic_interface::ix::InstructionSpec;
use serde_json::{Value, json};

use crate::books::{Book, Listed};
use crate::source::{Item, Sizes, arguments, structures};

const ALPHABET: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// The IDL.
pub fn root(book: &Book) -> Value {
    let layouts = book.layouts.concat();
    let sizes = Sizes::new(&[book.params, &layouts]);
    let (mut accounts, mut types) = (Vec::new(), Vec::new());
    for item in structures(book.params).iter().chain(&structures(&layouts)) {
        let fields: Vec<Value> = item
            .fields
            .iter()
            .map(|field| {
                json!({
                    "kind": "structFieldTypeNode",
                    "name": camel(&field.name),
                    "docs": [field.doc],
                    "type": ty(&field.ty, &sizes),
                })
            })
            .collect();
        let data = json!({"kind": "structTypeNode", "fields": fields});
        match book.accounts.iter().find(|(name, ..)| *name == item.name) {
            Some((_, first, len)) => accounts.push(account(item, data, (*first, *len))),
            None => types.push(json!({
                "kind": "definedTypeNode",
                "name": camel(&item.name),
                "docs": [item.doc],
                "type": data,
            })),
        }
    }
    types.extend(enums(book));
    let arguments: BTreeMap<String, Item> =
        book.arguments.iter().copied().flat_map(arguments).collect();
    let instructions: Vec<Value> = book
        .instructions
        .iter()
        .map(|listed| instruction(listed, &arguments[listed.name], (book, &sizes)))
        .collect();
    let errors: Vec<Value> = book
        .errors
        .iter()
        .map(|error| {
            json!({
                "kind": "errorNode",
                "name": camel(error.name()),
                "code": error.code(),
                "message": error.message(),
                "docs": [format!("{}: {}", error.name(), error.message())],
            })
        })
        .collect();
    json!({
        "kind": "rootNode",
        "standard": "codama",
        "version": "1.0.0",
        "program": {
            "kind": "programNode",
            "name": book.name,
            "publicKey": base58(&book.address),
            "version": env!("CARGO_PKG_VERSION"),
            "docs": [book.about],
            "accounts": accounts,
            "instructions": instructions,
            "definedTypes": types,
            "pdas": pdas(book),
            "errors": errors,
        },
        "additionalPrograms": [],
    })
}

fn account(item: &Item, data: Value, (first, len): (u8, usize)) -> Value {
    json!({
        "kind": "accountNode",
        "name": camel(&item.name),
        "size": len,
        "docs": [item.doc],
        "data": data,
        "pda": {"kind": "pdaLinkNode", "name": camel(&item.name)},
        "discriminators": [
            {
                "kind": "constantDiscriminatorNode",
                "offset": 0,
                "constant": {
                    "kind": "constantValueNode",
                    "type": number("u8"),
                    "value": {"kind": "numberValueNode", "number": first},
                },
            },
            {"kind": "sizeDiscriminatorNode", "size": len},
        ],
    })
}

fn number(format: &str) -> Value {
    json!({"kind": "numberTypeNode", "format": format, "endian": "le"})
}

fn bytes(len: usize) -> Value {
    json!({"kind": "fixedSizeTypeNode", "size": len, "type": {"kind": "bytesTypeNode"}})
}

/// A type as the source writes it.
fn ty(written: &str, sizes: &Sizes) -> Value {
    match written {
        "u8" => return number("u8"),
        "U16" => return number("u16"),
        "U32" => return number("u32"),
        "I32" => return number("i32"),
        "U64" => return number("u64"),
        "Key" => return json!({"kind": "publicKeyTypeNode"}),
        "Hash" => return bytes(32),
        _ => {}
    }
    if let Some(inner) = written
        .strip_prefix('[')
        .and_then(|ty| ty.strip_suffix(']'))
    {
        let (element, count) = inner.rsplit_once("; ").expect("an array");
        let count = sizes.number(count);
        return match element {
            "u8" => bytes(count),
            _ => json!({
                "kind": "arrayTypeNode",
                "item": ty(element, sizes),
                "count": {"kind": "fixedCountNode", "value": count},
            }),
        };
    }
    if let Some(len) = written
        .strip_prefix("Text<")
        .and_then(|ty| ty.strip_suffix('>'))
    {
        return json!({
            "kind": "fixedSizeTypeNode",
            "size": 1 + sizes.number(len),
            "type": {
                "kind": "sizePrefixTypeNode",
                "type": {"kind": "stringTypeNode", "encoding": "utf8"},
                "prefix": number("u8"),
            },
        });
    }
    json!({"kind": "definedTypeLinkNode", "name": camel(written)})
}

fn instruction(listed: &Listed, item: &Item, (book, sizes): (&Book, &Sizes)) -> Value {
    let spec = listed.spec;
    let mut arguments = vec![json!({
        "kind": "instructionArgumentNode",
        "name": "discriminator",
        "defaultValueStrategy": "omitted",
        "docs": ["First byte of the data."],
        "type": number("u8"),
        "defaultValue": {"kind": "numberValueNode", "number": spec.number},
    })];
    arguments.extend(item.fields.iter().map(|field| {
        json!({
            "kind": "instructionArgumentNode",
            "name": camel(&field.name),
            "docs": [field.doc],
            "type": ty(&field.ty, sizes),
        })
    }));
    arguments.extend(spec.tail.map(|tail| {
        json!({
            "kind": "instructionArgumentNode",
            "name": "tail",
            "docs": [format!("Behind the arguments: {tail}.")],
            "type": {"kind": "bytesTypeNode"},
        })
    }));
    let mut node = json!({
        "kind": "instructionNode",
        "name": camel(listed.name),
        "docs": [item.doc],
        "optionalAccountStrategy": "programId",
        "accounts": accounts(spec, book),
        "arguments": arguments,
        "discriminators": [
            {"kind": "fieldDiscriminatorNode", "name": "discriminator", "offset": 0},
        ],
    });
    if let Some(trailing) = spec.trailing {
        node["remainingAccounts"] = json!([{
            "kind": "instructionRemainingAccountsNode",
            "isOptional": true,
            "docs": [format!("Any number of `{trailing}` accounts.")],
            "value": {"kind": "argumentValueNode", "name": camel(&format!("{trailing}s"))},
        }]);
    }
    node
}

fn accounts(spec: &InstructionSpec, book: &Book) -> Vec<Value> {
    let fixed = |key: &[u8; 32], name: &str| json!({"kind": "publicKeyValueNode", "publicKey": base58(key), "identifier": name});
    spec.accounts
        .iter()
        .map(|account| {
            let mut node = json!({
                "kind": "instructionAccountNode",
                "name": camel(account.name),
                "isWritable": account.writable,
                "isSigner": account.signer,
                "isOptional": account.optional,
                "docs": [],
            });
            match account.name {
                "system_program" => node["defaultValue"] = fixed(&[0; 32], "systemProgram"),
                "incinerator" if !account.optional => {
                    node["defaultValue"] = fixed(&INCINERATOR, "incinerator");
                }
                "config" | "treasury" => {
                    let mut seeds = book.seeds.iter();
                    let (pda, ..) = seeds
                        .find(|(_, word, _)| *word == account.name)
                        .expect("listed");
                    node["defaultValue"] = json!({
                        "kind": "pdaValueNode",
                        "pda": {"kind": "pdaLinkNode", "name": pda},
                        "seeds": [],
                    });
                }
                _ => {}
            }
            node
        })
        .collect()
}

/// The addresses of accounts, from their seeds.
fn pdas(book: &Book) -> Vec<Value> {
    book.seeds
        .iter()
        .map(|(name, word, seeds)| {
            let word = json!({
                "kind": "constantPdaSeedNode",
                "type": {"kind": "stringTypeNode", "encoding": "utf8"},
                "value": {"kind": "stringValueNode", "string": word},
            });
            let seeds = seeds.iter().map(|(name, ty)| {
                json!({"kind": "variablePdaSeedNode", "name": name, "docs": [], "type": ty})
            });
            let seeds: Vec<Value> = std::iter::once(word).chain(seeds).collect();
            json!({"kind": "pdaNode", "name": name, "docs": [], "seeds": seeds})
        })
        .collect()
}

/// What the values of one byte mean. The bytes themselves stay numbers in the layouts: 0 often stands for "not yet".
fn enums(book: &Book) -> Vec<Value> {
    book.values
        .iter()
        .map(|(name, value)| (name, variants(value)))
        .map(|(name, variants)| {
            json!({
                "kind": "definedTypeNode",
                "name": camel(name),
                "docs": [],
                "type": {"kind": "enumTypeNode", "variants": variants, "size": number("u8")},
            })
        })
        .collect()
}

fn variants(name: impl Fn(u8) -> Option<&'static str>) -> Vec<Value> {
    (0..=u8::MAX)
        .filter_map(|value| {
            let name = name(value)?;
            Some(json!({
                "kind": "enumEmptyVariantTypeNode",
                "name": camel(&name.replace('-', "_")),
                "discriminator": value,
            }))
        })
        .collect()
}

/// `snake_case` and `PascalCase` as Codama writes names.
fn camel(name: &str) -> String {
    let mut out = String::new();
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' | ' ' => upper = true,
            c if out.is_empty() => out.push(c.to_ascii_lowercase()),
            c if upper => {
                out.push(c.to_ascii_uppercase());
                upper = false;
            }
            c => out.push(c),
        }
    }
    out
}

fn base58(bytes: &[u8; 32]) -> String {
    let mut digits: Vec<u8> = Vec::new();
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += u32::from(*digit) << 8;
            *digit = (carry % 58) as u8;
            carry /= 58;
        }
        while carry > 0 {
            digits.push((carry % 58) as u8);
            carry /= 58;
        }
    }
    let zeroes = bytes.iter().take_while(|byte| **byte == 0).count();
    let text = std::iter::repeat_n(0, zeroes).chain(digits.into_iter().rev());
    text.map(|digit| char::from(ALPHABET[usize::from(digit)]))
        .collect()
}

#[test]
fn the_bytes_of_every_instruction_are_described() {
    for book in crate::books::books() {
        let root = root(&book);
        let program = &root["program"];
        let mut known = BTreeMap::new();
        for node in program["definedTypes"].as_array().expect("a list") {
            let Some(fields) = node["type"]["fields"].as_array() else {
                continue;
            };
            let sizes = fields
                .iter()
                .map(|field| size_of_node(&field["type"], &known));
            let size = sizes.sum::<usize>();
            known.insert(node["name"].as_str().expect("a name").to_owned(), size);
        }
        let nodes = program["instructions"].as_array().expect("a list");
        assert_eq!(nodes.len(), book.instructions.len());
        for (listed, node) in book.instructions.iter().zip(nodes) {
            let arguments = node["arguments"].as_array().expect("a list").iter();
            let fixed = arguments.filter(|argument| argument["name"] != "tail");
            let found: usize = fixed
                .map(|argument| size_of_node(&argument["type"], &known))
                .sum();
            assert_eq!(found, listed.spec.data_len, "{}", listed.name);
        }
    }
    let [precompiles, market] = crate::books::books().map(|book| base58(&book.address));
    assert_eq!(precompiles, "MythicAiPrecompi1es111111111111111111111111");
    assert_eq!(market, "MythicComputeMarket111111111111111111111111");
}

/// Bytes of a type of arguments.
#[cfg(test)]
fn size_of_node(node: &Value, known: &BTreeMap<String, usize>) -> usize {
    let number = |key: &str| node[key].as_u64().expect("a number") as usize;
    match node["kind"].as_str().expect("a kind") {
        "numberTypeNode" => match node["format"].as_str().expect("a format") {
            "u8" => 1,
            "u16" => 2,
            "u32" | "i32" => 4,
            _ => 8,
        },
        "publicKeyTypeNode" => 32,
        "fixedSizeTypeNode" => number("size"),
        "arrayTypeNode" => {
            let count = node["count"]["value"].as_u64().expect("a count") as usize;
            count * size_of_node(&node["item"], known)
        }
        "definedTypeLinkNode" => known[node["name"].as_str().expect("a name")],
        other => panic!("{other}?"),
    }
}
