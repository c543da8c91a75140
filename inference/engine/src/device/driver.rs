//! What GPUs are reached through: memory, copies, launches. One driver is NVIDIA's; tests have one that runs the same kernels on a
//! processor.

use std::sync::Arc;

use bytemuck::{AnyBitPattern, NoUninit};

use super::error::DeviceError;

/// One GPU. What is asked for happens in order.
pub trait Driver: Send + Sync {
    /// Its name, for people.
    fn name(&self) -> String;

    /// Free and all memory, in bytes.
    fn memory(&self) -> Result<(u64, u64), DeviceError>;

    /// Memory, of which nothing is known; above 0 bytes.
    fn allocate(&self, bytes: usize) -> Result<u64, DeviceError>;

    /// Gives memory back; what fails is left to the device's end.
    ///
    /// # Safety
    /// It came from [`Self::allocate`] and is not used any more.
    unsafe fn free(&self, address: u64);

    /// Copies to the device, and returns when the bytes may change.
    ///
    /// # Safety
    /// There is as much memory.
    unsafe fn upload(&self, to: u64, bytes: &[u8]) -> Result<(), DeviceError>;

    /// Copies from the device, what was launched before included.
    ///
    /// # Safety
    /// There is as much memory.
    unsafe fn download(&self, from: u64, bytes: &mut [u8]) -> Result<(), DeviceError>;

    /// Starts a kernel of so many blocks of so many threads; its one argument is a struct, whole words of it.
    ///
    /// # Safety
    /// The kernel takes that struct, and all that it reads and writes is there.
    unsafe fn launch(
        &self,
        kernel: &str,
        grid: [u32; 3],
        threads: u32,
        argument: &[u64],
    ) -> Result<(), DeviceError>;
}

/// Memory of a device.
pub struct Buffer {
    driver: Arc<dyn Driver>,
    address: u64,
    bytes: usize,
}

impl Buffer {
    pub fn new(driver: &Arc<dyn Driver>, bytes: usize) -> Result<Self, DeviceError> {
        let bytes = bytes.max(16);
        Ok(Self {
            address: driver.allocate(bytes)?,
            driver: driver.clone(),
            bytes,
        })
    }

    /// With these values.
    pub fn of<T: NoUninit>(driver: &Arc<dyn Driver>, values: &[T]) -> Result<Self, DeviceError> {
        let buffer = Self::new(driver, size_of_val(values))?;
        buffer.put(0, values)?;
        Ok(buffer)
    }

    pub fn address(&self) -> u64 {
        self.address
    }

    /// Copies values to it, from a byte on.
    pub fn put<T: NoUninit>(&self, at: usize, values: &[T]) -> Result<(), DeviceError> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        assert!(at + bytes.len() <= self.bytes, "room on the device");
        if bytes.is_empty() {
            return Ok(());
        }
        // SAFETY: there is room, as was just checked.
        unsafe { self.driver.upload(self.address + at as u64, bytes) }
    }

    /// Copies its first values.
    pub fn get<T: NoUninit + AnyBitPattern>(&self, values: &mut [T]) -> Result<(), DeviceError> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(values);
        assert!(bytes.len() <= self.bytes, "values on the device");
        // SAFETY: they are there, as was just checked.
        unsafe { self.driver.download(self.address, bytes) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: it was allocated so, and whoever launches a kernel keeps its buffers; frees wait for what runs.
        unsafe { self.driver.free(self.address) };
    }
}
