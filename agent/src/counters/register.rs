//! The CPU's own registers: a performance counter, and the clock that the kernel's clock runs on.
//!
//! A counter is read only while the page of its event says that it may be: elsewhere the
//! instruction traps, and the kernel ends the process. Whoever forbids such reads on a running
//! machine (`/sys/bus/event_source/devices/cpu/rdpmc`, `kernel.perf_user_access`) ends those that
//! read.
#![expect(unsafe_code, reason = "registers are read by instructions")]

/// Where the registers are.
pub(crate) trait Registers {
    /// Performance counter of that number, as many bits as it has. Only while the page allows it.
    fn counter(&self, number: u32) -> Option<u64>;

    /// What the kernel's clock counts.
    fn ticks(&self) -> Option<u64>;
}

/// Those of the CPU that runs the calling thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu;

/// The instruction that reads a counter.
pub(crate) const INSTRUCTION: &str = if cfg!(target_arch = "x86_64") {
    "rdpmc"
} else {
    "mrs pmevcntr_el0"
};

/// What an event is asked for, in the order of preference, so that its counter can be read here:
/// `config1`. On arm64 bit 1 asks for that, and bit 0 for a counter of 64 bits, which not all have.
pub(crate) const CONFIG1: &[u64] = if cfg!(target_arch = "aarch64") {
    &[0b11, 0b10, 0]
} else {
    &[0]
};

#[cfg(target_arch = "x86_64")]
impl Registers for Cpu {
    fn counter(&self, number: u32) -> Option<u64> {
        let (low, high): (u64, u64);
        // SAFETY: reads a counter into two registers. It may be read here, as the page said; the
        // thread may have been moved since, but the counters of all CPUs are alike.
        unsafe {
            std::arch::asm!(
                "rdpmc",
                in("ecx") number,
                out("rax") low,
                out("rdx") high,
                options(nostack, preserves_flags)
            );
        }
        Some(high << 32 | low)
    }

    fn ticks(&self) -> Option<u64> {
        // SAFETY: each x86-64 CPU has the instruction, and it touches no memory.
        Some(unsafe { std::arch::x86_64::_rdtsc() })
    }
}

#[cfg(target_arch = "aarch64")]
impl Registers for Cpu {
    fn counter(&self, number: u32) -> Option<u64> {
        macro_rules! mrs {
            ($($register:literal),+) => {{
                let count: u64;
                // SAFETY: reads a counter into a register. It may be read here, as the page said.
                unsafe {
                    std::arch::asm!(
                        concat!("mrs {}, ", $($register),+),
                        out(reg) count,
                        options(nostack, preserves_flags)
                    );
                }
                count
            }};
        }
        // The register is a part of the instruction, so that each has one of its own.
        macro_rules! counters {
            ($($known:literal)*) => {
                match number {
                    $($known => mrs!("pmevcntr", $known, "_el0"),)*
                    31 => mrs!("pmccntr_el0"),
                    _ => return None,
                }
            };
        }
        Some(counters!(
            0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30
        ))
    }

    fn ticks(&self) -> Option<u64> {
        let ticks: u64;
        // SAFETY: Linux lets all programs read the virtual counter; it touches no memory.
        unsafe {
            std::arch::asm!(
                "mrs {}, cntvct_el0",
                out(reg) ticks,
                options(nostack, preserves_flags)
            );
        }
        Some(ticks)
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
impl Registers for Cpu {
    fn counter(&self, _number: u32) -> Option<u64> {
        None
    }

    fn ticks(&self) -> Option<u64> {
        None
    }
}
