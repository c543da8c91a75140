//! The rules of docs/architecture.md that can be held by a test.

use std::collections::{BTreeMap, BTreeSet};

use mythic_architecture::{built_with, circles, packages, root, sources};

/// A crate, and what it must never be built with.
const WALLS: &[(&str, &[&str])] = &[
    (
        "mythic-api",
        &[
            "mythic-engine",
            "mythic-node",
            "mythic-lab",
            "mythic-verifier",
            "mythic-indexer",
            "mythic-settler",
        ],
    ),
    (
        "mythic-node",
        &[
            "mythic-lab",
            "mythic-api",
            "mythic-indexer",
            "mythic-settler",
        ],
    ),
    (
        "mythic-verifier",
        &["mythic-node", "mythic-lab", "mythic-engine"],
    ),
    ("mythic-engine", &["mythic-wire", "mythic-client"]),
    (
        "mythic-model",
        &["mythic-wire", "mythic-client", "mythic-engine"],
    ),
    ("mythic-settler", &["mythic-indexer", "mythic-api"]),
    (
        "mythic-indexer",
        &["mythic-settler", "mythic-api", "mythic-wire"],
    ),
    (
        "mythic-provider",
        &[
            "mythic-node",
            "mythic-verifier",
            "mythic-lab",
            "mythic-api",
            "mythic-indexer",
            "mythic-settler",
        ],
    ),
    (
        "mythic-bot",
        &[
            "mythic-api",
            "mythic-engine",
            "mythic-node",
            "mythic-indexer",
            "mythic-settler",
            "mythic-provider",
        ],
    ),
    ("mythic-interface", &["mythic-client"]),
];

/// A foreign crate, and the only crates of ours that may name it.
const FOREIGN: &[(&str, &[&str])] = &[
    ("candle-core", &["mythic-lab"]),
    ("cudarc", &["mythic-engine"]),
    ("nvml-wrapper", &["mythic-node"]),
    ("litesvm", &["mythic-devnet", "mythic-program-tests"]),
];

/// Crates that decide and never wait.
const PURE: &[&str] = &["mythic-verifier", "mythic-interface"];

#[test]
fn arrows_between_crates_point_down() {
    let packages = packages(&root()).expect("manifests");
    for (name, forbidden) in WALLS {
        assert!(packages.contains_key(*name), "no crate {name}");
        let built = built_with(&packages, name);
        for other in *forbidden {
            assert!(!built.contains(*other), "{name} is built with {other}");
        }
    }
}

