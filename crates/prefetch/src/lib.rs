//! Asks memory for what will soon be read, so that it comes while something else is done.
//!
//! A decision reads a dozen places that are in no cache. Loads alone overlap only as far as the
//! processor looks ahead, which the policies of a large set exceed: `benches/RESULTS.md` has what
//! this is worth. There is no safe form of the instruction in stable Rust.

/// Asks for the cache line where `place` begins. It may be there when it is read; nothing else
/// changes, and nothing waits. Does nothing on processors other than x86-64.
#[inline(always)]
pub fn read<T: ?Sized>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "the instruction has no safe form")]
    // SAFETY: x86-64 has SSE, and prefetching is a hint that reads nothing and faults nowhere,
    // whatever the address is.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
