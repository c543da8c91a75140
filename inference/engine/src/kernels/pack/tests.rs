//! The pack file: what is stored comes back, nothing else is ever used, several builders agree.

use mythic_model::gguf::TensorFormat;

use super::*;
use mythic_lab::random_model::RandomModel;

/// A model file and where its pack is tried.
struct Bench {
    directory: tempfile::TempDir,
    pool: ThreadPool,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            directory: tempfile::tempdir().expect("a directory"),
            pool: ThreadPool::new(2).expect("threads"),
        };
        bench.model(TensorFormat::Q4_1, 1);
        bench
    }

    fn model(&self, format: TensorFormat, seed: u64) {
        let path = self.directory.path().join("new.gguf");
        RandomModel::new(format, seed)
            .write(&path)
            .expect("a model file");
        std::fs::rename(path, self.gguf()).expect("a new name");
    }

    fn gguf(&self) -> PathBuf {
        self.directory.path().join("model.gguf")
    }

    fn pack(&self) -> PathBuf {
        beside(&self.gguf())
    }

    fn plan(&self) -> Plan {
        let gguf = Gguf::open(&self.gguf()).expect("a model");
        Plan::new(&gguf, &self.pool).expect("a plan")
    }

    /// Opens at the one place and compares with what memory holds.
    fn open(&self) -> Arc<Pack> {
        let plan = self.plan();
        let pack = plan.at(&[self.pack()], &self.pool).expect("a pack");
        same(&pack, &plan.in_memory(&self.pool).expect("memory"), &plan);
        pack
    }

    fn inode(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(self.pack()).expect("a pack").ino()
    }
}

fn same(a: &Arc<Pack>, b: &Arc<Pack>, plan: &Plan) {
    assert_eq!(a.ranges, b.ranges);
    for e in &plan.entries {
        let bytes = |pack: &Arc<Pack>| pack.get(&e.name).expect("a matrix").bytes().to_vec();
        assert!(bytes(a) == bytes(b), "{}", e.name);
    }
}

#[test]
fn a_pack_is_built_once_and_mapped_from_then_on() {
    let bench = Bench::new();
    assert!(bench.open().is_shared());
    let inode = bench.inode();
    assert!(bench.open().is_shared());
    assert_eq!(bench.inode(), inode);
    let names: Vec<_> = std::fs::read_dir(bench.directory.path())
        .expect("a directory")
        .map(|e| e.expect("an entry").file_name())
        .collect();
    assert_eq!(names.len(), 2, "nothing else is left behind: {names:?}");
}

#[test]
fn every_format_comes_back_from_the_file() {
    for (_, format) in mythic_lab::random_model::FORMATS {
        let bench = Bench::new();
        bench.model(format, 5);
        bench.open();
        assert!(bench.open().is_shared(), "{format:?}");
    }
}

#[test]
fn a_pack_with_any_wrong_byte_or_length_is_built_anew() {
    let bench = Bench::new();
    bench.open();
    let good = std::fs::read(bench.pack()).expect("the pack");
    let plan = bench.plan();
    let mut places = vec![0, 8, 12, 50, plan.header.len(), plan.front - 1];
    for e in &plan.entries {
        places.extend([e.range.start, e.range.end - 1]);
    }
    for place in places {
        let mut bad = good.clone();
        bad[place] ^= 4;
        std::fs::write(bench.pack(), bad).expect("a bad pack");
        assert!(plan.read(&bench.pack(), &bench.pool).is_none(), "{place}");
    }
    for len in [0, 1, 40, plan.front, good.len() / 2, good.len() - 1] {
        std::fs::write(bench.pack(), &good[..len]).expect("a short pack");
        assert!(plan.read(&bench.pack(), &bench.pool).is_none(), "{len}");
    }
    std::fs::write(bench.pack(), [good.as_slice(), &[0]].concat()).expect("a long pack");
    assert!(bench.open().is_shared());
    assert!(std::fs::read(bench.pack()).expect("the pack") == good);
}

#[test]
fn a_changed_model_at_the_same_path_never_meets_the_old_pack() {
    let bench = Bench::new();
    let time = std::fs::metadata(bench.gguf()).and_then(|m| m.modified());
    let old = bench.open();
    bench.model(TensorFormat::Q4_1, 2);
    // Of the same length, with the same time.
    File::options()
        .write(true)
        .open(bench.gguf())
        .and_then(|f| f.set_modified(time.expect("a time")))
        .expect("the old time");
    let new = bench.open();
    let name = "blk.0.attn_q.weight";
    let bytes = |pack: &Arc<Pack>| pack.get(name).expect("a matrix").bytes().to_vec();
    assert!(bytes(&old) != bytes(&new));
    bench.model(TensorFormat::Q8_0, 1);
    bench.open();
}

#[test]
fn builders_at_the_same_time_agree_on_one_file() {
    let bench = Bench::new();
    let plan = bench.plan();
    let inodes: Vec<u64> = std::thread::scope(|scope| {
        let builders: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let pool = ThreadPool::new(1).expect("threads");
                    let pack = plan.at(&[bench.pack()], &pool).expect("a pack");
                    assert!(pack.is_shared());
                    bench.inode()
                })
            })
            .collect();
        builders
            .into_iter()
            .map(|b| b.join().expect("a builder"))
            .collect()
    });
    assert!(inodes.iter().all(|inode| *inode == inodes[0]), "{inodes:?}");
}

#[test]
fn what_a_builder_that_died_left_is_overwritten() {
    let bench = Bench::new();
    let part = bench.pack().with_extension("part");
    std::fs::write(&part, vec![7; 10 << 20]).expect("a part");
    assert!(bench.open().is_shared());
    assert!(!part.exists());
}

#[test]
fn where_nothing_can_be_written_the_next_place_and_then_memory_is_taken() {
    let bench = Bench::new();
    let plan = bench.plan();
    // A file is no directory, whoever asks.
    let nowhere = bench.gguf().join("model.pack");
    let second = bench.directory.path().join("cache/packs/model.pack");
    let pack = plan
        .at(&[nowhere.clone(), second.clone()], &bench.pool)
        .expect("a pack");
    assert!(pack.is_shared() && second.exists());
    let pack = plan.at(&[nowhere], &bench.pool).expect("a pack");
    assert!(!pack.is_shared());
    same(&pack, &plan.in_memory(&bench.pool).expect("memory"), &plan);
}
