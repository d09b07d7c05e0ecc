//! Whether a kernel may fork, or has its thread to itself.

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

thread_local! {
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Puts the old value back, also when the work panics.
struct Restore(bool);

impl Drop for Restore {
    fn drop(&mut self) {
        ALONE.set(self.0);
    }
}

/// Does `work` on this thread only: no kernel forks within. For work that is itself one of several parts.
pub fn alone<T>(work: impl FnOnce() -> T) -> T {
    let _restore = Restore(ALONE.replace(true));
    work()
}

/// True within [`alone`].
pub(crate) fn is_alone() -> bool {
    ALONE.get()
}

/// Calls `work` with the number and the numbers of each block of `size`, on all threads unless told otherwise.
pub(crate) fn for_each_block(output: &mut [f32], size: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    if is_alone() || output.len() <= size {
        output.chunks_mut(size).enumerate().for_each(|(number, block)| work(number, block));
    } else {
        output.par_chunks_mut(size).enumerate().for_each(|(number, block)| work(number, block));
    }
}

/// Calls `work` with blocks of `size` of two arrays side by side, on all threads unless told otherwise.
pub(crate) fn for_each_pair_of_blocks(
    first: &mut [f32],
    second: &mut [f32],
    size: usize,
    work: impl Fn(&mut [f32], &mut [f32]) + Sync,
) {
    if is_alone() || first.len() <= size {
        first.chunks_mut(size).zip(second.chunks_mut(size)).for_each(|(first, second)| work(first, second));
    } else {
        first.par_chunks_mut(size).zip(second.par_chunks_mut(size)).for_each(|(first, second)| work(first, second));
    }
}

/// What a mutex holds; a panic elsewhere leaves nothing half done here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The results of `work` for each number below `n`, in order, from all threads unless told otherwise.
pub(crate) fn map_each<T: Send>(n: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    if is_alone() || n <= 1 { (0..n).map(work).collect() } else { (0..n).into_par_iter().map(&work).collect() }
}
