use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use tar::{Builder, Header};

use super::*;

const ROOM: u64 = 1 << 20;

/// A layer under way.
struct Layer(Builder<Vec<u8>>);

impl Layer {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    /// Adds an entry with this name exactly, whatever it is.
    fn with(mut self, kind: EntryType, name: &str, link: &str, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(7);
        header.set_size(content.len() as u64);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.with(EntryType::Regular, name, "", content.as_bytes())
    }

    fn directory(self, name: &str) -> Self {
        self.with(EntryType::Directory, name, "", b"")
    }

    fn symlink(self, name: &str, to: &str) -> Self {
        self.with(EntryType::Symlink, name, to, b"")
    }

    fn link(self, name: &str, to: &str) -> Self {
        self.with(EntryType::Link, name, to, b"")
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// Layers unpacked, one over the other, beside a file that none of them may reach.
struct Unpacked {
    dir: tempfile::TempDir,
    outcome: Result<(), UnpackError>,
}

fn unpacked(layers: Vec<Layer>) -> Unpacked {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secret"), "untouched").unwrap();
    let mut tree = Tree::new(&dir.path().join("root"), None, ROOM).unwrap();
    let mut outcome = Ok(());
    for layer in layers {
        outcome = tree.layer(&layer.bytes()[..]);
        if outcome.is_err() {
            break;
        }
    }
    Unpacked { dir, outcome }
}

impl Unpacked {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("root").join(name)
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    fn is_there(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path(name)).is_ok()
    }

    /// Nothing outside was touched.
    fn assert_inside(&self) {
        let secret = fs::read_to_string(self.dir.path().join("secret")).unwrap();
        assert_eq!(secret, "untouched");
        assert_eq!(fs::read_dir(self.dir.path()).unwrap().count(), 2);
    }
}

#[test]
fn files_directories_and_links_are_what_the_layer_says() {
    let layer = Layer::new()
        .directory("./")
        .directory("bin/")
        .file("bin/tool", "x")
        .symlink("sh", "/bin/tool")
        .link("hard", "bin/tool")
        .file("made/on/the/way", "y");
    let found = unpacked(vec![layer]);
    found.outcome.as_ref().unwrap();
    assert_eq!(found.read("bin/tool").as_deref(), Some("x"));
    assert_eq!(found.read("hard").as_deref(), Some("x"));
    assert_eq!(found.read("made/on/the/way").as_deref(), Some("y"));
    let link = fs::read_link(found.path("sh")).unwrap();
    assert_eq!(link, PathBuf::from("/bin/tool"));
    let mode = fs::metadata(found.path("bin/tool")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o7777, 0o644);
}

#[test]
fn no_path_leads_out_of_the_directory() {
    for layer in [
        Layer::new().file("../secret", "taken"),
        Layer::new().file("a/../../secret", "taken"),
        Layer::new().link("mine", "../secret"),
        Layer::new().file("", "taken"),
        Layer::new().file(".wh...", ""),
    ] {
        let found = unpacked(vec![layer]);
        assert!(found.outcome.is_err());
        found.assert_inside();
    }
}

#[test]
fn a_link_that_points_outside_leads_nowhere_but_inside() {
    // Each writes through a link: up, to the root of the machine, through two.
    let up = Layer::new().symlink("up", "..").file("up/secret", "in");
    let found = unpacked(vec![up]);
    found.outcome.as_ref().unwrap();
    assert_eq!(found.read("secret").as_deref(), Some("in"));
    found.assert_inside();
    let dir = tempfile::tempdir().unwrap();
    let outside = dir
        .path()
        .to_str()
        .unwrap()
        .trim_start_matches('/')
        .to_owned();
    let root = Layer::new()
        .symlink("root", "/")
        .file(&format!("root/{outside}/x"), "in");
    let found = unpacked(vec![root]);
    found.outcome.as_ref().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    assert_eq!(found.read(&format!("{outside}/x")).as_deref(), Some("in"));
    // A hard link to what a link points at is one to the link.
    let hard = Layer::new()
        .symlink("s", "../../secret")
        .link("h", "s")
        .file("h", "in");
    let found = unpacked(vec![hard]);
    found.outcome.as_ref().unwrap();
    found.assert_inside();
    assert_eq!(found.read("h").as_deref(), Some("in"));
}

#[test]
fn a_file_replaces_a_link_and_is_not_written_through_it() {
    let layer = Layer::new().symlink("a", "../secret").file("a", "own");
    let found = unpacked(vec![layer]);
    found.outcome.as_ref().unwrap();
    found.assert_inside();
    assert_eq!(found.read("a").as_deref(), Some("own"));
    // A directory over a link too.
    let layer = Layer::new()
        .symlink("d", "..")
        .directory("d")
        .file("d/secret", "own");
    let found = unpacked(vec![layer]);
    found.outcome.as_ref().unwrap();
    assert_eq!(found.read("d/secret").as_deref(), Some("own"));
    found.assert_inside();
}

#[test]
fn a_layer_takes_away_what_those_below_brought_and_nothing_of_its_own() {
    let below = || {
        Layer::new()
            .file("keep", "1")
            .file("gone", "1")
            .file("d/old", "1")
            .file("tree/a/b/c", "1")
    };
    let above = Layer::new()
        .file(".wh.gone", "")
        .file("d/new", "2")
        .file("d/.wh..wh..opq", "")
        .file(".wh.tree", "")
        .file(".wh.missing", "");
    let found = unpacked(vec![below(), above]);
    found.outcome.as_ref().unwrap();
    assert!(found.is_there("keep") && !found.is_there("gone"));
    assert!(found.is_there("d/new") && !found.is_there("d/old"));
    assert!(!found.is_there("tree"));
    assert!(!found.is_there(".wh.gone") && !found.is_there("d/.wh..wh..opq"));
    // Removing through a link removes the link.
    let below = Layer::new().symlink("out", "..");
    let above = Layer::new().file(".wh.out", "");
    let found = unpacked(vec![below, above]);
    found.outcome.as_ref().unwrap();
    found.assert_inside();
    assert!(!found.is_there("out"));
}

#[test]
fn devices_are_left_out_and_unknown_kinds_refused() {
    let layer = Layer::new()
        .with(EntryType::Char, "dev/mem", "", b"")
        .with(EntryType::Block, "dev/sda", "", b"")
        .with(EntryType::Fifo, "pipe", "", b"");
    let found = unpacked(vec![layer]);
    found.outcome.as_ref().unwrap();
    assert!(!found.is_there("dev/mem") && !found.is_there("dev/sda"));
    assert!(found.is_there("pipe"));
    let strange = Layer::new().with(EntryType::new(b'Z'), "a", "", b"");
    assert!(matches!(
        unpacked(vec![strange]).outcome,
        Err(UnpackError::Kind { .. })
    ));
}

#[test]
fn bytes_and_entries_are_bounded_over_all_layers() {
    let half = || {
        let content = "x".repeat(ROOM as usize / 2);
        Layer::new().file("a", &content)
    };
    let found = unpacked(vec![half(), half()]);
    assert!(matches!(found.outcome, Err(UnpackError::TooLarge(ROOM))));
    let mut many = Layer::new();
    for at in 0..300 {
        many = many.file(&at.to_string(), "");
    }
    assert!(matches!(
        unpacked(vec![many]).outcome,
        Err(UnpackError::TooLarge(_))
    ));
}

#[test]
fn what_is_read_and_left_out_counts_too() {
    let content = vec![0; ROOM as usize];
    for kind in [EntryType::Char, EntryType::Directory, EntryType::Symlink] {
        let layer = Layer::new().with(kind, "a", "b", &content);
        let refused = unpacked(vec![layer]).outcome;
        assert!(matches!(refused, Err(UnpackError::TooLarge(ROOM))));
    }
    // Headers that only speak of the next one are endless too.
    let mut many = Layer::new();
    for _ in 0..300 {
        many = many.with(EntryType::GNULongName, "././@LongLink", "", b"a");
    }
    let refused = unpacked(vec![many.file("a", "")]).outcome;
    assert!(matches!(refused, Err(UnpackError::TooLarge(ROOM))));
}

#[test]
fn links_lead_no_deeper_than_names() {
    let (deep, step) = (["a"; 40].join("/"), |link: &str| {
        format!("{link}/{}", ["a"; 40].join("/"))
    });
    let layer = Layer::new()
        .directory(&deep)
        .symlink("l", &deep)
        .directory(&step("l"))
        .symlink("m", &step("l"))
        .directory(&step("m"));
    let found = unpacked(vec![layer]);
    found.outcome.as_ref().unwrap();
    let layer = Layer::new()
        .directory(&deep)
        .symlink("l", &deep)
        .directory(&step("l"))
        .symlink("m", &step("l"))
        .directory(&step("m"))
        .symlink("n", &step("m"))
        .directory(&step("n"));
    let refused = unpacked(vec![layer]).outcome;
    assert!(matches!(refused, Err(UnpackError::Deep(_))), "{refused:?}");
}

#[test]
fn long_names_are_read_and_endless_ones_refused() {
    let name = format!("{}/{}", "a".repeat(200), "b".repeat(200));
    let long = Layer::new()
        .with(EntryType::GNULongName, "././@LongLink", "", name.as_bytes())
        .file("short", "x");
    let found = unpacked(vec![long]);
    found.outcome.as_ref().unwrap();
    assert_eq!(found.read(&name).as_deref(), Some("x"));
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(1 << 40);
    header.set_cksum();
    let dir = tempfile::tempdir().unwrap();
    let mut tree = Tree::new(&dir.path().join("root"), None, ROOM).unwrap();
    assert!(tree.layer(&header.as_bytes()[..]).is_err());
    let deep = Layer::new().with(
        EntryType::GNULongName,
        "././@LongLink",
        "",
        "a/".repeat(1_000).as_bytes(),
    );
    assert!(unpacked(vec![deep.file("short", "x")]).outcome.is_err());
}

#[test]
fn owners_beyond_the_container_s_users_are_refused() {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_path("a").unwrap();
    header.set_mode(0o4755);
    header.set_uid(70_000);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header.set_cksum();
    let mut builder = Builder::new(Vec::new());
    builder.append(&header, &b""[..]).unwrap();
    let found = unpacked(vec![Layer(builder)]);
    assert!(matches!(found.outcome, Err(UnpackError::Owner(_))));
}

#[test]
fn a_torn_layer_is_no_layer() {
    let whole = Layer::new().file("a", &"x".repeat(2_000)).bytes();
    let dir = tempfile::tempdir().unwrap();
    let mut tree = Tree::new(&dir.path().join("root"), None, ROOM).unwrap();
    assert!(tree.layer(&whole[..1_000]).is_err());
}
