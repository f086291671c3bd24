//! The same thirty functions once for each way to instrument them.

use std::hint::black_box;

/// Scopes in one run of a family: each function once.
pub const SCOPES: u32 = 30;

pub type Function = fn(u64) -> u64;

/// What a small function does.
#[inline(always)]
fn body(number: u64, x: u64) -> u64 {
    (x ^ number)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(17)
}

/// Twenty functions that call each other in a chain; each of the first ten calls one more. All through a table, so that none
/// is inlined.
macro_rules! family {
    ($module:ident, $attributes:tt, $open:tt) => {
        pub mod $module {
            use super::*;

            static TABLE: [Function; 30] = [
                f00, f01, f02, f03, f04, f05, f06, f07, f08, f09, f10, f11, f12, f13, f14, f15, f16,
                f17, f18, f19, f20, f21, f22, f23, f24, f25, f26, f27, f28, f29,
            ];

            pub fn run(x: u64) -> u64 {
                black_box(&TABLE)[0](x)
            }

            #[inline(always)]
            fn calls(number: usize, x: u64) -> u64 {
                let x = body(number as u64, x);
                let x = if number < 10 {
                    black_box(&TABLE)[number + 20](x)
                } else {
                    x
                };
                if number < 19 {
                    black_box(&TABLE)[number + 1](x)
                } else {
                    x
                }
            }

            functions!($attributes, $open, f00 0, f01 1, f02 2, f03 3, f04 4, f05 5, f06 6, f07 7, f08 8, f09 9,
                f10 10, f11 11, f12 12, f13 13, f14 14, f15 15, f16 16, f17 17, f18 18, f19 19,
                f20 20, f21 21, f22 22, f23 23, f24 24, f25 25, f26 26, f27 27, f28 28, f29 29);
        }
    };
}

macro_rules! functions {
    ($attributes:tt, $open:tt, $($name:ident $number:literal),*) => {
        $(function!($attributes, $open, $name $number);)*
    };
}

macro_rules! function {
    ({$($attributes:tt)*}, {$($open:tt)*}, $name:ident $number:literal) => {
        $($attributes)*
        #[inline(never)]
        fn $name(x: u64) -> u64 {
            $($open)*
            calls($number, x)
        }
    };
}

family!(none, {}, {});
family!(appweight, {#[appweight_agent::profiled]}, {});
family!(puffin_scopes, {}, {
    puffin::profile_function!();
});
family!(fastrace_spans, {#[fastrace::trace]}, {});
family!(tracing_spans, {#[tracing::instrument(skip_all)]}, {});
family!(ticks, {}, {
    let _read = super::Twice::new(super::ticks);
});
family!(cpu_clock, {}, {
    let _read = super::Twice::new(super::cpu_ns);
});

/// A clock read at both edges of a scope, and nothing else done.
struct Twice(fn() -> u64);

impl Twice {
    #[inline(always)]
    fn new(read: fn() -> u64) -> Self {
        black_box(read());
        Self(read)
    }
}

impl Drop for Twice {
    #[inline(always)]
    fn drop(&mut self) {
        black_box((self.0)());
    }
}

#[inline(always)]
fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has the instruction, and it touches no memory.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    0
}

#[inline(always)]
fn cpu_ns() -> u64 {
    appweight_agent::thread_cpu_ns().unwrap_or(0)
}
