//! The executable as typed, against servers that say what a test wants: what it prints where, and how it ends.

use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
};

/// What a terminal would act on: it clears the screen, renames the window, and turns the text around.
const HOSTILE: &str = "a\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}b";

/// A command without the variables of whoever runs the tests, in a directory without a network.
fn mythic(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mythic"));
    for (name, _) in std::env::vars() {
        let proxy = name.to_ascii_uppercase().ends_with("_PROXY");
        if proxy || name.starts_with("MYTHIC_") {
            command.env_remove(name);
        }
    }
    command
        .args(args)
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::null());
    command
}

fn ran(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// What a server answers to a path.
type Answers = fn(&str) -> (u16, &'static str, String);

/// A gateway of a few fixed answers, and the paths it was asked for.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = seen.clone();
                thread::spawn(move || answer(stream, answers, &seen));
            }
        });
        Self { address, asked }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn answer(stream: TcpStream, answers: Answers, seen: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).is_err() {
        return;
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).unwrap_or(0) <= 2 {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let _ = reader.take(length).read_to_end(&mut Vec::new());
    seen.lock().unwrap().push(path.clone());
    let (status, kind, body) = answers(&path);
    let _ = write!(
        &stream,
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
}

const JSON: &str = "application/json";

fn refusal(status: u16, code: &str) -> (u16, &'static str, String) {
    let error = json!({"error": {"message": format!("no {HOSTILE}"), "code": code}});
    (status, JSON, error.to_string())
}

/// A gateway all of whose texts are hostile.
fn hostile(path: &str) -> (u16, &'static str, String) {
    let chunk = |value: Value| format!("data: {value}\n\n");
    match path.split('?').next().unwrap_or_default() {
        "/v1/models" => (200, JSON, json!({"data": [{"id": HOSTILE}]}).to_string()),
        "/v1/chat/completions" => {
            let text = json!({"choices": [{"delta": {"content": HOSTILE}}]});
            let last = json!({"choices": [], "mythic": {"cost_lamports": 7, "job": HOSTILE, "validator": HOSTILE}});
            let body = format!("{}{}data: [DONE]\n\n", chunk(text), chunk(last));
            (200, "text/event-stream", body)
        }
        "/v1/jobs" => {
            let job = json!({"id": HOSTILE, "status": HOSTILE});
            (
                200,
                JSON,
                json!({"data": [job], "has_more": true}).to_string(),
            )
        }
        "/v1/network" => (
            200,
            JSON,
            json!({"jobs": 330, "gpus": 0, "slot": HOSTILE}).to_string(),
        ),
        "/v1/stats/daily" => (200, JSON, json!({"data": []}).to_string()),
        _ if path.starts_with("/v1/jobs/") => {
            let job = json!({"id": HOSTILE, "output": HOSTILE, "finish_reason": HOSTILE});
            (200, JSON, job.to_string())
        }
        "/v1/estimate" => refusal(400, "invalid_request"),
        _ => refusal(404, "unknown_route"),
    }
}

fn acts_on_a_terminal(text: &str) -> bool {
    text.chars().any(|c| {
        c.is_control() && !matches!(c, '\n' | '\t') || ('\u{202a}'..='\u{202e}').contains(&c)
    })
}

#[test]
fn without_a_command_it_shows_its_help() {
    let (code, out, err) = ran(&mut mythic(&[]));
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.contains("Usage: mythic") && out.contains("jobs"),
        "{out}"
    );
}

#[test]
fn a_mistyped_command_is_answered_by_the_one_that_was_meant() {
    for (typed, meant) in [
        (&["ia", "Hello"][..], "'ai'"),
        (&["jobs", "lsit"], "'list'"),
        (&["netwrok"], "'network'"),
    ] {
        let (code, _, err) = ran(&mut mythic(typed));
        assert_eq!(code, 2, "{err}");
        assert!(err.contains(meant), "{typed:?}: {err}");
    }
}

#[test]
fn global_options_stand_apart_and_are_not_required_because_a_variable_is_set() {
    let (_, help, _) = ran(&mut mythic(&["jobs", "list", "--help"]));
    let (own, global) = help.split_once("Global options:").expect(&help);
    assert!(
        own.contains("--limit") && !own.contains("--gateway"),
        "{help}"
    );
    for option in ["--gateway", "--api-key", "--data-dir", "--log-json"] {
        assert!(global.contains(option), "{option} in {help}");
    }
    let mut refused = mythic(&["jobs", "show"]);
    for name in [
        "GATEWAY_URL",
        "API_KEY",
        "RPC_URL",
        "WS_URL",
        "KEYPAIR",
        "DATA_DIR",
    ] {
        refused.env(format!("MYTHIC_{name}"), "http://127.0.0.1:1");
    }
    let (code, _, err) = ran(&mut refused);
    assert_eq!(code, 2, "{err}");
    assert!(
        err.contains("mythic jobs show") && !err.contains("--gateway"),
        "{err}"
    );
}

