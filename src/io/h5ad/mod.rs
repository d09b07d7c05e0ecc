//! AnnData files (`.h5ad`): [`Cells`](crate::cells::Cells) on disk, as scanpy and anndata read and write them.
//!
//! Read: the encodings from anndata 0.5 (2018) to today's. Written: what anndata ≥ 0.8 reads. The layout is that of the
//! AnnData specification, <https://anndata.readthedocs.io/en/stable/fileformat-prose.html> (November 2026).

mod ahead;
mod attributes;
mod blocks;
mod carry;
mod chunks;
mod compressed;
mod dense;
mod derived;
mod disk;
mod failure;
mod floats;
mod heaps;
mod legacy;
mod matrix;
mod packed;
mod partial;
pub(super) mod raw;
mod read;
mod remembered;
mod rows;
pub(super) mod source;
mod table;
mod target;
mod texts;
mod transposed;
mod uns;
mod write;

pub use blocks::write_blocks;
pub use carry::rewrite;
pub use derived::{Derived, Kept, Matrices, write_derived};
pub use matrix::{BLOCK, Matrix};
pub use partial::Partial;
pub use read::{read, read_noting};
pub use write::write;