/// Names in a row of the table of crates: what it is, where it is, what it imports.
fn table_of_crates(text: &str) -> BTreeMap<String, (String, String)> {
    let cells = |row: &str| -> Vec<String> {
        row.split('|')
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .collect()
    };
    text.lines()
        .filter(|line| line.starts_with("| `mythic-"))
        .map(cells)
        .filter_map(|row| match row.as_slice() {
            [_, name, folder, imports, ..] => {
                Some((name.clone(), (folder.clone(), imports.clone())))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn the_table_of_crates_is_what_the_manifests_say() {
    let packages = packages(&root()).expect("manifests");
    let page = root().join("docs/architecture.md");
    let table = table_of_crates(&std::fs::read_to_string(page).expect("the page"));
    let tests = [
        "mythic-architecture",
        "mythic-e2e",
        "mythic-program-tests",
        "mythic-sim",
    ];
    let ours: BTreeSet<&str> = packages.keys().map(String::as_str).collect();
    let listed: BTreeSet<&str> = table.keys().map(String::as_str).chain(tests).collect();
    assert_eq!(ours, listed, "crates and rows of the table");
    for (name, (folder, imports)) in &table {
        let package = &packages[name];
        assert_eq!(package.folder.to_str(), Some(folder.as_str()), "{name}");
        let said: BTreeSet<String> = match imports.as_str() {
            "none" => BTreeSet::new(),
            "all but stream, plugin, projection, trace, chat and broker" => packages
                .keys()
                .filter(|other| {
                    let left_out = [
                        "mythic-cli",
                        "mythic-stream",
                        "mythic-geyser-plugin",
                        "mythic-projection",
                        "mythic-trace",
                        "mythic-chat",
                        "mythic-broker",
                    ];
                    !tests.iter().chain(&left_out).any(|out| out == other)
                })
                .cloned()
                .collect(),
            list => list
                .split(", ")
                .map(|short| format!("mythic-{short}"))
                .collect(),
        };
        assert_eq!(package.ours, said, "imports of {name}");
    }
}

#[test]
fn foreign_crates_stay_in_their_rooms() {
    let packages = packages(&root()).expect("manifests");
    for (foreign, rooms) in FOREIGN {
        for package in packages.values().filter(|p| p.all.contains(*foreign)) {
            assert!(
                rooms.contains(&package.name.as_str()),
                "{} names {foreign}",
                package.name
            );
        }
    }
    for name in PURE {
        let package = &packages[*name];
        for waiting in ["tokio", "reqwest", "axum", "tokio-postgres"] {
            assert!(!package.all.contains(waiting), "{name} names {waiting}");
        }
    }
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let root = root();
    let mut found = Vec::new();
    for package in packages(&root).expect("manifests").values() {
        let sources = sources(&root, package).expect("sources");
        let graph = sources
            .iter()
            .map(|s| (s.file.clone(), s.imports.clone()))
            .collect();
        found.extend(circles(&graph));
    }
    assert!(
        found.is_empty(),
        "{} circles of files:\n{}",
        found.len(),
        show(&found)
    );
}

#[test]
fn no_type_name_stands_twice_in_a_crate() {
    let root = root();
    let mut twice = Vec::new();
    for package in packages(&root).expect("manifests").values() {
        let mut by_name: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for source in sources(&root, package).expect("sources") {
            for found in source.types {
                by_name.entry(found.name).or_default().insert(found.file);
            }
        }
        twice.extend(
            by_name
                .into_iter()
                .filter(|(_, files)| files.len() > 1)
                .map(|(name, files)| {
                    let mut row = vec![name];
                    row.extend(files);
                    row
                }),
        );
    }
    assert!(
        twice.is_empty(),
        "{} names twice:\n{}",
        twice.len(),
        show(&twice)
    );
}

#[test]
fn the_gateway_speaks_sql_only_in_its_store() {
    let root = root();
    let packages = packages(&root).expect("manifests");
    let mut elsewhere = Vec::new();
    for source in sources(&root, &packages["mythic-api"]).expect("sources") {
        if source.file.contains("/store/") {
            continue;
        }
        let code = source.text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let line = line.trim_start();
            if !line.starts_with("//")
                && ["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM "]
                    .iter()
                    .any(|word| line.contains(word))
            {
                elsewhere.push(vec![format!("{}:{}", source.file, number + 1)]);
            }
        }
    }
    assert!(
        elsewhere.is_empty(),
        "SQL outside of store/:\n{}",
        show(&elsewhere)
    );
}

#[test]
fn honest_code_never_names_a_cheat() {
    let root = root();
    let packages = packages(&root).expect("manifests");
    let mut named = Vec::new();
    for name in [
        "mythic-node",
        "mythic-verifier",
        "mythic-engine",
        "mythic-model",
        "mythic-chat",
        "mythic-provider",
        "mythic-api",
    ] {
        for source in sources(&root, &packages[name]).expect("sources") {
            for (number, line) in source.text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                if code.contains("cheat::")
                    || code.contains("mod cheat")
                    || code.contains("mythic_lab")
                {
                    named.push(vec![format!("{}:{}", source.file, number + 1)]);
                }
            }
        }
    }
    assert!(
        named.is_empty(),
        "honest code names a cheat:\n{}",
        show(&named)
    );
}

/// Tags of crates that are built with nothing of ours.
const OWN_TAGS: &[&str] = &["stream/src/digest.rs"];

#[test]
fn every_domain_tag_stands_in_one_file() {
    let root = root();
    let mut elsewhere = Vec::new();
    for package in packages(&root).expect("manifests").values() {
        for source in sources(&root, package).expect("sources") {
            let own = source.file == "programs/interface/src/hash.rs"
                || OWN_TAGS.contains(&source.file.as_str());
            for (number, line) in source.text.lines().enumerate().filter(|_| !own) {
                if line.contains("b\"mythic/") {
                    elsewhere.push(vec![format!("{}:{}", source.file, number + 1)]);
                }
            }
        }
    }
    assert!(
        elsewhere.is_empty(),
        "domain tags outside of programs/interface/src/hash.rs:\n{}",
        show(&elsewhere)
    );
}

/// Numbers of the lines that begin a block which rustdoc would take for a test.
fn documentation_tests(text: &str) -> Vec<usize> {
    let (mut found, mut is_inside, mut is_after_empty) = (Vec::new(), false, true);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        let outer = |line: &str| line.starts_with("///") && !line.starts_with("////");
        if !line.starts_with("//!") && !outer(line) {
            (is_inside, is_after_empty) = (false, true);
            continue;
        }
        let said = &line[3..];
        let words = said.trim();
        match words
            .strip_prefix("```")
            .or_else(|| words.strip_prefix("~~~"))
        {
            Some(_) if is_inside => is_inside = false,
            Some(kind) => {
                is_inside = true;
                if kind != "text" {
                    found.push(number);
                }
            }
            // What is indented behind an empty line is code too.
            None if !is_inside && is_after_empty && said.starts_with("     ") => {
                found.push(number);
            }
            None => {}
        }
        is_after_empty = words.is_empty();
    }
    found
}

#[test]
fn blocks_that_rustdoc_would_run_are_seen() {
    let fenced = "/// Adds.\n/// ```\n/// assert_eq!(add(1, 1), 2);\n/// ```\nfn add() {}\n";
    assert_eq!(documentation_tests(fenced), [2]);
    assert_eq!(documentation_tests("    //! ~~~rust,no_run\n"), [1]);
    assert_eq!(documentation_tests("/// Adds.\n///\n///     add();\n"), [3]);
    for none in [
        "/// ```text\n///     a -> b\n/// ```\n/// More.\n",
        "/// A list:\n/// - of one\n///   thing\n",
        "//// ```\n// ```\nlet fence = \"```\";\n",
    ] {
        assert!(documentation_tests(none).is_empty(), "{none}");
    }
}

/// `scripts/tests.sh` has cargo run what is in crates and in their `tests`.
#[test]
fn no_test_stands_in_documentation_where_nothing_runs_it() {
    let root = root();
    let mut unrun = Vec::new();
    for package in packages(&root).expect("manifests").values() {
        for source in sources(&root, package).expect("sources") {
            let lines = documentation_tests(&source.text).into_iter();
            unrun.extend(lines.map(|line| vec![format!("{}:{line}", source.file)]));
        }
    }
    assert!(
        unrun.is_empty(),
        "blocks that are not ```text:\n{}",
        show(&unrun)
    );
}

fn show(rows: &[Vec<String>]) -> String {
    rows.iter()
        .map(|row| row.join("\n    "))
        .collect::<Vec<_>>()
        .join("\n")
}
