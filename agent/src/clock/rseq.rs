//! A thread's restartable-sequence area as a witness of switches.
//!
//! glibc registers an area for every thread since 2.35 and says where it lies. The kernel looks at
//! its field `rseq_cs` whenever it has preempted, moved or signalled the thread: outside the
//! section that the field names, it sets the field to zero (Linux, kernel/rseq.c). A field that
//! still names our section, which nobody ever executes, tells that none of that has happened.
//! Kernels from 6.19 on look no more when the thread was switched out inside a system call; the
//! trial at the start finds that.
//!
//! Others that use the area (allocators with a cache per CPU) overwrite the field when they enter a
//! section of theirs and never rely on what was in it; ours then reads as a switch.

#![expect(
    unsafe_code,
    reason = "the area is shared with the kernel and found through the thread pointer"
)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use super::stretch::Stretch;
use super::{Arm, Witness};

/// `struct rseq` up to the field in question (Linux, include/uapi/linux/rseq.h).
#[repr(C, align(32))]
pub(super) struct Area {
    cpu_id_start: AtomicI32,
    cpu_id: AtomicI32,
    rseq_cs: AtomicU64,
}

/// `struct rseq_cs`: a section of code.
#[repr(C, align(32))]
struct Section {
    version: u32,
    flags: u32,
    start_ip: u64,
    post_commit_offset: u64,
    abort_ip: u64,
}

thread_local! {
    static STRETCH: Stretch = const { Stretch::over() };
}

/// Works on the calling thread's stretch and area.
#[inline]
pub(super) fn with_thread<T>(work: impl FnOnce(&Stretch, &Area) -> T) -> T {
    // SAFETY: the way that uses this is taken only after `find` has found areas, and glibc gives one
    // to each thread for as long as it runs. All fields are atomics.
    let area = unsafe { &*area() };
    // Not the work itself, which would be a call through a pointer where it is not inlined: a third of a reading.
    let stretch = STRETCH.with(std::ptr::from_ref);
    // SAFETY: made without a call and never dropped, it is there while its thread runs, which is here until the work is
    // done; all that changes in it are cells.
    work(unsafe { &*stretch }, area)
}

/// The calling thread's stretch and area, found once. It stays on its thread, as the pointers say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Here {
    stretch: *const Stretch,
    area: *const Area,
    section: u64,
}

impl Here {
    /// To be asked for where `find` has found areas.
    pub(super) fn find() -> Self {
        with_thread(|stretch, area| Self {
            stretch,
            area,
            section: section(),
        })
    }

    #[inline(always)]
    pub(super) fn stretch(&self) -> &Stretch {
        // SAFETY: as in `with_thread`, on the same thread: both are there while it runs.
        unsafe { &*self.stretch }
    }

    #[inline(always)]
    fn area(&self) -> &Area {
        // SAFETY: as above.
        unsafe { &*self.area }
    }
}

impl Witness for Here {
    #[inline(always)]
    fn is_armed(&self) -> bool {
        self.area().names(self.section)
    }
}

impl Area {
    /// Whether the field names that section still.
    #[inline(always)]
    fn names(&self, section: u64) -> bool {
        // The kernel writes on this very thread, as a signal handler would: it is the compiler only
        // that must not move the look.
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
        let field = self.rseq_cs.load(Ordering::Relaxed);
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
        field == section
    }
}

impl Arm for Area {
    #[inline]
    fn arm(&self) {
        self.rseq_cs.store(section(), Ordering::Relaxed);
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
    }
}

impl Witness for Area {
    #[inline]
    fn is_armed(&self) -> bool {
        self.names(section())
    }
}

/// Where areas lie, seen from the thread pointer; 0 before `find`.
static OFFSET: AtomicU64 = AtomicU64::new(0);
/// The section that is never executed.
static SECTION: AtomicU64 = AtomicU64::new(0);

#[inline]
fn section() -> u64 {
    SECTION.load(Ordering::Relaxed)
}

#[inline]
fn area() -> *const Area {
    (thread_pointer().wrapping_add(OFFSET.load(Ordering::Relaxed))) as *const Area
}

/// Makes the way usable, or tells why it is not.
pub(super) fn find() -> Result<(), String> {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    FOUND.get_or_init(find_once).clone()
}

fn find_once() -> Result<(), String> {
    let (offset, size) =
        libc_areas().ok_or("the C library registers no restartable sequences (glibc 2.35 does)")?;
    if size == 0 {
        return Err(
            "the kernel or the tunable glibc.pthread.rseq has switched restartable sequences off"
                .to_owned(),
        );
    }
    let section = addresses().ok_or("restartable sequences are not known on this architecture")?;
    OFFSET.store(offset, Ordering::Relaxed);
    // SAFETY: glibc has said that every thread has an area there.
    let cpu = unsafe { &*area() }.cpu_id.load(Ordering::Relaxed);
    if cpu < 0 {
        return Err("the C library could not register this thread".to_owned());
    }
    SECTION.store(std::ptr::from_ref(section) as u64, Ordering::Relaxed);
    Ok(())
}

/// The calling thread's stretch is over, and its clock begins anew.
pub(super) fn disarm() {
    if section() != 0 {
        with_thread(|stretch, area| {
            area.rseq_cs.store(0, Ordering::Relaxed);
            stretch.forget();
        });
    }
}

