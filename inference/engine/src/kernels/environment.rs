//! The control register of floating point: how a thread rounds, and what it does with subnormals.
//! Kernels take it as a process starts with; a thread inherits it from the one that starts it, and
//! anything in the process that changed it there would change answers.

use super::error::KernelsError;

/// x86's MXCSR without the flags of what happened: nearest, ties to even; subnormals are numbers; no exceptions.
#[cfg(target_arch = "x86_64")]
const DEFAULT: u64 = 0x1F80;

/// aarch64's FPCR: the same.
#[cfg(target_arch = "aarch64")]
const DEFAULT: u64 = 0;

/// Whether this thread computes floats as a process starts with.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub fn check() -> Result<(), KernelsError> {
    match register() {
        DEFAULT => Ok(()),
        found => Err(KernelsError::Environment {
            found,
            default: DEFAULT,
        }),
    }
}

/// Nothing is known of other processors.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn check() -> Result<(), KernelsError> {
    Ok(())
}

#[cfg(target_arch = "x86_64")]
fn register() -> u64 {
    /// Exceptions that happened since somebody cleared them.
    const FLAGS: u32 = 0x3F;
    let mut value = 0u32;
    // SAFETY: the register is written to four bytes that are there, and nothing else happens.
    unsafe {
        std::arch::asm!(
            "stmxcsr [{}]",
            in(reg) &raw mut value,
            options(nostack, preserves_flags)
        );
    }
    u64::from(value & !FLAGS)
}

#[cfg(target_arch = "aarch64")]
fn register() -> u64 {
    let value: u64;
    // SAFETY: reading the register does nothing else.
    unsafe {
        std::arch::asm!("mrs {}, fpcr", out(reg) value, options(nomem, nostack, preserves_flags));
    }
    value
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::*;
    use crate::kernels::{InstructionSet, Kernels};

    /// Loads the register, in a thread that computes nothing afterwards.
    fn load(value: u32) {
        // SAFETY: the thread compares integers and ends; no float is computed in this mode.
        unsafe {
            std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack, readonly));
        }
    }

    #[test]
    fn a_thread_that_rounds_otherwise_or_flushes_subnormals_gets_no_kernels() {
        assert!(check().is_ok());
        // Down, subnormals to zero, subnormals read as zero, an exception that would stop.
        for other in [0x3F80, 0x9F80, 0x1FC0, 0x1F00] {
            let found = std::thread::spawn(move || {
                load(other);
                let found = check().is_err();
                let none = Kernels::new(1, InstructionSet::Portable).is_err();
                load(DEFAULT as u32);
                (found, none)
            });
            assert_eq!(found.join().unwrap(), (true, true), "{other:#x}");
        }
        // What happened before says nothing of what is to come.
        let flags = std::thread::spawn(|| {
            load(DEFAULT as u32 | 0x3F);
            check().is_ok()
        });
        assert!(flags.join().unwrap());
    }
}
