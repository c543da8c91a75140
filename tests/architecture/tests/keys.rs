//! Every key that a configuration has stands in a table of the pages, and what stands there is a key.

use std::collections::{BTreeMap, BTreeSet};

use mythic_architecture::{packages, root, sources};
use syn::{Attribute, Item, ItemStruct};

const GUIDE: &str = "docs/operator-guide.md";

/// The struct of a configuration or of a section of one: its file and name, the page, and the headings under which its tables are.
const TABLES: &[(&str, &str, &str, &[&str])] = &[
    (
        "api/src/config.rs",
        "GatewayConfig",
        GUIDE,
        &["Keys of the gateway"],
    ),
    (
        "api/src/config.rs",
        "ModelConfig",
        GUIDE,
        &["Keys of the gateway"],
    ),
    (
        "api/src/config.rs",
        "DevAccount",
        GUIDE,
        &["Keys of the gateway"],
    ),
    (
        "api/src/config.rs",
        "Limits",
        GUIDE,
        &["What clients may use"],
    ),
    ("api/src/config.rs", "Outlay", GUIDE, &["Money"]),
    (
        "api/src/config.rs",
        "Timing",
        GUIDE,
        &["How long is waited"],
    ),
    ("client/src/bid.rs", "Bids", GUIDE, &["Bids"]),
    (
        "common/http/src/limits.rs",
        "Limits",
        GUIDE,
        &["Bounds of a listener"],
    ),
    (
        "common/trace/src/config.rs",
        "TraceConfig",
        "docs/deploy.md",
        &["Traces"],
    ),
    (
        "devnet/src/config.rs",
        "DevnetConfig",
        "docs/devnet.md",
        &["Configuration"],
    ),
    (
        "devnet/src/config.rs",
        "ProgramConfig",
        "docs/devnet.md",
        &["Configuration"],
    ),
    (
        "devnet/src/config.rs",
        "GenesisAccount",
        "docs/devnet.md",
        &["Configuration"],
    ),
    (
        "geyser-plugin/core/src/config.rs",
        "PluginConfig",
        GUIDE,
        &["The Geyser plugin", "Through Kafka"],
    ),
    (
        "indexer/src/config.rs",
        "IndexerConfig",
        GUIDE,
        &[
            "Keys of the indexer",
            "An index from Kafka",
            "Without a Geyser plugin",
        ],
    ),
    (
        "indexer/src/config.rs",
        "SpoolConfig",
        GUIDE,
        &["Keys of the indexer"],
    ),
    ("inference/node/src/bounds.rs", "Bounds", GUIDE, &["Bounds"]),
    (
        "inference/node/src/config.rs",
        "NodeConfig",
        GUIDE,
        &["Start"],
    ),
    (
        "inference/node/src/config.rs",
        "ModelConfig",
        GUIDE,
        &["Start"],
    ),
    (
        "inference/verifier/src/policy.rs",
        "VerifierConfig",
        "docs/verifying.md",
        &["A verifier"],
    ),
    (
        "provider/src/config.rs",
        "ProviderConfig",
        GUIDE,
        &["Operating a provider"],
    ),
    (
        "provider/src/container/config.rs",
        "ContainersConfig",
        GUIDE,
        &["Containers of tenants"],
    ),
    (
        "settler/src/config.rs",
        "SettlerConfig",
        GUIDE,
        &["Keys of the settler"],
    ),
    (
        "telegram-bot/src/config.rs",
        "BotConfig",
        "docs/telegram.md",
        &["Keys of the bot"],
    ),
    (
        "stream/kafka/src/settings.rs",
        "Settings",
        GUIDE,
        &["Through Kafka"],
    ),
];

/// Looks like a configuration and is read from no file: a node makes it of its own keys.
const UNREAD: (&str, &str) = ("inference/engine/src/config.rs", "EngineConfig");

/// What is told to serde by the attributes of a struct or field, a word each.
fn told_serde(attributes: &[Attribute]) -> BTreeSet<String> {
    let serde = attributes.iter().filter(|one| one.path().is_ident("serde"));
    let lists = serde.filter_map(|one| Some(one.meta.require_list().ok()?.tokens.to_string()));
    let words = lists.flat_map(|list| {
        let words = list.split(',').map(|word| {
            let name = word.split('=').next().unwrap_or_default();
            name.trim().to_owned()
        });
        words.collect::<Vec<_>>()
    });
    words.collect()
}

