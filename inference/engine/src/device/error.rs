//! Why a GPU computes nothing, in words that say what to do.

/// Why a GPU is not used, or not any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    #[error(
        "this machine has no NVIDIA driver (libcuda.so.1 is not found); install one, 550 or newer, or take device = \"cpu\""
    )]
    NoDriver,
    #[error(
        "the NVIDIA driver runs CUDA {}.{}, and these kernels need 12.4: install driver 550 or newer",
        found / 1000, found % 1000 / 10
    )]
    OldDriver { found: i32 },
    #[error(
        "the NVIDIA driver shows no GPU; is it in this container (--gpus), or hidden by CUDA_VISIBLE_DEVICES?"
    )]
    NoGpu,
    #[error("there is no GPU {asked}: the NVIDIA driver shows {count}, counted from 0")]
    NoSuchGpu { asked: usize, count: usize },
    #[error(
        "{name} has compute capability {major}.{minor}; these kernels need 7.5 (Turing) or newer"
    )]
    OldGpu {
        name: String,
        major: i32,
        minor: i32,
    },
    #[error("the driver of {name} does not take the kernels: {error}; install driver 550 or newer")]
    Refused { name: String, error: String },
    #[error(
        "the model needs {} MiB on {name} ({} for weights, {} for keys and values, {} to compute), and {} of its {} MiB are free; \
         lower kv_bytes, end what else is on it, or name several GPUs (device = \"cuda:0,1\")",
        mib(weights + pool + scratch), mib(*weights), mib(*pool), mib(*scratch), mib(*free), mib(*all)
    )]
    TooBig {
        name: String,
        weights: u64,
        pool: u64,
        scratch: u64,
        free: u64,
        all: u64,
    },
    #[error("{name} is out of memory: {bytes} bytes are not to be had")]
    OutOfMemory { name: String, bytes: usize },
    #[error("GPUs don't compute {0} yet")]
    Unsupported(String),
    #[error(
        "{name} gives other bits than this processor (row {row}, token {token}): it is not used"
    )]
    OtherBits {
        name: String,
        row: usize,
        token: usize,
    },
    #[error("{name} failed while {doing}: {error}")]
    Failed {
        name: String,
        doing: &'static str,
        error: String,
    },
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}
