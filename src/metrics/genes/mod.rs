//! Genes that differ between perturbed and control cells, and whether generated cells show the same ones.

pub mod columns;
pub mod normal_tail;
pub mod differential;
pub mod agreement;

pub use columns::GeneColumns;
pub use differential::Differential;
