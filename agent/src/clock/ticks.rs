#![expect(unsafe_code, reason = "the tick counter is read by an instruction")]

use std::time::{Duration, Instant};

/// The CPU's counter of ticks of constant length.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn ticks() -> u64 {
    // SAFETY: every x86-64 has the instruction, and it touches no memory.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The CPU's counter of ticks of constant length.
#[cfg(target_arch = "aarch64")]
#[inline]
pub(super) fn ticks() -> u64 {
    let ticks: u64;
    // SAFETY: Linux lets user space read the virtual counter; it touches no memory.
    unsafe {
        core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags));
    }
    ticks
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[inline]
pub(super) fn ticks() -> u64 {
    0
}

/// How long a tick is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    /// ns per tick, times 2³².
    ns_per_tick: u64,
}

const ONE: u128 = 1 << 32;
/// How long the ticks are set against the clock: the clock is right to some tens of ns, so this is
/// right to about 20 in a million.
const MEASURE: Duration = Duration::from_millis(3);
const ROUNDS: usize = 3;

impl Scale {
    /// Where there are no ticks.
    pub(super) const NONE: Self = Self { ns_per_tick: 0 };

    /// Sets ticks against the monotonic clock.
    ///
    /// # Errors
    /// Why ticks cannot be used here, in words.
    pub(super) fn measure() -> Result<Self, String> {
        if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
            return Err("no tick counter is known on this architecture".to_owned());
        }
        if !ticks_are_constant() {
            return Err("the time-stamp counter does not tick at a constant rate here".to_owned());
        }
        let mut rounds: Vec<u64> = (0..ROUNDS).filter_map(|_| ns_per_tick()).collect();
        rounds.sort_unstable();
        match rounds.as_slice() {
            [low, middle, high] if high - low <= middle / 1_000 => Ok(Self {
                ns_per_tick: *middle,
            }),
            _ => Err("the ticks do not keep pace with the monotonic clock".to_owned()),
        }
    }

    #[cfg(test)]
    pub(super) fn times(self, factor: u64) -> Self {
        Self {
            ns_per_tick: self.ns_per_tick * factor,
        }
    }

    /// How long so few ticks are, at most about a second.
    #[inline]
    pub(super) fn ns(self, ticks: u64) -> u64 {
        ticks.wrapping_mul(self.ns_per_tick) >> 32
    }

    /// How long so many ticks are.
    pub(super) fn long_ns(self, ticks: u64) -> u64 {
        u64::try_from((u128::from(ticks) * u128::from(self.ns_per_tick)) >> 32).unwrap_or(u64::MAX)
    }

    /// How many ticks last so long.
    pub(super) fn ticks(self, ns: u64) -> u64 {
        if self.ns_per_tick == 0 {
            return 0;
        }
        u64::try_from((u128::from(ns) * ONE) / u128::from(self.ns_per_tick)).unwrap_or(u64::MAX)
    }
}

fn ns_per_tick() -> Option<u64> {
    let (start, start_ticks) = moment();
    while start.elapsed() < MEASURE {
        std::hint::spin_loop();
    }
    let (end, end_ticks) = moment();
    let ns = end.duration_since(start).as_nanos();
    let ticks = u128::from(end_ticks.checked_sub(start_ticks)?);
    u64::try_from((ns * ONE).checked_div(ticks)?).ok()
}

/// Clock and ticks at the same moment: of some tries the one in which they were closest.
fn moment() -> (Instant, u64) {
    let attempt = || {
        let before = ticks();
        let now = Instant::now();
        let after = ticks();
        (
            after.wrapping_sub(before),
            now,
            before.wrapping_add(after.wrapping_sub(before) / 2),
        )
    };
    let (_, now, at) = (0..9)
        .map(|_| attempt())
        .min_by_key(|(apart, ..)| *apart)
        .unwrap_or_else(attempt);
    (now, at)
}

/// Whether the counter ticks on at one rate through changes of frequency and sleep (Intel's manual,
/// volume 3, "Invariant TSC"). Virtual machines may hide the bit; then it counts whether the kernel
/// itself keeps time by it.
#[cfg(target_arch = "x86_64")]
fn ticks_are_constant() -> bool {
    const ADVANCED_POWER: u32 = 0x8000_0007;
    const INVARIANT: u32 = 1 << 8;
    let highest = core::arch::x86_64::__cpuid(0x8000_0000).eax;
    let told = highest >= ADVANCED_POWER
        && core::arch::x86_64::__cpuid(ADVANCED_POWER).edx & INVARIANT != 0;
    let source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    told || std::fs::read_to_string(source).is_ok_and(|source| source.trim() == "tsc")
}

/// The architecture promises it.
#[cfg(not(target_arch = "x86_64"))]
fn ticks_are_constant() -> bool {
    true
}