/// The keys of a struct whose unknown keys are refused, if it is one of a configuration: in a file of that name, or with a default for
/// each key.
fn keys(file: &str, item: &ItemStruct) -> Option<BTreeSet<String>> {
    let told = told_serde(&item.attrs);
    let is_one = told.contains("deny_unknown_fields")
        && (told.contains("default") || file.ends_with("/config.rs"));
    let mut found = BTreeSet::new();
    for field in item.fields.iter().filter(|_| is_one) {
        let told = told_serde(&field.attrs);
        let name = field.ident.as_ref()?.to_string();
        for word in ["rename", "flatten", "alias"] {
            assert!(!told.contains(word), "{file}: {name} is not the key's name");
        }
        if !told.contains("skip") {
            found.insert(name);
        }
    }
    is_one.then_some(found)
}

/// All structs of configurations in the sources.
fn configurations() -> BTreeMap<(String, String), BTreeSet<String>> {
    let root = root();
    let mut found = BTreeMap::new();
    for package in packages(&root).expect("the workspace").values() {
        for source in sources(&root, package).expect("sources") {
            if !source.text.contains("deny_unknown_fields") {
                continue;
            }
            for item in syn::parse_file(&source.text).expect("Rust").items {
                if let Item::Struct(item) = item
                    && let Some(keys) = keys(&source.file, &item)
                {
                    found.insert((source.file.clone(), item.ident.to_string()), keys);
                }
            }
        }
    }
    found
}

/// What is below a heading, up to the next one.
fn section<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
    let (mut inside, mut code, mut times) = (false, false, 0);
    let mut lines = Vec::new();
    for line in page.lines() {
        code ^= line.starts_with("```");
        if line.starts_with('#') && !code {
            inside = line.trim_start_matches('#').trim() == heading;
            times += u32::from(inside);
        } else if inside {
            lines.push(line);
        }
    }
    assert_eq!(times, 1, "headings {heading}");
    lines
}

/// The names in the first column of tables of keys: those whose second column is the default.
fn rows(page: &str, heading: &str) -> BTreeSet<String> {
    let (mut rows, mut before, mut of_keys) = (BTreeSet::new(), false, false);
    for line in section(page, heading) {
        let mut cells = line.strip_prefix('|').unwrap_or_default().split('|');
        let first = cells.next().unwrap_or_default();
        let is_row = line.starts_with('|');
        if is_row && !before {
            of_keys = cells.next().is_some_and(|cell| cell.trim() == "default");
        } else if is_row && of_keys {
            let quoted = first.split('`').skip(1).step_by(2);
            let names = quoted.flat_map(|code| {
                code.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
            });
            rows.extend(names.filter(|name| !name.is_empty()).map(str::to_owned));
        }
        before = is_row;
    }
    rows
}

#[test]
fn every_key_of_a_configuration_has_a_row_and_every_row_a_key() {
    let mut configurations = configurations();
    let unread = (UNREAD.0.to_owned(), UNREAD.1.to_owned());
    assert!(configurations.remove(&unread).is_some(), "{UNREAD:?}");
    let listed: BTreeSet<(String, String)> = TABLES
        .iter()
        .map(|(file, name, ..)| ((*file).to_owned(), (*name).to_owned()))
        .collect();
    let found: BTreeSet<(String, String)> = configurations.keys().cloned().collect();
    assert_eq!(found, listed, "structs of configurations, and TABLES");
    let mut wrong = Vec::new();
    let (mut of_keys, mut of_rows) = (BTreeMap::new(), BTreeMap::new());
    for (file, name, page, headings) in TABLES {
        let keys = &configurations[&((*file).to_owned(), (*name).to_owned())];
        assert!(!keys.is_empty(), "{file}: {name}");
        let text = std::fs::read_to_string(root().join(page)).expect("a page");
        let mut shown = BTreeSet::new();
        for heading in *headings {
            let rows = rows(&text, heading);
            shown.extend(rows.iter().cloned());
            of_rows.insert((*page, *heading), rows);
            let under: &mut BTreeSet<String> = of_keys.entry((*page, *heading)).or_default();
            under.extend(keys.iter().cloned());
        }
        let missing = keys.difference(&shown);
        wrong.extend(missing.map(|key| format!("{page}, {headings:?}: no row is {key} of {name}")));
    }
    for (place, rows) in &of_rows {
        let strangers = rows.difference(&of_keys[place]);
        wrong.extend(strangers.map(|key| format!("{place:?}: {key} is no key")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
