//! Gives back to the machine what the C library keeps after a peak.
//!
//! glibc keeps freed memory for the next allocation, page by page between what is still in use: after six hundred answers
//! of 4 MiB it kept 1.3 GB for as long as the process lived.

use crate::machine::resident_bytes;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(5);
/// A process that is smaller than this keeps nothing worth the trouble.
const LOOK_FROM_BYTES: usize = 100 << 20;
/// Giving memory back costs those that need it again soon, so it must be worth it, and have been free at each of the
/// last looks.
const WORTH_BYTES: usize = 32 << 20;
const LOOKS: usize = 3;

/// How much was free at the last looks, and how much of that has been given back before.
#[derive(Debug, Default)]
struct Free {
    seen: [usize; LOOKS],
    given_back: usize,
}

impl Free {
    /// Whether as much is free, for long enough, as it is worth.
    fn is_worth_it(&mut self, free: usize) -> bool {
        self.seen.rotate_left(1);
        self.seen[LOOKS - 1] = free;
        // What was taken of it again has its pages again.
        self.given_back = self.given_back.min(free);
        let for_long = self.seen.iter().copied().min().unwrap_or(0);
        for_long.saturating_sub(self.given_back) >= WORTH_BYTES
    }

    fn gave_back(&mut self, free: usize) {
        self.given_back = free;
    }
}

/// Looks from time to time until the process ends. Should its thread fail, the memory stays: no more than that.
pub(crate) async fn give_back(stopping: CancellationToken) {
    let mut free = Free::default();
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        if resident_bytes().is_none_or(|resident| resident < LOOK_FROM_BYTES) {
            free = Free::default();
            continue;
        }
        let looked = tokio::task::spawn_blocking(move || {
            if free.is_worth_it(glibc::free_bytes()) {
                let before = resident_bytes();
                glibc::trim();
                free.gave_back(glibc::free_bytes());
                tracing::debug!(?before, after = ?resident_bytes(), "Gave memory back that the allocator kept");
            }
            free
        });
        free = looked.await.unwrap_or_default();
    }
}

#[cfg(target_env = "gnu")]
mod glibc {
    use nix::libc;

    /// Bytes in the arenas of all threads that nobody uses, given back or not.
    pub(super) fn free_bytes() -> usize {
        #[expect(unsafe_code, reason = "no crate of ours wraps it")]
        // SAFETY: it takes the locks of the arenas, reads them, and returns numbers.
        let info = unsafe { libc::mallinfo2() };
        info.fordblks
    }

    /// On a thread of ordinary priority: each arena is locked meanwhile, and others wait for it.
    pub(super) fn trim() {
        #[expect(unsafe_code, reason = "no crate of ours wraps it")]
        // SAFETY: it gives whole pages back that lie in freed memory, which nobody may read any more.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

/// Other allocators have their own ways.
#[cfg(not(target_env = "gnu"))]
mod glibc {
    pub(super) fn free_bytes() -> usize {
        0
    }

    pub(super) fn trim() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_for_long_is_given_back_once() {
        let mut free = Free::default();
        let mut looks = |bytes: &[usize]| bytes.iter().map(|bytes| free.is_worth_it(*bytes)).collect::<Vec<_>>();
        let (much, little) = (500 << 20, 1 << 20);
        assert_eq!(looks(&[much, little, much, much]), [false; 4], "a peak of the free is no rest of a peak");
        assert_eq!(looks(&[much]), [true]);
        free.gave_back(much);
        let mut looks = |bytes: &[usize]| bytes.iter().map(|bytes| free.is_worth_it(*bytes)).collect::<Vec<_>>();
        assert_eq!(looks(&[much, much, much]), [false; 3], "it is gone");
        assert_eq!(looks(&[little, much, much, much]), [false, false, false, true], "it was taken and freed again");
    }

    #[test]
    fn what_the_allocator_keeps_can_be_given_back() {
        // Many small ones, and one behind them that stays: the C library cannot shrink its arena by itself.
        let mut many: Vec<Box<[u8]>> = (0..100_000).map(|_| vec![1_u8; 1000].into_boxed_slice()).collect();
        many.truncate(99_999);
        let last = many.pop();
        let full = resident_bytes().unwrap();
        drop(many);
        assert!(glibc::free_bytes() > 90 << 20);
        glibc::trim();
        let after = resident_bytes().unwrap();
        assert!(after + (60 << 20) < full, "{full} before, {after} after");
        drop(last);
    }
}
