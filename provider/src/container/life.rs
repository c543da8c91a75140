//! Whether the first processes of containers run, as the kernel tells it: asked every second, it takes no program.

use std::{collections::HashMap, fs};

use parking_lot::Mutex;

/// Number of a process and when it began, which no later one of that number shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Life {
    pid: u32,
    began: u64,
}

/// First processes by container.
#[derive(Debug, Default)]
pub struct Lives(Mutex<HashMap<String, Life>>);

impl Lives {
    /// A container's first process is this one.
    pub fn note(&self, id: &str, pid: u32) {
        let mut all = self.0.lock();
        match life(pid) {
            Some(life) => all.insert(id.to_owned(), life),
            None => all.remove(id),
        };
    }

    /// The container is not there any more.
    pub fn forget(&self, id: &str) {
        self.0.lock().remove(id);
    }

    /// Whether a container's first process is known and has not ended.
    pub fn is_running(&self, id: &str) -> bool {
        let known = self.0.lock().get(id).copied();
        known.is_some_and(|known| life(known.pid) == Some(known))
    }
}

/// A process that has not ended.
fn life(pid: u32) -> Option<Life> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Its name, in brackets, may have any letters.
    let (_, told) = stat.rsplit_once(") ")?;
    let mut told = told.split(' ');
    let has_ended = matches!(told.next()?, "Z" | "X");
    let began = told.nth(18)?.parse().ok()?;
    (!has_ended).then_some(Life { pid, began })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_runs_until_it_has_ended_and_no_other_takes_its_place() {
        let lives = Lives::default();
        assert!(!lives.is_running("a"), "nothing is known of it");
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        lives.note("a", child.id());
        assert!(lives.is_running("a") && !lives.is_running("b"));
        let known = life(child.id()).unwrap();
        let other = Life {
            began: known.began + 1,
            ..known
        };
        lives.0.lock().insert("b".into(), other);
        assert!(!lives.is_running("b"), "its number is another's now");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!lives.is_running("a"));
        lives.note("a", child.id());
        lives.forget("b");
        assert!(lives.0.lock().is_empty());
    }
}