/// Leaves the field as an allocator with a cache per CPU does.
#[cfg(test)]
pub(super) fn overwrite_as_another_user() {
    static THEIRS: OnceLock<Option<Section>> = OnceLock::new();
    if let Some(theirs) = THEIRS.get_or_init(section_here) {
        with_thread(|_, area| {
            area.rseq_cs
                .store(std::ptr::from_ref(theirs) as u64, Ordering::Relaxed);
        });
    }
}

/// Where the C library puts areas, and their size, 0 if there are none.
#[cfg(all(
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
fn libc_areas() -> Option<(u64, u32)> {
    let (offset, size): (*const i64, *const u32);
    // Weak, so that programs still start with an older glibc; and by assembly, because that is the
    // only way to name a weak symbol.
    // SAFETY: the instructions load two addresses from the linker's table.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::asm!(
            ".weak __rseq_offset",
            ".weak __rseq_size",
            "mov {offset}, qword ptr [rip + __rseq_offset@GOTPCREL]",
            "mov {size}, qword ptr [rip + __rseq_size@GOTPCREL]",
            offset = out(reg) offset,
            size = out(reg) size,
            options(nostack, preserves_flags, readonly),
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        core::arch::asm!(
            ".weak __rseq_offset",
            ".weak __rseq_size",
            "adrp {offset}, :got:__rseq_offset",
            "ldr {offset}, [{offset}, :got_lo12:__rseq_offset]",
            "adrp {size}, :got:__rseq_size",
            "ldr {size}, [{size}, :got_lo12:__rseq_size]",
            offset = out(reg) offset,
            size = out(reg) size,
            options(nostack, preserves_flags, readonly),
        );
    }
    if offset.is_null() || size.is_null() {
        return None;
    }
    // SAFETY: glibc defines both, of these types, and never changes them after the start.
    Some(unsafe { (offset.read().cast_unsigned(), size.read()) })
}

#[cfg(not(all(
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
fn libc_areas() -> Option<(u64, u32)> {
    None
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn thread_pointer() -> u64 {
    let pointer: u64;
    // SAFETY: the ABI keeps the thread pointer at that address (ELF Handling For Thread-Local Storage).
    unsafe {
        core::arch::asm!("mov {}, fs:0", out(reg) pointer, options(nostack, preserves_flags, readonly));
    }
    pointer
}

#[cfg(target_arch = "aarch64")]
#[inline]
fn thread_pointer() -> u64 {
    let pointer: u64;
    // SAFETY: reads a register.
    unsafe {
        core::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, preserves_flags, nomem));
    }
    pointer
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[inline]
fn thread_pointer() -> u64 {
    0
}

/// The section, with the addresses that the kernel wants: of one instruction, and of an abort
/// handler with the architecture's signature before it.
fn addresses() -> Option<&'static Section> {
    static SECTION: OnceLock<Option<Section>> = OnceLock::new();
    SECTION.get_or_init(section_here).as_ref()
}

#[cfg(target_arch = "x86_64")]
#[inline(never)]
#[expect(clippy::unnecessary_wraps, reason = "other architectures have none")]
fn section_here() -> Option<Section> {
    let (start, end, abort): (u64, u64, u64);
    // SAFETY: what is emitted into the other section is never run; the rest takes addresses.
    unsafe {
        core::arch::asm!(
            ".pushsection .text.appweight_rseq, \"ax\", @progbits",
            "2: nop",
            "3: .byte 0x0f, 0xb9, 0x3d",
            ".long 0x53053053",
            "4: ud2",
            ".popsection",
            "lea {start}, [rip + 2b]",
            "lea {end}, [rip + 3b]",
            "lea {abort}, [rip + 4b]",
            start = out(reg) start,
            end = out(reg) end,
            abort = out(reg) abort,
            options(nostack, preserves_flags, nomem),
        );
    }
    Some(Section::new(start, end, abort))
}

#[cfg(target_arch = "aarch64")]
#[inline(never)]
#[expect(clippy::unnecessary_wraps, reason = "other architectures have none")]
fn section_here() -> Option<Section> {
    let (start, end, abort): (u64, u64, u64);
    // SAFETY: what is emitted into the other section is never run; the rest takes addresses.
    unsafe {
        core::arch::asm!(
            ".pushsection .text.appweight_rseq, \"ax\", @progbits",
            "2: nop",
            "3: .inst 0xd428bc00",
            "4: brk #0",
            ".popsection",
            "adrp {start}, 2b",
            "add {start}, {start}, :lo12:2b",
            "adrp {end}, 3b",
            "add {end}, {end}, :lo12:3b",
            "adrp {abort}, 4b",
            "add {abort}, {abort}, :lo12:4b",
            start = out(reg) start,
            end = out(reg) end,
            abort = out(reg) abort,
            options(nostack, preserves_flags, nomem),
        );
    }
    Some(Section::new(start, end, abort))
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn section_here() -> Option<Section> {
    None
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl Section {
    fn new(start_ip: u64, end: u64, abort_ip: u64) -> Self {
        Self {
            version: 0,
            flags: 0,
            start_ip,
            post_commit_offset: end - start_ip,
            abort_ip,
        }
    }
}
