//! Keeps `docs/protocol.md` and `docs/market.md` true: their tables of accounts, instructions and errors are made from the
//! interface's own source, and their tables of refusals name every instruction and every error.
//!
//! The IDLs in `programs/idl` are made of the same, for explorers, wallets and clients in other languages.
//!
//! `MYTHIC_REWRITE=1 cargo test -p mythic-interface --test document` rewrites the made parts.

mod books;
mod idl;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use books::{Book, books};
use mythic_interface::dispute::{least_keys, quorum};
use source::{Item, Sizes, arguments, structures};

fn table(item: &Item, sizes: &Sizes, start: usize) -> String {
    let mut out = String::from("| offset | size | field | type | |\n|--:|--:|---|---|---|\n");
    let mut offset = start;
    for field in &item.fields {
        let size = sizes.of(&field.ty);
        let source::Field { name, ty, doc } = field;
        writeln!(out, "| {offset} | {size} | `{name}` | `{ty}` | {doc} |").expect("a string");
        offset += size;
    }
    out
}

/// The chance that at least `least` of `seats` seats go to a share `p` of the stake.
fn binomial_tail(seats: u32, least: u32, p: f64) -> f64 {
    let of = |k: u32| {
        let ways = (0..k).fold(1.0, |ways, i| {
            ways * f64::from(seats - i) / f64::from(i + 1)
        });
        ways * p.powi(k as i32) * (1.0 - p).powi((seats - k) as i32)
    };
    (least..=seats).map(of).sum()
}

/// What a colluding share of the committing stake can do, by seats. `tests/juries.rs` draws the same.
fn juries() -> String {
    let mut out = String::from(
        "| seats | for a verdict | 5 % | 10 % | 20 % | 30 % | 33 % | 40 % | 50 % |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for seats in [3, 5, 7, 15] {
        let needed = quorum(seats);
        for (least, what) in [(needed, "forge"), (seats - needed + 1, "prevent")] {
            write!(out, "| {seats} | {what}: {least} |").expect("a string");
            for share in [5, 10, 20, 30, 33, 40, 50] {
                let chance = binomial_tail(seats, least, f64::from(share) / 100.0);
                write!(out, " {} |", percent(chance)).expect("a string");
            }
            out.push('\n');
        }
    }
    out
}

/// What one colluding juror can do on a network of validators with equal stake, by seats.
fn networks() -> String {
    let mut out = String::from(
        "| validators | may judge | by | 3 seats | 5 seats | 7 seats | 15 seats |\n|--:|--:|---|--:|--:|--:|--:|\n",
    );
    for validators in [3u32, 5, 7, 30] {
        let jurors = validators - 2;
        for (forges, what) in [(true, "forge"), (false, "prevent")] {
            write!(out, "| {validators} | {jurors} | {what} |").expect("a string");
            for seats in [3, 5, 7, 15] {
                let needed = quorum(seats);
                let least = if forges { needed } else { seats - needed + 1 };
                let chance = binomial_tail(seats, least, 1.0 / f64::from(jurors));
                write!(out, " {} |", percent(chance)).expect("a string");
            }
            out.push('\n');
        }
    }
    out
}

/// How often a jury has fewer keys than a verdict needs, where a part of the stake lies with few keys and the rest with twenty.
fn lone() -> String {
    let mut out = String::from(
        "| seats | keys that hold it | 50 % | 70 % | 80 % | 90 % |\n|--:|--:|--:|--:|--:|--:|\n",
    );
    for seats in [3, 5, 7, 15] {
        for keys in [1, 2, 4] {
            write!(out, "| {seats} | {keys} |").expect("a string");
            for share in [50, 70, 80, 90] {
                let share = f64::from(share) / 100.0;
                let large = vec![share / keys as f64; keys];
                let stakes = [large, vec![(1.0 - share) / 20.0; 20]].concat();
                write!(out, " {} |", percent(too_few(seats, &stakes))).expect("a string");
            }
            out.push('\n');
        }
    }
    out
}

/// The chance that all seats go to fewer of these keys than a verdict needs: to one, or to two where it needs three.
fn too_few(seats: u32, stakes: &[f64]) -> f64 {
    let all = |share: f64| share.powi(seats as i32);
    let one: f64 = stakes.iter().map(|stake| all(*stake)).sum();
    if least_keys(seats) == 2 {
        return one;
    }
    let pairs = stakes.iter().enumerate().flat_map(|(i, first)| {
        let others = stakes[i + 1..].iter();
        others.map(move |second| all(first + second) - all(*first) - all(*second))
    });
    one + pairs.sum::<f64>()
}

/// A chance as the tables state it.
fn percent(chance: f64) -> String {
    let percent = 100.0 * chance;
    match percent < 0.01 {
        true => format!("{percent:.0e} %"),
        false => format!("{percent:.2} %"),
    }
}