#[test]
fn variables_stand_for_the_options() {
    let server = Server::start(hostile);
    let mut listed = mythic(&["jobs", "list", "--limit", "1", "--json"]);
    let (code, ..) = ran(listed.env("MYTHIC_GATEWAY_URL", server.url()));
    assert_eq!(code, 0);
    assert_eq!(server.asked.lock().unwrap().len(), 1);
}

#[test]
fn a_value_is_refused_with_one_code_whoever_refuses_it() {
    let server = Server::start(hostile);
    for args in [
        &["ai", "Hi", "--temperature", "3"][..],
        &["ai", "Hi", "--max-tokens", "0"],
        &["ai", "Hi", "--top-p", "1.5"],
        &["ai", "Hi", "--logit-bias", "7"],
        &["ai", "Hi", "--thinking", "hard"],
        &["ai", "Hi", "--json-schema", "/nowhere/schema.json"],
        &["jobs", "list", "--limit", "abc"],
        &["vault", "deposit", "ten"],
        &["estimate", "Hi", "--model", "m"],
    ] {
        let (code, _, err) = ran(mythic(args).args(["--gateway", &server.url()]));
        assert_eq!(code, 2, "{args:?}: {err}");
    }
    let (code, ..) = ran(mythic(&["disputes", "show", "x"]).args(["--gateway", &server.url()]));
    assert_eq!(code, 4);
}

#[test]
fn help_says_of_the_seed_what_is_true() {
    let (_, help, _) = ran(&mut mythic(&["ai", "--help"]));
    let seed = help.split("--seed").nth(1).expect(&help);
    let words: Vec<&str> = seed.split_whitespace().collect();
    let seed = words.join(" ");
    assert!(
        seed.contains("above temperature 0 an answer differs each time"),
        "{seed}"
    );
    assert!(!help.contains("= same answer"), "{help}");
}

