//! Where Kafka's jars are: in the cache, put there by Maven.

use anyhow::{Context, Result, bail, ensure};
use std::{
    env, fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// What Maven is told.
const POM: &str = include_str!("../pom.xml");
/// Longest that Maven may take.
const FETCH: Duration = Duration::from_secs(400);

/// The folder with the jars; `None`: they can't be had here, which was printed.
pub(crate) fn had() -> Result<Option<PathBuf>> {
    match jars() {
        Ok(jars) => Ok(Some(jars)),
        Err(e) if env::var_os("MYTHIC_REQUIRE_KAFKA").is_some_and(|v| v == "1") => {
            Err(e.context("MYTHIC_REQUIRE_KAFKA is set, and there is no Kafka"))
        }
        Err(e) => {
            said(&format!("no Kafka here: {e:#}"));
            Ok(None)
        }
    }
}

/// Says something past what captures the output of tests, which shows only that of those that fail.
fn said(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// Counts the running test as skipped: said, and a line in the file that `make test` counts in the end.
pub(crate) fn skipped() {
    let test = std::thread::current();
    let line = format!("SKIPPED: {}", test.name().unwrap_or("a test"));
    said(&line);
    let Some(file) = env::var_os("MYTHIC_SKIPPED") else {
        return;
    };
    let file = fs::OpenOptions::new().create(true).append(true).open(file);
    let counted = file.and_then(|mut file| writeln!(file, "{line}"));
    if let Err(e) = counted {
        said(&format!("it is not counted: {e}"));
    }
}

/// The folder with the jars. One test at a time fetches them.
fn jars() -> Result<PathBuf> {
    let works = |program: &str, flag: &str| {
        Command::new(program)
            .arg(flag)
            .stdin(Stdio::null())
            .output()
            .is_ok_and(|done| done.status.success())
    };
    ensure!(
        works("java", "-version"),
        "`java` does not run: install Java 17 or later"
    );
    let cache = env::var_os("XDG_CACHE_HOME")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?
        .join("mythic");
    let ready = cache.join("kafka-4.1.1");
    if ready.is_dir() {
        return Ok(ready);
    }
    fs::create_dir_all(&cache)?;
    let lock = fs::File::create(cache.join("kafka.lock"))?;
    lock.lock()?;
    if ready.is_dir() {
        return Ok(ready);
    }
    ensure!(
        works("mvn", "--version"),
        "`mvn` does not run: install Maven"
    );
    let work = tempfile::Builder::new()
        .prefix("kafka-fetch-")
        .tempdir_in(&cache)?;
    fs::write(work.path().join("pom.xml"), POM)?;
    let output = work.path().join("log");
    let log = fs::File::create(&output)?;
    let mut maven = Command::new("mvn")
        .args(["-q", "-B", "dependency:copy-dependencies"])
        .args(["-DincludeScope=runtime", "-DoutputDirectory=libs"])
        .current_dir(work.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("mvn")?;
    let since = Instant::now();
    let status = loop {
        match maven.try_wait()? {
            Some(status) => break status,
            None if since.elapsed() > FETCH => {
                let _ = maven.kill();
                let _ = maven.wait();
                bail!("Maven took longer than {} s", FETCH.as_secs());
            }
            None => std::thread::sleep(Duration::from_millis(100)),
        }
    };
    if !status.success() {
        let said = fs::read_to_string(&output).unwrap_or_default();
        let said: Vec<&str> = said.lines().take(5).collect();
        bail!("Maven could not fetch them: {}", said.join(" | "));
    }
    fs::rename(work.path().join("libs"), &ready)?;
    Ok(ready)
}
