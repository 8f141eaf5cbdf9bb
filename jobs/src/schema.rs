//! `rankine schema`: what a job file may hold, as a JSON schema for editors.

use rankine::Result;
use rankine::run::{Entry, show};

/// Shows that of one kernel, or of all.
///
/// # Errors
/// None.
pub fn schema(kernel: Option<Entry>) -> Result<()> {
    let schema = match kernel {
        Some(entry) => rankine::run::schema(&[entry], crate::submit::schema()),
        None => rankine::run::schema(&rankine_kernels::all(), crate::submit::schema()),
    };
    show(&format!("{schema:#}\n"));
    Ok(())
}
