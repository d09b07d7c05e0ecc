//! Ctrl-C and the termination signal of batch systems, held back while a checkpoint can still be written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// What became of signals. While they are held back the first is only noted; a second ends the program at once.
pub(super) struct Interrupt {
    ends_program: Arc<AtomicBool>,
    noted: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Begins to watch; nothing is held back yet.
    pub(super) fn watch() -> std::io::Result<Self> {
        let interrupt =
            Self { ends_program: Arc::new(AtomicBool::new(true)), noted: Arc::new(AtomicUsize::new(usize::MAX)) };
        for signal in [SIGINT, SIGTERM] {
            // Handlers run in the order of registration: the first looks at what earlier signals have left.
            flag::register_conditional_default(signal, interrupt.ends_program.clone())?;
            flag::register(signal, interrupt.ends_program.clone())?;
            flag::register_usize(signal, interrupt.noted.clone(), signal as usize)?;
        }
        Ok(interrupt)
    }

    /// From now on the first signal is only noted.
    pub(super) fn hold(&self) {
        self.ends_program.store(false, Ordering::SeqCst);
    }

    /// From now on a signal ends the program.
    pub(super) fn release(&self) {
        self.ends_program.store(true, Ordering::SeqCst);
    }

    /// The signal that was noted.
    pub(super) fn noted(&self) -> Option<u8> {
        u8::try_from(self.noted.load(Ordering::SeqCst)).ok()
    }
}
