//! Buffers on the same kind of pages for every side: large ones, where the system has them.

use memmap2::{Advice, MmapMut};
use rankine::{Error, ErrorKind, Result};
use std::sync::{Mutex, PoisonError};

/// What one rank sends from and receives into.
pub struct Pages {
    pub send: MmapMut,
    pub recv: MmapMut,
}

/// Given back by sides that are done, so that not every turn pays for new pages.
static POOL: Mutex<Vec<Pages>> = Mutex::new(Vec::new());

/// Runs `f` with buffers of at least that many bytes each, all of them touched.
///
/// # Errors
/// The system has no memory; those of `f`.
pub fn with<R>(bytes: usize, f: impl FnOnce(&mut Pages) -> Result<R>) -> Result<R> {
    let pooled = {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = pool.iter().position(|pages| pages.send.len() >= bytes);
        fits.map(|index| pool.swap_remove(index))
    };
    let mut pages = match pooled {
        Some(pages) => pages,
        None => Pages { send: buffer(bytes)?, recv: buffer(bytes)? },
    };
    let result = f(&mut pages);
    POOL.lock().unwrap_or_else(PoisonError::into_inner).push(pages);
    result
}

fn buffer(bytes: usize) -> Result<MmapMut> {
    // Whole large pages: the system gives one only where all of it is asked for.
    let bytes = bytes.max(1).next_multiple_of(2 << 20);
    let mut buffer = MmapMut::map_anon(bytes).map_err(|error| {
        Error::new(ErrorKind::Setup, format!("no memory for {bytes} bytes: {error}"))
            .help("leave the largest --sizes out")
    })?;
    // Without large pages it is slower, on all sides alike.
    let _ = buffer.advise(Advice::HugePage);
    // One everywhere: sums of it stay finite.
    bytemuck::cast_slice_mut::<u8, f64>(&mut buffer).fill(1.0);
    Ok(buffer)
}