fn made(book: &Book) -> BTreeMap<&'static str, String> {
    let state_source = book.layouts.concat();
    let mut sizes = Sizes::new(&[book.params, &state_source]);
    let (mut parts, mut layouts) = (String::new(), String::new());
    let items = structures(book.params)
        .into_iter()
        .chain(structures(&state_source));
    for item in items {
        let size = sizes.learn(&item);
        let account = book.accounts.iter().find(|(name, ..)| *name == item.name);
        let (out, kind) = match account {
            Some((_, first, len)) => {
                assert_eq!(size, *len, "{}", item.name);
                (&mut layouts, format!("discriminator {first}, {size} bytes"))
            }
            None => (&mut parts, format!("{size} bytes")),
        };
        let rows = table(&item, &sizes, 0);
        write!(
            out,
            "### {} ({kind})\n\n{}\n\n{rows}\n",
            item.name, item.doc
        )
        .expect("a string");
    }

    let arguments: BTreeMap<String, Item> =
        book.arguments.iter().copied().flat_map(arguments).collect();
    let mut instructions = String::new();
    for listed in &book.instructions {
        let (name, spec) = (listed.name, listed.spec);
        let item = &arguments[name];
        let size: usize = item.fields.iter().map(|field| sizes.of(&field.ty)).sum();
        assert_eq!(1 + size, spec.data_len, "{name}");
        let mut list: Vec<String> = spec
            .accounts
            .iter()
            .map(|account| {
                let marks: Vec<&str> = [
                    (account.signer, "signs"),
                    (account.writable, "written"),
                    (account.optional, "optional"),
                ]
                .into_iter()
                .filter_map(|(is, mark)| is.then_some(mark))
                .collect();
                match marks.is_empty() {
                    true => format!("`{}`", account.name),
                    false => format!("`{}` ({})", account.name, marks.join(", ")),
                }
            })
            .collect();
        list.extend(spec.trailing.map(|name| format!("any number of `{name}`")));
        write!(
            instructions,
            "### {name} (tag {})\n\n{}\n\nAccounts: {}.\n\n",
            spec.number,
            item.doc,
            list.join(" · ")
        )
        .expect("a string");
        if !item.fields.is_empty() {
            writeln!(instructions, "{}", table(item, &sizes, 1)).expect("a string");
        }
        if let Some(tail) = spec.tail {
            write!(instructions, "Behind the arguments: {tail}.\n\n").expect("a string");
        }
    }

    let mut errors = String::from("| code | name | meaning |\n|--:|---|---|\n");
    for error in &book.errors {
        let (code, name, message) = (error.code(), error.name(), error.message());
        writeln!(errors, "| {code} | `{name}` | {message} |").expect("a string");
    }
    let mut made = BTreeMap::from([
        ("parts", parts),
        ("accounts", layouts),
        ("instructions", instructions),
        ("errors", errors),
    ]);
    if book.address == mythic_interface::AI_PRECOMPILES_ID {
        made.extend([
            ("juries", juries()),
            ("networks", networks()),
            ("lone", lone()),
        ]);
    }
    made
}

/// The document with its made parts replaced.
fn rewritten(book: &Book, document: &str) -> String {
    let mut document = document.to_owned();
    for (name, text) in made(book) {
        let (start, end) = (
            format!("<!-- made: {name} -->\n"),
            format!("<!-- end: {name} -->"),
        );
        let (head, rest) = document
            .split_once(&start)
            .unwrap_or_else(|| panic!("no {start}"));
        let (_, tail) = rest.split_once(&end).unwrap_or_else(|| panic!("no {end}"));
        document = format!("{head}{start}{}\n{end}{tail}", text.trim_end());
    }
    document
}

#[test]
fn the_tables_are_those_of_the_source() {
    for book in books() {
        let path = book.document;
        let document = std::fs::read_to_string(path).expect("the document");
        let expected = rewritten(&book, &document);
        if std::env::var_os("MYTHIC_REWRITE").is_some() {
            std::fs::write(path, &expected).expect("writable");
            continue;
        }
        assert!(
            document == expected,
            "{path} is not true any more; MYTHIC_REWRITE=1 rewrites it"
        );
    }
}

#[test]
fn the_refusals_name_every_instruction_and_every_error() {
    for book in books() {
        let document = std::fs::read_to_string(book.document).expect("the document");
        let section = document
            .split_once("## What is refused\n")
            .and_then(|(_, rest)| rest.split_once("\n## "))
            .expect("the section")
            .0;
        let (mut instructions, mut errors) = (BTreeSet::new(), BTreeSet::new());
        for row in section
            .lines()
            .filter(|line| line.starts_with("| `") || line.starts_with("| any"))
        {
            let mut cells = row.split('|').skip(1);
            let (who, what) = (cells.next().expect("a cell"), cells.next().expect("a cell"));
            let ticked = |cell: &str| -> Vec<String> {
                cell.split('`')
                    .skip(1)
                    .step_by(2)
                    .map(str::to_owned)
                    .collect()
            };
            instructions.extend(ticked(who));
            errors.extend(ticked(what));
        }
        let names = book
            .instructions
            .iter()
            .map(|listed| listed.name.to_owned());
        let tags: BTreeSet<String> = names.collect();
        assert_eq!(instructions, tags);
        errors.retain(|name| !tags.contains(name));
        let used: BTreeSet<String> = book
            .errors
            .iter()
            .map(|error| error.name().to_owned())
            .collect();
        let missing: Vec<_> = used.symmetric_difference(&errors).collect();
        assert!(missing.is_empty(), "{}: {missing:?}", book.document);
    }
}

#[test]
fn the_idls_are_those_of_the_source() {
    for book in books() {
        let (path, expected) = (book.idl, idl::root(&book));
        if std::env::var_os("MYTHIC_REWRITE").is_some() {
            let text = serde_json::to_string_pretty(&expected).expect("JSON");
            std::fs::write(path, text + "\n").expect("writable");
            continue;
        }
        let found = std::fs::read_to_string(path).expect("the IDL");
        let found: serde_json::Value = serde_json::from_str(&found).expect("JSON");
        assert!(
            found == expected,
            "{path} is not true any more; MYTHIC_REWRITE=1 rewrites it"
        );
    }
}
