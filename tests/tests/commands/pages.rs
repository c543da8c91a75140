//! The README's snippet and the gateway's pages.

use anyhow::{Context, Result, ensure};
use mythic_e2e::{Network, python, ran};
use std::collections::BTreeSet;
use std::path::Path;

/// The snippet of the README prints an answer, and nothing but it.
pub async fn readme_answers(network: &Network) -> Result<()> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme)?;
    let snippet = readme
        .split("```python\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .context("no snippet")?;
    let snippet = snippet.replace("http://127.0.0.1:4002", &network.text("gateway_url"));
    ensure!(snippet.contains(&network.text("gateway_url")), "{snippet}");
    let run = || ran(std::process::Command::new(python()?).args(["-c", &snippet]));
    let said = tokio::task::block_in_place(run)?;
    ensure!(
        said.code == 0 && said.stdout.trim().len() > 1 && said.stdout.ends_with('\n'),
        "{said:?}"
    );
    ensure!(!said.stdout.trim_end().ends_with("None"), "{said:?}");
    Ok(())
}

/// Everything that the two pages load or ask for is there.
pub async fn pages_fetch_what_exists(network: &Network) -> Result<()> {
    let job = network.text("own_job");
    let mut seen = BTreeSet::new();
    let mut left = vec!["/".to_owned(), format!("/jobs/{job}")];
    while let Some(path) = left.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let response = network.http.get(network.url(&path)).send().await?;
        ensure!(response.status() == 200, "{path}: {}", response.status());
        let kind = response.headers()["content-type"].to_str()?.to_owned();
        let ours = ["text/html", "text/javascript"];
        if !ours.iter().any(|ours| kind.starts_with(ours)) {
            continue;
        }
        // Quoted paths: of parts, of pages, of the API.
        let text = response.text().await?;
        for quoted in text.split('"').skip(1).step_by(2) {
            let next = match quoted {
                "./page.js" => "/static/page.js".to_owned(),
                "/v1/jobs/" => format!("/v1/jobs/{job}"),
                "/jobs/" => format!("/jobs/{job}"),
                // A command line that is shown, not fetched.
                _ if quoted.contains(char::is_whitespace) => continue,
                // Nobody has challenged anything here.
                "/v1/disputes/" => continue,
                "/receipt" | "/evidence" => format!("/v1/jobs/{job}{quoted}"),
                // The job is appended.
                _ if quoted.starts_with('/') && quoted.ends_with("job=") => {
                    format!("{quoted}{job}")
                }
                _ if quoted.starts_with('/') => quoted.to_owned(),
                _ => continue,
            };
            left.push(next);
        }
    }
    for needed in [
        "/static/job.js",
        "/static/style.css",
        "/v1/network",
        "/v1/validators?limit=100",
    ] {
        ensure!(seen.contains(needed), "{needed} in {seen:?}");
    }
    ensure!(
        seen.iter().any(|path| path.starts_with("/v1/stream?")),
        "{seen:?}"
    );
    Ok(())
}
