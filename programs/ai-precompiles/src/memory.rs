//! Copies of a length that is known only at run time: the program's compiler has no `memcpy` of its own.

/// Copies as many bytes as both slices have.
pub fn copy(to: &mut [u8], from: &[u8]) {
    let len = to.len().min(from.len());
    #[cfg(any(target_os = "solana", target_arch = "bpf"))]
    // SAFETY: both slices are at least `len` bytes long, and a unique borrow overlaps no other.
    unsafe {
        solana_define_syscall::definitions::sol_memcpy_(to.as_mut_ptr(), from.as_ptr(), len as u64);
    }
    #[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
    for (to, from) in to.iter_mut().zip(&from[..len]) {
        *to = *from;
    }
}
