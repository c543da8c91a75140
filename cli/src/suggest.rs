//! The command that was meant: clap finds similar names, but not two letters that changed places in a name of two.

use clap::{
    Command, Error,
    error::{ContextKind, ContextValue, ErrorKind},
};
use std::ffi::OsString;

/// Adds the nearest command to an error about an unknown one, where clap has found none.
pub fn complete(mut error: Error, command: Command, args: impl Iterator<Item = OsString>) -> Error {
    if error.kind() != ErrorKind::InvalidSubcommand
        || error.get(ContextKind::SuggestedSubcommand).is_some()
    {
        return error;
    }
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else {
        return error;
    };
    if let Some(meant) = nearest(typed, &names(&command, args, typed)) {
        let meant = ContextValue::Strings(vec![meant]);
        error.insert(ContextKind::SuggestedSubcommand, meant);
    }
    error
}

/// Names of the commands that could stand where `typed` does.
fn names(root: &Command, args: impl Iterator<Item = OsString>, typed: &str) -> Vec<String> {
    let mut at = root;
    for arg in args.filter_map(|arg| arg.into_string().ok()) {
        if arg == typed {
            break;
        }
        if let Some(next) = at.find_subcommand(&arg) {
            at = next;
        }
    }
    at.get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect()
}

/// The name that is fewest slips away from `typed`, if those are few for its length.
fn nearest(typed: &str, names: &[String]) -> Option<String> {
    let most = 1 + typed.chars().count() / 4;
    let near = names.iter().map(|name| (slips(typed, name), name));
    let best = near.filter(|(slips, _)| *slips <= most).min()?;
    Some(best.1.clone())
}

/// Letters to insert, remove, replace, or exchange with their neighbour, to make one word of the other.
fn slips(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().collect());
    let mut rows = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, n) | (n, 0) => n,
                (i, j) => {
                    let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                    if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                        least = least.min(rows[i - 2][j - 2] + 1);
                    }
                    least
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_are_counted_once() {
        for (a, b, wanted) in [
            ("ia", "ai", 1),
            ("jbos", "jobs", 1),
            ("job", "jobs", 1),
            ("jobs", "jobs", 0),
            ("", "ai", 2),
            ("walet", "vault", 3),
        ] {
            assert_eq!(slips(a, b), wanted, "{a} {b}");
        }
    }

    #[test]
    fn the_nearest_command_of_that_place_is_meant() {
        let root = Command::new("mythic")
            .subcommand(Command::new("ai"))
            .subcommand(Command::new("jobs").subcommand(Command::new("list")));
        let meant = |line: &[&str]| {
            let typed = line.last().unwrap();
            let args = line.iter().map(OsString::from);
            nearest(typed, &names(&root, args, typed))
        };
        assert_eq!(meant(&["ia"]).as_deref(), Some("ai"));
        assert_eq!(meant(&["jobs", "lsit"]).as_deref(), Some("list"));
        assert_eq!(meant(&["frobnicate"]), None);
    }
}
