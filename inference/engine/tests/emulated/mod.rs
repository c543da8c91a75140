//! A GPU that is none: its kernels are those of GPUs, compiled by the machine's C++ compiler and run thread by thread. Each launch
//! begins with the other end of a block's threads, so that a missing barrier shows.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use super::{DeviceError, Driver};

/// `mythic_launch` of kernels/host.cpp.
type Launch = unsafe extern "C" fn(
    *const std::ffi::c_char,
    *const u32,
    u32,
    *const std::ffi::c_void,
    usize,
    i32,
) -> i32;

/// The kernels, which run one at a time in this process.
struct Library {
    launch: Launch,
    launches: u64,
    /// What `launch` lies in.
    _library: libloading::Library,
}

fn library() -> MutexGuard<'static, Library> {
    static LIBRARY: LazyLock<Mutex<Library>> = LazyLock::new(|| Mutex::new(compile()));
    LIBRARY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn compile() -> Library {
    let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    let directory = tempfile::tempdir().expect("a directory");
    let library = directory.path().join("kernels.so");
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let done = Command::new(&compiler)
        .args(["-std=c++17", "-O2", "-ffp-contract=off", "-shared", "-fPIC"])
        .arg("-o")
        .arg(&library)
        .arg(kernels.join("host.cpp"))
        .output()
        .unwrap_or_else(|error| panic!("{compiler}, which compiles the kernels: {error}"));
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    // SAFETY: what it begins with makes a list of its kernels, and nothing else.
    let library = unsafe { libloading::Library::new(&library) }.expect("the kernels");
    // SAFETY: it is declared so in host.cpp.
    let launch = *unsafe { library.get::<Launch>(b"mythic_launch\0") }.expect("mythic_launch");
    Library {
        launch,
        launches: 0,
        _library: library,
    }
}

/// One of them.
pub struct Emulated {
    memory: Mutex<BTreeMap<u64, Vec<u64>>>,
    bytes: u64,
    /// Launches until it fails for ever.
    left: AtomicU64,
}

impl Emulated {
    /// With so much memory, which fails after so many launches.
    pub fn failing(bytes: u64, launches: u64) -> Arc<dyn Driver> {
        Arc::new(Self {
            memory: Mutex::default(),
            bytes,
            left: AtomicU64::new(launches),
        })
    }

    /// One that does not fail.
    pub fn sound() -> Arc<dyn Driver> {
        Self::failing(4 << 30, u64::MAX)
    }

    fn fail(&self, error: impl Into<String>) -> DeviceError {
        DeviceError::Failed {
            name: self.name(),
            doing: "computing",
            error: error.into(),
        }
    }

    /// The memory from an address on, which must lie in one allocation.
    fn within<T>(&self, address: u64, len: usize, body: impl FnOnce(&mut [u8]) -> T) -> T {
        let mut memory = self.memory.lock().unwrap();
        let (start, words) = memory.range_mut(..=address).next_back().expect("memory");
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(words);
        let at = (address - start) as usize;
        body(&mut bytes[at..at + len])
    }
}

impl Driver for Emulated {
    fn name(&self) -> String {
        "emulated".into()
    }

    fn memory(&self) -> Result<(u64, u64), DeviceError> {
        let memory = self.memory.lock().unwrap();
        let used: usize = memory.values().map(|words| 8 * words.len()).sum();
        Ok((self.bytes.saturating_sub(used as u64), self.bytes))
    }

    fn allocate(&self, bytes: usize) -> Result<u64, DeviceError> {
        // What nobody wrote is no number.
        let words = vec![u64::MAX; bytes.div_ceil(8)];
        let address = words.as_ptr() as u64;
        self.memory.lock().unwrap().insert(address, words);
        Ok(address)
    }

    unsafe fn free(&self, address: u64) {
        let freed = self.memory.lock().unwrap().remove(&address);
        assert!(freed.is_some(), "freed once");
    }

    unsafe fn upload(&self, to: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        self.within(to, bytes.len(), |memory| memory.copy_from_slice(bytes));
        Ok(())
    }

    unsafe fn download(&self, from: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        if self.left.load(SeqCst) == 0 {
            return Err(self.fail("the device is lost"));
        }
        self.within(from, bytes.len(), |memory| bytes.copy_from_slice(memory));
        Ok(())
    }

    unsafe fn launch(
        &self,
        kernel: &str,
        grid: [u32; 3],
        threads: u32,
        argument: &[u64],
    ) -> Result<(), DeviceError> {
        let left = self.left.load(SeqCst);
        if left == 0 {
            return Err(self.fail("the device is lost"));
        }
        self.left.store(left - 1, SeqCst);
        let name = std::ffi::CString::new(kernel).expect("a name");
        let mut library = library();
        library.launches += 1;
        let backwards = i32::from(library.launches % 2 == 1);
        // SAFETY: as the caller's: addresses are of this process.
        let done = unsafe {
            (library.launch)(
                name.as_ptr(),
                grid.as_ptr(),
                threads,
                argument.as_ptr().cast(),
                size_of_val(argument),
                backwards,
            )
        };
        match done {
            0 => Ok(()),
            1 => panic!("no kernel {kernel} takes {} bytes", size_of_val(argument)),
            _ => panic!("threads of {kernel} wait for each other in vain"),
        }
    }
}