#[test]
fn calls_of_functions_are_printed_as_json_behind_the_text() {
    let server = Server::start(|path| {
        let chunk = |delta: Value| format!("data: {}\n\n", json!({"choices": [{"delta": delta}]}));
        let call = |index: u32, function: Value| {
            chunk(json!({"tool_calls": [{"index": index, "function": function}]}))
        };
        let body = [
            chunk(json!({"content": "Wait."})),
            call(0, json!({"name": "weather", "arguments": ""})),
            call(0, json!({"arguments": "{\"city\": "})),
            call(0, json!({"arguments": "\"Bern\"}"})),
            call(1, json!({"name": "time", "arguments": "{\"at"})),
            "data: [DONE]\n\n".to_owned(),
        ];
        match path {
            "/v1/chat/completions" => (200, "text/event-stream", body.concat()),
            _ => refusal(404, "unknown_route"),
        }
    });
    let (code, out, err) =
        ran(mythic(&["ai", "Hi", "--model", "m"]).args(["--gateway", &server.url()]));
    assert_eq!(code, 0, "{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "Wait.");
    let call = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    assert_eq!(
        call(lines[1]),
        json!({"name": "weather", "arguments": {"city": "Bern"}})
    );
    assert_eq!(
        call(lines[2]),
        json!({"name": "time", "arguments": "{\"at"})
    );
}

#[test]
fn what_comes_from_elsewhere_never_acts_on_a_terminal() {
    let server = Server::start(hostile);
    let url = server.url();
    let at = |args: &[&str]| {
        let mut command = mythic(args);
        command.args(["--gateway", &url]);
        command
    };
    for args in [
        &["jobs", "list"][..],
        &["jobs", "list", "--json"],
        &["jobs", "show", "x"],
        &["jobs", "show", "x", "--json"],
        &["network"],
        &["estimate", "Hi", "--model", "m"],
        &["disputes", "list"],
        &["model", "list"],
    ] {
        let (_, out, err) = ran(&mut at(args));
        assert!(!acts_on_a_terminal(&out), "{args:?}: {out:?}");
        assert!(!acts_on_a_terminal(&err), "{args:?}: {err:?}");
    }
    // The answer itself goes into a pipe as it is; what else is said does not.
    let (code, out, err) = ran(&mut at(&["ai", "Hi"]));
    assert_eq!((code, out.as_str()), (0, format!("{HOSTILE}\n").as_str()));
    assert!(
        !acts_on_a_terminal(&err) && err.contains("0.000000007 SOL"),
        "{err:?}"
    );
    // On a terminal it is shown, not obeyed.
    let line = format!("{} ai Hi --gateway {url}", env!("CARGO_BIN_EXE_mythic"));
    let mut terminal = Command::new("script");
    terminal
        .args(["-qec", &line, "/dev/null"])
        .stdin(Stdio::null());
    let shown = String::from_utf8(terminal.output().unwrap().stdout).unwrap();
    assert!(
        shown.contains("\\u{1b}[2J") && shown.contains("\\u{9b}31m"),
        "{shown:?}"
    );
    let shown = shown.replace(['\r', '\n'], "");
    assert!(!acts_on_a_terminal(&shown), "{shown:?}");
}

#[test]
fn a_list_that_was_cut_says_so_with_units() {
    let server = Server::start(hostile);
    let (code, out, err) =
        ran(mythic(&["jobs", "list", "--limit", "1"]).args(["--gateway", &server.url()]));
    assert_eq!(code, 0);
    for column in ["FEE", "= VALIDATOR", "+ FOUNDATION", "+ BURNED"] {
        assert!(out.contains(column), "{out}");
    }
    assert!(
        err.contains("lamports") && err.contains("1 of 330; --limit"),
        "{err}"
    );
}

/// Nothing listens at the proxy: whatever went there would fail.
#[test]
fn loopback_is_never_asked_through_a_proxy() {
    let server = Server::start(hostile);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        for direct in [None, Some("example.org")] {
            let mut command = mythic(&[
                "jobs",
                "list",
                "--limit",
                "1",
                "--json",
                "--gateway",
                &server.url(),
            ]);
            command.env(name, "http://127.0.0.1:9");
            if let Some(direct) = direct {
                command.env("NO_PROXY", direct);
            }
            let (code, _, err) = ran(&mut command);
            assert_eq!(code, 0, "{name}: {err}");
        }
        let rpc = ["wallet", "show", "--rpc", &server.url(), "--keypair"];
        let key = tempfile::tempdir().unwrap();
        let file = key.path().join("key.json").display().to_string();
        assert_eq!(ran(&mut mythic(&["wallet", "new", &file, "--json"])).0, 0);
        let before = server.asked.lock().unwrap().len();
        ran(mythic(&rpc).arg(&file).env(name, "http://127.0.0.1:9"));
        assert!(
            server.asked.lock().unwrap().len() > before,
            "{name}: the chain was not asked"
        );
    }
}

#[test]
fn without_a_network_its_commands_say_so_with_a_code_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().display().to_string();
    for command in [
        &["status"][..],
        &["stop"],
        &["warp", "1"],
        &["cheat", "--validator", "1"],
    ] {
        let mut args = vec!["dev"];
        args.extend(command);
        args.extend(["--data-dir", &data]);
        let (code, _, err) = ran(&mut mythic(&args));
        assert_eq!(code, 4, "{args:?}: {err}");
        assert!(err.contains("make dev"), "{err}");
    }
}

/// A process that holds a data directory's lock as a network does, and what `dev.json` says of it. It ends with the test.
struct Held {
    dir: tempfile::TempDir,
    child: std::process::Child,
}

