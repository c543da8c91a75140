//! What the pages name is there.

use std::{collections::BTreeSet, path::Path};

use mythic_architecture::root;

/// The pages of this repository, from its root.
fn pages() -> Vec<String> {
    ["", "docs"]
        .iter()
        .flat_map(|dir| {
            let files = std::fs::read_dir(root().join(dir)).expect("a folder");
            files.flatten().map(move |file| {
                let name = file.file_name().to_string_lossy().into_owned();
                match dir.is_empty() {
                    true => name,
                    false => format!("{dir}/{name}"),
                }
            })
        })
        .filter(|name| name.ends_with(".md"))
        .collect()
}

fn text(page: &str) -> String {
    std::fs::read_to_string(root().join(page)).expect("a page")
}

/// Where the links of a page lead, and the headings they name.
fn links(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?;
        match target.split_once('#') {
            Some((file, heading)) => Some((file, Some(heading))),
            None => Some((target, None)),
        }
    })
}

/// The names under which headings of a page are linked.
fn headings(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

/// `a/{b,c}` is two paths.
fn expanded(path: &str) -> Vec<String> {
    match (path.split_once('{'), path.split_once('}')) {
        (Some((before, _)), Some((inner, after))) => inner
            .split('{')
            .next_back()
            .unwrap_or_default()
            .split(',')
            .map(|choice| format!("{before}{choice}{after}"))
            .collect(),
        _ => vec![path.to_owned()],
    }
}

#[test]
fn every_link_leads_somewhere() {
    let mut dead = Vec::new();
    let mut count = 0;
    for page in pages() {
        let own = text(&page);
        for (file, heading) in links(&own) {
            if file.contains("://") {
                continue;
            }
            count += 1;
            let target = match file.is_empty() {
                true => page.clone(),
                false => {
                    let dir = Path::new(&page).parent().unwrap_or(Path::new(""));
                    dir.join(file).to_string_lossy().into_owned()
                }
            };
            let leads = root().join(&target).exists()
                && heading.is_none_or(|heading| headings(&text(&target)).contains(heading));
            if !leads {
                dead.push(format!("{page}: {file} {}", heading.unwrap_or_default()));
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
    assert!(count > 30, "{count} links were found");
}

#[test]
fn every_file_and_folder_that_a_page_names_exists() {
    let root = root();
    let mut missing = Vec::new();
    let mut count = 0;
    for page in pages() {
        for code in text(&page).split('`').skip(1).step_by(2) {
            let (first, _) = code.split_once('/').unwrap_or_default();
            // A path begins with a folder of ours; capitals stand for names to fill in.
            let is_path = root.join(first).is_dir()
                && !first.is_empty()
                && !first.starts_with('.')
                && !code.contains(|c: char| c.is_whitespace() || c.is_uppercase() || c == '*');
            if !is_path {
                continue;
            }
            for path in expanded(code) {
                count += 1;
                if !root.join(&path).exists() {
                    missing.push(format!("{page}: {path}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
    assert!(count > 30, "{count} paths were found");
}
