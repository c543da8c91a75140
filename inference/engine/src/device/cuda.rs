//! NVIDIA's GPUs by their driver, whose library is looked for at run time. The kernels are PTX that was compiled before
//! (`kernels/compile.py` of this crate); the driver makes its GPU's instructions of it.

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::Arc;

use cudarc::driver::CudaContext;
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUresult};
use parking_lot::Mutex;

use super::driver::Driver;
use super::error::DeviceError;

/// The PTX of the oldest GPUs that there are kernels for (Turing), and of those from Ampere on.
const PTX: [((i32, i32), &str); 2] = [
    ((8, 0), include_str!("../../kernels/kernels_80.ptx")),
    (LEAST, include_str!("../../kernels/kernels_75.ptx")),
];

/// The compute capability of the oldest GPUs that there are kernels for.
pub const LEAST: (i32, i32) = (7, 5);

/// The driver's CUDA from which on it takes that PTX.
const CUDA: i32 = 12_040;

/// A kernel of the module.
#[derive(Clone, Copy)]
struct Function(sys::CUfunction);

// SAFETY: a handle, which the driver allows on any thread.
unsafe impl Send for Function {}

/// A GPU.
pub struct Cuda {
    context: Arc<CudaContext>,
    name: String,
    module: sys::CUmodule,
    functions: Mutex<HashMap<String, Function>>,
}

// SAFETY: a module is a handle, which the driver allows on any thread.
unsafe impl Send for Cuda {}
// SAFETY: as above.
unsafe impl Sync for Cuda {}

/// A GPU as its driver shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub name: String,
    /// Of compute capability, for instance 9.0.
    pub capability: (i32, i32),
    pub memory_bytes: u64,
}

fn failed(name: &str, doing: &'static str, error: DriverError) -> DeviceError {
    DeviceError::Failed {
        name: name.to_owned(),
        doing,
        error: format!("{error:?}"),
    }
}

/// Runs what loads the driver's libraries on a thread of its own: what they do to a thread's rounding as they are loaded, and a function
/// that they lack, is no matter of ours then.
fn apart<T: Send>(body: impl FnOnce() -> Result<T, DeviceError> + Send) -> Result<T, DeviceError> {
    let done = std::thread::scope(|scope| scope.spawn(body).join());
    done.unwrap_or_else(|_| {
        Err(DeviceError::Failed {
            name: "the NVIDIA driver".into(),
            doing: "starting",
            error: "its library is not complete".into(),
        })
    })
}

/// How many GPUs the driver shows, if there is a driver that takes the kernels.
fn count() -> Result<usize, DeviceError> {
    // SAFETY: it loads the driver's library, which all that follows does too.
    if !unsafe { sys::is_culib_present() } {
        return Err(DeviceError::NoDriver);
    }
    match result::init() {
        Ok(()) => {}
        Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => return Err(DeviceError::NoGpu),
        Err(error) => return Err(failed("the NVIDIA driver", "starting", error)),
    }
    let mut version = 0;
    // SAFETY: a number is written to it.
    if unsafe { sys::cuDriverGetVersion(&raw mut version) } == CUresult::CUDA_SUCCESS
        && version < CUDA
    {
        return Err(DeviceError::OldDriver { found: version });
    }
    let count = result::device::get_count()
        .map_err(|error| failed("the NVIDIA driver", "counting GPUs", error))?;
    match usize::try_from(count) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(DeviceError::NoGpu),
    }
}

/// All GPUs that the driver shows.
pub fn find() -> Result<Vec<Found>, DeviceError> {
    apart(look)
}

fn look() -> Result<Vec<Found>, DeviceError> {
    (0..count()?)
        .map(|index| {
            let context = CudaContext::new(index)
                .map_err(|error| failed(&format!("GPU {index}"), "being looked at", error))?;
            let one = || -> Result<Found, DriverError> {
                Ok(Found {
                    name: context.name()?,
                    capability: context.compute_capability()?,
                    memory_bytes: context.total_mem()? as u64,
                })
            };
            one().map_err(|error| failed(&format!("GPU {index}"), "being looked at", error))
        })
        .collect()
}

impl Cuda {
    /// The GPU with this number, with the kernels.
    pub fn open(index: usize) -> Result<Self, DeviceError> {
        apart(|| Self::load(index))
    }