impl Held {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("lock");
        let child = Command::new("flock")
            .arg(&lock)
            .args(["sh", "-c", "echo $$ >\"$0\"; exec sleep 600"])
            .arg(&lock)
            .spawn()
            .unwrap();
        let held = Self { dir, child };
        while held.pid().is_none() {
            thread::sleep(std::time::Duration::from_millis(10));
        }
        held
    }

    fn pid(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.dir.path().join("lock")).ok()?;
        text.trim().parse().ok()
    }

    /// What a network of one validator tells scripts, whose node is this very test.
    fn tells(&self, pid: u32) {
        let node = json!({"pid": std::process::id(), "restarts": 0, "log": "/l", "config": "/c"});
        let validator = json!({"authority": "A", "operator": "O", "endpoint": "http://127.0.0.1:9", "process": "node-1"});
        let state = json!({
            "pid": pid, "gateway_url": "http://g", "api_key": "k", "rpc_url": "http://127.0.0.1:9", "ws_url": "ws://w",
            "database_url": "postgresql://d", "binary": "/b/mythic", "data_dir": self.dir.path(), "model": "m",
            "processes": {"node-1": node}, "programs": {}, "validators": [validator], "keys": {}, "own_job": null, "ready_at": null,
        });
        std::fs::write(self.dir.path().join("dev.json"), state.to_string()).unwrap();
    }

    fn dev(&self, args: &[&str]) -> (i32, String, String) {
        ran(mythic(&["dev"])
            .args(args)
            .arg("--data-dir")
            .arg(self.dir.path()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.dev(&["stop"]);
        let _ = self.child.wait();
    }
}

#[test]
fn a_running_network_says_how_it_is_and_stops() {
    let network = Held::new();
    let pid = network.pid().unwrap();
    network.tells(pid);
    let (code, out, _) = network.dev(&["status"]);
    assert_eq!(code, 0);
    for word in ["http://g/v1", "node-1", "mythic dev stop", "not Ready yet"] {
        assert!(out.contains(word), "no {word} in {out}");
    }
    let (_, out, _) = network.dev(&["status", "--json"]);
    let said: Value = serde_json::from_str(&out).expect(&out);
    assert_eq!((&said["pid"], &said["model"]), (&json!(pid), &json!("m")));
    let (code, out, err) = network.dev(&["stop", "--json"]);
    let said: Value = serde_json::from_str(&out).expect(&err);
    assert_eq!(code, 0);
    assert_eq!(said, json!({"stopped": true, "pid": pid}));
    assert_eq!(network.dev(&["stop"]).0, 4);
}

/// Its node's number belongs to another process now: here to this test, which goes on.
#[test]
fn what_a_killed_network_left_behind_is_not_taken_for_one_that_runs() {
    let network = Held::new();
    network.tells(1);
    let cheat = ["cheat", "--validator", "1", "--anyway"];
    let ask = ["ask", "--validator", "1", "Hi"];
    for args in [&["status"][..], &["warp", "1"], &cheat, &ask] {
        let (code, _, err) = network.dev(args);
        assert_eq!(code, 4, "{args:?}: {err}");
        assert!(err.contains("starting or stopping"), "{err}");
    }
    assert_eq!(network.dev(&["stop"]).0, 0);
    for args in [&["status"][..], &["warp", "1"], &cheat, &ask] {
        let (code, _, err) = network.dev(args);
        assert_eq!(code, 4, "{args:?}: {err}");
        assert!(err.contains("make dev"), "{err}");
    }
}

#[test]
fn a_file_that_no_node_could_serve_is_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model.gguf");
    std::fs::write(&model, "GGUF").unwrap();
    for (kind, more) in [
        ("verify", &[][..]),
        ("node", &["--endpoint", "http://127.0.0.1:1"]),
    ] {
        let home = dir.path().join(kind);
        let mut command = mythic(&[kind, "init"]);
        command.arg(&home).arg("--model").arg(&model).args(more);
        let (code, _, err) = ran(&mut command);
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("model.gguf"), "{err}");
        assert!(!home.exists(), "{}", home.display());
    }
}

#[test]
fn a_check_for_a_script_is_one_object_and_its_words_go_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("chain.toml");
    let check = || ran(mythic(&["config", "check", "--json"]).arg(&file));
    for (text, code, problem) in [
        ("slot_ms = 50\n", 0, None),
        ("slotms = 50\n", 6, Some("slotms")),
    ] {
        std::fs::write(&file, text).unwrap();
        let (ended, out, err) = check();
        let said: Value = serde_json::from_str(&out).expect(&out);
        assert_eq!((ended, &said["process"]), (code, &json!("chain")));
        assert_eq!(said["good"], problem.is_none());
        match problem {
            None => assert_eq!((&said["problem"], err.as_str()), (&Value::Null, "")),
            Some(word) => {
                assert!(
                    said["problem"]
                        .as_str()
                        .is_some_and(|why| why.contains(word))
                );
                assert!(err.starts_with("error: ") && err.contains(word), "{err}");
            }
        }
    }
    // What is no finding leaves standard output empty, as for every command.
    let unnamed = dir.path().join("some.toml");
    let (code, out, err) = ran(mythic(&["config", "check", "--json"]).arg(unnamed));
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("--process"), "{err}");
}