    fn load(index: usize) -> Result<Self, DeviceError> {
        let count = count()?;
        if index >= count {
            return Err(DeviceError::NoSuchGpu {
                asked: index,
                count,
            });
        }
        let mut name = format!("GPU {index}");
        let context =
            CudaContext::new(index).map_err(|error| failed(&name, "being opened", error))?;
        let said = context
            .name()
            .map_err(|error| failed(&name, "saying its name", error))?;
        name = format!("{said} (GPU {index})");
        let (major, minor) = context
            .compute_capability()
            .map_err(|error| failed(&name, "saying what it is", error))?;
        let ptx = PTX.iter().find(|(from, _)| (major, minor) >= *from);
        let Some((_, ptx)) = ptx else {
            return Err(DeviceError::OldGpu { name, major, minor });
        };
        let ptx = CString::new(*ptx).map_err(|error| DeviceError::Refused {
            name: name.clone(),
            error: error.to_string(),
        })?;
        // SAFETY: text that ends with a zero; the context was bound to this thread when it was made.
        let module = unsafe { result::module::load_data(ptx.as_ptr().cast()) };
        let module = module.map_err(|error| DeviceError::Refused {
            name: name.clone(),
            error: format!("{error:?}"),
        })?;
        Ok(Self {
            context,
            name,
            module,
            functions: Mutex::default(),
        })
    }

    fn bind(&self, doing: &'static str) -> Result<(), DeviceError> {
        let bound = self.context.bind_to_thread();
        bound.map_err(|error| failed(&self.name, doing, error))
    }

    fn function(&self, kernel: &str) -> Result<Function, DeviceError> {
        if let Some(function) = self.functions.lock().get(kernel) {
            return Ok(*function);
        }
        let named = CString::new(kernel).map_err(|error| DeviceError::Refused {
            name: self.name.clone(),
            error: error.to_string(),
        })?;
        // SAFETY: the module was loaded, and goes with `self`.
        let found = unsafe { result::module::get_function(self.module, named) };
        let function =
            Function(found.map_err(|error| failed(&self.name, "looking for a kernel", error))?);
        self.functions.lock().insert(kernel.to_owned(), function);
        Ok(function)
    }
}

impl Driver for Cuda {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn memory(&self) -> Result<(u64, u64), DeviceError> {
        let (free, all) = self
            .context
            .mem_get_info()
            .map_err(|error| failed(&self.name, "saying what memory is free", error))?;
        Ok((free as u64, all as u64))
    }

    fn allocate(&self, bytes: usize) -> Result<u64, DeviceError> {
        self.bind("taking memory")?;
        // SAFETY: what is in it is written before it is read.
        match unsafe { result::malloc_sync(bytes) } {
            Ok(address) => Ok(address),
            Err(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => Err(DeviceError::OutOfMemory {
                name: self.name.clone(),
                bytes,
            }),
            Err(error) => Err(failed(&self.name, "taking memory", error)),
        }
    }

    unsafe fn free(&self, address: u64) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: as the caller's. On a device that is lost there is nothing to give back.
            let _ = unsafe { result::free_sync(address) };
        }
    }

    unsafe fn upload(&self, to: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        self.bind("being copied to")?;
        // SAFETY: as the caller's.
        let done = unsafe { result::memcpy_htod_sync(to, bytes) };
        done.map_err(|error| failed(&self.name, "being copied to", error))
    }

    unsafe fn download(&self, from: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.bind("computing")?;
        // SAFETY: as the caller's. What a kernel did wrong is said here.
        let done = unsafe { result::memcpy_dtoh_sync(bytes, from) };
        done.map_err(|error| failed(&self.name, "computing", error))
    }

    unsafe fn launch(
        &self,
        kernel: &str,
        grid: [u32; 3],
        threads: u32,
        argument: &[u64],
    ) -> Result<(), DeviceError> {
        self.bind("starting a kernel")?;
        let function = self.function(kernel)?;
        let [x, y, z] = grid;
        let mut arguments: [*mut c_void; 1] = [argument.as_ptr().cast_mut().cast()];
        // SAFETY: as the caller's; the driver copies the argument before it returns. The stream is the one that copies use too.
        let done = unsafe {
            result::launch_kernel(
                function.0,
                (x, y, z),
                (threads, 1, 1),
                0,
                std::ptr::null_mut(),
                &mut arguments,
            )
        };
        done.map_err(|error| failed(&self.name, "starting a kernel", error))
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: loaded by `open`, and nothing runs any more: buffers keep their driver.
            let _ = unsafe { result::module::unload(self.module) };
        }
    }
}
